"""Data sets in LeRobot's format v3.0: our own exports exactly, others as a mapping says.

A folder that `export lerobot` wrote carries, beside what LeRobot reads, the metadata of each episode, digests of its
arrays, and the few arrays that the format has no place for. Of a data set by others only what the mapping names is
read. Everything is read and checked once in a process of its own before anything is written.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from handful import InputError
from trajectories import lerobot as layout
from trajectories.canonical import canonical_json, file_sha256, sha256
from trajectories.importers.conversion import convert
from trajectories.importers.filling import anywhere, check_episodes, fill_store
from trajectories.importers.fitting import check, offers
from trajectories.importers.lerobot_files import Info, Place, read_info, read_places, read_rows
from trajectories.importers.mapping import Forward, Mapping
from trajectories.importers.metadata import checked_meta
from trajectories.importers.rehearsal import rehearse
from trajectories.schema import Episode, EpisodeMeta, lookup

# What reading damaged files lets through: pyarrow, PyAV, Pillow and our own arithmetic on what they return.
_UNREADABLE = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, LookupError, EOFError),
    *(NotImplementedError, RecursionError, AssertionError, SyntaxError, MemoryError),
    *(pa.ArrowException, av.FFmpegError, Image.DecompressionBombError),
)
# A line of metadata is never longer than this [bytes].
_LINE = 64 << 20
# The slowest that videos are decoded [bytes/s], and everything else is read [bytes/s]; and what a reader needs to
# start [s].
_VIDEO_RATE, _RATE, _START = 1e5, 5e6, 60.0
# What libraries need, and what numbers may grow to when they are unpacked [bytes], [bytes per byte of file]; copies
# that are held of an episode's images; and what these may take at most, whatever the data set says [bytes].
_MEMORY, _UNPACKED, _COPIES, _MOST = 2 << 30, 8, 2, 32 << 30

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Request:
    """What was asked for, apart from the data set."""

    # None: the data set is one of ours.
    mapping: Mapping | None
    # Name of the task that must be in the data set; None: any.
    task: str | None
    # The domain of foreign episodes is real/<source>.
    source: str

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "mapping": None if self.mapping is None else self.mapping.to_json()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "_Request":
        mapping = None if record["mapping"] is None else Mapping.from_json(record["mapping"])
        return cls(**{**record, "mapping": mapping})


def import_lerobot(
    path: str | Path,
    store_path: str | Path,
    mapping: Mapping | None = None,
    forward: Forward | None = None,
    task: str | None = None,
    source_name: str = "lerobot",
    progress: Progress = lambda done, total: None,
) -> dict[str, int]:
    """Import a LeRobotDataset v3.0 into a new store.

    Args:
        path: the data set's folder, which has `meta/`, `data/` and perhaps `videos/`.
        store_path: where the store is made, or resumed.
        mapping: what the data set's numbers mean; None: `handful export lerobot` wrote it.
        forward: kinematics, for a mapping that asks for them.
        task: name of the task that the data set must show; None: whatever it shows.
        source_name: the domain of a data set by others is called "real/<source_name>".
        progress: called with the number of episodes read and their total, once all are checked.

    Returns:
        {"episodes": ..., "frames": ...}

    Raises:
        InputError: the data set is damaged, of another version or task, does not fit the mapping, or its numbers are
            not usable.
        JobError: the store cannot be written.
    """
    path = Path(path)
    read_info(path)
    if mapping is not None and task not in (None, mapping.task):
        raise InputError(f"the mapping says that '{path}' shows task '{mapping.task}'; asked for '{task}'")
    if mapping is not None and mapping.uses_kinematics() and forward is None:
        check(mapping, {}, mapping.control_rate, f"'{path}'", None)
    request = _Request(mapping, task, source_name)
    size = _size(path, "")
    limit = _START + size / _RATE + _size(path, "videos") / _VIDEO_RATE
    memory = _MEMORY + _UNPACKED * size + rehearse(f"{__name__}:largest_images", path)
    rehearse(f"{__name__}:check_folder", path, json.dumps(request.to_json()), limit=limit, memory=memory)
    plan: dict[str, Any] = {"import": "lerobot", "files": _fingerprint(path)}
    if mapping is not None:
        plan |= {"mapping": mapping.to_json(), "source": source_name}
    return fill_store(store_path, plan, _counted(_episodes(path, request, forward), read_info(path).episodes, progress))


def _counted(episodes: Iterator[Episode], total: int, progress: Progress) -> Iterator[Episode]:
    for done, episode in enumerate(episodes, start=1):
        yield episode
        progress(done, total)


def check_folder(path: Path, request: str) -> dict[str, int]:
    """Read and check the whole data set, and forget it: what a rehearsal does.

    Args:
        path: the data set's folder.
        request: what was asked for, as JSON.

    Raises:
        InputError: see `import_lerobot`.
    """
    return check_episodes(_episodes(path, _Request.from_json(json.loads(request)), anywhere), path)


def largest_images(path: Path) -> int:
    """How much memory the images of one episode may take [bytes], if what the data set says is true.

    Raises:
        InputError: see `import_lerobot`.
    """
    with _readable(path):
        info = read_info(path)
        frame = sum(feature.width for feature in info.features.values() if feature.kind == "images")
        longest = max((place.length for place in read_places(path, info)), default=0)
    return min(_COPIES * frame * longest, _MOST)


def _size(path: Path, folder: str) -> int:
    return sum(file.stat().st_size for file in (path / folder).rglob("*") if file.is_file())


def _fingerprint(path: Path) -> str:
    """SHA-256 over names and content of the data set's files."""
    files = [file for folder in ("meta", "data", "videos") for file in (path / folder).rglob("*") if file.is_file()]
    return sha256(canonical_json({file.relative_to(path).as_posix(): file_sha256(file) for file in files}))


