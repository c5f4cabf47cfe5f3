"""Physical numbers to network numbers and back: relative actions, centred and scaled, with statistics that have a hash.

A policy is only valid with the statistics it was trained with, so they travel in its checkpoint and are checked when it
is loaded; there is no "no statistics" mode. Actions are learnt relative to the state at the chunk's start, and their
statistics are those of relative actions at each position of the chunk: the first action hardly moves, the last moves
far, and both should count alike. Grippers are no distribution but a range: [0, 1] becomes [-1, 1].
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from handful import InputError, unknown_name
from trajectories.poses import matrices_from_6d, quaternions_from_matrices
from trajectories.statistics import chunk_statistics, describe_stream

ActionSpace = Literal["joint_delta", "tool_delta"]
ACTION_SPACES: tuple[ActionSpace, ...] = ("joint_delta", "tool_delta")

# Spreads below these are measurement noise; dividing by them would blow it up [rad, m or 1].
ACTION_FLOOR = 5e-3
PROPRIO_FLOOR = 1e-2
WAYPOINT_FLOOR = 1e-2
# Absolute targets may leave the range seen in training by this share of the range.
LIMIT_MARGIN = 0.05


def rotation_columns(rotation: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to their first column, then their second (..., 6)."""
    return np.concatenate([rotation[..., :, 0], rotation[..., :, 1]], axis=-1)


def relative_actions(space: ActionSpace, batch: Mapping[str, Any], horizon: int) -> np.ndarray:
    """A batch's first `horizon` actions relative to the state at the chunk's start.

    Args:
        space: "joint_delta": joint targets minus joint positions [rad] (J), gripper opening; "tool_delta": target tool
            pose in the frame of the tool at the chunk's start: position [m] (3), 6-D rotation (6), gripper opening.
        batch: in the loader's layout.
        horizon: at most the batch's own.

    Returns:
        (B, horizon, A) float64.
    """
    proprio = np.asarray(batch["proprio"], np.float64)
    if space == "joint_delta":
        actions = np.array(batch["action"][:, :horizon], np.float64)
        actions[..., :-1] -= proprio[:, None, : actions.shape[-1] - 1]
        return actions
    target = np.asarray(batch["action_tool"][:, :horizon], np.float64)
    inverse = np.swapaxes(matrices_from_6d(proprio[:, -6:]), -1, -2)[:, None]
    position = (inverse @ (target[..., :3] - proprio[:, None, -9:-6])[..., None])[..., 0]
    rotation = rotation_columns(inverse @ matrices_from_6d(target[..., 3:9]))
    return np.concatenate([position, rotation, target[..., 9:]], axis=-1)


def absolute_actions(space: ActionSpace, relative: np.ndarray, proprio: np.ndarray) -> np.ndarray:
    """The inverse of `relative_actions`.

    Args:
        space: see there.
        relative: (B, H, A).
        proprio: (B, J + 10) at the chunk's start, in the loader's layout.

    Returns:
        "joint_delta": (B, H, J + 1) joint targets [rad], gripper opening; "tool_delta": (B, H, 8) target tool pose in
        the robot's base frame (position [m], quaternion w x y z), gripper opening.
    """
    proprio = np.asarray(proprio, np.float64)
    if space == "joint_delta":
        actions = np.array(relative, np.float64)
        actions[..., :-1] += proprio[:, None, : actions.shape[-1] - 1]
        return actions
    start = matrices_from_6d(proprio[:, -6:])[:, None]
    position = proprio[:, None, -9:-6] + (start @ relative[..., :3, None])[..., 0]
    quaternion = quaternions_from_matrices(start @ matrices_from_6d(relative[..., 3:9]))
    return np.concatenate([position, quaternion, relative[..., 9:]], axis=-1)


