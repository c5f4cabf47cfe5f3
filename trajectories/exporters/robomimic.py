"""Write a data set as a robomimic HDF5 file, with MimicGen's `datagen_info` where objects are known.

robomimic expects actions in [-1, 1]: ours, absolute joint targets and the gripper's opening, are scaled per dimension
by limits that stand in the file. `import robomimic` gives the same arrays and metadata back.
"""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from handful import InputError, __version__
from trajectories.canonical import canonical_json, disk_errors, sync_to_disk
from trajectories.dataset import Dataset
from trajectories.exporters.robomimic_layout import (
    DIGEST,
    FINAL_STATE,
    LAYOUT,
    MARK,
    META,
    STATES,
    digest,
    place,
)
from trajectories.exporters.sinks import Sink
from trajectories.holdout import hold_out
from trajectories.parts import array_specs
from trajectories.poses import matrices_from_quaternions
from trajectories.schema import Episode
from trajectories.staging import staging_path, sweep

# robomimic's number for Gymnasium environments.
_GYM = 2
# Joint limits are widened to a whole multiple of this [rad], so that similar data sets share them.
_GRID = 0.1
# Share of the scenes in `mask/valid`: those that `handful train` and `handful data split` hold out.
_VALID = 0.1
# Other arrays than images of less than this are stored plain, larger ones in chunks of about a megabyte [bytes].
_PLAIN = 16384
_CHUNK = 1 << 20
_GZIP = 4

Progress = Callable[[int, int], None]


def export_robomimic(
    dataset: Dataset, out: str | Path, next_obs: bool = True, progress: Progress = lambda done, total: None
) -> dict[str, int]:
    """Write all episodes of a data set into one robomimic file.

    One episode is in memory at a time. The file appears under its name once it is complete.

    Args:
        dataset: episodes of one task, embodiment and control rate.
        out: the file to make; must not exist.
        next_obs: also write `next_obs`, which some algorithms of robomimic read; it doubles the file.
        progress: called with the number of episodes written and their total.

    Returns:
        {"episodes": ..., "frames": ...}

    Raises:
        InputError: `out` exists, the data set is empty, or mixes tasks, embodiments or rates.
        JobError: the data set is damaged, or the disk is full.
    """
    out = Path(out)
    if out.exists():
        raise InputError(f"'{out}' exists; give another name, or delete it first")
    if not out.parent.is_dir():
        raise InputError(f"there is no folder '{out.parent}' to write '{out.name}' into")
    total = len(dataset)
    if total == 0:
        raise InputError(f"data set '{dataset.path}' has no episodes to export")
    _check_uniform(dataset)
    low, high = _action_limits(dataset)
    staging = staging_path(out.parent, out.name.replace("-", "_"))
    with disk_errors(f"'{out}'"):
        sweep(out.parent)
        try:
            with Sink(staging) as sink:
                with h5py.File(sink, "w") as file:
                    frames = _write_file(
                        file, dataset, low, high, next_obs, lambda done: _advance(sink, progress, done, total)
                    )
                sink.check()
            sync_to_disk(staging)
            staging.rename(out)
            sync_to_disk(out.parent)
        finally:
            staging.unlink(missing_ok=True)
    return {"episodes": total, "frames": frames}


def _advance(sink: Sink, progress: Progress, done: int, total: int) -> None:
    sink.check()
    progress(done, total)


def _write_file(
    file: h5py.File,
    dataset: Dataset,
    low: np.ndarray,
    high: np.ndarray,
    next_obs: bool,
    advance: Callable[[int], None],
) -> int:
    """All of the file; the number of control steps."""
    data = file.create_group("data")
    frames = 0
    for index in range(len(dataset)):
        episode = dataset.episode(index)
        frames += len(episode)
        if index == 0:
            _describe(data, dataset, episode, low, high)
        _write_demo(data.create_group(f"demo_{index}"), episode, low, high, next_obs)
        advance(index + 1)
    data.attrs["total"] = frames
    _write_masks(file, hold_out(dataset.index(), _VALID))
    return frames


def _check_uniform(dataset: Dataset) -> None:
    """Refuse what one robomimic file cannot hold."""
    index = dataset.index()
    for what in ("task", "embodiment"):
        category = index.categories[what]
        _check_single(dataset, what, [str(category.values[code]) for code in np.unique(category.codes)])
    _check_single(dataset, "control rate", [f"{rate:g} Hz" for rate in np.unique(index.control_rate)])


def _check_single(dataset: Dataset, what: str, values: list[str]) -> None:
    if len(values) > 1:
        found = " and ".join(f"'{value}'" for value in sorted(values)[:2])
        raise InputError(f"a robomimic file holds one {what}; '{dataset.path}' has {found}: export a view of one")