def _episodes(path: Path, request: _Request, forward: Forward | None) -> Iterator[Episode]:
    """The episodes one after the other."""
    with _readable(path), np.errstate(over="ignore", invalid="ignore"):
        info = read_info(path)
        if request.mapping is not None:
            yield from _foreign(path, info, request.mapping, request.source, forward)
        elif (path / layout.HEADER).is_file():
            yield from _own(path, info, request.task)
        else:
            raise InputError(
                f"'{path}' was not written by 'handful export lerobot', so its numbers need a mapping "
                f"(--mapping; start from configs/mapping/lerobot_franka.yaml); at {info.rate:g} steps per second "
                f"it has: {offers(info.features)}"
            )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Around reading: what the libraries raise for damaged files is an InputError."""
    try:
        yield
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"'{path}' is damaged, or no LeRobot data set: {reason}") from error


# Of others


def _foreign(path: Path, info: Info, mapping: Mapping, source: str, forward: Forward | None) -> Iterator[Episode]:
    check(mapping, info.features, info.rate, f"'{path}'", forward)
    places = read_places(path, info)
    for place in places:
        _sentence(mapping, place)
    wanted = sorted({*mapping.numbers(), *mapping.cameras.values()})
    extra = {"recorded_in": "LeRobot", "robot_type": info.robot}
    lossy = sorted(name for name, feature in mapping.cameras.items() if info.dtypes[feature] == "video")
    if lossy:
        extra["images"] = f"decoded from video: {', '.join(lossy)}"
    for place, rows in read_rows(path, info, places, wanted):
        arrays = convert(mapping, rows, f"'{path}': episode {place.index}", forward)
        observed = slice(0, len(arrays["subtask"]) * mapping.stride, mapping.stride)
        for camera, feature in mapping.cameras.items():
            arrays[f"images/{camera}"] = mapping.upright(rows[feature][observed])
        yield Episode(arrays, mapping.meta(source, _sentence(mapping, place), place.index, extra))


def _sentence(mapping: Mapping, place: Place) -> str | None:
    """What the data set says an episode is about; of several sentences none can be chosen."""
    if mapping.instruction is None and len(place.sentences) != 1:
        raise InputError(
            f"episode {place.index} has {len(place.sentences)} task sentences; give the mapping an 'instruction'"
        )
    return place.sentences[0] if len(place.sentences) == 1 else None


# Our own


def _own(path: Path, info: Info, task: str | None) -> Iterator[Episode]:
    """The episodes just as they were exported; only images in videos are not what they were."""
    lines = _header_lines(path / layout.HEADER)
    header = _Header.read(path, next(lines), info)
    places = read_places(path, info)
    rest = _rest(path, header)
    rows = read_rows(path, info, places, header.wanted)
    # An episode too few or too many is in the counts of all of them, or ends one of these early.
    for (place, features), line, beside in zip(rows, lines, rest, strict=True):
        where = f"'{path}': episode {place.index}"
        record = _object(line, where)
        described = record.get("meta")
        meta = checked_meta(described if isinstance(described, dict) else {}, where)
        arrays = header.arrays(features, beside, where)
        _check_digests(arrays, record.get("digests"), header, where)
        if task not in (None, meta.task):
            raise InputError(f"{where} shows task '{meta.task}'; asked for '{task}'")
        if meta.control_rate != info.rate:
            raise InputError(f"{where} has a control rate of {meta.control_rate:g} Hz and the data set {info.rate:g}")
        yield Episode(arrays, _lossy(meta) if header.lossy else meta)


def _lossy(meta: EpisodeMeta) -> EpisodeMeta:
    return EpisodeMeta.from_json({**meta.to_json(), "extra": {**meta.extra, "images": "decoded from lossy video"}})


@dataclass(frozen=True)
class _Header:
    """What the first line of our own file says: which keys there are, and which feature holds them."""

    action: layout.Action
    # Whether images come from videos.
    lossy: bool
    # Key -> dtype and shape of one row.
    keys: dict[str, tuple[np.dtype[Any], tuple[int, ...]]]

    @classmethod
    def read(cls, path: Path, line: bytes, info: Info) -> "_Header":
        """Check the line against what info.json says."""
        where = f"'{path / layout.HEADER}'"
        record = _object(line, where)
        if record.get("version") != layout.HEADER_VERSION:
            raise InputError(
                f"{where} has version {record.get('version')!r}; this version of handful reads {layout.HEADER_VERSION}"
            )
        if record.get("action") not in ("executed", "intended") or not isinstance(record.get("keys"), dict):
            raise InputError(f"{where} is damaged: it does not say what the data set holds")
        keys = {}
        for key, spec in record["keys"].items():
            lookup(key)
            row = tuple(spec["row"])
            if not all(type(size) is int and 0 <= size < 2**31 for size in row) or len(row) > 5:
                raise InputError(f"{where} is damaged: '{key}' has rows of shape {list(row)}")
            keys[key] = np.dtype(str(spec["dtype"])), row
        header = cls(record["action"], record.get("images") == "video", keys)
        header._check(info, where)
        return header

    def _check(self, info: Info, where: str) -> None:
        missing = [key for key in (*layout.STATE_KEYS, f"action/{self.action}") if key not in self.keys]
        if missing:
            raise InputError(f"{where} is damaged: it lacks {', '.join(missing)}")
        for key, (dtype, row) in self.keys.items():
            feature = layout.feature_of(key, self.action)
            if not layout.is_column(key):
                continue
            if key.startswith("images/"):
                kinds, shape = ("video" if self.lossy else "image",), row
            else:
                kinds = (dtype.name,)
                shape = (self._joints + 1,) if feature == layout.STATE else row or (1,)
            if (
                feature not in info.features
                or info.dtypes[feature] not in kinds
                or info.features[feature].shape != shape
            ):
                found = info.features.get(feature)
                raise InputError(
                    f"{where} promises '{feature}' as {kinds[0]} of {'x'.join(map(str, shape))} for '{key}'; "
                    f"the data set has {found if found is not None else 'none'}"
                )

    @property
    def _joints(self) -> int:
        return self.keys["observation/joint_position"][1][0]

    @property
    def wanted(self) -> list[str]:
        """The features that hold the keys."""
        return sorted({layout.feature_of(key, self.action) for key in self.keys if layout.is_column(key)})

    @property
    def beside(self) -> list[str]:
        """The keys that have not one row per step."""
        return [key for key in self.keys if key == "state" or not layout.is_column(key)]

    def arrays(
        self, features: dict[str, np.ndarray], beside: dict[str, np.ndarray], where: str
    ) -> dict[str, np.ndarray]:
        """An episode's arrays by key."""
        arrays = {}
        for key, (dtype, row) in self.keys.items():
            if not layout.is_column(key):
                arrays[key] = beside[key].reshape(-1, *row).astype(dtype)
                continue
            rows = features[layout.feature_of(key, self.action)]
            if key == layout.STATE_KEYS[0]:
                rows = rows[:, : self._joints]
            elif key == layout.STATE_KEYS[1]:
                rows = rows[:, self._joints :]
            rows = rows.reshape(len(rows), *row)
            if key == "state":
                rows = np.concatenate([rows, beside[key].reshape(1, *row)])
            if rows.dtype != dtype:
                raise InputError(f"{where}: '{key}' is {rows.dtype}; it was {dtype}")
            arrays[key] = np.ascontiguousarray(rows)
        return arrays


