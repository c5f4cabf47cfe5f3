"""A ray-cast table-top world of a few milliseconds per frame: where policies are tried without a simulator.

A tool with three Cartesian "joints" and a gripper lifts the cube that the instruction names by colour. Two cameras see
the world: `front`, whose pose differs per episode, and `wrist`, which rides on the tool. Colours, light and floor
pattern differ per episode. `ToyBlend` speaks the loader's batch contract; `lift_success` closes the loop.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

COLOURS = {
    "red": (0.8, 0.12, 0.1),
    "green": (0.12, 0.65, 0.15),
    "blue": (0.12, 0.2, 0.8),
}
HALF = 0.022
CAMERAS = ("front", "wrist")


@dataclass(frozen=True)
class World:
    """One drawn world: what stays fixed during an episode."""

    cubes: np.ndarray  # (3, 3) centres [m]
    yaws: np.ndarray  # (3,)
    colours: np.ndarray  # (3, 3) rgb
    target: int
    eye: np.ndarray  # (3,) front camera [m]
    floor: np.ndarray  # (2, 3) rgb of the two checker colours
    light: np.ndarray  # (3,) unit
    start: np.ndarray  # (3,) tool [m]

    @property
    def instruction(self) -> str:
        return f"lift the {list(COLOURS)[self.target]} cube"


def draw_world(rng: np.random.Generator) -> World:
    while True:
        xy = rng.uniform((-0.1, -0.15), (0.1, 0.15), (3, 2))
        gaps = [np.linalg.norm(xy[i] - xy[j]) for i in range(3) for j in range(i)]
        if min(gaps) > 0.08:
            break
    base = np.array(list(COLOURS.values()))
    light = rng.normal(size=3) * (0.5, 0.5, 0.1) + (0, 0, 1)
    return World(
        cubes=np.concatenate([xy, np.full((3, 1), HALF)], 1),
        yaws=rng.uniform(-0.7, 0.7, 3),
        colours=np.clip(base + rng.uniform(-0.1, 0.1, (3, 3)), 0, 1),
        target=int(rng.integers(3)),
        eye=np.array([0.65, 0.0, 0.5]) + rng.uniform(-0.05, 0.05, 3),
        floor=rng.uniform(0.2, 0.9) + rng.uniform(-0.2, 0.2, (2, 3)),
        light=light / np.linalg.norm(light),
        start=rng.uniform((-0.08, -0.1, 0.2), (0.08, 0.1, 0.28)),
    )


def _cast(origin: np.ndarray, rays: np.ndarray, boxes: list[tuple], floor: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Shade (P, 3) rays from one eye against the floor and boxes (centre, yaw, half extents, rgb)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.where(rays[:, 2] < 0, -origin[2] / rays[:, 2], np.inf)
        hit = origin[:2] + depth[:, None] * rays[:, :2]
        checker = (np.floor(hit[:, 0] * 12) + np.floor(hit[:, 1] * 12)) % 2
        colour = np.where(np.isfinite(depth)[:, None], floor[np.nan_to_num(checker).astype(int)], 0.6)
        for centre, yaw, half, rgb in boxes:
            c, s = np.cos(yaw), np.sin(yaw)
            turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
            o, d = (origin - centre) @ turn, rays @ turn
            near, far = (-half - o) / d, (half - o) / d
            near, far = np.minimum(near, far), np.maximum(near, far)
            enter, leave = near.max(1), far.min(1)
            seen = (enter < leave) & (enter > 0) & (enter < depth)
            axis = near.argmax(1)[seen]
            normal = turn[:, axis].T * -np.sign(d[seen, axis])[:, None]
            shade = 0.45 + 0.55 * np.clip(normal @ light, 0, 1)
            colour[seen] = shade[:, None] * np.asarray(rgb)
            depth[seen] = enter[seen]
    return np.clip(colour, 0, 1)


def _grid(size: int, fovy: float) -> np.ndarray:
    """(size * size, 3) rays in the camera frame: x right, y up, looking along -z."""
    u = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(u, -u)
    tan = np.tan(np.deg2rad(fovy) / 2)
    rays = np.stack([x * tan, y * tan, -np.ones_like(x)], -1).reshape(-1, 3)
    return (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)


def render(world: World, cubes: np.ndarray, tool: np.ndarray, opening: float, size: int) -> dict[str, np.ndarray]:
    """Both cameras' (size, size, 3) uint8 images."""
    boxes = [(c, y, np.full(3, HALF), rgb) for c, y, rgb in zip(cubes, world.yaws, world.colours, strict=True)]
    for side in (-1, 1):
        finger = tool + np.array([0, side * (0.024 + 0.02 * opening), 0.02])
        boxes.append((finger, 0.0, np.array([0.008, 0.004, 0.03]), (0.35, 0.35, 0.35)))
    boxes.append((tool + np.array([0, 0, 0.08]), 0.0, np.array([0.03, 0.05, 0.03]), (0.9, 0.9, 0.9)))
    boxes = [(np.asarray(c, np.float32), y, np.asarray(h, np.float32), rgb) for c, y, h, rgb in boxes]
    back = world.eye / np.linalg.norm(world.eye)
    right = np.cross((0, 0, 1), back)
    right /= np.linalg.norm(right)
    look = np.stack([right, np.cross(back, right), back]).astype(np.float32)
    images = {}
    views = {
        "front": (world.eye.astype(np.float32), _grid(size, 40) @ look, boxes),
        "wrist": (tool.astype(np.float32) + np.float32([0.06, 0, 0.07]), _grid(size, 80), boxes[:-1]),
    }
    for name, (eye, rays, seen) in views.items():
        image = _cast(eye, rays, seen, world.floor.clip(0, 1), world.light)
        images[name] = (image.reshape(size, size, 3) * 255).astype(np.uint8)
    return images


