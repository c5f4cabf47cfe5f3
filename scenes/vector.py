"""Many environments of a task at once, stepped as one batch: Gymnasium's vector interface without wrapping copies.

Made by `gymnasium.make_vec("handful/Lift-v0", num_envs=64)` after `import scenes`. Each environment gives bit for bit
what the single one gives for the same seeds, scenes and actions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from handful import InputError, Namespace, unknown_name
from scenes.domains import Domain
from scenes.environment import (
    RENDER_MODES,
    RENDER_SIZE,
    Scenes,
    check_render_mode,
    check_scenes,
    fresh_seed,
)
from scenes.outcome import Outcome
from scenes.stage import Setup, Stage
from sim.rendering import Quality

_MODES = {mode.value: mode for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED)}


class VectorTaskEnvironment(VectorEnv[dict[str, Any], np.ndarray, np.ndarray]):
    """N environments of one task; see `TaskEnvironment` for actions, observations, rewards and the ends of episodes.

    Arrays have the environments first; `instruction` is a tuple of sentences. An environment whose episode has ended
    starts its next scene at the following step, whose action it ignores ("NextStep"), or with a reset whose
    `reset_mask` names it ("Disabled").

    Args:
        num_envs: number of environments N.
        task, domain, cameras, resolution, namespace, quality, render_mode, level, embodiment, renderer: as for
            `TaskEnvironment`.
        autoreset_mode: `AutoresetMode.NEXT_STEP` or `AutoresetMode.DISABLED`, or its value as a string.
        threads: threads that step the physics; what they compute does not depend on it.

    Raises:
        InputError: a name that does not exist, or a number below 1.
    """

    def __init__(
        self,
        num_envs: int,
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
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        threads: int = 1,
    ) -> None:
        for name, value in (("num_envs", num_envs), ("threads", threads)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        mode = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else autoreset_mode
        if mode not in _MODES:
            raise unknown_name("autoreset mode", str(mode), _MODES)
        check_render_mode(render_mode)
        self.num_envs, self.render_mode, self.autoreset_mode = num_envs, render_mode, _MODES[mode]
        self.metadata = {
            "render_modes": list(RENDER_MODES),
            "render_fps": 20,
            "autoreset_mode": self.autoreset_mode,
        }
        setup = Setup(task, level, embodiment, domain, cameras, resolution, namespace, quality, renderer)
        self._stage = Stage(setup, num_envs, threads)
        self.single_action_space = self._stage.action_space
        self.single_observation_space = self._stage.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._order = list(self._stage.observation_space.keys())
        # Of each environment: the plan's seed, the scenes to come, whether its episode has ended, whether none is left.
        self._seeds = [0] * num_envs
        self._coming = [Scenes() for _ in range(num_envs)]
        self._ended, self._idle = np.zeros(num_envs, bool), np.zeros(num_envs, bool)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start each environment's next scene.

        Args:
            seed: a seed for each environment's plan, which starts at scene 0; one number stands for itself and the
                numbers that follow it. None goes on with the plans under way.
            options: {"scene": index} as for one environment; {"scenes": [index, ...]} plays these scenes of one plan:
                environment i plays every N-th of them from the i-th on, then rests (see `step`), and a `seed` given
                with it is that of all; {"reset_mask": (N,) bool} resets only these environments.

        Raises:
            InputError: as for one environment, a list of fewer scenes than environments, or a wrong mask.
            JobError: a scene cannot be simulated.
        """
        chosen = dict(options or {})
        mask = self._mask(chosen.pop("reset_mask", None))
        listed = "scenes" in chosen
        seeds = self._given_seeds(seed, listed)
        super().reset(seed=seed if isinstance(seed, int) else None)
        for i, given in enumerate(seeds):
            if mask[i] and (given is not None or self._stage.scenes[i] is None):
                self._seeds[i], self._coming[i] = fresh_seed() if given is None else int(given), Scenes()
        if listed:
            self._share_out(check_scenes(chosen.pop("scenes")), mask, seed is None)
        lanes = np.flatnonzero(mask)
        for lane in lanes:
            self._coming[lane] = self._coming[lane].redirected(chosen)
        spent = [int(lane) for lane in lanes if self._coming[lane].exhausted]
        if spent:
            raise InputError(
                f"environments {spent} have no scene left in their list; call reset(seed=...) or give another"
            )
        self._start(lanes)
        return self._shown(), self._infos(mask)

    def step(self, actions: np.ndarray) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Apply an action in each environment for one control step.

        In "NextStep" mode, an environment whose episode ended with the step before starts its next scene instead, with
        reward 0. One whose list of scenes has come to its end rests: its observation stays, its reward is 0, nothing
        ends, and `info["scene"]` is -1.

        Raises:
            InputError: before the first reset; in "Disabled" mode after an episode's end; or for actions of another
                shape, or with values that are not finite.
        """
        if self._stage.scenes[0] is None:
            raise InputError("no episodes are under way; call reset() first")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            raise InputError(
                f"the episodes of environments {np.flatnonzero(self._ended).tolist()} have ended; call "
                'reset(options={"reset_mask": ...}) for them first'
            )
        actions, shape = np.asarray(actions, float), self.action_space.shape
        if actions.shape != shape or not np.isfinite(actions).all():
            raise InputError(f"actions are {shape} finite numbers, got {actions.shape} with {_broken(actions)} broken")
        over = self._ended.copy()
        live = np.flatnonzero(~over & ~self._idle)
        terminated, truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        if len(live):
            terminated[live], truncated[live] = self._stage.advance(live, actions[live])
        self._idle[self._start(np.flatnonzero(over))] = True
        self._ended = terminated | truncated
        infos = self._infos(np.ones(self.num_envs, bool))
        rewards = np.where(terminated, infos["is_success"], 0).astype(float)
        return self._shown(), rewards, terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The front camera's view of each environment, (480, 480, 3) uint8; None without a render mode."""
        if self.render_mode is None or self._stage.scenes[0] is None:
            return None
        return tuple(self._stage.frame(lane, "front", RENDER_SIZE, "standard") for lane in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Free the renderers' memory."""
        self._stage.close()

    def _mask(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, bool)
        if not isinstance(mask, np.ndarray) or mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise InputError(f"reset_mask must be ({self.num_envs},) bool with at least one True, got {mask!r}")
        if self._stage.scenes[0] is None and not mask.all():
            raise InputError("the first reset is of all environments; leave out reset_mask")
        return mask

    def _given_seeds(self, seed: int | Sequence[int | None] | None, listed: bool) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            seeds: Sequence[int | None] = [int(seed) + (0 if listed else lane) for lane in range(self.num_envs)]
        else:
            seeds = seed
        if len(seeds) != self.num_envs:
            raise InputError(f"{len(seeds)} seeds for {self.num_envs} environments; give one for each")
        for one in seeds:
            if one is not None and one < 0:
                raise InputError(f"a seed is a whole number from 0 on, got {one}")
        return seeds

    def _share_out(self, scenes: list[int], mask: np.ndarray, same_seed: bool) -> None:
        """Deal a list of scenes of one plan to the environments that are reset."""
        lanes = np.flatnonzero(mask)
        if len(scenes) < len(lanes):
            raise InputError(f"{len(scenes)} scenes are fewer than the {len(lanes)} environments that are to play them")
        for place, dealt in enumerate(lanes):
            self._coming[dealt] = Scenes(scenes[place :: len(lanes)])
            if same_seed:
                self._seeds[dealt] = self._seeds[lanes[0]]

    def _start(self, lanes: np.ndarray) -> np.ndarray:
        """Start the next scene in each of these environments; returns those that have none left."""
        found = {int(lane): self._coming[lane].take() for lane in lanes}
        begun = {lane: index for lane, index in found.items() if index is not None}
        if begun:
            ids = np.array([*begun])
            self._stage.begin(ids, [self._seeds[lane] for lane in begun], [*begun.values()])
            self._ended[ids] = self._idle[ids] = False
        return np.array([lane for lane in found if lane not in begun], int)

    def _shown(self) -> dict[str, Any]:
        seen: dict[str, Any] = {**self._stage.observation(), "instruction": tuple(self._stage.instructions())}
        return {name: seen[name] for name in self._order}

    def _infos(self, mask: np.ndarray) -> dict[str, Any]:
        """One array per entry, and one that says for which environments it holds, as Gymnasium has it."""
        stage, n = self._stage, self.num_envs
        resting = self._idle
        outcomes = [None if rests else o for o, rests in zip(stage.monitor.outcome, resting, strict=True)]
        found: dict[str, np.ndarray] = {
            "instruction": np.array(stage.instructions(), object),
            "scene": np.array([-1 if scene is None else scene.index for scene in stage.scenes]),
            "seed": np.array(self._seeds),
            "is_success": np.array([outcome is Outcome.SUCCESS for outcome in outcomes]),
            "outcome": np.array([outcome.label if outcome else None for outcome in outcomes], object),
        }
        found["scene"][resting] = -1
        infos: dict[str, Any] = {}
        for name, values in found.items():
            if not mask.all():
                values[~mask] = np.zeros(n, values.dtype)[~mask] if values.dtype != object else None
            infos[name], infos[f"_{name}"] = values, mask.copy()
        return infos


def _broken(actions: np.ndarray) -> int:
    return int((~np.isfinite(actions)).sum())
