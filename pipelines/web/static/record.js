// The record page: speaks with the server, shows what it says, sends what the operator asks for.

import { Controls, LEGEND, directions } from "./controls.js";
import { Live } from "./pictures.js";
import { Replay } from "./replay.js";

const find = (id) => document.getElementById(id);
// Commands while something is asked for, and the sign of life otherwise [ms].
const PERIOD = 40, SIGN_OF_LIFE = 240;

// Act -> label, key that gives it, how the key is written; in the order of the buttons. "go" starts, and then keeps.
const ACTS = {
  go: ["Start", "Enter", "Enter"], back: ["Back", "KeyB", "B"], checkpoint: ["Checkpoint", "KeyM", "M"],
  redo: ["Redo", "KeyR", "R"], discard: ["Discard", "Delete", "Del"], undo: ["Undo", "KeyU", "U"],
  hold: ["Pause", "KeyP", "P"], gripper: ["Gripper", "Space", "Space"],
};
const BY_KEY = Object.fromEntries(Object.entries(ACTS).map(([act, [, code]]) => [code, act]));
BY_KEY.Backspace = "discard";

let socket = null, status = null, scene = null, operator = false, lost = false, stolen = false;
let sent = 0, still = true, tried = 0, hidden = false, replaying = false;
const buttons = {};
const canvases = { front: find("front"), wrist: find("wrist") };
const controls = new Controls(canvases, press);
const replay = new Replay(find("replay"), find, () => { replaying = false; act("resume"); });

// Which tab this is, so that a reload gets its own seat back.
let tab = sessionStorage.getItem("handful-tab");
if (!tab) {
  tab = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem("handful-tab", tab);
}

// ---- the wire

function connect() {
  stolen = false;
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => { tried = 0; lost = false; send({ type: "hello", tab }); assist(); });
  socket.addEventListener("message", ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : live.offer(data)));
  socket.addEventListener("close", ({ code, reason }) => {
    lost = true;
    operator = false;
    stolen = reason === "connected again";
    const over = reason === "the command has ended";
    headline("lost", over ? "The recording command has ended." : stolen ? "This tab was opened a second time." : "Connection lost. The robot stands still and the attempt waits.");
    note(over ? "What was kept is in the store." : stolen ? "Take the controls to go on here." : code === 1008 ? `The server closed it: ${reason}.` : "Trying again ...");
    role();
    if (stolen) return;
    tried += 1;
    setTimeout(connect, over ? 4000 : Math.min(4000, 250 * 2 ** tried));
  });
}

function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

function hear(message) {
  if (message.type === "status") { status = message; show(); }
  else if (message.type === "scene") { scene = message; showScene(); }
  else if (message.type === "episodes") showEpisodes(message.episodes);
  else if (message.type === "role") { operator = message.operator; role(message.free); if (operator) assist(); }
  else if (message.type === "error") { note(message.message); announce(message.message); }
}

function act(name) { if (operator) send({ type: "act", name }); }

/** Something pressed: a key, a button of the page or of the gamepad. */
function press(name) {
  if (!status || !operator || replaying) return;
  if (name === "go") act(status.state === "ended" ? "keep" : status.state === "paused" ? "resume" : "start");
  else if (name === "hold") act(status.state === "paused" ? "resume" : "pause");
  else if (name === "slower" || name === "faster") level(status.assistance.speed + (name === "faster" ? 1 : -1));
  else act(name);
}

/** Steer: often while something is asked for, now and then as a sign of life. */
setInterval(() => {
  const now = performance.now();
  const { axes, clutch } = controls.read(PERIOD / 1000);
  const rest = axes.every((v) => v === 0);
  if (operator && !hidden && (!rest || !still || now - sent >= SIGN_OF_LIFE)) {
    if (send({ type: "steer", axes, clutch, at: now })) sent = now;
    still = rest;
  }
}, PERIOD);