def _check_digests(arrays: dict[str, np.ndarray], promised: Any, header: _Header, where: str) -> None:
    exact = {key for key in arrays if not (header.lossy and key.startswith("images/"))}
    if not isinstance(promised, dict) or promised.keys() != exact:
        raise InputError(f"{where}: its digests are not those of {', '.join(sorted(exact))}")
    changed = sorted(key for key in exact if layout.digest(arrays[key]) != promised[key])
    if changed:
        raise InputError(
            f"{where}: {', '.join(changed)} changed since it was exported; if that is meant, use a mapping"
        )


def _object(line: bytes, where: str) -> dict[str, Any]:
    record = json.loads(line)
    if not isinstance(record, dict):
        raise InputError(f"{where} is damaged: a line of its metadata holds no object")
    return record


def _header_lines(path: Path) -> Iterator[bytes]:
    """The lines of our own file but the last, which is the digest of all others and is checked first."""
    whole, last, count = hashlib.sha256(), b"", 0
    with path.open("rb") as file:
        while line := file.readline(_LINE):
            whole.update(last)
            last, count = line, count + 1
    if not last.endswith(b"\n") or _object(last, f"'{path}'").get("sha256") != whole.hexdigest():
        raise InputError(f"'{path}' is damaged: it is not what its last line says; use a mapping to import without it")
    with path.open("rb") as file:
        for _ in range(count - 1):
            yield file.readline(_LINE)


def _rest(path: Path, header: _Header) -> Iterator[dict[str, np.ndarray]]:
    """Per episode the arrays that have not one row per step, flattened; endless if there are none of them."""
    if not header.beside:
        count = len(read_places(path, read_info(path)))
        yield from ({} for _ in range(count))
        return
    for file in sorted((path / "meta" / "handful").glob("chunk-*/file-*.parquet")):
        table = pq.ParquetFile(file)
        missing = [key for key in header.beside if key not in table.schema_arrow.names]
        if missing:
            raise InputError(f"'{file}' has no column '{missing[0]}'")
        for batch in table.iter_batches(batch_size=1, columns=header.beside):
            yield {key: _flat(batch.column(key), header.keys[key][0], f"'{file}': '{key}'") for key in header.beside}


def _flat(column: pa.Array, dtype: np.dtype[Any], where: str) -> np.ndarray:
    values = column.flatten()
    if column.null_count or values.null_count or values.type != pa.from_numpy_dtype(dtype):
        raise InputError(f"{where} holds {values.type}, not {dtype}")
    array: np.ndarray = values.to_numpy(zero_copy_only=False)
    return array
