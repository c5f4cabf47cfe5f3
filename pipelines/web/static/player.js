// Plays an episode: the pictures of all cameras in step, its source demo beside it, and the mark on the time line.

import { unpack } from "./pictures.js";
import { bytes, find, make, words } from "./tools.js";

export const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4, 8];
// Steps of one request: of stored pictures, and of pictures that have to be drawn; steps read ahead of those shown.
const BLOCK = { stored: 32, drawn: 8 }, AHEAD = { stored: 320, drawn: 96 };
// Moments of one episode that are held.
const MOST = 4000;

/** The pictures of one episode as they come, by step. */
class Reel {
  constructor(path, steps, kind, arrived, failed) {
    Object.assign(this, { path, steps, arrived, failed, block: BLOCK[kind], ahead: AHEAD[kind] });
    this.moments = new Map();
    this.cameras = [];
    this.stopper = new AbortController();
    this.busy = false;
    this.broken = new Set();
  }

  /** Fetch what is shown next and is not here yet. */
  async want(step) {
    this.target = step;
    if (this.busy || this.stopper.signal.aborted) return;
    this.busy = true;
    try {
      for (;;) {
        const start = this.next();
        if (start < 0) return;
        const stop = Math.min(start + this.block, this.steps);
        try {
          const { cameras, buffer } = await bytes(this.path, `start=${start}&stop=${stop}`, this.stopper.signal);
          this.cameras = cameras;
          this.take(buffer);
          this.arrived(start);
        } catch (error) {
          if (error.name === "AbortError") return;
          if (error.message.startsWith("too many")) { await new Promise((done) => setTimeout(done, 300)); continue; }
          this.broken.add(start);
          this.failed(error.message);
        }
      }
    } finally {
      this.busy = false;
    }
  }

  next() {
    for (let step = this.target; step < Math.min(this.steps, this.target + this.ahead); step += 1) {
      const start = Math.floor(step / this.block) * this.block;
      if (!this.moments.has(step) && !this.broken.has(start)) return start;
    }
    return -1;
  }

  take(buffer) {
    const view = new DataView(buffer);
    for (let at = 0; at < buffer.byteLength;) {
      const size = view.getUint32(at, true);
      const moment = unpack(buffer.slice(at + 4, at + 4 + size));
      this.moments.set(moment.step, moment.jpegs);
      at += 4 + size;
    }
    for (const step of this.moments.keys()) {
      if (this.moments.size <= MOST) break;
      if (step < this.target) this.moments.delete(step);
    }
  }

  has(step) { return this.moments.has(step) || this.broken.has(Math.floor(step / this.block) * this.block); }
  stop() { this.stopper.abort(); }
}

/** Canvases in a row, one for each camera, with captions. */
class Screen {
  constructor(element) { this.element = element; this.canvases = []; this.turn = 0; }

  prepare(cameras, caption) {
    if (this.names === cameras.join()) return;
    this.names = cameras.join();
    this.canvases = cameras.map((camera) => make("canvas", { width: 64, height: 64, role: "img", "aria-label": `${caption}, camera ${camera}` }));
    this.element.replaceChildren(...this.canvases.map((canvas, i) => make("figure", {}, canvas, make("figcaption", {}, `${caption ? `${caption} · ` : ""}${cameras[i]}`))));
  }

  clear() { this.names = null; this.canvases = []; this.element.replaceChildren(); this.turn += 1; }

  async show(jpegs) {
    const turn = (this.turn += 1);
    const bitmaps = await Promise.all(jpegs.map((jpeg) => createImageBitmap(jpeg)));
    if (turn === this.turn) {
      bitmaps.forEach((bitmap, i) => {
        const canvas = this.canvases[i];
        if (!canvas) return;
        if (canvas.width !== bitmap.width) { canvas.width = bitmap.width; canvas.height = bitmap.height; }
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
      });
    }
    bitmaps.forEach((bitmap) => bitmap.close());
  }
}

