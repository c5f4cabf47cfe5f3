"""Action error on recorded data: what can be measured of a policy without a robot and without a simulator.

It does not rank policies. Over SIMPLER's policies the error on held-out real data has r = 0.31 with real success, and
on one of its tasks r = -1.0: a policy may be near the recorded actions and never recover from its own mistakes. It
serves to see overfitting, to compare blends at one architecture, and to fit scaling laws. `WARNING` says so, and is
printed with every figure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from handful import InputError
from pipelines.metrics.features import observed
from pipelines.metrics.replay import rotation_angles
from trajectories.poses import matrices_from_6d, quaternions_from_matrices

if TYPE_CHECKING:
    import torch

    from policies.policy import Policy

WARNING = (
    "action error on recorded data does not rank policies: over published policies it correlates with real success at "
    "r = 0.31, for one task at -1.0; use rollouts to choose"
)


@dataclass(frozen=True)
class OfflineError:
    """Errors of one policy on recorded windows.

    Distances are Euclidean over the joints [rad] where the policy gives joint targets, of the tool's position [m] where
    it gives tool poses; per action, and averaged over windows and noise.
    """

    windows: int
    # Samples of the policy per window.
    samples: int
    # "rad" or "m".
    unit: str
    # Loss of the policy's head at fixed flow times and noise, the same for every policy of these sizes and this head;
    # network numbers.
    loss: float
    # Mean distance over the actions that are carried out before the policy looks again, and over the whole chunk.
    executed: float
    chunk: float
    # Distance of the nearest of the samples: small where one of several good ways was recorded and is among them.
    best: float
    # Energy score E|A - a| - E|A - A'| / 2 of the sampled chunks (Gneiting and Raftery 2007): proper, so that neither
    # a wild nor a timid policy wins by its spread. Distance of whole chunks over the root of their length.
    energy: float
    # Mean angle between rotations [rad]; None for joint targets.
    rotation: float | None
    # Share of actions on which the gripper is told to be on the right side of half open.
    gripper: float


def offline_error(
    policy: "Policy", batches: Iterable[Mapping[str, Any]], samples: int = 8, times: int = 8, seed: int = 0
) -> OfflineError:
    """Measure a policy on windows of data, e.g. `Blend.validation` of imported episodes.

    Args:
        policy: a `policies.policy.Policy`.
        batches: in the loader's layout; domains that the policy does not know count as not said.
        samples: of the policy per window, at least 2.
        times: flow times of the loss, evenly spread.
        seed: of the noise.

    Raises:
        InputError: no windows, or fewer than 2 samples.
    """
    if samples < 2 or times < 1:
        raise InputError(f"samples must be at least 2 and times at least 1, got {samples} and {times}")
    import torch

    rng, generator = np.random.Generator(np.random.PCG64(seed)), torch.Generator().manual_seed(seed)
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    windows = 0
    for batch in batches:
        loss, valid = _head_loss(policy, batch, times, generator)
        _add(sums, counts, "loss", loss, valid)
        for robot in sorted(set(batch["embodiment"])):
            rows = np.array([name == robot for name in batch["embodiment"]])
            _sampled(policy, _rows(batch, rows), robot, samples, rng, sums, counts)
        windows += len(batch["embodiment"])
    if not windows:
        raise InputError("there are no windows to measure on; does the data hold out any episodes?")
    means = {name: sums[name] / counts[name] for name in sums}
    unit = "m" if policy.action_space == "tool_delta" else "rad"
    rotation = means.pop("rotation", None)
    return OfflineError(windows=windows, samples=samples, unit=unit, rotation=rotation, **means)


def _head_loss(
    policy: "Policy", batch: Mapping[str, Any], times: int, generator: "torch.Generator"
) -> tuple[float, float]:
    """Sum of the loss over valid actions, and how many these are."""
    sample = policy.preparer.prepare(batch)
    seen = observed(policy, sample)
    loss = float(policy.network.validation_loss(seen, sample, generator, times))
    valid = float(sample.valid.sum())
    return loss * valid, valid


def _sampled(
    policy: "Policy",
    batch: Mapping[str, Any],
    robot: str,
    samples: int,
    rng: np.random.Generator,
    sums: dict[str, float],
    counts: dict[str, float],
) -> None:
    """Add the errors of sampled chunks on windows of one robot."""
    rows, horizon = len(batch["proprio"]), policy.horizon
    shape = (samples, rows, horizon, policy.noise_size(robot))
    noise = rng.standard_normal(shape, dtype=np.float32)
    images = {camera: np.asarray(batch[f"images/{camera}"]) for camera in policy.cameras}
    words = list(batch["instruction"])
    seen = (images, batch["proprio"], words, robot, None)
    drawn = np.stack([policy.act(*seen, each, True, batch.get("history_mask")) for each in noise]).astype(float)
    valid = np.asarray(batch["action_mask"])[:, :horizon].astype(float)
    if policy.action_space == "tool_delta":
        truth = np.asarray(batch["action_tool"], float)[:, :horizon]
        arm, target = drawn[..., :3], truth[..., :3]
        recorded = quaternions_from_matrices(matrices_from_6d(truth[..., 3:9]))
        angles = rotation_angles(drawn[..., 3:7], np.broadcast_to(recorded, drawn[..., 3:7].shape))
        _add(sums, counts, "rotation", float((angles * valid).sum()), samples * float(valid.sum()))
    else:
        truth = np.asarray(batch["action"], float)[:, :horizon]
        joints = drawn.shape[-1] - 1
        arm, target = drawn[..., :joints], truth[..., :joints]
    distance = np.linalg.norm(arm - target, axis=-1)
    soon = valid * (np.arange(horizon) < policy.execute)
    _add(sums, counts, "executed", float((distance * soon).sum()), samples * float(soon.sum()))
    _add(sums, counts, "chunk", float((distance * valid).sum()), samples * float(valid.sum()))
    length = valid.sum(axis=1)
    known = length > 0
    per_chunk = (distance * valid).sum(axis=2)[:, known] / length[known]
    _add(sums, counts, "best", float(per_chunk.min(axis=0).sum()), float(known.sum()))
    _add(sums, counts, "energy", _energy(arm, target, valid, known), float(known.sum()))
    right = (drawn[..., -1] > 0.5) == (truth[..., -1] > 0.5)
    _add(sums, counts, "gripper", float((right * valid).sum()), samples * float(valid.sum()))


def _energy(arm: np.ndarray, target: np.ndarray, valid: np.ndarray, known: np.ndarray) -> float:
    """Sum over known windows of the energy score of (K, B, H, D) samples of (B, H, D)."""
    samples = len(arm)
    weight = (np.sqrt(valid)[..., None])[known] / np.sqrt(valid.sum(axis=1))[known, None, None]
    chunks = (arm[:, known] * weight).reshape(samples, int(known.sum()), -1)
    wanted = (target[known] * weight).reshape(int(known.sum()), -1)
    near = np.linalg.norm(chunks - wanted, axis=-1).mean(axis=0)
    apart = np.linalg.norm(chunks[:, None] - chunks[None], axis=-1).sum(axis=(0, 1)) / (samples * (samples - 1))
    return float((near - apart / 2).sum())


def _add(sums: dict[str, float], counts: dict[str, float], name: str, value: float, count: float) -> None:
    sums[name] = sums.get(name, 0.0) + value
    counts[name] = counts.get(name, 0.0) + count


def _rows(batch: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
    if rows.all():
        return dict(batch)
    place = np.flatnonzero(rows)
    return {
        name: [value[i] for i in place] if isinstance(value, list) else np.asarray(value)[place]
        for name, value in batch.items()
    }