document.addEventListener("visibilitychange", () => {
  hidden = document.hidden;
  controls.release();
  act(hidden ? "pause" : "resume");
});

// ---- pictures

let seen = [], echo = 0, delays = [];
const live = new Live([canvases.front, canvases.wrist], (moment) => {
  const now = performance.now();
  seen = [...seen.filter((t) => now - t < 2000), now];
  if (operator && moment.echo !== echo && moment.echo > 0) delays = [...delays.slice(-19), now - moment.echo];
  echo = moment.echo;
});
setInterval(() => {
  const now = performance.now();
  seen = seen.filter((t) => now - t < 2000);
  const rate = seen.length > 1 ? (1000 * (seen.length - 1)) / (seen.at(-1) - seen[0]) : 0;
  const fresh = seen.length > 0 && now - seen.at(-1) < 600;
  if (!operator) delays = [];  // a picture answers the operator's clock
  const delay = delays.length ? [...delays].sort((a, b) => a - b)[Math.floor(delays.length / 2)] : null;
  find("frames").textContent = `${(fresh ? rate : 0).toFixed(0)} frames/s`;
  find("latency").textContent = delay === null ? "latency -" : `latency ${delay.toFixed(0)} ms`;
  Object.assign(document.body.dataset, { frames: rate.toFixed(2), latency: delay?.toFixed(1) ?? "" });
}, 500);

// ---- what is shown

function text(id, value) { const element = find(id); if (element.textContent !== value) element.textContent = value; }
function note(value) { text("note", value || "\u00a0"); }
function announce(value) { text("announce", value); }
function headline(state, value, more = "") {
  find("state").dataset.state = state;
  if (find("headline").textContent === value) return;
  text("headline", value);
  // Time running and standing still alternate too often to be read out.
  if (state !== "recording" && state !== "waiting") announce(`${value} ${more}`.trim());
}

function show() {
  const { state, outcome, sentence, pause, assistance } = status;
  const good = outcome === "success";
  const words = (label) => label.replaceAll("_", " ");
  const name = words(outcome ?? "");
  if (state === "ended") headline(good ? "success" : "failure", good ? "Success. Enter keeps it." : `${name[0].toUpperCase()}${name.slice(1)}. B goes back, R starts again.`, sentence);
  else headline(state, { ready: "Ready: move, or press Enter, and recording begins.", recording: "Recording", waiting: "Waiting for you: time stands still.", paused: `Paused: ${pause}. Enter goes on.` }[state]);
  const hints = [
    status.blocked && "The arm cannot get there.",
    status.edge.length && `At the edge of the workspace (${status.edge.join(", ")}).`,
    status.done > 0 && status.done === scene?.subtasks.length && "Every subtask is done: reach the goal and keep still for a second.",
  ];
  note(status.note || (state === "ended" ? `${sentence[0].toUpperCase()}${sentence.slice(1)}.` : hints.filter(Boolean).join(" ")));
  text("time", `${status.seconds.toFixed(1)} s`);
  find("hold").value = status.hold;
  text("gripper", `${status.closed ? "closed" : "open"} ${Math.round(100 * status.opening)} %`);
  text("marks", status.marks.map((step) => `${(step / (scene?.rate ?? 20)).toFixed(1)} s`).slice(-3).join(", "));
  [...find("subtasks").children].forEach((item, i) => {
    item.className = i < status.done ? "done" : i === status.subtask ? "now" : "";
    if (i === status.subtask) item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current");
  });
  Object.assign(controls.speeds, { metres: assistance.metres, radians: assistance.radians, deadband: assistance.deadband });
  controls.tool = status.tool.slice(3);
  text("metres", `${(100 * assistance.metres).toFixed(1)} cm/s`);
  text("count", `${status.kept} of ${status.wanted}`);
  Object.assign(document.body.dataset, { state, outcome: outcome ?? "", kept: status.kept, rate: status.rate.toFixed(2), steps: status.steps, note: status.note });
  showAssistance();
  showButtons();
  showWhere();
}