class Simulation:
    """The toy physics: the tool follows its target, a closing gripper takes the cube between its fingers."""

    def __init__(self, world: World):
        self.world = world
        self.tool = world.start.copy()
        self.opening = 1.0
        self.cubes = world.cubes.copy()
        self.held: int | None = None

    def step(self, action: np.ndarray) -> None:
        """Apply one (4,) absolute action: tool target [m], gripper opening."""
        delta = np.clip(action[:3] - self.tool, -0.02, 0.02)
        self.tool = np.maximum(self.tool + 0.8 * delta, (-1, -1, 0.015))
        self.opening += float(np.clip(action[3] - self.opening, -0.25, 0.25))
        if self.opening > 0.5:
            self.held = None
        elif self.held is None:
            gap = np.abs(self.cubes - self.tool)
            near = np.flatnonzero((gap < (0.012, 0.016, 0.02)).all(1))
            self.held = int(near[0]) if len(near) else None
        if self.held is not None:
            self.cubes[self.held] = self.tool

    @property
    def lifted(self) -> bool:
        return self.held == self.world.target and self.cubes[self.world.target, 2] > 0.1

    def proprio(self) -> np.ndarray:
        """(13,) "joints" (3), opening, tool position (3), 6-D rotation."""
        return np.concatenate([self.tool, [self.opening], self.tool, [1, 0, 0, 0, 1, 0]]).astype(np.float32)


def expert(sim: Simulation) -> np.ndarray:
    """The (4,) action of a scripted operator."""
    goal = sim.world.cubes[sim.world.target]
    off = np.linalg.norm(sim.tool[:2] - goal[:2])
    if sim.held == sim.world.target:
        aim, opening = np.array([goal[0], goal[1], 0.2]), 0.0
    elif off < 0.006 and sim.tool[2] < 0.026:
        aim, opening = np.array([*goal[:2], HALF]), 0.0
    else:
        height = HALF if off < 0.008 else 0.10 if off > 0.03 else max(HALF, sim.tool[2])
        aim, opening = np.array([*goal[:2], height]), 1.0
    step = np.clip(aim - sim.tool, -0.008, 0.008)
    return np.array([*(sim.tool + step / 0.8), opening], np.float32)


def record(rng: np.random.Generator, size: int, noise: float = 0.004) -> dict[str, np.ndarray]:
    """One expert episode: images, proprio (T, 13), intended actions (T, 4), instruction; motion noise is not learnt."""
    sim = Simulation(draw_world(rng))
    rows: dict[str, list] = {"front": [], "wrist": [], "proprio": [], "action": []}
    after = 0
    while after < 12 and len(rows["action"]) < 140:
        images = render(sim.world, sim.cubes, sim.tool, sim.opening, size)
        action = expert(sim)
        for key, value in (*images.items(), ("proprio", sim.proprio()), ("action", action)):
            rows[key].append(value)
        executed = action.copy()
        if sim.opening > 0.9:
            executed[:3] += rng.normal(0, noise, 3).astype(np.float32)
        sim.step(executed)
        after += sim.lifted
    episode = {key: np.stack(value) for key, value in rows.items()}
    return {**episode, "instruction": np.array(sim.world.instruction)}


