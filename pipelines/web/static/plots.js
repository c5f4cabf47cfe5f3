// The time line: what the robot did, step by step, with a mark at the present moment. Drag to go elsewhere.

import { hue, HUES, short, words } from "./tools.js";

const LEFT = 122, RIGHT = 96, GAP = 7, TOP = 4, AXIS = 20;
const BRIDGE = "#dddcd6", INK = "#222428", QUIET = "#62656b", GRID = "#ecebe6";

export class Plots {
  /** `sought(step)` is called while a person drags. */
  constructor(canvas, sought) {
    this.canvas = canvas;
    this.data = null;
    this.at = 0;
    let dragging = false;
    const seek = (event) => {
      if (!this.data) return;
      const { left } = canvas.getBoundingClientRect();
      sought(Math.round(this.step(event.clientX - left)));
    };
    canvas.addEventListener("pointerdown", (event) => { dragging = true; canvas.setPointerCapture(event.pointerId); seek(event); event.preventDefault(); });
    canvas.addEventListener("pointermove", (event) => { if (dragging) seek(event); });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { dragging = false; });
    new ResizeObserver(() => this.layout()).observe(canvas.parentElement);
  }

  clear() { this.data = null; this.contacts = null; this.layout(); }
  show(data) { this.data = data; this.contacts = null; this.layout(); }
  add(contacts) { this.contacts = contacts; this.layout(); }

  get span() { return Math.max(1, this.width - LEFT - RIGHT); }
  step(x) { return Math.max(0, Math.min(this.data.steps - 1, ((x - LEFT) / this.span) * Math.max(1, this.data.steps - 1))); }
  x(step) { return LEFT + (step / Math.max(1, this.data.steps - 1)) * this.span; }

  /** What is drawn, from above: bands, then curves. */
  rows() {
    const { rows, subtasks } = this.data, found = [];
    const name = (index) => (index < 0 ? "-" : words(subtasks[index] ?? `subtask ${index}`));
    if (rows.subtask) found.push({ kind: "band", label: "subtask", values: rows.subtask, height: 18, colour: (v) => (v < 0 ? BRIDGE : ["#cfdeea", "#e3ecf4"][v % 2]), text: name });
    if (rows["source/demo"]) found.push({ kind: "band", label: "from demo", values: rows["source/demo"], height: 18, colour: (v) => (v < 0 ? "#f0efea" : `${hue(v)}55`), text: (v) => (v < 0 ? "bridge" : `${v}`) });
    if (rows.joints) found.push({ kind: "lines", label: "joints [rad]", height: 92, lines: rows.joints.map((values, i) => ({ values, colour: hue(i), name: `j${i + 1}` })), faint: rows.targets });
    if (rows.gripper) found.push({ kind: "lines", label: "gripper", height: 40, from: 0, to: 1, lines: [{ values: rows.gripper, colour: HUES[0], name: "open" }], faint: rows.gripper_target && [rows.gripper_target] });
    const heights = Object.entries(rows).filter(([key]) => key.startsWith("objects/")).map(([key, [, , z]], i) => ({ values: z, colour: HUES[(i + 1) % HUES.length], name: key.slice(8) }));
    if (rows.tool) found.push({ kind: "lines", label: "height [m]", height: 52, lines: [{ values: rows.tool[2], colour: INK, name: "tool" }, ...heights] });
    const forces = Object.entries(this.contacts?.forces ?? {}).map(([key, values], i) => ({ values, colour: HUES[(i + 1) % HUES.length], name: key }));
    if (this.contacts?.forces) found.push({ kind: "lines", label: "grip force [N]", height: 44, from: 0, lines: forces });
    for (const [pair, values] of Object.entries(this.contacts?.touching ?? {})) found.push({ kind: "band", label: pair.replace(" and ", " + "), values, height: 11, colour: (v) => (v ? "#588157" : "#f0efea") });
    for (const [pair, values] of Object.entries(this.contacts?.forbidden ?? {})) found.push({ kind: "band", label: pair.replace(" and ", " + "), values, height: 11, colour: (v) => (v ? "#8c3424" : "#f0efea"), bad: true });
    for (const [key, values] of Object.entries(rows)) if (key.startsWith("signals/")) found.push({ kind: "band", label: key.slice(8), values, height: 11, colour: (v) => (v ? "#588157" : "#f0efea") });
    return found;
  }

  layout() {
    const ratio = devicePixelRatio || 1;
    this.width = this.canvas.parentElement.clientWidth;
    if (!this.width) return;  // not on screen
    let y = TOP;
    this.placed = this.data ? this.rows().map((row) => { const placed = { ...row, y }; y += row.height + GAP; return placed; }) : [];
    this.height = this.data ? y + AXIS : 120;
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.still = document.createElement("canvas");
    this.still.width = this.canvas.width;
    this.still.height = this.canvas.height;
    const context = this.still.getContext("2d");
    context.scale(ratio, ratio);
    context.font = "12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
    context.textBaseline = "middle";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, this.width, this.height);
    for (const row of this.placed) this.paint(context, row);
    if (this.data) this.axis(context);
    this.draw(this.at);
  }

  paint(context, row) {
    context.fillStyle = row.bad ? "#8c3424" : QUIET;
    context.textAlign = "right";
    context.fillText(cut(context, row.label, LEFT - 10), LEFT - 8, row.y + row.height / 2);
    if (row.kind === "band") this.band(context, row); else this.curves(context, row);
  }

  band(context, { values, y, height, colour, text }) {
    const { stride, steps } = this.data;
    let start = 0;
    for (let i = 1; i <= values.length; i += 1) {
      if (i < values.length && values[i] === values[start]) continue;
      const a = this.x(Math.max(0, start * stride - 0.5)), b = this.x(Math.min(steps - 1, i * stride - 0.5));
      context.fillStyle = colour(values[start]);
      context.fillRect(a, y, Math.max(1, b - a - 0.5), height);
      if (text) {
        context.fillStyle = values[start] < 0 ? QUIET : INK;
        context.textAlign = "center";
        const label = cut(context, text(values[start]), b - a - 6);
        if (label) context.fillText(label, (a + b) / 2, y + height / 2 + 1);
      }
      start = i;
    }
  }

  curves(context, row) {
    const all = [...row.lines.map((line) => line.values), ...(row.faint ?? [])].flat().filter((v) => v !== null);
    let low = row.from ?? Math.min(...span(all)), high = row.to ?? Math.max(...span(all));
    if (!(high > low)) { high = (low || 0) + 1; low = low || 0; }
    const pad = row.from === undefined || row.to === undefined ? (high - low) * 0.04 : 0;
    Object.assign(row, { low: low - (row.from === undefined ? pad : 0), high: high + (row.to === undefined ? pad : 0) });
    context.fillStyle = "#fdfdfc";
    context.fillRect(LEFT, row.y, this.span, row.height);
    context.strokeStyle = GRID;
    context.lineWidth = 1;
    context.strokeRect(LEFT + 0.5, row.y + 0.5, this.span - 1, row.height - 1);
    context.save();
    context.beginPath();
    context.rect(LEFT, row.y, this.span, row.height);
    context.clip();
    (row.faint ?? []).forEach((values, i) => this.curve(context, row, values, row.lines[i]?.colour ?? QUIET, 0.35));
    row.lines.forEach(({ values, colour }) => this.curve(context, row, values, colour, 1));
    context.restore();
  }

  curve(context, row, values, colour, alpha) {
    context.globalAlpha = alpha;
    context.strokeStyle = colour;
    context.lineWidth = 1.4;
    context.beginPath();
    let pen = false;
    values.forEach((value, i) => {
      if (value === null) { pen = false; return; }
      const x = this.x(i * this.data.stride), y = row.y + row.height * (1 - (value - row.low) / (row.high - row.low));
      if (pen) context.lineTo(x, y); else context.moveTo(x, y);
      pen = true;
    });
    context.stroke();
    context.globalAlpha = 1;
  }

  axis(context) {
    const { steps, rate } = this.data, seconds = (steps - 1) / rate, y = this.height - AXIS;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600].find((s) => seconds / s <= 12) ?? 1800;
    context.fillStyle = QUIET;
    context.textAlign = "center";
    for (let t = 0; t <= seconds + 1e-9; t += step) {
      const x = this.x(t * rate);
      context.fillRect(x, y, 1, 4);
      context.fillText(`${Number(t.toFixed(2))} s`, x, y + 12);
    }
  }

  draw(at) {
    this.at = at;
    if (!this.width) return;
    const context = this.canvas.getContext("2d"), ratio = devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.still, 0, 0);
    if (!this.data) return;
    context.scale(ratio, ratio);
    const x = this.x(at), i = Math.min(Math.floor(at / this.data.stride), Infinity);
    context.fillStyle = "#c8553d";
    context.fillRect(x - 0.75, TOP, 1.5, this.height - AXIS - TOP);
    context.font = "11px ui-monospace, 'DejaVu Sans Mono', monospace";
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (const row of this.placed) {
      if (row.kind !== "lines") continue;
      const fits = Math.max(1, Math.floor(row.height / 13)), shown = row.lines.slice(0, fits);
      shown.forEach(({ values, colour, name }, n) => {
        const value = values[Math.min(i, values.length - 1)];
        context.fillStyle = colour;
        context.fillText(`${name.length > 7 ? `${name.slice(0, 6)}…` : name} ${typeof value === "number" ? value.toFixed(Math.abs(value) < 10 ? 2 : 1) : short(value)}`, this.width - RIGHT + 8, row.y + (row.height / (shown.length + 1)) * (n + 1));
      });
    }
  }
}

/** Least and greatest of a long array. */
function span(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
  return Number.isFinite(low) ? [low, high] : [0, 1];
}

function cut(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  for (let size = text.length - 1; size > 1; size -= 1) {
    const short_ = `${text.slice(0, size)}…`;
    if (context.measureText(short_).width <= room) return short_;
  }
  return "";
}