function showScene() {
  const { task, domain, index, seed, attempt, embodiment } = scene;
  text("instruction", scene.instruction);
  text("scene", `${task} · ${embodiment} · domain ${domain} · scene ${index} · seed ${seed} · attempt ${attempt}`);
  document.title = `${task}: record`;
  controls.look(scene.cameras);
  find("subtasks").replaceChildren(...scene.subtasks.map(({ name }) => Object.assign(document.createElement("li"), { textContent: name.replaceAll("_", " ") })));
  Object.assign(document.body.dataset, { scene: index, attempt });
}

/** How far it still is, as keys move it: from the tool to the grasp, or from what it holds to where that belongs. */
function showWhere() {
  if (!scene) return;
  const { to, position, turn } = status.way;
  const { right, away } = directions(scene.cameras.front.quat);
  const along = (direction) => 100 * direction.reduce((sum, v, i) => sum + v * position[i], 0);
  const part = (value, more, less) => (Math.abs(value) < 0.5 ? "" : `${Math.abs(value).toFixed(0)} cm ${value > 0 ? more : less}`);
  const degrees = turn === null ? 0 : (turn * 180) / Math.PI;
  const turned = Math.abs(degrees) < 3 ? "" : `turn ${Math.abs(degrees).toFixed(0)}° ${degrees > 0 ? "left" : "right"}`;
  const parts = [part(along(right), "right", "left"), part(along(away), "away", "nearer"), part(100 * position[2], "up", "down"), turned].filter(Boolean);
  text("where", `${scene.colours[to] ?? to.replaceAll("_", " ")}: ${parts.join(", ") || "there"}`);
  Object.assign(find("where").dataset, { x: position[0], y: position[1], z: position[2], turn: degrees });
}

function showButtons() {
  const { state, steps, marks, outcome, undo } = status;
  const able = {
    go: state !== "recording" && state !== "waiting", back: steps > 0, checkpoint: steps > 0 && state !== "ended" && marks.at(-1) !== steps,
    redo: steps > 0, discard: steps > 0, undo, hold: state !== "ended", gripper: state !== "ended",
  };
  for (const [name, button] of Object.entries(buttons)) {
    button.disabled = !operator || !able[name];
    button.hidden = state === "ended" && (name === "hold" || name === "gripper");
    if (name === "go") label(button, state === "ended" ? (outcome === "success" ? "Keep" : "Keep as failure") : state === "paused" ? "Go on" : "Start");
    if (name === "hold") { label(button, state === "paused" ? "Go on" : "Pause"); button.setAttribute("aria-pressed", String(state === "paused")); }
    if (name === "gripper") button.setAttribute("aria-pressed", String(status.closed));
  }
}

function label(button, value) { if (button.firstChild.textContent !== value) button.firstChild.textContent = value; }

function role(free = false) {
  const tag = find("role");
  tag.textContent = lost ? "no connection" : operator ? "you drive" : free ? "nobody drives" : "you watch";
  tag.className = `tag ${lost ? "bad" : operator ? "good" : "warn"}`;
  document.body.dataset.role = lost ? "lost" : operator ? "operator" : "watcher";
  find("take").hidden = !(stolen || (!lost && !operator && free));
  find("finish").disabled = !operator;
  controls.enabled = operator && !replaying;
  if (!operator) controls.release();
  if (status) showButtons();
}

