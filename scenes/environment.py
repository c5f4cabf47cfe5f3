"""The Gymnasium environment of a task: one scene at a time, judged by the same judge as everything else.

Made by `gymnasium.make("handful/Lift-v0", ...)` after `import scenes`. What it shows carries the domain's
proprioceptive noise and late cameras; images are as rendered, since photometric noise is the loader's (in training) or
the evaluation's.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from handful import InputError, Namespace, unknown_name
from scenes.domains import Domain
from scenes.outcome import Outcome
from scenes.stage import Setup, Stage
from sim.rendering import Quality

_LANE = np.array([0])
RENDER_SIZE = 480  # rows and columns of what `render` shows [pixels]
RENDER_MODES = ("rgb_array",)

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
        domain: the domain, or its name.
        cameras: cameras to render; with none, no OpenGL is needed.
        resolution: rows and columns of their frames [pixels].
        namespace: whose scenes to draw: "evaluation", "generation" or "recording".
        quality: rendering quality, see `sim.rendering`.
        render_mode: None or "rgb_array".
        level: the task's level, from "D0", the narrowest, on.
        embodiment: the robot's name.
        renderer: what draws, see `sim.cameras`.

    Raises:
        InputError: a name that does not exist, or a resolution below 1.
    """

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 20}  # noqa: RUF012  Gymnasium's own declaration

    def __init__(
        self,
        task: str,
        domain: str | Domain = "sim",
        cameras: Sequence[str] = ("front", "wrist"),
        resolution: int = 84,
        namespace: Namespace = "evaluation",
        quality: Quality = "fast",
        render_mode: str | None = None,
        level: str | None = None,
        embodiment: str = "panda",
        renderer: str = "mujoco",
    ) -> None:
        check_render_mode(render_mode)
        self.render_mode = render_mode
        setup = Setup(task, level, embodiment, domain, cameras, resolution, namespace, quality, renderer)
        self._stage = Stage(setup, 1)
        self.action_space = self._stage.action_space
        self.observation_space = self._stage.observation_space
        # The plan's seed, and the scenes still to come: those of a list, or from a number on.
        self._seed, self._coming = 0, Scenes()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw the next scene and start it.

        Args:
            seed: the plan's seed, which starts again at scene 0; None goes on with the plan under way.
            options: {"scene": index} draws that scene of the plan instead; {"scenes": [index, ...]} the first of
                these, and the others one by one with the resets that follow.

        Raises:
            InputError: an unknown option, a negative seed or scene, or a list of scenes that has come to its end.
            JobError: the scene cannot be simulated.
        """
        first = self._stage.scenes[0] is None
        if seed is None and first:
            seed = fresh_seed()
        super().reset(seed=seed)
        if seed is not None:
            self._seed, self._coming = int(seed), Scenes()
        self._coming = self._coming.redirected(options or {})
        index = self._coming.take()
        if index is None:
            raise InputError("the list of scenes has come to its end; call reset(seed=...) or give another list")
        self._stage.begin(_LANE, [self._seed], [index])
        return self._shown(), self._info()

    def step(self, action: np.ndarray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply an action for one control step.

        Raises:
            InputError: before the first reset, after the episode's end, or for an action of another shape or with
                values that are not finite.
        """
        if self._stage.scenes[0] is None or self._stage.monitor.outcome[0] is not None:
            raise InputError("no episode is under way; call reset() first")
        action, shape = np.asarray(action, float), self._stage.action_space.shape
        if action.shape != shape or not np.isfinite(action).all():
            raise InputError(f"an action is {shape} finite numbers, got {action.tolist()}")
        settled, over = self._stage.advance(_LANE, action[None])
        info = self._info()
        return self._shown(), float(info["is_success"]), bool(settled[0]), bool(over[0]), info

    def render(self) -> np.ndarray | None:
        """The front camera's view, (480, 480, 3) uint8; None without a render mode or before the first reset."""
        if self.render_mode is None or self._stage.scenes[0] is None:
            return None
        return self._stage.frame(0, "front", RENDER_SIZE, "standard")

    def close(self) -> None:
        """Free the renderers' memory."""
        self._stage.close()

    def _info(self) -> dict[str, Any]:
        scene, outcome = self._stage.scenes[0], self._stage.monitor.outcome[0]
        assert scene is not None  # only asked once a scene has begun
        return {
            "instruction": scene.instruction,
            "scene": scene.index,
            "seed": scene.seed,
            "is_success": outcome is Outcome.SUCCESS,
            "outcome": outcome.label if outcome else None,
        }

    def _shown(self) -> Observation:
        """A copy of the present observation: what was given away may be written to."""
        seen: Observation = {name: value[0] for name, value in self._stage.observation().items()}
        return {name: self._stage.instructions()[0] if name == "instruction" else seen[name] for name in self._order()}

    def _order(self) -> list[str]:
        assert isinstance(self.observation_space, gymnasium.spaces.Dict)
        return list(self.observation_space.keys())


class Scenes:
    """The scenes that a lane still plays: those of a list, then none; or all from a number on.

    Args:
        following: the list; None: from `start` on.
        start: the next scene where there is no list.
    """

    def __init__(self, following: Sequence[int] | None = None, start: int = 0) -> None:
        self._list = None if following is None else [*following]
        self._next = start

    @property
    def exhausted(self) -> bool:
        """Whether a list has come to its end."""
        return self._list is not None and not self._list

    def take(self) -> int | None:
        """The next scene; None where the list has come to its end."""
        if self._list is not None:
            return self._list.pop(0) if self._list else None
        self._next += 1
        return self._next - 1

    def redirected(self, options: dict[str, Any]) -> "Scenes":
        """What is played from now on, by the options of a reset.

        Raises:
            InputError: an unknown option, two that exclude each other, or a scene that cannot be.
        """
        for name in options:
            if name not in ("scene", "scenes"):
                raise unknown_name("reset option", name, ["scene", "scenes"])
        if len(options) > 1:
            raise InputError("give either the option 'scene' or 'scenes'")
        if "scene" in options:
            return Scenes(start=check_scene(options["scene"]))
        if "scenes" in options:
            return Scenes(check_scenes(options["scenes"]))
        return self


def check_scene(index: Any) -> int:
    """A scene's index.

    Raises:
        InputError: it is no whole number from 0 on.
    """
    if not isinstance(index, int | np.integer) or index < 0:
        raise InputError(f"scene {index} does not exist; scenes are numbered from 0")
    return int(index)


def check_scenes(indices: Any) -> list[int]:
    """A list of scenes' indices.

    Raises:
        InputError: it is empty or no list, or names a scene that cannot be.
    """
    if not isinstance(indices, Sequence | np.ndarray) or isinstance(indices, str) or len(indices) == 0:
        raise InputError(f"'scenes' is a list of at least one scene, got {indices!r}")
    return [check_scene(index) for index in indices]


def check_render_mode(mode: str | None) -> None:
    """Refuse a render mode that there is not.

    Raises:
        InputError: naming it.
    """
    if mode is not None and mode not in RENDER_MODES:
        raise unknown_name("render mode", mode, RENDER_MODES)


def fresh_seed() -> int:
    """A seed from the operating system; `info` tells which it was."""
    return int(np.random.SeedSequence().generate_state(1)[0])
