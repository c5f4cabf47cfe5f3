"""A data set as LeRobotDataset v3.0, for LeRobot's own readers and trainers, and for the way back.

`observation.state` is the joint angles and the gripper's opening, `action` what was executed (or intended); the rest of
the record goes along as features that no policy of LeRobot's takes for an input. One episode is in memory at a time;
the folder is written aside and appears under its name when it is complete.
"""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from handful import InputError, JobError, __version__, unknown_name
from trajectories import lerobot as layout
from trajectories.canonical import canonical_json, disk_errors, file_sha256, sync_to_disk
from trajectories.dataset import Dataset
from trajectories.exporters.lerobot_stats import ImageStatistics, NumberStatistics
from trajectories.exporters.lerobot_tables import (
    data_columns,
    data_schema,
    describe_features,
    episodes_schema,
    rest_schema,
    tasks_table,
)
from trajectories.exporters.rolling import ParquetSeries, VideoSeries
from trajectories.staging import staging_path, sweep

# Episodes whose rows of metadata are written together.
_ROWS = 100

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LerobotOptions:
    """How a data set is exported."""

    # png: lossless, in the parquet files. video: small, lossy. none: no images.
    images: Literal["png", "video", "none"] = "png"
    # Which of the two is the format's action; the other goes along.
    action: layout.Action = "executed"
    # Sizes above which the next file is begun [MiB], and files per folder.
    data_mb: int = 100
    video_mb: int = 200
    chunk_files: int = 1000

    def __post_init__(self) -> None:
        for what, value, valid in (
            ("way to export images", self.images, ("png", "video", "none")),
            ("action", self.action, ("executed", "intended")),
        ):
            if value not in valid:
                raise unknown_name(what, value, valid)
        for name in ("data_mb", "video_mb", "chunk_files"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")


def export_lerobot(
    dataset: Dataset,
    out: str | Path,
    options: LerobotOptions | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, int]:
    """Write a data set as LeRobotDataset v3.0.

    Args:
        dataset: a store or a view.
        out: the folder to make; must not exist.
        options: None: the defaults.
        progress: called with the number of episodes written and their total.

    Returns:
        {"episodes": ..., "frames": ...}

    Raises:
        InputError: `out` exists, or the data set is empty, mixes control rates or embodiments, or does not fit.
        JobError: the data is damaged, or the disk is full; nothing half-written is left.
    """
    out, options = Path(out), options or LerobotOptions()
    rate, embodiment = _check(dataset, out, options)
    with disk_errors(f"'{out}'"):
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out.parent)
        staging = staging_path(out.parent, out.name.replace("-", "_"))
        try:
            with _Export(dataset, staging, options, rate, embodiment) as export:
                for episode in range(len(dataset)):
                    export.write_episode(episode)
                    progress(episode + 1, len(dataset))
                export.finish()
            for path in sorted(staging.rglob("*")):
                sync_to_disk(path)
            os.rename(staging, out)
            sync_to_disk(out.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return {"episodes": len(dataset), "frames": dataset.frames}


def _check(dataset: Dataset, out: Path, options: LerobotOptions) -> tuple[int, str]:
    """The control rate [Hz] and embodiment of all episodes."""
    if out.exists() or out.is_symlink():
        raise InputError(f"'{out}' exists; an export makes a new folder")
    if len(dataset) == 0:
        raise InputError(f"'{dataset.path}' holds no episodes; there is nothing to export")
    index = dataset.index()
    rates = np.unique(index.control_rate)
    if len(rates) > 1:
        raise InputError(
            f"'{dataset.path}' mixes control rates {rates[0]:g} and {rates[-1]:g} Hz; export views of one rate each"
        )
    embodiments = index.categories["embodiment"]
    present = sorted({str(embodiments.values[code]) for code in np.unique(embodiments.codes)})
    if len(present) > 1:
        raise InputError(f"'{dataset.path}' mixes embodiments {', '.join(present)}; export views of one each")
    if options.images == "video":
        for camera in dataset.cameras():
            height, width, _ = dataset.row_shape(f"images/{camera}")
            if height % 2 or width % 2:
                raise InputError(
                    f"images of camera '{camera}' are {height}x{width}; a video needs even sizes: use --images png"
                )
    return layout.whole_rate(float(rates[0]), f"'{dataset.path}'"), present[0]


class _Export:
    """One export under way, in its temporary folder. A context manager, since it has files open."""

    def __init__(self, dataset: Dataset, root: Path, options: LerobotOptions, rate: int, embodiment: str) -> None:
        self._dataset, self._root, self._options = dataset, root, options
        self._rate, self._embodiment = rate, embodiment
        everything = dataset.keys()
        keys = [key for key in everything if options.images != "none" or not key.startswith("images/")]
        self._dtypes = {key: dataset.read(0, key, 0, 0).dtype for key in keys}
        self._cameras = {key: self._name(key) for key in keys if key.startswith("images/")}
        # What has not one row per step; `state` has one more, and that one goes there.
        self._rest = {k: dtype for k, dtype in self._dtypes.items() if k == "state" or not layout.is_column(k)}
        self._features = describe_features(dataset, self._dtypes, options.action, options.images)
        self._statistics: dict[str, NumberStatistics | ImageStatistics] = {
            name: ImageStatistics() if feature["dtype"] in ("image", "video") else NumberStatistics()
            for name, feature in self._features.items()
        }
        self._tasks: dict[str, int] = {}
        self._frames = 0
        self._rows: list[dict[str, Any]] = []
        self._schemas = data_schema(self._features), episodes_schema(self._features), rest_schema(self._rest)
        paths = (layout.DATA_PATH, layout.EPISODES_PATH, layout.REST_PATH)
        self._data, self._episodes, self._beside = (
            ParquetSeries(schema, self._path(path), options.data_mb, options.chunk_files)
            for schema, path in zip(self._schemas, paths, strict=True)
        )
        videos = self._cameras if options.images == "video" else {}
        self._videos = {key: self._video(key, name) for key, name in videos.items()}
        self._threads = ThreadPoolExecutor(os.cpu_count())
        (root / "meta").mkdir(parents=True)
        self._header = (root / layout.HEADER).open("wb")
        self._put_header(self._introduction())

    def __enter__(self) -> "_Export":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        self._header.close()

    def _name(self, key: str) -> str:
        return layout.feature_of(key, self._options.action)

    def _path(self, template: str, **names: str) -> Callable[[int, int], Path]:
        return lambda chunk, file: self._root / template.format(chunk_index=chunk, file_index=file, **names)

    def _video(self, key: str, name: str) -> VideoSeries:
        path = self._path(layout.VIDEO_PATH, video_key=name)
        options = self._options
        return VideoSeries(self._dataset.row_shape(key), self._rate, path, options.video_mb, options.chunk_files)

    def _introduction(self) -> dict[str, Any]:
        keys = {
            key: {"dtype": dtype.name, "row": list(self._dataset.row_shape(key))} for key, dtype in self._dtypes.items()
        }
        return {
            "handful": __version__,
            "version": layout.HEADER_VERSION,
            "plan_digest": self._dataset.plan_digest,
            "control_rate": self._rate,
            "action": self._options.action,
            "images": self._options.images,
            "episodes": len(self._dataset),
            "keys": keys,
        }

    def _put_header(self, record: dict[str, Any]) -> None:
        self._header.write(canonical_json(record, f"metadata of '{self._dataset.path}'") + b"\n")

    def write_episode(self, episode: int) -> None:
        """Append one episode to all files."""
        arrays = {key: self._dataset.read(episode, key) for key in self._dtypes}
        meta = self._dataset.meta(episode)
        steps = len(arrays["subtask"])
        columns = self._columns(arrays, episode, steps, self._tasks.setdefault(meta.instruction, len(self._tasks)))
        chunk, file = self._data.place(steps)
        row: dict[str, Any] = {
            "episode_index": episode,
            "tasks": [meta.instruction],
            "length": steps,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + steps,
        }
        for key, video in self._videos.items():
            row |= {f"videos/{self._name(key)}/{what}": value for what, value in _encode(video, key, arrays).items()}
        for name, statistics in self._statistics.items():
            row |= {f"stats/{name}/{what}": value for what, value in statistics.add(columns[name]).items()}
        images = {} if self._videos else {name: self._pngs(columns[name]) for name in self._cameras.values()}
        self._data.write(data_columns(self._schemas[0], columns | images))
        self._frames += steps
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._write_rows()
        self._write_beside(episode, arrays)
        exact = {key: layout.digest(value) for key, value in arrays.items() if key not in self._videos}
        self._put_header({"meta": meta.to_json(), "digests": exact})

    def _columns(self, arrays: dict[str, np.ndarray], episode: int, steps: int, task: int) -> dict[str, Any]:
        """Feature -> one row per step, with two dimensions unless it is images."""
        columns: dict[str, Any] = {
            layout.STATE: np.concatenate([arrays[key] for key in layout.STATE_KEYS], axis=1),
        }
        for key, array in arrays.items():
            if key in self._cameras:
                columns[self._cameras[key]] = array
            elif layout.is_column(key) and key not in layout.STATE_KEYS:
                columns[self._name(key)] = array[:steps].reshape(steps, -1)
        counted = np.arange(steps)
        counters = {
            "timestamp": counted / self._rate,
            "frame_index": counted,
            "episode_index": np.full(steps, episode),
            "index": self._frames + counted,
            "task_index": np.full(steps, task),
        }
        typed = {name: counters[name].astype(dtype)[:, None] for name, dtype in layout.COUNTERS.items()}
        return columns | typed

    def _pngs(self, frames: np.ndarray) -> pa.Array:
        return pa.array(list(self._threads.map(_png, frames)), pa.binary())

    def _write_beside(self, episode: int, arrays: dict[str, np.ndarray]) -> None:
        if not self._rest:
            return
        schema = self._schemas[2]
        values = [arrays[key][-1:] if key == "state" else arrays[key] for key in self._rest]
        lists = [pa.array([v.ravel()], field.type) for v, field in zip(values, list(schema)[1:], strict=True)]
        self._beside.place(1)
        self._beside.write(pa.Table.from_arrays([pa.array([episode]), *lists], schema=schema))

    def _write_rows(self) -> None:
        chunk, file = self._episodes.place(len(self._rows))
        rows = [row | {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file} for row in self._rows]
        self._episodes.write(pa.Table.from_pylist(rows, schema=self._schemas[1]))
        self._rows = []

    def finish(self) -> None:
        """Write what is known at the end only, and close all files."""
        if self._rows:
            self._write_rows()
        for table in (self._data, self._episodes, self._beside):
            table.close()
        for video in self._videos.values():
            video.close()
        self._header.close()
        seal = {"sha256": file_sha256(self._root / layout.HEADER)}
        with (self._root / layout.HEADER).open("ab") as file:
            file.write(canonical_json(seal) + b"\n")
        for key, video in self._videos.items():
            self._features[self._name(key)]["info"] = video.info()
        pq.write_table(tasks_table(self._tasks), self._root / layout.TASKS)
        self._write_json(layout.STATS, {name: statistics.total() for name, statistics in self._statistics.items()})
        self._write_json(layout.INFO, self._info())

    def _info(self) -> dict[str, Any]:
        episodes = len(self._dataset)
        return {
            "codebase_version": layout.VERSION,
            "robot_type": self._embodiment,
            "fps": self._rate,
            "total_episodes": episodes,
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": self._options.chunk_files,
            "data_files_size_in_mb": self._options.data_mb,
            "video_files_size_in_mb": self._options.video_mb,
            "splits": {"train": f"0:{episodes}"},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self._videos else None,
            "features": self._features,
        }

    def _write_json(self, name: str, record: dict[str, Any]) -> None:
        (self._root / name).write_text(json.dumps(record, indent=4, allow_nan=False) + "\n", encoding="utf-8")


def _encode(video: VideoSeries, key: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    try:
        return video.write(arrays[key])
    except (av.FFmpegError, av.codec.codec.UnknownCodecError) as error:
        if isinstance(error, OSError):  # such as a full disk
            raise
        raise JobError(f"'{key}' cannot be encoded as a video ({error}); use --images png") from error


def _png(image: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
