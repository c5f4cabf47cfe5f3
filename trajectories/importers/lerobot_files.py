"""The files of a LeRobotDataset v3.0, read without believing anything that they say of each other.

Each claim (totals, lengths, indices, shapes, times) is checked against what is there before it is used. Rows come one
episode at a time, in order.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from handful import InputError
from trajectories import lerobot as layout
from trajectories.importers.mapping import Feature
from trajectories.importers.video import VideoReader

_NUMBERS = {
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
}
# A description of a data set is never larger than this [bytes].
_DESCRIPTION = 64 << 20
# An episode is never longer than this [control steps]: it is in memory as a whole.
_LONGEST = 1_000_000
# Rows that are decoded from a parquet file at a time.
_BATCH = 256
# Timestamps may be off by this share of a control step.
_TOLERANCE = 0.1


@dataclass(frozen=True)
class Info:
    """What meta/info.json says, checked."""

    rate: float
    episodes: int
    frames: int
    robot: str
    features: dict[str, Feature]
    # Type of each feature as the file calls it: float32, image, video, ...
    dtypes: dict[str, str]


@dataclass(frozen=True)
class Place:
    """Where one episode lies."""

    index: int
    length: int
    # Chunk and number of its data file.
    file: tuple[int, int]
    sentences: tuple[str, ...]
    # Feature -> chunk and number of the video, and when its first frame is [s].
    videos: dict[str, tuple[int, int, float]]


def read_json(path: Path) -> Any:
    """A JSON file of reasonable size.

    Raises:
        InputError: it is missing, too large, or no JSON.
    """
    if not path.is_file():
        raise InputError(f"there is no file '{path}'")
    if path.stat().st_size > _DESCRIPTION:
        raise InputError(f"'{path}' is too large to be a description of a data set")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is damaged: {error}") from error


def read_info(root: Path) -> Info:
    """Read and check meta/info.json.

    Raises:
        InputError: it is no LeRobot data set, one of another version, or what it says cannot be.
    """
    path = root / layout.INFO
    if not root.is_dir():
        raise InputError(
            f"there is no folder '{root}'" if not root.exists() else f"'{root}' is a file; give the folder"
        )
    if not path.is_file():
        raise InputError(f"'{root}' is no LeRobot data set: it has no {layout.INFO}")
    info = read_json(path)
    if not isinstance(info, dict):
        raise InputError(f"'{path}' is damaged: it holds no object")
    version = info.get("codebase_version")
    if version != layout.VERSION:
        hint = ""
        if isinstance(version, str) and version.startswith("v2"):
            hint = "; convert it with LeRobot's convert_dataset_v21_to_v30 first"
        raise InputError(f"'{root}' is a LeRobot data set of version {version!r}; {layout.VERSION} is read{hint}")
    for name, expected in (("data_path", (layout.DATA_PATH,)), ("video_path", (layout.VIDEO_PATH, None))):
        if info.get(name) not in expected:
            raise InputError(f"'{path}': {name} is {info.get(name)!r}; version {layout.VERSION} has '{expected[0]}'")
    rate = info.get("fps")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e6:
        raise InputError(f"'{path}': fps is {rate!r}; it should be frames per second")
    described = info.get("features")
    if not isinstance(described, dict):
        raise InputError(f"'{path}' describes no features")
    features = {str(name): _feature(path, str(name), record) for name, record in described.items()}
    return Info(
        rate=float(rate),
        episodes=_count(path, info, "total_episodes"),
        frames=_count(path, info, "total_frames"),
        robot=str(info.get("robot_type")),
        features={name: feature for name, feature in features.items() if name not in layout.COUNTERS},
        dtypes={name: str(record["dtype"]) for name, record in described.items()},
    )


def _count(path: Path, info: dict[str, Any], name: str) -> int:
    value = info.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**40:
        raise InputError(f"'{path}': {name} is {value!r}; it should be at least 1")
    return value


def _feature(path: Path, name: str, record: Any) -> Feature:
    where = f"'{path}': feature '{name}'"
    if not name or "/" in name or name in (".", ".."):
        raise InputError(f"{where} has a name that the format does not allow")
    if not isinstance(record, dict) or not isinstance(record.get("dtype"), str):
        raise InputError(f"{where} has no dtype")
    shape = record.get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and 0 < n < 2**31 for n in shape) or len(shape) > 5:
        raise InputError(f"{where} has shape {shape!r}; it should be a list of sizes")
    names = _names(record.get("names"))
    if record["dtype"] in ("image", "video"):
        first = names[0] if names else ""
        if len(shape) == 3 and first.startswith("channel"):
            shape = [*shape[1:], shape[0]]
        return Feature(tuple(shape), "images")
    if record["dtype"] in _NUMBERS:
        return Feature(tuple(shape), "numbers", names)
    return Feature(tuple(shape), "text")


def _names(names: Any) -> tuple[str, ...]:
    """Names of columns, which some writers group: {"motors": [...]}."""
    if isinstance(names, dict):
        names = [name for group in names.values() for name in (group if isinstance(group, list) else [group])]
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def read_places(root: Path, info: Info) -> list[Place]:
    """Where each episode lies, from the tables in meta/episodes.

    Raises:
        InputError: a table is missing or damaged, or they contradict each other or info.json.
    """
    paths = sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
    if not paths:
        raise InputError(f"'{root}' has no tables in meta/episodes")
    tables = [pq.ParquetFile(path) for path in paths]
    rows = sum(table.metadata.num_rows for table in tables)
    if rows != info.episodes:
        raise InputError(f"'{root}' promises {info.episodes} episodes and its meta/episodes has {rows}")
    videos = [name for name, dtype in info.dtypes.items() if dtype == "video"]
    wanted = ["episode_index", "length", "data/chunk_index", "data/file_index", "dataset_from_index"]
    wanted += [f"videos/{name}/{what}" for name in videos for what in ("chunk_index", "file_index", "from_timestamp")]
    places: list[Place] = []
    begin = 0
    for path, table in zip(paths, tables, strict=True):
        missing = [name for name in wanted if name not in table.schema_arrow.names]
        if missing:
            raise InputError(f"'{path}' has no column '{missing[0]}'")
        sentences = ["tasks"] if "tasks" in table.schema_arrow.names else []
        for batch in table.iter_batches(batch_size=1000, columns=wanted + sentences):
            for row in batch.to_pylist():
                place = _place(path, row, videos)
                if (place.index, row["dataset_from_index"]) != (len(places), begin):
                    raise InputError(
                        f"'{path}': episode {len(places)} should begin at row {begin}; the table has episode "
                        f"{place.index} at row {row['dataset_from_index']}"
                    )
                places.append(place)
                begin += place.length
    if begin != info.frames:
        raise InputError(f"'{root}' promises {info.frames} frames and its episodes have {begin}")
    return places


def _place(path: Path, row: dict[str, Any], videos: Sequence[str]) -> Place:
    def whole(name: str, least: int = 0) -> int:
        value = row[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**40:
            raise InputError(f"'{path}': '{name}' is {value!r}; it should be a whole number, at least {least}")
        return value

    def time(name: str) -> float:
        value = row[name]
        if not isinstance(value, float | int) or not 0 <= value < 1e9:
            raise InputError(f"'{path}': '{name}' is {value!r}; it should be a time in seconds")
        return float(value)

    length = whole("length", 1)
    if length > _LONGEST:
        raise InputError(f"'{path}' has an episode of {length} steps; at most {_LONGEST} are read")
    sentences = row.get("tasks") or []
    return Place(
        index=whole("episode_index"),
        length=length,
        file=(whole("data/chunk_index"), whole("data/file_index")),
        sentences=tuple(str(sentence) for sentence in sentences),
        videos={
            name: (
                whole(f"videos/{name}/chunk_index"),
                whole(f"videos/{name}/file_index"),
                time(f"videos/{name}/from_timestamp"),
            )
            for name in videos
        },
    )


def read_rows(
    root: Path, info: Info, places: Sequence[Place], wanted: Sequence[str]
) -> Iterator[tuple[Place, dict[str, np.ndarray]]]:
    """The features of each episode, in order; those of numbers as (T, *shape), images as (T, H, W, 3) uint8.

    Raises:
        InputError: a file is missing or damaged, or holds something else than is promised.
    """
    stored = [name for name in wanted if info.dtypes[name] != "video"]
    videos: dict[str, VideoReader] = {}
    tables = _Tables(root, places, [*stored, "timestamp", "frame_index", "episode_index"])
    for place in places:
        table, path = tables.take(place)
        _check_counters(table, place, info.rate, path)
        rows = {name: _column(table, name, info, path) for name in stored}
        for name in wanted:
            if name not in stored:
                rows[name] = _frames(root, info, place, name, videos)
        yield place, rows
    for reader in videos.values():
        reader.close()


class _Tables:
    """Runs of rows of the data files, one episode after another."""

    def __init__(self, root: Path, places: Sequence[Place], columns: Sequence[str]) -> None:
        self._root, self._columns = root, list(columns)
        self._rows: dict[tuple[int, int], int] = {}
        for place in places:
            self._rows[place.file] = self._rows.get(place.file, 0) + place.length
        self._file: tuple[int, int] | None = None
        self._seen: set[tuple[int, int]] = set()
        self._path = root
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._held: list[pa.RecordBatch] = []

    def take(self, place: Place) -> tuple[pa.Table, Path]:
        """The rows of one episode, and the file that they come from."""
        if place.file != self._file:
            self._open(place.file)
        held = sum(len(batch) for batch in self._held)
        while held < place.length:
            batch = next(self._batches, None)
            if batch is None:
                raise InputError(f"'{self._path}' ends within episode {place.index}")
            self._held.append(batch)
            held += len(batch)
        table = pa.Table.from_batches(self._held)
        self._held = table.slice(place.length).to_batches()
        return table.slice(0, place.length), self._path

    def _open(self, file: tuple[int, int]) -> None:
        if file in self._seen:
            raise InputError(f"'{self._path.parent.parent}' has the episodes of one file at several places")
        self._seen.add(file)
        self._file = file
        self._path = self._root / layout.DATA_PATH.format(chunk_index=file[0], file_index=file[1])
        if not self._path.is_file():
            raise InputError(f"there is no file '{self._path}'")
        table = pq.ParquetFile(self._path)
        if table.metadata.num_rows != self._rows[file]:
            raise InputError(f"'{self._path}' has {table.metadata.num_rows} rows; its episodes have {self._rows[file]}")
        missing = [name for name in self._columns if name not in table.schema_arrow.names]
        if missing:
            raise InputError(f"'{self._path}' has no column '{missing[0]}'")
        self._batches, self._held = table.iter_batches(batch_size=_BATCH, columns=self._columns), []


def _check_counters(table: pa.Table, place: Place, rate: float, path: Path) -> None:
    where = f"'{path}': episode {place.index}"
    steps = np.arange(place.length)
    if not np.array_equal(_numbers(table.column("episode_index"), (1,), "int64", where)[:, 0], steps * 0 + place.index):
        raise InputError(f"{where} is not where meta/episodes says")
    if not np.array_equal(_numbers(table.column("frame_index"), (1,), "int64", where)[:, 0], steps):
        raise InputError(f"{where} has frame_index other than 0, 1, 2, ...")
    times = _numbers(table.column("timestamp"), (1,), "float64", where)[:, 0]
    off = np.abs(times * rate - steps)
    if not off.max() < _TOLERANCE:
        step = int(np.nanargmax(off)) if np.isfinite(off).any() else 0
        raise InputError(
            f"{where} is at {times[step]:.4f} s at step {step}; at {rate:g} steps per second that is no multiple of one"
        )


def _column(table: pa.Table, name: str, info: Info, path: Path) -> np.ndarray:
    column, feature = table.column(name), info.features[name]
    where = f"'{path}': '{name}'"
    if info.dtypes[name] == "image":
        return _images(column, feature.shape, where)
    return _numbers(column, feature.shape, info.dtypes[name], where)


def _numbers(column: pa.ChunkedArray, shape: tuple[int, ...], dtype: str, where: str) -> np.ndarray:
    """Rows of a column as (T, *shape), whether it holds numbers or lists (of lists) of them."""
    values, rows = column.combine_chunks(), len(column)
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    sizes = list(shape)
    while (
        pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type)
    ):
        lengths = pc.unique(pc.list_value_length(values)).to_pylist()
        if values.null_count or not sizes or lengths != [sizes[0]]:
            raise InputError(f"{where} has rows of lengths {lengths[:5]}; {'x'.join(map(str, shape))} are promised")
        values, sizes = values.flatten(), sizes[1:]
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)
    if values.null_count or not numeric or len(values) != rows * np.prod(shape, dtype=np.int64):
        raise InputError(f"{where} holds {values.type} with {values.null_count} gaps, not {dtype} without")
    return values.to_numpy(zero_copy_only=False).astype(dtype, copy=False).reshape(rows, *shape)


def _images(column: pa.ChunkedArray, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Images (T, H, W, 3) uint8 from the bytes of their files."""
    images: np.ndarray | None = None
    for row, cell in enumerate(column):
        data = cell.as_py().get("bytes") if pa.types.is_struct(column.type) and cell.is_valid else None
        if not isinstance(data, bytes):
            raise InputError(f"{where} has no image in row {row}; images must be inside the parquet file")
        image = decode_image(data, shape, f"{where}, row {row},")
        # The first image shows whether the size is true before the memory for all is asked for.
        images = np.empty((len(column), *shape), np.uint8) if images is None else images
        images[row] = image
    assert images is not None  # every episode has a step
    return images


def decode_image(data: bytes, shape: tuple[int, ...], where: str) -> np.ndarray:
    """A PNG or JPEG file as (H, W, 3) uint8.

    Raises:
        InputError: it is neither, or of another size.
    """
    with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
        # Before anything is decoded: a size that is only claimed would be allocated.
        if image.size != (shape[1], shape[0]) or image.mode not in ("RGB", "RGBA", "L", "P"):
            raise InputError(
                f"{where} is an image of {image.size[1]}x{image.size[0]} in mode {image.mode}; "
                f"{shape[0]}x{shape[1]} in RGB is promised"
            )
        return np.asarray(image.convert("RGB"))


def _frames(root: Path, info: Info, place: Place, name: str, readers: dict[str, VideoReader]) -> np.ndarray:
    chunk, file, start = place.videos[name]
    path = root / layout.VIDEO_PATH.format(video_key=name, chunk_index=chunk, file_index=file)
    if not path.is_file():
        raise InputError(f"there is no file '{path}'")
    if name not in readers or readers[name].path != path:
        if name in readers:
            readers[name].close()
        readers[name] = VideoReader(path, info.features[name].shape, info.rate)
    return readers[name].read(start, place.length)
