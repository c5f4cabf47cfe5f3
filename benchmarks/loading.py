"""Random training windows per second, streamed from a store, beside plain sequential Zarr reading of the same arrays.

    python benchmarks/loading.py [--long] [--store STORE] [--seconds S]

The same rendered episodes are also written as a LeRobot data set's layout (MP4 by AV1 with g=2, and PNG in parquet)
and as robomimic's (gzip HDF5), and as many random windows are read from these: one observation of two cameras and
proprioception, and 16 actions. Prints one JSON object: `value` streamed windows/s with one thread, `limit` windows/s if
the arrays were read in order by Zarr, `ratio` of the two; then the others, and what the stream is worth beside each.

All read from the page cache. Streaming gets pools of a quarter of the data at most, so that, as with data that does
not fit into memory, every window's chunk is read and decompressed for each epoch anew. Zarr's limit is with one thread,
as is the stream; `ratio_two_threads` is two threads beside Zarr on all cores.
"""

import argparse
import io
import itertools
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipelines import generate
from pipelines.progress import Reporter
from trajectories import Blend, Source, Store, WindowSpec, order, prefetch

CAMERAS = ("front", "wrist")
HORIZON = 16
BATCH = 128
NUMBERS = ("observation/joint_position", "action/intended")
T = TypeVar("T")


class Pace:
    """Windows per second of something that gives windows, measured over some seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, batches: Iterator[int]) -> float:
        """Pull from an iterator that yields how many windows each pull gave."""
        next(batches)
        given, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < self.seconds:
            given += next(batches)
        return given / passed


def streamed(path: Path, threads: int, resident: str = "stream") -> Iterator[int]:
    """Batches of a blend."""
    spec = WindowSpec(CAMERAS, HORIZON, validation_fraction=0)
    blend = Blend([Source(str(path))], spec, 0, resident)  # type: ignore[arg-type]
    for batch in prefetch(lambda step: blend.batch(step, BATCH), itertools.count(), threads, depth=4):
        yield len(batch["source"])


def sequential_zarr(path: Path, threads: int | None) -> float:
    """Windows/s if each array that windows are made of were read in order, whole, by Zarr itself, once per epoch.

    Args:
        path: of the store.
        threads: of Zarr's own; None: as many as it likes.
    """
    import zarr

    keys = [f"images/{camera}" for camera in CAMERAS]
    keys += list(WindowSpec(CAMERAS).number_keys)
    best = 0.0
    for _ in range(3):
        frames, started = 0, time.perf_counter()
        for part in sorted((path / "parts").iterdir()):
            group = zarr.open_group(part, mode="r")
            with zarr.config.set({"threading.max_workers": threads}):
                for key in keys:
                    array = group[key]
                    assert isinstance(array, zarr.Array)
                    array[:]
            # A part may hold more than the store exposes.
            frames += array.shape[0]
        best = max(best, frames / (time.perf_counter() - started))
    return best


class Rival:
    """Random windows from another layout."""

    def __init__(self, store: Store) -> None:
        index = store.index()
        self.lengths = index.length.astype(np.int64)
        self.first = np.cumsum(self.lengths) - self.lengths
        self.episode = np.repeat(np.arange(len(self.lengths)), self.lengths)
        self.frames = int(self.lengths.sum())

    def window(self, frame: int) -> dict[str, np.ndarray]:
        """The window at a frame."""
        raise NotImplementedError

    def chunk(self, frame: int) -> np.ndarray:
        """Rows of the window's actions."""
        episode = self.episode[frame]
        last = self.first[episode] + self.lengths[episode] - 1
        return np.minimum(np.arange(frame, frame + HORIZON), last)

    def batches(self) -> Iterator[int]:
        """Batches of windows at uniformly random frames."""
        rng = np.random.default_rng(0)
        while True:
            # Few at a time: some of these are slow.
            windows = [self.window(int(frame)) for frame in rng.integers(self.frames, size=8)]
            {key: np.stack([window[key] for window in windows]) for key in windows[0]}
            yield len(windows)