export class Player {
  /** `moved(step)` is called whenever another step is shown. */
  constructor(plots, moved) {
    Object.assign(this, { plots, moved, speed: 1, loop: false, beside: false, playing: false, at: 0 });
    this.screen = new Screen(find("cameras"));
    this.other = new Screen(find("demo-cameras"));
    this.demos = new Map();
    this.frame = this.frame.bind(this);
    find("seek").addEventListener("input", ({ target }) => { this.pause(); this.seek(Number(target.value)); });
  }

  /** Show an episode: `detail` and `data` as the server gives them, `pictures` "stored", "drawn" or "". */
  open(detail, data, pictures, step) {
    this.close();
    Object.assign(this, { detail, data, pictures });
    this.reel = pictures ? new Reel(`/api/episodes/${detail.episode}/frames`, data.steps, pictures, () => this.refresh(), (message) => this.fail(message)) : null;
    find("cameras").dataset.pictures = pictures;
    find("no-pictures").hidden = Boolean(pictures);
    this.screen.clear();
    this.seek(Math.min(step, data.steps - 1));
  }

  close() {
    this.pause();
    this.reel?.stop();
    this.reel = null;
    this.data = null;
    for (const reel of this.demos.values()) reel.stop();
    this.demos.clear();
    this.other.clear();
    this.screen.clear();
    find("picture-error").hidden = true;
    find("no-pictures").hidden = true;
  }

  fail(message) {
    find("picture-error").textContent = message;
    find("picture-error").hidden = false;
    this.refresh();
  }

  get steps() { return this.data?.steps ?? 0; }

  seek(step) {
    if (!this.data) return;
    this.at = Math.max(0, Math.min(this.steps - 1, Math.round(step)));
    this.clock = null;
    this.refresh();
  }

  step(by) { this.pause(); this.seek(this.at + by); }

  play() {
    if (!this.data || this.playing) return;
    if (this.at >= this.steps - 1) this.at = 0;
    this.playing = true;
    this.clock = null;
    find("play").textContent = "Pause";
    find("play").setAttribute("aria-pressed", "true");
    requestAnimationFrame(this.frame);
  }

  pause() {
    this.playing = false;
    find("play").textContent = "Play";
    find("play").setAttribute("aria-pressed", "false");
  }

  toggle() { if (this.playing) this.pause(); else this.play(); }

  frame(now) {
    if (!this.playing) return;
    requestAnimationFrame(this.frame);
    // Wait for pictures, and do not run ahead of them.
    const waits = (this.reel && !this.reel.has(this.at)) || (this.beside && !this.demoHas(this.at));
    document.body.dataset.waits = waits;
    find("waits").hidden = !waits;
    if (waits || this.clock === null) { this.clock = now; this.from = this.at; return; }
    const wanted = this.from + Math.floor(((now - this.clock) / 1000) * this.data.rate * this.speed);
    if (wanted === this.at) return;
    if (wanted >= this.steps) {
      if (this.loop) { this.at = 0; this.clock = null; } else { this.at = this.steps - 1; this.pause(); }
    } else {
      // No further than the pictures are here.
      let to = this.at;
      while (to < wanted && (!this.reel || this.reel.has(to + 1)) && (!this.beside || this.demoHas(to + 1))) to += 1;
      if (to < wanted) this.clock = null;
      this.at = to;
    }
    this.refresh();
  }

  /** Show what belongs to the present step. */
  refresh() {
    if (!this.data) return;
    const { at, reel } = this;
    if (reel) {
      reel.want(at);
      const jpegs = reel.moments.get(at);
      if (jpegs) { this.screen.prepare(reel.cameras, ""); this.screen.show(jpegs); this.shown = at; }
    }
    if (this.beside) this.showDemo(at);
    if (!this.playing) find("waits").hidden = !reel || reel.has(at);
    this.plots.draw(at);
    find("seek").max = this.steps - 1;
    find("seek").value = at;
    const text = this.sentence(at);
    find("moment").textContent = text;
    find("seek").setAttribute("aria-valuetext", text);
    Object.assign(document.body.dataset, { step: at, playing: this.playing, shown: this.shown ?? "" });
    this.moved(at);
  }