@dataclass(frozen=True)
class Normaliser:
    """Everything needed to go to network numbers and back, for one embodiment."""

    # What actions are relative to.
    space: ActionSpace
    # Proprioception (J + 10,).
    proprio_mean: np.ndarray
    proprio_std: np.ndarray
    # Relative actions per chunk position (H, A).
    action_mean: np.ndarray
    action_std: np.ndarray
    # Absolute joint targets (J,) or tool positions (3,) seen in training [rad or m].
    lowest: np.ndarray
    highest: np.ndarray
    # Tool displacement at each waypoint (W, 3) [m], base frame; W may be 0.
    waypoint_mean: np.ndarray
    waypoint_std: np.ndarray

    @classmethod
    def fit(
        cls, space: ActionSpace, batches: Iterable[Mapping[str, Any]], horizon: int, waypoints: tuple[int, ...] = ()
    ) -> "Normaliser":
        """Statistics over windows of one embodiment, in the loader's layout; padded steps do not count.

        Raises:
            InputError: unknown action space, or no window.
        """
        if space not in ACTION_SPACES:
            raise unknown_name("action space", space, ACTION_SPACES)
        windows = [batch for batch in batches if len(batch["proprio"])]
        if not windows:
            raise InputError("statistics need at least one window of data; there is none")
        proprio = describe_stream(b["proprio"] for b in windows)
        chunks = ((relative_actions(space, b, horizon), b["action_mask"][:, :horizon]) for b in windows)
        positions = chunk_statistics(chunks, floor=ACTION_FLOOR)
        mean, std = np.stack([s.mean for s in positions]), np.stack([s.std for s in positions])
        targets = np.concatenate(
            [(b["action"][:, :, :-1] if space == "joint_delta" else b["action_tool"][..., :3]) for b in windows]
        ).astype(np.float64)
        low, high = targets.min((0, 1)), targets.max((0, 1))
        margin = LIMIT_MARGIN * (high - low)
        far = np.concatenate([waypoint_displacements(b, waypoints) for b in windows])
        joints = windows[0]["proprio"].shape[1] - 10
        proprio_mean, proprio_std = proprio.mean.copy(), np.maximum(proprio.std, PROPRIO_FLOOR)
        # Gripper openings: [0, 1] to [-1, 1].
        proprio_mean[joints], proprio_std[joints], mean[:, -1], std[:, -1] = 0.5, 0.5, 0.5, 0.5
        return cls(
            space,
            proprio_mean,
            proprio_std,
            mean,
            std,
            low - margin,
            high + margin,
            far.mean(0),
            np.maximum(far.std(0), WAYPOINT_FLOOR),
        )

    @property
    def proprio_size(self) -> int:
        """Numbers of proprioception."""
        return len(self.proprio_mean)

    @property
    def action_size(self) -> int:
        """Numbers of one relative action."""
        return self.action_mean.shape[1]

    def proprio(self, values: np.ndarray) -> np.ndarray:
        """Proprioception (B, P), or (B, T, P) with a history, in network numbers, float32.

        Raises:
            InputError: another number of columns, or values that are not finite.
        """
        values = np.asarray(values)
        if values.ndim not in (2, 3) or values.shape[-1] != self.proprio_size:
            raise InputError(f"proprio must be (B, {self.proprio_size}), got {values.shape}")
        if not np.isfinite(values).all():
            raise InputError("proprio holds values that are not finite")
        return ((values - self.proprio_mean) / self.proprio_std).astype(np.float32)

    def actions(self, batch: Mapping[str, Any]) -> np.ndarray:
        """A batch's chunk of relative actions (B, H, A) in network numbers, float32."""
        relative = relative_actions(self.space, batch, len(self.action_mean))
        return ((relative - self.action_mean) / self.action_std).astype(np.float32)

    def waypoints(self, batch: Mapping[str, Any], steps: tuple[int, ...]) -> np.ndarray:
        """Tool displacements (B, W, 3) at future steps in network numbers, float32."""
        return ((waypoint_displacements(batch, steps) - self.waypoint_mean) / self.waypoint_std).astype(np.float32)

    def restore(self, actions: np.ndarray, proprio: np.ndarray, smoothing: int | None = None) -> np.ndarray:
        """Network numbers (B, H, A) to absolute actions (see `absolute_actions`), within the range seen in training.

        Args:
            actions: as the network gives them.
            proprio: (B, J + 10) at the chunk's start.
            smoothing: degree of the polynomial in time that the motion is fitted with by least squares; None: as it
                is. The gripper is left alone.
        """
        relative = actions.astype(np.float64) * self.action_std + self.action_mean
        if smoothing is not None:
            basis = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(self.action_mean)), smoothing)
            relative[..., :-1] = np.einsum("ts,bsd->btd", basis @ np.linalg.pinv(basis), relative[..., :-1])
        absolute = absolute_actions(self.space, relative, proprio)
        held = len(self.lowest)
        absolute[..., :held] = np.clip(absolute[..., :held], self.lowest, self.highest)
        absolute[..., -1] = np.clip(absolute[..., -1], 0, 1)
        return absolute.astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON types."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Normaliser":
        """The inverse of `to_json`.

        Raises:
            InputError: statistics are missing: a policy without them would move the robot by wrong amounts.
        """
        missing = sorted(set(cls.__dataclass_fields__) - set(record))
        if missing:
            raise InputError(f"normalisation statistics lack {', '.join(missing)}; a policy cannot run without them")
        arrays = {k: np.asarray(record[k], np.float64) for k in cls.__dataclass_fields__ if k != "space"}
        if record["space"] not in ACTION_SPACES:
            raise unknown_name("action space", record["space"], ACTION_SPACES)
        for name in ("waypoint_mean", "waypoint_std"):
            arrays[name] = arrays[name].reshape(-1, 3)
        return cls(space=record["space"], **arrays)


def waypoint_displacements(batch: Mapping[str, Any], steps: tuple[int, ...]) -> np.ndarray:
    """Where the tool will be, (B, W, 3) [m] in the frame of the tool as it is, `steps` actions ahead.

    Past the episode's end the loader repeats the last action, which is where the tool stays: no step is invalid.
    """
    ahead = np.asarray(batch["action_tool"], np.float64)[:, list(steps), :3]
    proprio = np.asarray(batch["proprio"], np.float64)
    inverse = np.swapaxes(matrices_from_6d(proprio[:, -6:]), -1, -2)[:, None]
    return (inverse @ (ahead - proprio[:, None, -9:-6])[..., None])[..., 0]