function showEpisodes(episodes) {
  find("none").hidden = episodes.length > 0;
  find("episodes").replaceChildren(...[...episodes].reverse().map((episode) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const image = Object.assign(new Image(64, 64), { loading: "lazy", src: `/episodes/${episode.episode}/thumbnail.jpg`, alt: "" });
    const words = document.createElement("span"), title = document.createElement("b"), facts = document.createElement("span");
    title.textContent = `${episode.episode + 1}. ${episode.instruction}`;
    facts.className = "quiet figure";
    facts.textContent = `${episode.seconds.toFixed(1)} s · scene ${episode.scene}${episode.attempts > 1 ? ` · attempt ${episode.attempts}` : ""}`;
    words.append(title, facts);
    button.append(image, words);
    button.setAttribute("aria-label", `Replay episode ${episode.episode + 1}: ${episode.instruction}, ${facts.textContent}`);
    button.addEventListener("click", () => { replaying = true; controls.enabled = false; controls.release(); act("pause"); replay.open(episode, scene?.rate ?? 20); });
    item.append(button);
    return item;
  }));
}
find("replay").addEventListener("close", () => { controls.enabled = operator; });

// ---- assistance

const wanted = { speed: 3, deadband: 0.1, guidance: false, skip_pauses: true };
function assist() { send({ type: "assist", ...wanted }); }
function level(speed) { wanted.speed = Math.max(1, Math.min(4, speed)); assist(); }

for (const speed of [1, 2, 3, 4]) {
  const holder = document.createElement("label"), input = document.createElement("input"), words = document.createElement("span");
  Object.assign(input, { type: "radio", name: "speed", value: speed, checked: speed === wanted.speed });
  input.addEventListener("change", () => level(speed));
  words.textContent = { 1: "1 fine", 2: "2 slow", 3: "3", 4: "4 fast" }[speed];
  holder.append(input, words);
  find("speed").append(holder);
}
for (const name of ["guidance", "skip_pauses"]) find(name).addEventListener("change", ({ target }) => { wanted[name] = target.checked; assist(); });
find("deadband").addEventListener("change", ({ target }) => { wanted.deadband = Number(target.value); assist(); });
find("frame").addEventListener("change", ({ target }) => { controls.frame = target.value; });

/** The server's word counts: what is shown is what it uses. */
function showAssistance() {
  const { speed, guidance, skip_pauses } = status.assistance;
  for (const input of find("speed").querySelectorAll("input")) input.checked = Number(input.value) === speed;
  find("guidance").checked = guidance;
  find("skip_pauses").checked = skip_pauses;
}

// ---- buttons and keys

for (const [name, [words, , key]] of Object.entries(ACTS)) {
  const button = document.createElement("button"), cap = document.createElement("kbd");
  cap.textContent = key;
  button.append(words, cap);
  button.disabled = true;
  button.dataset.act = name;
  button.className = name === "go" ? "primary" : "";
  button.addEventListener("click", (event) => { press(name); if (event.detail) button.blur(); });
  buttons[name] = button;
  find("acts").append(button);
}
for (const [caps, words] of LEGEND) {
  const entry = document.createElement("span");
  for (const cap of caps) entry.append(Object.assign(document.createElement("kbd"), { textContent: cap }), " ");
  entry.append(words);
  find("keys").append(entry);
}
find("take").addEventListener("click", () => { if (stolen) connect(); else send({ type: "take" }); });
find("finish").addEventListener("click", () => act("finish"));

addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || replaying) return;
  // A control that has the focus keeps the keys that it lives by.
  if (event.target.closest?.("select, textarea, input[type=range]")) return;
  if (event.target.closest?.("button, input") && (event.code === "Space" || event.code === "Enter")) return;
  const digit = /^Digit([1-4])$/.exec(event.code);
  if (digit) level(Number(digit[1]));
  else if (event.code === "KeyG") { wanted.guidance = !wanted.guidance; assist(); }
  else if (event.code in BY_KEY) { event.preventDefault(); press(BY_KEY[event.code]); }
});
addEventListener("gamepadconnected", ({ gamepad }) => text("stick", `Gamepad: ${gamepad.id.slice(0, 40)}. Left stick: across the table; right stick: up, down, turn; cross: tilt; A gripper, B back, X checkpoint, Y start and keep; LB clutch; LT, RT speed.`));
addEventListener("gamepaddisconnected", () => text("stick", "No gamepad."));

connect();
