"""A trained policy: from a run's folder to actions.

Every call is computed in batches of one fixed size, padded where needed, so a row's result does not depend on which or
how many rows are asked for together: an evaluation gives the same rollouts at any number of parallel scenes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handful import InputError, JobError, unknown_name
from policies import checkpoint
from policies.augment import to_network
from policies.config import TrainConfig
from policies.model import VLA
from policies.prefix import Observation
from policies.samples import Preparer
from policies.sizes import Interface


def build_network(record: Mapping[str, Any]) -> VLA:
    """The network that a checkpoint's JSON describes, with its seeded initial weights."""
    config = TrainConfig.from_json(record["config"])
    preparer = Preparer.from_json(record)
    return VLA(
        config.model,
        config.cameras,
        {name: Interface(n.proprio_size, n.action_size) for name, n in preparer.normalisers.items()},
        domains=len(preparer.domains),
        vocabulary=len(preparer.vocabulary),
        horizon=config.horizon,
        waypoints=len(config.waypoints),
        waypoint_weight=config.waypoint_weight,
        subtasks=len(preparer.subtasks.sentences),
        stage_weight=config.stage_weight,
        flow_times=config.flow_times,
        time_law=config.time_law,
        seed=config.seed,
    )


@dataclass(frozen=True)
class Saying:
    """What a policy says of one scene."""

    # The subtask under way, and how sure it is of it.
    sentence: str
    probability: float
    # Share of the episode that is over, in [0, 1].
    progress: float