class LeRobotVideo(Rival):
    """LeRobot v3's layout with video: frames of all episodes in one MP4 per camera, numbers in parquet."""

    def __init__(self, store: Store, folder: Path, reopen: bool) -> None:
        super().__init__(store)
        import av

        self._av, self._folder, self._reopen = av, folder, reopen
        for camera in CAMERAS:
            if not (folder / f"{camera}.mp4").exists():
                self._encode(store, camera)
        self._table = write_numbers(store, folder / "numbers.parquet")
        self._open = {} if reopen else {camera: av.open(str(folder / f"{camera}.mp4")) for camera in CAMERAS}

    def _encode(self, store: Store, camera: str) -> None:
        height, width, _ = store.row_shape(f"images/{camera}")
        with self._av.open(str(self._folder / f"{camera}.mp4"), "w") as file:
            # LeRobot's defaults.
            stream = file.add_stream("libsvtav1", 20, options={"g": "2", "crf": "30", "preset": "12"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for episode in range(len(store)):
                for image in store.read(episode, f"images/{camera}"):
                    file.mux(stream.encode(self._av.VideoFrame.from_ndarray(image, format="rgb24")))
            file.mux(stream.encode())

    def _image(self, camera: str, frame: int) -> np.ndarray:
        file = self._av.open(str(self._folder / f"{camera}.mp4")) if self._reopen else self._open[camera]
        stream = file.streams.video[0]
        wanted = round(frame / 20 / stream.time_base)
        file.seek(wanted, stream=stream)
        for decoded in file.decode(stream):
            if decoded.pts >= wanted:
                image = decoded.to_ndarray(format="rgb24")
                if self._reopen:
                    file.close()
                return image
        raise RuntimeError(f"frame {frame} is not in the video")

    def window(self, frame: int) -> dict[str, np.ndarray]:
        """See `Rival`."""
        images = {camera: self._image(camera, frame) for camera in CAMERAS}
        return images | {
            "proprio": self._table[NUMBERS[0]][frame],
            "action": self._table[NUMBERS[1]][self.chunk(frame)],
        }


class LeRobotImages(Rival):
    """LeRobot v3's layout with images: PNG in the rows of a parquet file, which is kept in memory whole."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store)
        import pyarrow as pa
        import pyarrow.parquet as pq
        from PIL import Image

        self._pil = Image
        self._table = write_numbers(store, folder / "numbers.parquet")
        path = folder / "images.parquet"
        columns = {}
        for camera in CAMERAS:
            images = (im for episode in range(len(store)) for im in store.read(episode, f"images/{camera}"))
            columns[camera] = pa.array([self._png(image) for image in images], pa.binary())
        pq.write_table(pa.table(columns), path, row_group_size=1024)
        self._rows = pq.read_table(path)

    def _png(self, image: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        self._pil.fromarray(image).save(buffer, "PNG")
        return buffer.getvalue()

    def window(self, frame: int) -> dict[str, np.ndarray]:
        """See `Rival`."""
        images = {
            camera: np.asarray(self._pil.open(io.BytesIO(self._rows[camera][frame].as_py()))) for camera in CAMERAS
        }
        return images | {
            "proprio": self._table[NUMBERS[0]][frame],
            "action": self._table[NUMBERS[1]][self.chunk(frame)],
        }


class Robomimic(Rival):
    """robomimic's HDF5: a group per demo, each array gzip-compressed in the chunks that h5py chooses."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store)
        import h5py

        with h5py.File(folder / "demos.hdf5", "w") as file:
            for episode in range(len(store)):
                group = file.create_group(f"data/demo_{episode}")
                for camera in CAMERAS:
                    images = store.read(episode, f"images/{camera}")
                    group.create_dataset(f"obs/{camera}_image", data=images, compression="gzip")
                group.create_dataset("obs/joint_pos", data=store.read(episode, NUMBERS[0]), compression="gzip")
                group.create_dataset("actions", data=store.read(episode, NUMBERS[1]), compression="gzip")
        self._file = h5py.File(folder / "demos.hdf5", "r")

    def window(self, frame: int) -> dict[str, np.ndarray]:
        """See `Rival`."""
        episode = int(self.episode[frame])
        group, at = self._file[f"data/demo_{episode}"], frame - int(self.first[episode])
        actions = group["actions"][at : at + HORIZON]
        rows = self.chunk(frame) - frame
        images = {camera: group[f"obs/{camera}_image"][at] for camera in CAMERAS}
        return images | {"proprio": group["obs/joint_pos"][at], "action": actions[np.minimum(rows, len(actions) - 1)]}


def write_numbers(store: Store, path: Path) -> dict[str, np.ndarray]:
    """Numbers as parquet, and as they are in memory once it has been read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {key: np.concatenate([store.read(i, key) for i in range(len(store))]) for key in NUMBERS}
    pq.write_table(pa.table({key: pa.array(list(values)) for key, values in columns.items()}), path)
    table = pq.read_table(path)
    return {key: np.stack(table[key].to_numpy()).astype(np.float32) for key in NUMBERS}


def with_pools_of(share: float, path: Path, run: Callable[[], T]) -> T:
    """Run something with pools of a share of a store, where that is less than the usual."""
    store, usual = Store.open(path), (order.POOL_BYTES, order.POOL_BLOCKS)
    images = sum(int(np.prod(store.row_shape(f"images/{camera}"))) for camera in CAMERAS)
    order.POOL_BYTES, order.POOL_BLOCKS = min(usual[0], int(share * store.frames * images)), 1
    try:
        return run()
    finally:
        order.POOL_BYTES, order.POOL_BLOCKS = usual


def _in_own_process(measured: Callable[[Path, int | None], float], path: Path, threads: int | None) -> float:
    # Zarr keeps the threads that it once started.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (path, threads))


def make(path: Path, episodes: int, times: int) -> None:
    """Generate lifts seen by two cameras, and put them into each of `times` parts: drawing more would take long."""
    drawn = path.with_name("drawn")
    generate.run(
        "lift", None, drawn, None, episodes, CAMERAS, 84, 1, 0, None, "handful", False, [], Reporter(quiet=True)
    )  # fmt: skip
    source = Store.open(drawn)
    content = [source.episode(i) for i in range(len(source))]
    store = Store.create(path, {"benchmark": "loading", "episodes": episodes, "times": times})
    for part in range(times):
        scenes = range(part * episodes, (part + 1) * episodes)
        moved = [replace(e, meta=replace(e.meta, scene=scene)) for e, scene in zip(content, scenes, strict=True)]
        store.commit(part, moved, [{"scene": scene, "outcome": "success", "attempts": 1} for scene in scenes])
    store.seal(None)


def measure(long: bool, path: Path | None = None, seconds: float | None = None) -> dict[str, object]:
    """Read windows from a store and from other layouts of the same content, one after the other.

    Args:
        long: 96 episodes, four times each, and 20 seconds for each layout, instead of 6 and 2.
        path: a store with both cameras; None: one is generated.
        seconds: how long each is measured.
    """
    pace = Pace(seconds or (20 if long else 2))
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "store"
            make(path, 96 if long else 6, 4)
        store = Store.open(path)
        limit, every_core = _in_own_process(sequential_zarr, path, 1), _in_own_process(sequential_zarr, path, None)
        value, two = (with_pools_of(0.25, path, lambda n=n: pace(streamed(path, n))) for n in (1, 2))  # type: ignore[misc]
        rates: dict[str, float] = {
            "resident": pace(streamed(path, 1, "memory")),
            "lerobot_video": pace(LeRobotVideo(store, Path(folder), reopen=False).batches()),
            "lerobot_video_reopened": pace(LeRobotVideo(store, Path(folder), reopen=True).batches()),
            "lerobot_images": pace(LeRobotImages(store, Path(folder)).batches()),
            "robomimic": pace(Robomimic(store, Path(folder)).batches()),
        }
    others: dict[str, Any] = {f"{name}_per_s": rate for name, rate in rates.items()}
    return {
        "benchmark": "loading",
        "value": value,
        "limit": limit,
        "ratio": value / limit,
        "two_threads_per_s": two,
        "zarr_every_core_per_s": every_core,
        "ratio_two_threads": two / every_core,
        **others,
        **{f"times_{name}": value / rate for name, rate in rates.items() if name != "resident"},
        "episodes": len(store),
        "frames": store.frames,
        "seconds_each": pace.seconds,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="96 episodes and 20 s for each, instead of 6 and 2 s")
    parser.add_argument("--store", type=Path, default=None, help="a store with cameras front and wrist")
    parser.add_argument("--seconds", type=float, default=None, help="how long each is measured")
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.store, chosen.seconds)))


if __name__ == "__main__":
    main()