  sentence(at) {
    const { rows, rate, stride, subtasks } = this.data, i = Math.floor(at / stride);
    const parts = [`${(at / rate).toFixed(2)} s of ${((this.steps - 1) / rate).toFixed(1)} s`, `step ${at}`];
    const subtask = rows.subtask?.[i];
    if (subtask >= 0) parts.push(words(subtasks[subtask] ?? `subtask ${subtask}`));
    const demo = rows["source/demo"]?.[i];
    if (demo !== undefined) parts.push(demo < 0 ? "bridge" : `demo ${demo}, step ${rows["source/step"][i]}`);
    return parts.join(" · ");
  }

  /** The demo and its step that the present step replays; within a bridge the last one before it, or the next. */
  sourceAt(at) {
    const found = this.detail.segments.filter(({ demo }) => demo >= 0);
    if (!found.length) return null;
    const now = found.find(({ start, stop }) => at >= start && at < stop);
    if (now) return { demo: now.demo, step: now.first + (at - now.start), bridge: false };
    const before = found.filter(({ stop }) => stop <= at).at(-1);
    return before ? { demo: before.demo, step: before.last, bridge: true } : { demo: found[0].demo, step: found[0].first, bridge: true };
  }

  demoReel(demo) {
    const source = this.detail.sources[demo];
    if (!source || source.set === null || source.set === undefined) return null;
    if (!this.demos.has(demo)) {
      const last = Math.max(...this.detail.segments.filter((s) => s.demo === demo).map((s) => s.last));
      this.demos.set(demo, new Reel(`/api/demos/${source.set}/${source.episode}/frames`, last + 1, "drawn", () => this.refresh(), (message) => this.fail(`demo ${demo}: ${message}`)));
    }
    return this.demos.get(demo);
  }

  demoHas(at) {
    const source = this.sourceAt(at), reel = source && this.demoReel(source.demo);
    return !reel || reel.has(source.step);
  }

  showDemo(at) {
    const source = this.sourceAt(at), reel = source && this.demoReel(source.demo);
    const missing = find("no-demo");
    missing.hidden = Boolean(reel);
    if (!source) { missing.textContent = "Nothing says which demos this episode replays."; this.other.clear(); return; }
    if (!reel) { missing.textContent = `Demo ${source.demo} is not at hand: give the store it is in with --demos.`; this.other.clear(); return; }
    reel.want(source.step);
    const jpegs = reel.moments.get(source.step);
    if (!jpegs) return;
    this.other.prepare(reel.cameras, "demo");
    this.other.show(jpegs);
    this.other.element.classList.toggle("bridge", source.bridge);
    this.other.element.querySelectorAll("figcaption").forEach((caption, i) => {
      caption.textContent = `demo ${source.demo}, ${source.bridge ? "bridge" : `step ${source.step}`} · ${reel.cameras[i] ?? ""}`;
    });
    document.body.dataset.demoShown = `${source.demo}:${source.step}`;
  }

  compare(beside) {
    this.beside = beside;
    find("beside").setAttribute("aria-pressed", String(beside));
    find("demo-cameras").hidden = !beside;
    find("no-demo").hidden = true;
    if (!beside) this.other.clear();
    this.refresh();
  }

  faster(by) {
    const place = SPEEDS.indexOf(this.speed);
    this.setSpeed(SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, place + by))]);
  }

  setSpeed(speed) { this.speed = speed; this.clock = null; find("speed").value = String(speed); }
  setLoop(loop) { this.loop = loop; find("loop").setAttribute("aria-pressed", String(loop)); }
}
