// What a hand asks for, from keys, mouse and gamepad, as six deflections in the robot's axes: along x, y, z, about them.

// Motions as keys give them: [right, away, up, about right, about away, about up], as seen from the front camera.
const MOTIONS = {
  KeyW: [0, 1, 0, 0, 0, 0], KeyS: [0, -1, 0, 0, 0, 0],
  KeyA: [-1, 0, 0, 0, 0, 0], KeyD: [1, 0, 0, 0, 0, 0],
  KeyQ: [0, 0, 1, 0, 0, 0], KeyE: [0, 0, -1, 0, 0, 0],
  ArrowLeft: [0, 0, 0, 0, 0, 1], ArrowRight: [0, 0, 0, 0, 0, -1],
  ArrowUp: [0, 0, 0, 1, 0, 0], ArrowDown: [0, 0, 0, -1, 0, 0],
  KeyZ: [0, 0, 0, 0, 1, 0], KeyX: [0, 0, 0, 0, -1, 0],
};
const CLUTCH = "KeyC";
// Standard gamepad: button -> act.
const BUTTONS = { 0: "gripper", 1: "back", 2: "checkpoint", 3: "go", 8: "discard", 9: "hold", 6: "slower", 7: "faster" };
const LEFT_SHOULDER = 4;
// Turn of the tool per pixel of a drag [rad].
const TURN = 0.008;

export const LEGEND = [
  [["W", "S"], "away, towards you"], [["A", "D"], "left, right"], [["Q", "E"], "up, down"],
  [["←", "→"], "turn"], [["↑", "↓"], "tilt away, towards you"], [["Z", "X"], "tilt left, right"],
  [["Space"], "gripper"], [["1…4"], "speed, slow to fast"], [["C"], "clutch: nothing moves while held"],
  [["drag"], "across the table"], [["Shift", "drag"], "up, down, turn"],
];

/** Rotate a vector by a quaternion (w, x, y, z). */
export function rotate([w, x, y, z], [a, b, c]) {
  const tx = 2 * (y * c - z * b), ty = 2 * (z * a - x * c), tz = 2 * (x * b - y * a);
  return [a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx];
}

const flat = ([x, y]) => { const n = Math.hypot(x, y) || 1; return [x / n, y / n, 0]; };
const snapped = ([x, y]) => (Math.abs(x) > Math.abs(y) ? [Math.sign(x), 0, 0] : [0, Math.sign(y), 0]);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const combine = (vectors, weights) => [0, 1, 2].map((i) => vectors.reduce((sum, v, k) => sum + v[i] * weights[k], 0));

/** Directions on the table as a camera of this orientation sees them. */
export function directions(quat) {
  const right = flat(rotate(quat, [1, 0, 0]));
  return { right, away: cross([0, 0, 1], right), up: [0, 0, 1] };
}

export class Controls {
  /** `act(name)` is called once for each press of something that is not a motion. */
  constructor(canvases, act) {
    this.act = act;
    this.keys = new Set();
    this.frame = "seen";
    this.seen = { right: [0, 1, 0], away: [-1, 0, 0], up: [0, 0, 1] };
    this.tool = [0, 1, 0, 0];
    this.wrist = [0, 0, 0, 1];
    this.fovy = 42;
    this.speeds = { metres: 0.1, radians: 0.5, deadband: 0.1 };
    this.pull = [0, 0, 0, 0];
    this.pressed = new Set();
    this.enabled = true;
    addEventListener("keydown", (event) => this.down(event));
    addEventListener("keyup", (event) => this.keys.delete(event.code));
    addEventListener("blur", () => this.release());
    for (const [name, canvas] of Object.entries(canvases)) {
      canvas.addEventListener("pointerdown", (event) => this.grab(event, canvas));
      canvas.addEventListener("pointermove", (event) => this.drag(event, canvas, name));
      canvas.addEventListener("pointerup", () => this.pull.fill(0));
      canvas.addEventListener("pointercancel", () => this.pull.fill(0));
      canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    }
  }

  /** Another scene: keys and drags go by what its cameras see. */
  look({ front, wrist }) {
    this.seen = directions(front.quat);
    this.fovy = front.fovy;
    this.wrist = wrist.quat;
  }

  /** Let go of everything. */
  release() {
    this.keys.clear();
    this.pull.fill(0);
  }