class ToyBlend:
    """Recorded episodes behind the loader's `Blend` interface; the last tenth is held out."""

    def __init__(
        self,
        episodes: list[dict[str, np.ndarray]],
        span: int,
        seed: int = 0,
        path: str = "toy",
        robot: str = "toy",
        domain: str = "sim",
        verb: str = "lift",
    ):
        self.seed, self.span, self.scheduled = seed, span, False
        self.history, self.history_stride = 1, 1
        self.robot, self.domain = robot, domain
        lengths = np.array([len(e["action"]) for e in episodes])
        self.lengths = lengths
        self.moment = np.concatenate([np.arange(n) for n in lengths])
        self.last = np.repeat(np.cumsum(lengths) - 1, lengths)
        self.episode = np.repeat(np.arange(len(lengths)), lengths)
        self.arrays = {k: np.concatenate([e[k] for e in episodes]) for k in (*CAMERAS, "proprio", "action")}
        self.instructions = [str(e["instruction"]).replace("lift", verb) for e in episodes]
        held_out = self.episode >= len(episodes) - max(1, len(episodes) // 10)
        self.train, self.held_out = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        self.sources = [
            SimpleNamespace(
                path=path,
                share=1.0,
                first_share=1.0,
                last_share=1.0,
                sentences=sorted(set(self.instructions)),
                steps={},
                domains=[domain],
                store=SimpleNamespace(plan_digest="0" * 64),
                episodes=len(episodes),
                tasks=["lift"],
                control_rate=20.0,
            )
        ]

    def image_size(self, camera: str) -> tuple[int, int]:
        height, width = self.arrays[camera].shape[1:3]
        return height, width

    def batch(self, step: int, size: int, part: slice = slice(None)) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, step])
        return self._gather(self.train[rng.integers(len(self.train), size=size)[part]])

    def survey(self, windows: int) -> Iterator[dict[str, Any]]:
        frames = self.train[:: max(1, len(self.train) // windows)]
        for start in range(0, len(frames), 256):
            yield self._gather(frames[start : start + 256])

    def validation(self, source: int, size: int = 64) -> Iterator[dict[str, Any]]:
        frames = self.held_out[::8]
        for start in range(0, len(frames), size):
            yield self._gather(frames[start : start + size])

    def _gather(self, frames: np.ndarray) -> dict[str, Any]:
        chunk = frames[:, None] + np.arange(self.span)
        mask = chunk <= self.last[frames][:, None]
        action = self.arrays["action"][np.minimum(chunk, self.last[frames][:, None])]
        turn = np.broadcast_to(np.float32([1, 0, 0, 0, 1, 0]), (*action.shape[:2], 6))
        before = np.arange(self.history - 1, -1, -1) * self.history_stride
        seen = frames if self.history == 1 else frames[:, None] - np.minimum(before, self.moment[frames][:, None])
        past = {} if self.history == 1 else {"history_mask": before <= self.moment[frames][:, None]}
        return {
            **{f"images/{camera}": self.arrays[camera][seen] for camera in CAMERAS},
            **past,
            "proprio": self.arrays["proprio"][seen],
            "action": action,
            "action_tool": np.concatenate([action[..., :3], turn, action[..., 3:]], -1),
            "action_mask": mask,
            "subtask": (self.arrays["proprio"][frames, 3] < 0.5).astype(np.int64),
            "progress": (self.moment[frames] / self.lengths[self.episode[frames]]).astype(np.float32),
            "instruction": [self.instructions[i] for i in self.episode[frames]],
            "embodiment": [self.robot] * len(frames),
            "domain": [self.domain] * len(frames),
            "source": np.zeros(len(frames), np.int64),
            "joints": np.full(len(frames), 3),
        }


Act = Callable[[dict[str, np.ndarray], np.ndarray, list[str]], np.ndarray]


def lift_success(act: Act, seed: int, episodes: int, size: int, execute: int = 8, horizon: int = 120) -> float:
    """Success rate of `act(images, proprio, instructions) -> (B, H, 4)` over fresh worlds, in closed loop."""
    rng = np.random.default_rng([seed, 1])
    sims = [Simulation(draw_world(rng)) for _ in range(episodes)]
    for _ in range(horizon // execute):
        frames = [render(s.world, s.cubes, s.tool, s.opening, size) for s in sims]
        images = {camera: np.stack([f[camera] for f in frames]) for camera in CAMERAS}
        chunk = act(images, np.stack([s.proprio() for s in sims]), [s.world.instruction for s in sims])
        for sim, actions in zip(sims, chunk, strict=True):
            for action in actions[:execute]:
                sim.step(action)
    return float(np.mean([s.lifted for s in sims]))