class Policy:
    """A network with everything needed to run it: words, statistics, cameras, control rate."""

    def __init__(self, network: VLA, record: Mapping[str, Any], batch_size: int = 32, guidance: float = 1.0):
        """Wrap a network.

        Args:
            network: with trained weights.
            record: the checkpoint's JSON.
            batch_size: rows that are computed at a time.
            guidance: how strongly the domain that `act` is told is meant: 1 as trained, more exaggerates what it
                changes, 0 leaves it open; see docs/policy.md. Costs twice the rows unless it is 1.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        if not math.isfinite(guidance):
            raise InputError(f"guidance must be a finite number, got {guidance}")
        self.network, self.guidance = network, guidance
        self.record = record
        self.batch_size = batch_size
        self.config = TrainConfig.from_json(record["config"])
        self.preparer = Preparer.from_json(record)

    @classmethod
    def load(cls, run: str | Path, batch_size: int = 32, device: str = "cpu", guidance: float = 1.0) -> "Policy":
        """The newest checkpoint of a run, or a checkpoint's own folder; averaged weights.

        Raises:
            InputError: there is no checkpoint, or it was made by another format.
            JobError: it is damaged.
        """
        path = Path(run)
        found = path if (path / "checkpoint.json").is_file() else checkpoint.of_policy(path)
        if found is None:
            raise InputError(f"'{run}' holds no checkpoint; train one with: handful train --data STORE --out {run}")
        record = checkpoint.read_record(found)
        preparer = Preparer.from_json(record)
        if preparer.statistics.hash != record["statistics_hash"]:
            raise JobError(f"the statistics in '{found}' are not the ones it was trained with; its hash differs")
        network = build_network(record)
        network.load_state_dict(checkpoint.read_tensors(found, "ema", record))
        return cls(network.to(device).eval(), record, batch_size, guidance)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras it needs."""
        return self.config.cameras

    @property
    def resolution(self) -> dict[str, tuple[int, int]]:
        """Height and width of the images it was trained on, by camera [pixels]."""
        return {camera: (size[0], size[1]) for camera, size in self.record["resolution"].items()}

    @property
    def domains(self) -> tuple[str, ...]:
        """Names that `act` takes as a domain; others are left open with None."""
        return self.preparer.domains

    @property
    def horizon(self) -> int:
        """Actions per chunk."""
        return self.config.horizon

    @property
    def history(self) -> int:
        """Observations that it looks at: 1 is the present one alone; more are `history_stride` control steps apart."""
        return self.config.model.history

    @property
    def history_stride(self) -> int:
        """From one observation to the next [control steps]."""
        return self.config.model.history_stride

    @property
    def execute(self) -> int:
        """Actions to carry out before looking again."""
        return self.config.execute

    @property
    def control_rate(self) -> float:
        """Actions per second [Hz]."""
        return float(self.record["control_rate"])

    @property
    def action_space(self) -> str:
        """ "joint_delta": `act` gives joint targets; "tool_delta": tool poses."""
        return self.config.action_space

    def noise_size(self, embodiment: str) -> int:
        """Numbers per action in the noise that `act` takes."""
        self.preparer.embodiment_index(embodiment)
        return self.preparer.normalisers[embodiment].action_size

    def unknown_words(self, sentence: str) -> list[str]:
        """Words of an instruction that training never showed."""
        return self.preparer.vocabulary.unknown_words(sentence)

    def act(
        self,
        images: Mapping[str, np.ndarray],
        proprio: np.ndarray,
        instruction: Sequence[str],
        embodiment: str,
        domain: str | None,
        noise: np.ndarray,
        finite: bool = True,
        history_mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Decide the next chunk of actions for B independent scenes.

        Args:
            images: camera -> (B, H, W, 3) uint8; with a history (B, T, H, W, 3), the oldest first, the last one now.
            proprio: (B, J + 10): joints [rad], gripper opening, tool position [m], 6-D rotation; with a history (B, T,
                J + 10).
            instruction: B sentences.
            embodiment: name of the robot.
            domain: name of the domain, None to leave it open.
            noise: (B, horizon, `noise_size`) float32, standard normal, from the caller's own stream.
            finite: refuse output that is not finite; False: such rows are NaN, and the caller holds the robot.
            history_mask: (B, T) bool, false for what lies before the episode's start; None without a history.

        Returns:
            (B, horizon, J + 1) absolute joint targets [rad] and gripper opening for "joint_delta"; (B, horizon, 8)
            target tool pose in the base frame (position [m], quaternion w x y z) and gripper opening for "tool_delta".

        Raises:
            InputError: something given has the wrong shape, or names something unknown.
            JobError: the network's output is not finite.
        """
        rows, size = len(proprio), self.noise_size(embodiment)
        if noise.shape != (rows, self.horizon, size):
            raise InputError(f"noise must be {(rows, self.horizon, size)}, got {noise.shape}")
        if self.guidance != 1 and domain is None:
            raise InputError("guidance goes towards a domain: say which, or leave guidance at 1")
        # A robot with fewer numbers than the widest uses the first ones.
        wide = np.zeros((rows, self.horizon, self.network.action_size), np.float32)
        wide[..., :size] = noise

        def sampled(seen: Observation, part: np.ndarray) -> np.ndarray:
            given = torch.from_numpy(wide[part]).to(seen.proprio.device)
            return self.network.sample(seen, given, self.config.euler_steps, self.guidance).cpu().numpy()

        found = self._each_batch(images, proprio, instruction, embodiment, domain, history_mask, sampled)
        actions = np.concatenate([wide[:0], *found])[..., :size]
        bad = np.flatnonzero(~np.isfinite(actions).all((1, 2)))
        if len(bad) and finite:
            raise JobError(f"the policy's output for row {bad[0]} is not finite; its weights or its input are damaged")
        actions[bad] = 0.0
        normaliser = self.preparer.statistics.of(embodiment, domain)
        now = np.asarray(proprio) if self.history == 1 else np.asarray(proprio)[:, -1]
        absolute = normaliser.restore(actions, now, self.config.smoothing)
        absolute[bad] = np.nan
        return absolute

    def say(
        self,
        images: Mapping[str, np.ndarray],
        proprio: np.ndarray,
        instruction: Sequence[str],
        embodiment: str,
        domain: str | None,
        history_mask: np.ndarray | None = None,
    ) -> list[Saying]:
        """What it is doing in each of B scenes, as a sentence, and how far it is. Arguments as in `act`.

        Raises:
            InputError: as `act`; or its data had no sentences of subtasks.
        """

        def told(seen: Observation, part: np.ndarray) -> np.ndarray:
            stage = self.network.tell(self.network.encode(seen))
            return torch.cat([stage.sentences.softmax(-1), stage.progress[:, None]], 1).cpu().numpy()

        found = self._each_batch(images, proprio, instruction, embodiment, domain, history_mask, told)
        sentences = self.preparer.subtasks.sentences
        return [
            Saying(sentences[row[:-1].argmax()], float(row[:-1].max()), float(row[-1]))
            for part in found
            for row in part
        ]

    def _each_batch(
        self,
        images: Mapping[str, np.ndarray],
        proprio: np.ndarray,
        instruction: Sequence[str],
        embodiment: str,
        domain: str | None,
        history_mask: np.ndarray | None,
        compute: Callable[[Observation, np.ndarray], np.ndarray],
    ) -> list[np.ndarray]:
        """`compute(observation, rows)` for all rows, `batch_size` at a time, without what it gives of the padding."""
        rows, size = len(proprio), self.batch_size
        self._check(images, proprio, instruction, embodiment, history_mask)
        words = self.preparer.vocabulary.encode(instruction, self.preparer.words).numpy()
        normaliser, network = self.preparer.statistics.of(embodiment, domain), self.network
        given = normaliser.proprio(proprio)
        widest = max(e.proprio for e in network.embodiments.values())
        state = np.zeros((*given.shape[:-1], widest), np.float32)
        state[..., : given.shape[-1]] = given
        device, side = next(network.parameters()).device, self.config.model.image_size
        robot = torch.full((size,), self.preparer.embodiment_index(embodiment), device=device)
        told = torch.full_like(robot, self.preparer.domain_index(domain))
        results = []
        for start in range(0, rows, size):
            # Padding repeats a row, so that it costs and breaks nothing.
            part = np.minimum(np.arange(start, start + size), rows - 1)

            def taken(values: np.ndarray, part: np.ndarray = part) -> torch.Tensor:
                return torch.from_numpy(np.ascontiguousarray(values)[part]).to(device)

            with torch.inference_mode():
                seen = Observation(
                    images={camera: to_network(taken(images[camera]), side) for camera in self.cameras},
                    words=taken(words),
                    proprio=taken(state),
                    embodiment=robot,
                    domain=told,
                    history_mask=None if history_mask is None else taken(history_mask),
                )
                results.append(compute(seen, part)[: rows - start])
        return results

    def _check(
        self,
        images: Mapping[str, np.ndarray],
        proprio: np.ndarray,
        instruction: Sequence[str],
        embodiment: str,
        history_mask: np.ndarray | None,
    ) -> None:
        rows, back = len(proprio), () if self.history == 1 else (self.history,)
        for camera in self.cameras:
            if camera not in images:
                raise InputError(f"the policy needs camera '{camera}'; the images given are of: {', '.join(images)}")
            wanted = (rows, *back, *self.resolution[camera], 3)
            if images[camera].shape != wanted or images[camera].dtype != np.uint8:
                raise InputError(
                    f"images of camera '{camera}' must be {wanted} uint8, "
                    f"got {images[camera].shape} {images[camera].dtype}"
                )
        if len(instruction) != rows:
            raise InputError(f"{rows} rows of proprio need as many instructions, got {len(instruction)}")
        if embodiment not in self.preparer.normalisers:
            raise unknown_name("embodiment", embodiment, self.preparer.normalisers)
        if np.ndim(proprio) != 2 + len(back) or np.shape(proprio)[1:-1] != back:
            size = self.preparer.normalisers[embodiment].proprio_size
            raise InputError(f"proprio must be {('B', *back, size)}, got {np.shape(proprio)}".replace("'B'", "B"))
        if back and (history_mask is None or history_mask.shape != (rows, *back)):
            found = None if history_mask is None else history_mask.shape
            raise InputError(f"history_mask must be {(rows, *back)}, got {found}")
