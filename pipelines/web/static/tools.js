// What the files of the browser page share.

export const find = (id) => document.getElementById(id);
export const words = (name) => String(name).replaceAll("_", " ");
export const whole = (value) => Number(value).toLocaleString("en-US");

/** An element with properties and children; "class", "role", "aria-..." and "data-..." are attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name === "role" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function drawing(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

async function refuse(answer) {
  const text = await answer.text();
  let message = text.trim();
  try { message = JSON.parse(text).error ?? message; } catch { /* a line of text */ }
  throw new Error(message || `the server answered ${answer.status}`);
}

export async function ask(path, parameters = "", signal = undefined) {
  const answer = await fetch(`${path}?${parameters}`, { signal });
  return answer.ok ? answer.json() : refuse(answer);
}

export async function bytes(path, parameters, signal) {
  const answer = await fetch(`${path}?${parameters}`, { signal });
  if (!answer.ok) await refuse(answer);
  const cameras = (answer.headers.get("X-Cameras") ?? "").split(",").map(decodeURIComponent);
  return { cameras, buffer: await answer.arrayBuffer() };
}

export async function post(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  return answer.ok ? answer.json() : refuse(answer);
}

/** A number as people write it, with about four digits. */
export function short(value) {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  return size >= 1000 ? whole(Math.round(value)) : size >= 0.001 || size === 0 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

export function duration(seconds) {
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(1)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Numbers in order, as people write them: 3, 17, 20-25. */
export function ranges(numbers) {
  const runs = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    if (runs.length && number === runs.at(-1)[1] + 1) runs.at(-1)[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

export const OUTCOME_TAG = (outcome) => (outcome === "success" ? "tag good" : "tag bad");
// Hues that can be told apart in print and by the colour-blind, calm enough for long looking.
export const HUES = ["#2f6690", "#c8553d", "#588157", "#7d5ba6", "#b08900", "#4f5d75", "#a14a76"];
export const hue = (number) => HUES[((number % HUES.length) + HUES.length) % HUES.length];
