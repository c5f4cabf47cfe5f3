"""The Gymnasium environment of a task: one scene of a batch of one, judged by the same judge as everything else.

Made by `gymnasium.make("handful/Lift-v0", ...)` after `import scenes`. What it shows carries the domain's
proprioceptive noise; images are as rendered, since photometric noise is the loader's (in training) or the evaluation's.
"""

import string
from collections.abc import Sequence
from typing import Any, get_args

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces

from handful import InputError, JobError, Namespace, random_stream, unknown_name
from scenes.domains import get_domain
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.sensing import measure_joints
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from sim.rendering import FrameRenderer, Quality

_LANE = np.array([0])
_RENDER_SIZE = 480  # rows and columns of what `render` shows [pixels]
# Encoders with an offset and noise may read a little beyond the joints' limits [rad].
_BEYOND_LIMIT = 0.2
# Generous bounds of what is observed: a torque-limited arm stays well inside. [rad/s], [m]
_MAX_SPEED, _MAX_REACH = 30.0, 2.0
_CHARACTERS = string.ascii_lowercase + " ,.:"

Observation = dict[str, Any]


class TaskEnvironment(gymnasium.Env[Observation, np.ndarray]):
    """One task, one scene per episode, at the control rate of 20 Hz.

    An action is J absolute joint targets [rad] and a gripper opening [0, 1], (J + 1,) float32; what lies outside the
    action space is clipped into it. An observation is a dict:
        joint_position (J,) [rad], joint_velocity (J,) [rad/s], gripper_opening (1,), tool_pose_in_base (7,): float32;
        images/<camera> (resolution, resolution, 3) uint8; instruction, a sentence.
    After a divergence the last sound observation is repeated. The reward is 1 at the step that settles success, else
    0. An episode is terminated once its outcome is settled and truncated at the task's horizon.

    Args:
        task: the task's name.
        domain: the domain's name.
        cameras: cameras to render; with none, no OpenGL is needed.
        resolution: rows and columns of their frames [pixels].
        namespace: whose scenes to draw: "evaluation", "generation" or "recording".
        quality: rendering quality, see `sim.rendering`.
        render_mode: None or "rgb_array".

    Raises:
        InputError: a name that does not exist, or a resolution below 1.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012  Gymnasium's own declaration

    def __init__(
        self,
        task: str,
        domain: str = "sim",
        cameras: Sequence[str] = ("front", "wrist"),
        resolution: int = 84,
        namespace: Namespace = "evaluation",
        quality: Quality = "fast",
        render_mode: str | None = None,
    ) -> None:
        if namespace not in get_args(Namespace):
            raise unknown_name("namespace", namespace, get_args(Namespace))
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise unknown_name("render mode", str(render_mode), self.metadata["render_modes"])
        if resolution < 1:
            raise InputError(f"a resolution of {resolution} pixels leaves nothing to see; use 1 or more")
        self.render_mode = render_mode
        self._workspace, self._domain = build_workspace(task), get_domain(domain)
        self._namespace, self._quality, self._resolution = namespace, quality, resolution
        model = self._workspace.model
        self._cameras = tuple(cameras)
        known = [model.camera(i).name for i in range(model.ncam)]
        for name in self._cameras:
            if name not in known:
                raise unknown_name("camera", name, known)
        self._sim = BatchSim(model, self._workspace.embodiment, 1)
        self._monitor = Monitor(self._workspace, self._sim)
        self._renderers: dict[tuple[int, Quality], FrameRenderer] = {}
        self._seed, self._next_scene, self._steps = 0, 0, 0
        # The scene under way with its model and sensor stream; None before the first reset.
        self._scene: Scene | None = None
        self._model: mujoco.MjModel | None = None
        self._sensor = np.random.default_rng(0)
        self._observation: Observation = {}
        chain = self._workspace.embodiment.chain
        low, high = np.append(chain.lower, 0.0), np.append(chain.upper, 1.0)
        self._action_box = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        self.action_space = self._action_box
        self.observation_space = spaces.Dict(self._make_observation_spaces())

    def _make_observation_spaces(self) -> dict[str, spaces.Space[Any]]:
        chain = self._workspace.embodiment.chain
        lower, upper = (chain.lower - _BEYOND_LIMIT), (chain.upper + _BEYOND_LIMIT)
        reach = np.array([_MAX_REACH] * 3 + [1.0] * 4, np.float32)
        frame = (self._resolution, self._resolution, 3)
        self._vectors = {
            "joint_position": spaces.Box(lower.astype(np.float32), upper.astype(np.float32), dtype=np.float32),
            "joint_velocity": spaces.Box(-_MAX_SPEED, _MAX_SPEED, (chain.joint_count(),), np.float32),
            "gripper_opening": spaces.Box(0.0, 1.0, (1,), np.float32),
            "tool_pose_in_base": spaces.Box(-reach, reach, dtype=np.float32),
        }
        return {
            **self._vectors,
            "instruction": spaces.Text(200, charset=_CHARACTERS),
            **{f"images/{name}": spaces.Box(0, 255, frame, np.uint8) for name in self._cameras},
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw the next scene and start it.

        Args:
            seed: the plan's seed, which starts again at scene 0; None goes on with the plan under way.
            options: {"scene": index} draws that scene of the plan instead.

        Raises:
            InputError: an unknown option, or a negative seed or scene.
            JobError: the scene cannot be simulated.
        """
        super().reset(seed=seed)
        options = options or {}
        for name in options:
            if name != "scene":
                raise unknown_name("reset option", name, ["scene"])
        if seed is not None or self._scene is None:
            # Unseeded, Gymnasium draws one from the operating system; `info` tells which.
            self._seed, self._next_scene = self.np_random_seed, 0
        index = int(options.get("scene", self._next_scene))
        if index < 0:
            raise InputError(f"scene {index} does not exist; scenes are numbered from 0")
        self._next_scene, self._steps = index + 1, 0
        self._scene = draw_scene(self._workspace, self._domain, self._namespace, self._seed, index)
        self._sensor = random_stream(self._namespace, self._seed, self._workspace.task.name, index, "sensor_noise")
        load_scenes(self._sim, self._workspace, _LANE, [self._scene])
        self._monitor.begin(_LANE, [self._scene])
        if self._sim.diverged[0]:
            raise JobError(f"scene {index} of seed {self._seed} diverged while its objects came to rest; skip it")
        self._model = self._sim.batch.get_model(0)
        self._observation = self._observe(self._scene)
        return self._shown(), self._info(self._scene)

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply an action for one control step.

        Raises:
            InputError: before the first reset, after the episode's end, or for an action of another shape or with
                values that are not finite.
        """
        if self._scene is None or self._monitor.outcome[0] is not None:
            raise InputError("no episode is under way; call reset() first")
        action = np.asarray(action, float)
        if action.shape != self._action_box.shape or not np.isfinite(action).all():
            raise InputError(f"an action is {self._action_box.shape} finite numbers, got {action.tolist()}")
        self._sim.step(_LANE, action.clip(self._action_box.low, self._action_box.high)[None])
        self._steps += 1
        self._monitor.update(_LANE)
        terminated = self._monitor.outcome[0] is not None
        truncated = not terminated and self._steps >= self._workspace.task.horizon
        if truncated:
            self._monitor.give_up(_LANE)
        if not self._sim.diverged[0]:
            self._observation = self._observe(self._scene)
        info = self._info(self._scene)
        return self._shown(), float(info["is_success"]), terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """The front camera's view, (480, 480, 3) uint8; None without a render mode or before the first reset."""
        if self.render_mode is None or self._model is None:
            return None
        return self._frames(("front",), _RENDER_SIZE, "standard")["front"]

    def close(self) -> None:
        """Free the renderers' memory."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _info(self, scene: Scene) -> dict[str, Any]:
        outcome = self._monitor.outcome[0]
        return {
            "instruction": scene.instruction,
            "scene": scene.index,
            "seed": scene.seed,
            "is_success": outcome is Outcome.SUCCESS,
            "outcome": outcome.label if outcome else None,
        }

    def _shown(self) -> Observation:
        """A copy of the present observation: what was given away may be written to."""
        return {name: value if isinstance(value, str) else value.copy() for name, value in self._observation.items()}

    def _observe(self, scene: Scene) -> Observation:
        # In float32 first: the tool pose is that of the angles as they are shown, and as episodes store it.
        joints = measure_joints(self._sim, _LANE, [scene], [self._sensor]).astype(np.float32)
        values = {
            "joint_position": joints[0],
            "joint_velocity": self._sim.joint_velocity(_LANE)[0],
            "gripper_opening": self._sim.gripper_opening(_LANE),
            "tool_pose_in_base": self._workspace.embodiment.chain.forward(joints.astype(float))[0],
        }
        observation: Observation = {
            name: values[name].astype(np.float32).clip(box.low, box.high) for name, box in self._vectors.items()
        }
        observation["instruction"] = scene.instruction
        if self._cameras:
            frames = self._frames(self._cameras, self._resolution, self._quality)
            observation.update({f"images/{name}": frame for name, frame in frames.items()})
        return observation

    def _frames(self, cameras: tuple[str, ...], size: int, quality: Quality) -> dict[str, np.ndarray]:
        if (size, quality) not in self._renderers:
            self._renderers[size, quality] = FrameRenderer(self._workspace.model, size, size, quality)
        return self._renderers[size, quality].render(self._model, self._sim.state[0], cameras)
