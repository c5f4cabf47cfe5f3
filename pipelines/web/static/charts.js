// Histograms, bars and maps; each tells which part of it a person has chosen.

import { drawing, make, short, whole, words } from "./tools.js";

/** Bars of a number's bins: all episodes in grey, those that match before them. `chosen(low, high)` after a drag. */
export function histogram(data, chosen, { width = 240, height = 70, label = "" } = {}) {
  const { edges, every, counts, whole: ints } = data;
  const most = Math.max(1, ...every), bins = every.length, step = width / bins;
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, class: "histogram", role: "img", "aria-label": `${label}: ${described(data)}` });
  const bar = (i, value, kind) => {
    const size = value ? Math.max(1.5, (value / most) * (height - 2)) : 0;
    return drawing("rect", { x: i * step + 0.5, y: height - size, width: Math.max(1, step - 1), height: size, class: kind });
  };
  every.forEach((value, i) => svg.append(bar(i, value, "every")));
  counts.forEach((value, i) => svg.append(bar(i, value, "count")));
  every.forEach((value, i) => {
    const to = ints ? edges[i + 1] - 1 : edges[i + 1];
    const hit = drawing("rect", { x: i * step, y: 0, width: step, height, class: "hit" });
    hit.append(drawing("title"));
    hit.firstChild.textContent = `${short(edges[i])}${to === edges[i] ? "" : ` to ${short(to)}`}: ${whole(counts[i])} of ${whole(value)}`;
    svg.append(hit);
  });
  const box = drawing("rect", { y: 0, height, width: 0, class: "chosen" });
  svg.append(box);
  let from = null;
  const bin = (event) => {
    const { left, width: seen } = svg.getBoundingClientRect();
    return Math.max(0, Math.min(bins - 1, Math.floor(((event.clientX - left) / seen) * bins)));
  };
  const paint = (a, b) => { box.setAttribute("x", Math.min(a, b) * step); box.setAttribute("width", (Math.abs(a - b) + 1) * step); };
  svg.addEventListener("pointerdown", (event) => { from = bin(event); svg.setPointerCapture(event.pointerId); paint(from, from); event.preventDefault(); });
  svg.addEventListener("pointermove", (event) => { if (from !== null) paint(from, bin(event)); });
  svg.addEventListener("pointercancel", () => { from = null; box.setAttribute("width", 0); });
  svg.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [a, b] = [from, bin(event)].sort((x, y) => x - y);
    from = null;
    chosen(edges[a], ints ? edges[b + 1] - 1 : edges[b + 1]);
  });
  return svg;
}

function described({ edges, counts, every }) {
  return `${whole(counts.reduce((a, b) => a + b, 0))} of ${whole(every.reduce((a, b) => a + b, 0))} episodes, from ${short(edges[0])} to ${short(edges.at(-1))}`;
}

/** Two boxes for the ends of a range; `asked` is "low..high" or undefined. */
export function ends(data, asked, chosen) {
  const [low, high] = asked ? asked.split("..") : ["", ""];
  const box = (value, placeholder, name) => make("input", { type: "number", step: "any", value, placeholder: short(placeholder).replaceAll(",", ""), "aria-label": `${data.field} ${name}` });
  const least = box(low, data.extent[0], "at least");
  const greatest = box(high, data.extent[1], "at most");
  const change = () => chosen(least.value, greatest.value);
  least.addEventListener("change", change);
  greatest.addEventListener("change", change);
  return make("div", { class: "ends" }, least, make("span", { class: "quiet" }, "to"), greatest);
}

/** Buttons with bars for a column of few values. */
export function bars({ field, values, more }, chosen, pick, { name = words, compact = false } = {}) {
  const most = Math.max(1, ...values.map((entry) => entry.every));
  const rows = values.map(({ value, count, every }) => {
    const fill = make("span", { class: "fill" }), all = make("span", { class: "fill all" });
    fill.style.width = `${100 * (count / most)}%`;
    all.style.width = `${100 * (every / most)}%`;
    const button = make("button", { class: "value", "aria-pressed": String(chosen.includes(String(value))), "data-field": field, "data-value": String(value),
      title: `${whole(count)} of ${whole(every)}` }, all, fill,
    make("span", { class: "name" }, name(value)), make("span", { class: "figure quiet" }, count === every || compact ? whole(count) : `${whole(count)} / ${whole(every)}`));
    button.addEventListener("click", () => pick(String(value)));
    return button;
  });
  if (more > 0) rows.push(make("p", { class: "quiet" }, `and ${whole(more)} more; filter by name`));
  return make("div", { class: "values" }, ...rows);
}

