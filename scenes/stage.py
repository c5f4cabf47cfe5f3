"""Lanes of one batch that play episodes: what the single and the vector environment share.

A lane starts a scene, takes actions, is observed and judged. Lanes do not influence each other: the same scene and
actions give the same bits in any lane of any batch.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from gymnasium import spaces

from handful import InputError, JobError, Namespace, random_stream, unknown_name
from scenes import twins
from scenes.domains import Domain, get_domain
from scenes.monitor import Monitor
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.sensing import measure_joints, seen_steps, sees_late
from scenes.views import check_names, views_for
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from sim.cameras import Renderer, open_renderer
from sim.rendering import Quality

# Encoders with an offset and noise may read a little beyond the joints' limits [rad].
_BEYOND_LIMIT = 0.2
# Generous bounds of what is observed: a torque-limited arm stays well inside. [rad/s], [m]
_MAX_SPEED, _MAX_REACH = 30.0, 2.0
_CHARACTERS = string.ascii_lowercase + " ,.:"


@dataclass(frozen=True)
class Setup:
    """What is played and how it is seen.

    Attributes:
        task: the task's name, with its level after a colon or not.
        level: the task's level, where the name does not say it.
        embodiment: the robot's name.
        domain: the domain, or its name.
        cameras: names of the cameras to render; with none, no OpenGL is needed.
        resolution: rows and columns of their frames [pixels].
        namespace: whose scenes to draw: "evaluation", "generation" or "recording".
        quality: rendering quality, see `sim.rendering`.
        renderer: what draws, see `sim.cameras`.
    """

    task: str
    level: str | None = None
    embodiment: str = "panda"
    domain: str | Domain = "sim"
    cameras: Sequence[str] = ("front", "wrist")
    resolution: int = 84
    namespace: Namespace = "evaluation"
    quality: Quality = "fast"
    renderer: str = "mujoco"

    def __post_init__(self) -> None:
        if self.namespace not in get_args(Namespace):
            raise unknown_name("namespace", self.namespace, get_args(Namespace))
        if self.namespace != "evaluation" and isinstance(self.domain, str):
            twins.require_open(self.domain, f"an environment in the namespace {self.namespace}")
        if self.resolution < 1:
            raise InputError(f"a resolution of {self.resolution} pixels leaves nothing to see; use 1 or more")
        if self.level is not None and ":" in self.task:
            raise InputError(f"task '{self.task}' names its level; leave out level='{self.level}'")


class Stage:
    """N lanes of one task.

    Args:
        setup: what is played.
        lanes: how many at once.
        threads: threads that step them.

    Attributes:
        action_space, observation_space: of one lane.
        scenes: each lane's scene; None before its first.
        steps: (N,) control steps since each lane's start.

    Raises:
        InputError: a name that does not exist.
    """

    def __init__(self, setup: Setup, lanes: int, threads: int = 1) -> None:
        self.setup = setup
        name = setup.task if setup.level is None else f"{setup.task}:{setup.level}"
        self.workspace = build_workspace(name, setup.embodiment)
        self.domain = get_domain(setup.domain) if isinstance(setup.domain, str) else setup.domain
        self.cameras = tuple(setup.cameras)
        check_names(self.workspace, self.cameras)
        self.sim = BatchSim(self.workspace.model, self.workspace.embodiment, lanes, threads)
        self.monitor = Monitor(self.workspace, self.sim)
        self.scenes: list[Scene | None] = [None] * lanes
        self.steps = np.zeros(lanes, int)
        self._models: list[Any] = [None] * lanes
        # States before each control step, where cameras are late.
        self._past: list[list[np.ndarray]] = [[] for _ in range(lanes)]
        self._sensors = [np.random.default_rng(0)] * lanes
        self._renderers: dict[tuple[int, str], Renderer] = {}
        chain = self.workspace.embodiment.chain
        low, high = np.append(chain.lower, 0.0), np.append(chain.upper, 1.0)
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        lower, upper = (chain.lower - _BEYOND_LIMIT), (chain.upper + _BEYOND_LIMIT)
        reach = np.array([_MAX_REACH] * 3 + [1.0] * 4, np.float32)
        frame = (setup.resolution, setup.resolution, 3)
        self._boxes: dict[str, spaces.Box] = {
            "joint_position": spaces.Box(lower.astype(np.float32), upper.astype(np.float32), dtype=np.float32),
            "joint_velocity": spaces.Box(-_MAX_SPEED, _MAX_SPEED, (chain.joint_count(),), np.float32),
            "gripper_opening": spaces.Box(0.0, 1.0, (1,), np.float32),
            "tool_pose_in_base": spaces.Box(-reach, reach, dtype=np.float32),
        }
        images = {f"images/{name}": spaces.Box(0, 255, frame, np.uint8) for name in self.cameras}
        self.observation_space = spaces.Dict(
            {**self._boxes, "instruction": spaces.Text(200, charset=_CHARACTERS), **images}
        )
        self._seen: dict[str, np.ndarray] = {
            name: np.zeros((lanes, *box.shape), box.dtype) for name, box in {**self._boxes, **images}.items()
        }

    def __len__(self) -> int:
        return len(self.sim)

    @property
    def horizon(self) -> int:
        """Control steps after which an episode is truncated."""
        return self.workspace.task.horizon

    def begin(self, ids: np.ndarray, seeds: Sequence[int], indices: Sequence[int]) -> None:
        """Start scenes in lanes.

        Args:
            ids: lanes (n,), in rising order.
            seeds: the n plans' seeds.
            indices: the n scenes' indices in their plans.

        Raises:
            JobError: a scene cannot be simulated.
        """
        setup, task = self.setup, self.workspace.task
        drawn = [
            draw_scene(self.workspace, self.domain, setup.namespace, seed, index)
            for seed, index in zip(seeds, indices, strict=True)
        ]
        load_scenes(self.sim, self.workspace, ids, drawn)
        self.monitor.begin(ids, drawn)
        for lane, scene in zip(ids, drawn, strict=True):
            if self.sim.diverged[lane]:
                raise JobError(
                    f"scene {scene.index} of seed {scene.seed} diverged while its objects came to rest; skip it"
                )
            self.scenes[lane] = scene
            self._sensors[lane] = random_stream(setup.namespace, scene.seed, task.name, scene.index, "sensor_noise")
            self._models[lane] = None
            self._past[lane].clear()
        self.steps[ids] = 0
        self._observe(ids)

    def advance(self, ids: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Apply actions (n, J + 1) in lanes (n,) for one control step; what lies outside the action space is clipped.

        Returns:
            Which of the lanes (n,) have settled their outcome, and which have come to the horizon without.
        """
        self.sim.step(ids, actions.clip(self.action_space.low, self.action_space.high))
        self.steps[ids] += 1
        self.monitor.update(ids)
        settled = np.array([self.monitor.outcome[lane] is not None for lane in ids], bool)
        over = ~settled & (self.steps[ids] >= self.horizon)
        if over.any():
            self.monitor.give_up(ids[over])
        # After a divergence the last sound observation stays.
        self._observe(ids[~self.sim.diverged[ids]])
        return settled, over

    def observation(self) -> dict[str, np.ndarray]:
        """A copy of what is seen now, (N, ...) by name; sentences are not among it."""
        return {name: value.copy() for name, value in self._seen.items()}

    def instructions(self) -> list[str]:
        """Each lane's sentence."""
        return ["" if scene is None else scene.instruction for scene in self.scenes]

    def frame(self, lane: int, camera: str, size: int, quality: Quality) -> np.ndarray:
        """What a camera sees of a lane now, (size, size, 3) uint8."""
        return self._frames(lane, (camera,), size, quality, self.sim.state[lane])[camera]

    def close(self) -> None:
        """Free the renderers' memory."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _observe(self, ids: np.ndarray) -> None:
        if len(ids) == 0:
            return
        scenes = [scene for lane in ids if (scene := self.scenes[lane]) is not None]
        # In float32 first: the tool pose is that of the angles as they are shown, and as episodes store it.
        joints = measure_joints(self.sim, ids, scenes, [self._sensors[lane] for lane in ids]).astype(np.float32)
        values: dict[str, np.ndarray] = {
            "joint_position": joints,
            "joint_velocity": self.sim.joint_velocity(ids),
            "gripper_opening": self.sim.gripper_opening(ids)[:, None],
            "tool_pose_in_base": self.workspace.embodiment.chain.forward(joints.astype(float)),
        }
        for name, box in self._boxes.items():
            self._seen[name][ids] = values[name].astype(np.float32).clip(box.low, box.high)
        if not self.cameras:
            return
        for lane, scene in zip(ids, scenes, strict=True):
            seen = self.sim.state[lane]
            if sees_late(scene.ledger):
                self._past[lane].append(seen.copy())
                seen = self._past[lane][seen_steps(scene.ledger, self.steps[[lane]], self.sim.timing.rate)[0]]
            frames = self._frames(lane, self.cameras, self.setup.resolution, self.setup.quality, seen)
            for camera, frame in frames.items():
                self._seen[f"images/{camera}"][lane] = frame

    def _frames(
        self, lane: int, cameras: tuple[str, ...], size: int, quality: Quality, state: np.ndarray
    ) -> dict[str, np.ndarray]:
        if (size, quality) not in self._renderers:
            views = views_for(self.workspace)
            self._renderers[size, quality] = open_renderer(
                self.workspace.model, size, size, quality, views, self.setup.renderer
            )
        if self._models[lane] is None:
            self._models[lane] = self.sim.batch.get_model(int(lane))
        return self._renderers[size, quality].render(self._models[lane], state, cameras)
