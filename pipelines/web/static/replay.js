// Playing a kept episode: pictures come as a stream and are shown in real time as soon as the first is there.

import { draw, unpack } from "./pictures.js";

export class Replay {
  constructor(dialog, find, closed) {
    this.dialog = dialog;
    this.canvases = [find("replay-front"), find("replay-wrist")];
    [this.slider, this.time, this.button, this.title] = ["at", "time", "play", "title"].map((n) => find(`replay-${n}`));
    this.pictures = [];
    this.slider.addEventListener("input", () => { this.at = Number(this.slider.value); this.pause(true); this.show(); });
    this.button.addEventListener("click", () => this.pause(!this.paused));
    find("replay-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { this.stop(); closed(); });
  }

  /** Open an episode; `rate` is its pictures per second. */
  async open(episode, rate) {
    this.stop();
    this.stopper = new AbortController();
    this.rate = rate;
    this.at = 0;
    this.pictures = [];
    this.title.textContent = `Episode ${episode.episode + 1}: ${episode.instruction}`;
    this.slider.value = 0;
    this.pause(false);
    if (!this.dialog.open) this.dialog.showModal();
    this.timer = setInterval(() => this.tick(), 1000 / rate);
    try {
      await this.load(`/episodes/${episode.episode}/replay`, this.stopper.signal);
    } catch (error) {
      if (error.name !== "AbortError") this.time.textContent = `Cannot be replayed: ${error.message}`;
    }
  }

  async load(address, signal) {
    const answer = await fetch(address, { signal });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    this.slider.max = Number(answer.headers.get("X-Steps")) - 1;
    const reader = answer.body.getReader();
    let rest = new Uint8Array(0);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const joined = new Uint8Array(rest.length + value.length);
      joined.set(rest);
      joined.set(value, rest.length);
      rest = joined;
      for (;;) {
        if (rest.length < 4) break;
        const size = new DataView(rest.buffer, rest.byteOffset).getUint32(0, true);
        if (rest.length < 4 + size) break;
        this.pictures.push(unpack(rest.slice(4, 4 + size).buffer));
        rest = rest.slice(4 + size);
      }
      this.dialog.dataset.pictures = this.pictures.length;
    }
  }

  tick() {
    if (this.paused || this.at >= this.pictures.length) return;
    this.show();
    const last = Number(this.slider.max);
    if (this.at >= last) this.pause(true);
    else this.at += 1;
  }

  async show() {
    const moment = this.pictures[Math.min(this.at, this.pictures.length - 1)];
    if (!moment) return;
    this.slider.value = moment.step;
    this.time.textContent = `${(moment.step / this.rate).toFixed(1)} s of ${(Number(this.slider.max) / this.rate).toFixed(1)} s`;
    this.dialog.dataset.step = moment.step;
    await draw(moment.jpegs, this.canvases);
  }

  pause(paused) {
    if (!paused && this.at >= Number(this.slider.max) && this.pictures.length) this.at = 0;
    this.paused = paused;
    this.button.textContent = paused ? "Play" : "Pause";
  }

  stop() {
    this.stopper?.abort();
    clearInterval(this.timer);
  }
}
