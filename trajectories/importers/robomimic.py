"""Demonstrations in robomimic's HDF5 layout: our own files exactly, others as a mapping says.

A file that `export robomimic` wrote carries every array, its metadata and a digest per demo. Of a file by others only
what the mapping names is read; MimicGen's signals for the end of subtasks come along where they are. The features that
a mapping names are paths within a demo, such as `obs/robot0_joint_pos` or `datagen_info/object_poses/cubeA`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from handful import InputError
from trajectories.canonical import file_sha256
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
from trajectories.importers.conversion import convert
from trajectories.importers.filling import anywhere, check_episodes, fill_store
from trajectories.importers.fitting import check, offers
from trajectories.importers.hdf5 import (
    children,
    demo_group,
    demo_names,
    filtered,
    find,
    json_object,
    opened,
    read_array,
    require_file,
    text_attribute,
)
from trajectories.importers.mapping import Feature, Forward, Mapping
from trajectories.importers.metadata import checked_meta
from trajectories.importers.rehearsal import rehearse
from trajectories.importers.subtasks import subtask_index
from trajectories.schema import Episode, lookup

_SIGNALS = "datagen_info/subtask_term_signals"


@dataclass(frozen=True)
class _Request:
    """What was asked for, apart from the file."""

    # None: the file is one of ours.
    mapping: Mapping | None
    # Name of the task that must be in the file; None: any.
    task: str | None
    # robomimic's `mask/<filter_key>`; None: all demos.
    filter_key: str | None
    # The domain of foreign demos is real/<source>.
    source: str
    # Names of the task's subtasks in order, for signals of these names.
    subtasks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        mapping = None if self.mapping is None else self.mapping.to_json()
        return {**vars(self), "mapping": mapping, "subtasks": list(self.subtasks)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "_Request":
        mapping = None if record["mapping"] is None else Mapping.from_json(record["mapping"])
        return cls(**{**record, "mapping": mapping, "subtasks": tuple(record["subtasks"])})


def import_robomimic(
    path: str | Path,
    store_path: str | Path,
    mapping: Mapping | None = None,
    forward: Forward | None = None,
    task: str | None = None,
    filter_key: str | None = None,
    source_name: str = "robomimic",
    subtasks: Sequence[str] = (),
) -> dict[str, int]:
    """Import a robomimic HDF5 file into a new store.

    The whole file is read and checked in a process of its own before anything is written. After that, one part's demos
    are in memory at a time.

    Args:
        path: the HDF5 file.
        store_path: where the store is made, or resumed.
        mapping: what the file's numbers mean; None: `handful export robomimic` wrote it.
        forward: kinematics, for a mapping that asks for them.
        task: name of the task that the file must show; None: whatever it shows.
        filter_key: import only the demos listed in `mask/<filter_key>`.
        source_name: the domain of a file by others is called "real/<source_name>".
        subtasks: names of the task's subtasks in order. All but the last end where MimicGen's signal of their name
            rises, in files that have all of these signals.

    Returns:
        {"episodes": ..., "frames": ...}

    Raises:
        InputError: the file is damaged, of another layout or task, does not fit the mapping, or its numbers are not
            usable.
        JobError: the store cannot be written.
    """
    path = Path(path)
    require_file(path)
    request = _Request(mapping, task, filter_key, source_name, tuple(subtasks))
    if mapping is not None and task not in (None, mapping.task):
        raise InputError(f"the mapping says that '{path}' shows task '{mapping.task}'; asked for '{task}'")
    rehearse(f"{__name__}:check_file", path, json.dumps(request.to_json()))
    plan: dict[str, Any] = {"import": "robomimic", "file": file_sha256(path), "filter": filter_key}
    if mapping is not None:
        plan |= {"mapping": mapping.to_json(), "source": source_name, "subtasks": list(subtasks)}
    return fill_store(store_path, plan, _episodes(path, request, forward))


def check_file(path: Path, request: str) -> dict[str, int]:
    """Read and check the whole file, and forget it: what a rehearsal does.

    Args:
        path: the HDF5 file.
        request: what was asked for, as JSON.

    Raises:
        InputError: see `import_robomimic`.
    """
    return check_episodes(_episodes(path, _Request.from_json(json.loads(request)), anywhere), path)


def _episodes(path: Path, request: _Request, forward: Forward | None) -> Iterator[Episode]:
    """The demos one after the other, as checked episodes."""
    with opened(path) as file, np.errstate(over="ignore", invalid="ignore"):
        names = filtered(path, file, demo_names(path, file), request.filter_key)
        if request.mapping is not None:
            yield from _foreign(path, file, names, request, request.mapping, forward)
            return
        if MARK not in file["data"].attrs:
            first = demo_group(path, file, names[0])
            raise InputError(
                f"'{path}' was not written by 'handful export robomimic', so its numbers need a mapping "
                f"(--mapping; start from configs/mapping/robosuite_panda.yaml); "
                f"a demo has: {offers(_features(path, first, _steps(path, first)))}"
            )
        for name in names:
            yield _own(path, file, demo_group(path, file, name), request.task)


def _own(path: Path, file: h5py.File, group: h5py.Group, task: str | None) -> Episode:
    """A demo that we wrote, just as it was."""
    where = f"'{path}': '{group.name.lstrip('/')}'"
    mark = json_object(path, f"data.attrs['{MARK}']", text_attribute(path, file["data"], MARK))
    if mark.get("layout") != LAYOUT:
        raise InputError(f"'{path}' has layout {mark.get('layout')!r}; this version of handful reads layout {LAYOUT}")
    promised = mark.get("arrays")
    if not isinstance(promised, dict):
        raise InputError(f"'{path}': data.attrs['{MARK}'] does not list its arrays")
    arrays = {}
    for key in promised:
        lookup(key)
        arrays[key] = read_array(path, group, place(key))
        if place(key) == STATES:
            arrays[key] = np.concatenate([arrays[key], read_array(path, group, FINAL_STATE)])
    text = read_array(path, group, META, (None,)).astype(np.uint8).tobytes()
    meta = checked_meta(json_object(path, f"'{group.name.lstrip('/')}/{META}'", text), where)
    episode = Episode(arrays, meta)
    if digest(episode) != text_attribute(path, group, DIGEST):
        raise InputError(f"{where} is damaged, or was changed since it was exported; if it is meant, use a mapping")
    if task not in (None, meta.task):
        raise InputError(f"{where} shows task '{meta.task}'; asked for '{task}'")
    return episode


def _foreign(
    path: Path, file: h5py.File, names: Sequence[str], request: _Request, mapping: Mapping, forward: Forward | None
) -> Iterator[Episode]:
    environment = json_object(path, "data.attrs['env_args']", text_attribute(path, file["data"], "env_args"))
    extra = {"recorded_in": str(environment.get("env_name", "unknown"))}
    settings = environment.get("env_kwargs")
    rate = settings.get("control_freq") if isinstance(settings, dict) else None
    if rate is None:
        extra["control_rate"] = "the mapping's: the file does not say"
        rate = mapping.control_rate
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e6:
        raise InputError(f"'{path}': data.attrs['env_args'] has a control_freq of {rate!r}; it should be a rate in Hz")
    for scene, name in enumerate(names):
        group = demo_group(path, file, name)
        where = f"'{path}': 'data/{name}'"
        steps = _steps(path, group)
        features = _features(path, group, steps)
        check(mapping, features, float(rate), where, forward)
        arrays = convert(
            mapping, {feature: read_array(path, group, feature) for feature in mapping.numbers()}, where, forward
        )
        observed = slice(0, len(arrays["subtask"]) * mapping.stride, mapping.stride)
        for camera, feature in mapping.cameras.items():
            arrays[f"images/{camera}"] = mapping.upright(read_array(path, group, feature)[observed])
        meta = mapping.meta(request.source, _sentence(path, group), scene, {**extra, "demo": name})
        signals = _signals(path, group, steps)
        arrays |= {f"signals/{name}": signal[observed] for name, signal in signals.items()}
        if len(request.subtasks) > 1 and set(request.subtasks[:-1]) <= signals.keys():
            arrays["subtask"] = subtask_index(signals, request.subtasks, where)[observed]
            meta.extra["derived"]["subtask"] = "from the signals of these names"
        elif signals:
            meta.extra["derived"]["subtask"] = "0 throughout: the signals have other names than the task's subtasks"
        yield Episode(arrays, meta)


def _steps(path: Path, group: h5py.Group) -> int:
    """Control steps of a demo: the rows of its actions."""
    actions = find(path, group, "actions")
    where = f"'{path}': '{group.name.lstrip('/')}"
    if len(actions.shape) != 2:
        raise InputError(f"{where}/actions' has shape {actions.shape}; it should be (steps, columns)")
    claimed = group.attrs.get("num_samples", actions.shape[0])
    if np.ndim(claimed) != 0 or int(claimed) != actions.shape[0]:
        shown = str(np.asarray(claimed).tolist())[:40]
        raise InputError(f"{where}' says num_samples {shown}, and has {actions.shape[0]} actions")
    return int(actions.shape[0])


def _features(path: Path, group: h5py.Group, steps: int) -> dict[str, Feature]:
    """Every array of a demo that has a row per step, by its path within the demo."""
    found: dict[str, Feature] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or name.startswith("next_obs/") or not item.shape:
            return
        if item.shape[0] == steps and item.dtype.kind in "fiub":
            image = item.dtype == np.uint8 and len(item.shape) == 4
            found[name] = Feature(tuple(item.shape[1:]), "images" if image else "numbers")

    group.visititems(visit)
    return dict(sorted(found.items()))


def _sentence(path: Path, group: h5py.Group) -> str | None:
    """What the file itself says the demo is about, where it does as robocasa's files do."""
    if "ep_meta" not in group.attrs:
        return None
    sentence = json_object(path, f"ep_meta of '{group.name}'", text_attribute(path, group, "ep_meta")).get("lang")
    return sentence if isinstance(sentence, str) and sentence.strip() else None


def _signals(path: Path, group: h5py.Group, steps: int) -> dict[str, np.ndarray]:
    """MimicGen's signals, (steps,) bool each; none where the file was not annotated."""
    if _SIGNALS not in group:
        return {}
    names = children(path, group, _SIGNALS, "annotate the demos, or delete the group")
    return {name: read_array(path, group, f"{_SIGNALS}/{name}", (steps,)) != 0 for name in names}