  down(event) {
    if (!this.enabled || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!(event.code in MOTIONS) && event.code !== CLUTCH) return;
    // A control that has the focus keeps the keys that it lives by.
    const control = event.target.closest?.("input, select, textarea");
    if (control && event.code.startsWith("Arrow")) return;
    if (control?.tagName === "SELECT") return;
    event.preventDefault();
    this.keys.add(event.code);
  }

  grab(event, canvas) {
    if (!this.enabled) return;
    canvas.setPointerCapture(event.pointerId);
    this.pull.fill(0);
    event.preventDefault();
    document.activeElement?.blur?.();
  }

  drag(event, canvas, name) {
    if (!this.enabled || !canvas.hasPointerCapture(event.pointerId)) return;
    const dx = event.movementX, dy = event.movementY;
    if (event.shiftKey || event.buttons & 2) {
      this.pull[2] -= dy * this.metresPerPixel(canvas);
      this.pull[3] -= dx * TURN;
      return;
    }
    const scale = this.metresPerPixel(canvas);
    let { right, away } = this.seen;
    if (name === "wrist") {
      // The camera turns with the hand, whose orientation is the tool's.
      right = flat(rotate(this.tool, rotate(this.wrist, [1, 0, 0])));
      away = flat(rotate(this.tool, rotate(this.wrist, [0, 1, 0])));
    }
    const move = combine([right, away], [dx * scale, -dy * scale]);
    for (let i = 0; i < 3; i += 1) this.pull[i] += move[i];
  }

  /** About how far the tool goes for a pixel of a drag, at the distance where it works [m]. */
  metresPerPixel(canvas) {
    return (2 * 0.7 * Math.tan((this.fovy * Math.PI) / 360)) / canvas.clientHeight;
  }

  /** What is asked for now; called every `seconds`. Also looks at the gamepad, which has no events. */
  read(seconds) {
    if (!this.enabled) return { axes: [0, 0, 0, 0, 0, 0], clutch: false };
    const hand = [0, 0, 0, 0, 0, 0];
    for (const code of this.keys) (MOTIONS[code] ?? []).forEach((v, i) => { hand[i] += v; });
    const stick = this.readStick();
    stick.motion.forEach((v, i) => { hand[i] += v; });
    const { right, away, up } = this.basis();
    const axes = [...combine([right, away, up], hand.slice(0, 3)), ...combine([right, away, up], hand.slice(3))];
    this.spend(axes, seconds);
    return { axes: axes.map((v) => Math.max(-1, Math.min(1, v))), clutch: this.keys.has(CLUTCH) || stick.clutch };
  }

  basis() {
    if (this.frame === "robot") return { right: [0, -1, 0], away: [1, 0, 0], up: [0, 0, 1] };
    return { right: snapped(this.seen.right), away: snapped(this.seen.away), up: [0, 0, 1] };
  }

  /** Turn what is left of a drag into speed, no faster than the level allows. */
  spend(axes, seconds) {
    const { metres, radians, deadband } = this.speeds;
    const size = Math.hypot(this.pull[0], this.pull[1], this.pull[2]);
    const share = Math.min(1, size / (metres * seconds));
    const turn = Math.max(-1, Math.min(1, this.pull[3] / (radians * seconds)));
    // The server takes the deadband off again.
    const raised = (v) => (Math.abs(v) < 1e-3 ? 0 : Math.sign(v) * (deadband + (1 - deadband) * Math.abs(v)));
    for (let i = 0; i < 3 && size > 1e-5; i += 1) {
      const part = (this.pull[i] / size) * share;
      axes[i] += raised(part);
      this.pull[i] -= part * metres * seconds;
    }
    axes[5] += raised(turn);
    this.pull[3] -= turn * radians * seconds;
  }

  readStick() {
    const pad = [...navigator.getGamepads()].find((p) => p?.connected && p.axes.length >= 4);
    if (!pad) return { motion: [0, 0, 0, 0, 0, 0], clutch: false };
    pad.buttons.forEach((button, i) => {
      if (button.pressed && !this.pressed.has(i) && i in BUTTONS) this.act(BUTTONS[i]);
      if (button.pressed) this.pressed.add(i); else this.pressed.delete(i);
    });
    const [lx, ly, rx, ry] = pad.axes;
    const held = (i) => (pad.buttons[i]?.pressed ? 1 : 0);
    const motion = [lx, -ly, -ry, held(12) - held(13), held(14) - held(15), -rx];
    return { motion, clutch: Boolean(held(LEFT_SHOULDER)) };
  }
}
