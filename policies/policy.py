"""A trained policy: from a run's folder to actions.

Every call is computed in batches of one fixed size, padded where needed, so a row's result does not depend on which or
how many rows are asked for together: an evaluation gives the same rollouts at any number of parallel scenes.
"""

from collections.abc import Mapping, Sequence
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


class Policy:
    """A network with everything needed to run it: words, statistics, cameras, control rate."""

    def __init__(self, network: VLA, record: Mapping[str, Any], batch_size: int = 32):
        """Wrap a network. `record` is the checkpoint's JSON; `batch_size` rows are computed at a time."""
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        self.network = network
        self.record = record
        self.batch_size = batch_size
        self.config = TrainConfig.from_json(record["config"])
        self.preparer = Preparer.from_json(record)

    @classmethod
    def load(cls, run: str | Path, batch_size: int = 32, device: str = "cpu") -> "Policy":
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
        return cls(network.to(device).eval(), record, batch_size)

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
    ) -> np.ndarray:
        """Decide the next chunk of actions for B independent scenes.

        Args:
            images: camera -> (B, H, W, 3) uint8.
            proprio: (B, J + 10): joints [rad], gripper opening, tool position [m], 6-D rotation.
            instruction: B sentences.
            embodiment: name of the robot.
            domain: name of the domain, None to leave it open.
            noise: (B, horizon, `noise_size`) float32, standard normal, from the caller's own stream.
            finite: refuse output that is not finite; False: such rows are NaN, and the caller holds the robot.

        Returns:
            (B, horizon, J + 1) absolute joint targets [rad] and gripper opening for "joint_delta"; (B, horizon, 8)
            target tool pose in the base frame (position [m], quaternion w x y z) and gripper opening for "tool_delta".

        Raises:
            InputError: something given has the wrong shape, or names something unknown.
            JobError: the network's output is not finite.
        """
        rows = len(proprio)
        self._check(images, rows, instruction, embodiment, noise)
        normaliser = self.preparer.statistics.of(embodiment, domain)
        words = self.preparer.vocabulary.encode(instruction, self.preparer.words).numpy()
        state = normaliser.proprio(proprio)
        domain_index = self.preparer.domain_index(domain)
        results = []
        for start in range(0, rows, self.batch_size):
            part = slice(start, min(start + self.batch_size, rows))
            results.append(
                self._act_batch(
                    {k: v[part] for k, v in images.items()},
                    words[part],
                    state[part],
                    embodiment,
                    domain_index,
                    noise[part],
                )
            )
        actions = (
            np.concatenate(results) if results else np.zeros((0, self.horizon, normaliser.action_size), np.float32)
        )
        bad = np.flatnonzero(~np.isfinite(actions).all((1, 2)))
        if len(bad) and finite:
            raise JobError(f"the policy's output for row {bad[0]} is not finite; its weights or its input are damaged")
        actions[bad] = 0.0
        absolute = normaliser.restore(actions, np.asarray(proprio), self.config.smoothing)
        absolute[bad] = np.nan
        return absolute

    def _act_batch(
        self,
        images: Mapping[str, np.ndarray],
        words: np.ndarray,
        proprio: np.ndarray,
        embodiment: str,
        domain: int,
        noise: np.ndarray,
    ) -> np.ndarray:
        rows, size = len(words), self.batch_size
        device = next(self.network.parameters()).device

        def padded(values: np.ndarray) -> torch.Tensor:
            # Padding repeats a row, so that it costs and breaks nothing.
            index = np.minimum(np.arange(size), rows - 1)
            return torch.from_numpy(np.ascontiguousarray(values)[index]).to(device)

        full = torch.full((size,), self.preparer.embodiment_index(embodiment), device=device)
        with torch.inference_mode():
            side = self.config.model.image_size
            seen = Observation(
                images={camera: to_network(padded(images[camera]), side) for camera in self.cameras},
                words=padded(words),
                proprio=padded(proprio),
                embodiment=full,
                domain=torch.full_like(full, domain),
            )
            actions = self.network.sample(seen, padded(noise.astype(np.float32)), self.config.euler_steps)
        return actions[:rows, :, : noise.shape[-1]].cpu().numpy()

    def _check(
        self,
        images: Mapping[str, np.ndarray],
        rows: int,
        instruction: Sequence[str],
        embodiment: str,
        noise: np.ndarray,
    ) -> None:
        for camera in self.cameras:
            if camera not in images:
                raise InputError(f"the policy needs camera '{camera}'; the images given are of: {', '.join(images)}")
            height, width = self.resolution[camera]
            if images[camera].shape != (rows, height, width, 3) or images[camera].dtype != np.uint8:
                raise InputError(
                    f"images of camera '{camera}' must be ({rows}, {height}, {width}, 3) uint8, "
                    f"got {images[camera].shape} {images[camera].dtype}"
                )
        if len(instruction) != rows:
            raise InputError(f"{rows} rows of proprio need as many instructions, got {len(instruction)}")
        if embodiment not in self.preparer.normalisers:
            raise unknown_name("embodiment", embodiment, self.preparer.normalisers)
        wanted = (rows, self.horizon, self.noise_size(embodiment))
        if noise.shape != wanted:
            raise InputError(f"noise must be {wanted}, got {noise.shape}")