/** Places seen from above, the robot's base below: +x up, +y to the left. `chosen([x0, x1], [y0, y1])` after a drag. */
export function map(data, chosen, open, side = 300) {
  const canvas = make("canvas", { class: "map", width: side * 2, height: side * 2, role: "img", tabIndex: -1,
    "aria-label": `Start positions of ${words(data.name)} from above: ${whole(data.matching)} of ${whole(data.there)} match` });
  const [x0, x1, y0, y1] = data.extent, margin = 30;
  const span = Math.max(x1 - x0, y1 - y0, 0.05) * 1.08, xm = (x0 + x1) / 2, ym = (y0 + y1) / 2;
  const scale = (side - 2 * margin) / span;
  const at = (x, y) => [side / 2 - (y - ym) * scale, side / 2 - (x - xm) * scale];
  const back = (px, py) => [xm - (py - side / 2) / scale, ym - (px - side / 2) / scale];
  const context = canvas.getContext("2d");
  const paint = (box) => {
    context.setTransform(2, 0, 0, 2, 0, 0);
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, side, side);
    grid(context, side, margin, back, at);
    for (const [dots, colour, size] of [[data.others, "#d3d0c7", 1.6], [data.dots, "#2f6690", 2.2]]) {
      context.fillStyle = colour;
      context.globalAlpha = dots.length > 600 ? 0.6 : 0.9;
      for (const [, x, y] of dots) { const [px, py] = at(x, y); context.beginPath(); context.arc(px, py, size, 0, 7); context.fill(); }
    }
    context.globalAlpha = 1;
    if (box) { context.strokeStyle = "#c8553d"; context.lineWidth = 1.5; context.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]); }
  };
  paint();
  let from = null;
  const place = (event) => { const r = canvas.getBoundingClientRect(); return [((event.clientX - r.left) / r.width) * side, ((event.clientY - r.top) / r.height) * side]; };
  canvas.addEventListener("pointerdown", (event) => { from = place(event); canvas.setPointerCapture(event.pointerId); event.preventDefault(); });
  canvas.addEventListener("pointermove", (event) => { if (from) paint([...from, ...place(event)]); });
  canvas.addEventListener("pointercancel", () => { from = null; paint(); });
  canvas.addEventListener("pointerup", (event) => {
    if (!from) return;
    const to = place(event), moved = Math.hypot(to[0] - from[0], to[1] - from[1]);
    const [a, b] = [back(...from), back(...to)];
    from = null;
    paint();
    if (moved > 5) chosen([Math.min(a[0], b[0]), Math.max(a[0], b[0])], [Math.min(a[1], b[1]), Math.max(a[1], b[1])]);
    else {
      const near = data.dots.map(([episode, x, y]) => [episode, Math.hypot(x - a[0], y - a[1])]).sort((p, q) => p[1] - q[1])[0];
      if (near && near[1] * scale < 9) open(near[0]);
    }
  });
  return canvas;
}

function grid(context, side, margin, back, at) {
  const [xh, yh] = back(margin, margin), [xl, yl] = back(side - margin, side - margin);
  const step = [0.02, 0.05, 0.1, 0.2, 0.5, 1].find((s) => (xh - xl) / s <= 6) ?? 2;
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  context.lineWidth = 1;
  const digits = step < 0.1 ? 2 : 1;
  for (let x = Math.ceil(xl / step) * step; x <= xh; x += step) {
    const [, py] = at(x, 0);
    line(context, margin, py, side - margin, py);
    context.fillText(x.toFixed(digits), 2, py + 4);
  }
  for (let y = Math.ceil(yl / step) * step; y <= yh; y += step) {
    const [px] = at(0, y);
    line(context, px, margin, px, side - margin);
    context.fillText(y.toFixed(digits), px - 10, side - 17);
  }
  context.fillText("x [m], away from the robot", 2, 14);
  context.fillText("y [m], to the robot's left", margin, side - 3);
}

function line(context, a, b, c, d) {
  context.strokeStyle = "#e9e8e3";
  context.beginPath();
  context.moveTo(a, b);
  context.lineTo(c, d);
  context.stroke();
  context.fillStyle = "#62656b";
}