def _action_limits(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """What becomes -1 and 1, per dimension: joints from the data, outwards to the grid; the gripper from 0 and 1."""
    low, high = np.inf, -np.inf
    for index in range(len(dataset)):
        actions = dataset.read(index, "action/executed")[:, :-1].astype(np.float64)
        low, high = np.minimum(low, actions.min(axis=0)), np.maximum(high, actions.max(axis=0))
    # A joint that never moves still gets an interval.
    low, high = (np.floor(low / _GRID) - 1) * _GRID, (np.ceil(high / _GRID) + 1) * _GRID
    return np.append(low, 0.0), np.append(high, 1.0)


def _describe(data: h5py.Group, dataset: Dataset, episode: Episode, low: np.ndarray, high: np.ndarray) -> None:
    meta = episode.meta
    environment = {
        "env_name": meta.task,
        "env_type": _GYM,
        "env_kwargs": {
            "embodiment": meta.embodiment,
            "control_freq": meta.control_rate,
            "action": "absolute joint targets [rad], then gripper opening [0, 1]; scaled to [-1, 1]",
        },
    }
    mark = {
        "layout": LAYOUT,
        "version": __version__,
        "plan": dataset.plan_digest,
        "arrays": array_specs([episode]),
    }
    data.attrs["env_args"] = json.dumps(environment, sort_keys=True)
    data.attrs[MARK] = canonical_json(mark, "description").decode()
    # action = action_low + (scaled + 1) / 2 * (action_high - action_low)
    data.attrs["action_low"], data.attrs["action_high"] = low, high


def _write(group: h5py.Group, name: str, value: np.ndarray) -> None:
    image = name.endswith("_image")
    if value.nbytes < _PLAIN and not image:
        group.create_dataset(name, data=value)
        return
    row = value.nbytes // len(value)
    rows = 1 if image else int(np.clip(_CHUNK // row, 1, len(value)))
    group.create_dataset(
        name,
        data=value,
        chunks=(rows, *value.shape[1:]),
        compression="gzip",
        compression_opts=_GZIP,
        shuffle=value.itemsize > 1,
    )


def _write_demo(group: h5py.Group, episode: Episode, low: np.ndarray, high: np.ndarray, next_obs: bool) -> None:
    arrays, steps = episode.arrays, len(episode)
    group.attrs["num_samples"] = steps
    # Where robocasa's version of robomimic looks for the sentence.
    group.attrs["ep_meta"] = json.dumps({"lang": episode.meta.instruction}, ensure_ascii=False)
    group.attrs[DIGEST] = digest(episode)
    scaled = np.clip(2 * (arrays["action/executed"] - low) / (high - low) - 1, -1, 1).astype(np.float32)
    last = np.arange(steps) == steps - 1
    _write(group, "actions", scaled)
    _write(group, "rewards", (last & (episode.meta.outcome == "success")).astype(np.float64))
    _write(group, "dones", last.astype(np.int64))
    for key, value in sorted(arrays.items()):
        path = place(key)
        if path == STATES:
            _write(group, STATES, value[:-1])
            _write(group, FINAL_STATE, value[-1:])
            continue
        _write(group, path, value)
        if next_obs and path.startswith("obs/"):
            # Nothing was observed after the last action: the last observation stands in.
            _write(group, f"next_{path}", np.concatenate([value[1:], value[-1:]]))
    meta = canonical_json(episode.meta.to_json(), "episode metadata")
    _write(group, META, np.frombuffer(meta, np.uint8))
    objects = {key.removeprefix("objects/"): value for key, value in arrays.items() if key.startswith("objects/")}
    if objects:
        _write_datagen_info(group.create_group("datagen_info"), arrays, objects, scaled)


def _write_datagen_info(
    info: h5py.Group, arrays: dict[str, np.ndarray], objects: dict[str, np.ndarray], scaled: np.ndarray
) -> None:
    """What MimicGen generates from: poses as matrices in the robot's base, and when each subtask is done."""
    _write(info, "eef_pose", _transforms(arrays["observation/tool_pose_in_base"]))
    _write(info, "target_pose", _transforms(arrays["action/tool_pose_in_base"]))
    _write(info, "gripper_action", scaled[:, -1:])
    for name, poses in sorted(objects.items()):
        _write(info, f"object_poses/{name}", _transforms(poses))
    signals = {key.removeprefix("signals/"): value for key, value in arrays.items() if key.startswith("signals/")}
    subtask = arrays["subtask"]
    for done in range(int(subtask.max())) if not signals else ():
        signals[f"subtask_{done}"] = subtask > done
    for name, signal in sorted(signals.items()):
        _write(info, f"subtask_term_signals/{name}", signal.astype(np.int64))


def _transforms(poses: np.ndarray) -> np.ndarray:
    """Poses (T, 7) as homogeneous transforms (T, 4, 4)."""
    matrices = np.tile(np.eye(4), (len(poses), 1, 1))
    quaternions = poses[:, 3:].astype(np.float64)
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    matrices[:, :3, :3], matrices[:, :3, 3] = matrices_from_quaternions(quaternions), poses[:, :3]
    return matrices


def _write_masks(file: h5py.File, validation: np.ndarray) -> None:
    names = np.array([f"demo_{index}" for index in range(len(validation))], "S")
    for mask, chosen in (("train", ~validation), ("valid", validation)):
        if chosen.any():
            file[f"mask/{mask}"] = names[chosen]
