"""Bytes of an image episode in our store, beside the same content in gzip HDF5, LeRobot's layout and with JPEG.

    python benchmarks/storage.py [--long] [--task stack_three] [--demos STORE]

Renders episodes with two cameras of 84x84, and writes what the store holds of them, states and model values included,
in each layout: ours at several levels of Zstandard and as JPEG, robomimic's HDF5 with gzip (chunks as h5py chooses
them, which is how robomimic's converter compresses; and a chunk per frame, which random access needs), and LeRobot's
with PNG in parquet and with video, if the packages that these need are installed. Prints one JSON object: `value`
bytes per episode of our lossless store as it is written by default, `limit` those of gzip HDF5 in h5py's own chunks,
`ratio` of the two; then bytes per episode and rates of each layout. Rates are of raw bytes, from and to the page cache.
"""

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipelines import generate
from pipelines.progress import Reporter
from trajectories import Episode, Store
from trajectories.exporters.robomimic_layout import place
from trajectories.fidelity import fidelity

CAMERAS = ("front", "wrist")
# Zstandard's levels that are tried beside the default.
LEVELS = (6, 9)
QUALITIES = (95, 80)


def folder_bytes(path: Path) -> int:
    """Size of a file, or of every file below a folder."""
    return sum(p.stat().st_size for p in (path, *path.rglob("*")) if p.is_file())


def write_store(path: Path, parts: list[list[Episode]], plan: Mapping[str, Any]) -> None:
    """Our own store: the parts that the episodes came in."""
    store = Store.create(path, {"kind": "benchmark", **plan})
    scene = 0
    for number, episodes in enumerate(parts):
        store.commit(number, episodes, [{"scene": scene + i} for i in range(len(episodes))])
        scene += len(episodes)
    store.seal(None)


def read_store(path: Path) -> None:
    """Every array of every episode."""
    store = Store.open(path)
    for index in range(len(store)):
        store.episode(index)


def write_hdf5(path: Path, parts: list[list[Episode]], per_frame: bool) -> None:
    """robomimic's layout with gzip at h5py's default level; chunks are h5py's own choice, or a frame each."""
    with h5py.File(path, "w") as file:
        for number, episode in enumerate(episode for part in parts for episode in part):
            demo = file.create_group(f"data/demo_{number}")
            demo.attrs["num_samples"] = len(episode)
            demo.attrs["meta"] = json.dumps(episode.meta.to_json())
            demo.create_dataset("actions", data=episode.arrays["action/executed"], compression="gzip")
            for key, value in episode.arrays.items():
                chunks = (1, *value.shape[1:]) if per_frame and key.startswith("images/") else True
                demo.create_dataset(place(key), data=value, compression="gzip", chunks=chunks)


def read_hdf5(path: Path) -> None:
    """Every array of every episode."""

    def visit(_: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            item[:]

    with h5py.File(path) as file:
        file.visititems(visit)


def measure_layout(
    path: Path, write: Callable[[Path], Any], read: Callable[[Path], Any] | None, episodes: int, raw: int
) -> dict[str, float]:
    """Write and read one layout; bytes per episode, and rates of raw bytes [MB/s]."""
    started = time.perf_counter()
    write(path)
    written = time.perf_counter()
    figures = {
        "bytes_per_episode": folder_bytes(path) / episodes,
        "write_ms_per_episode": 1e3 * (written - started) / episodes,
        "write_mb_per_s": raw / 1e6 / (written - started),
    }
    if read is not None:
        started = time.perf_counter()
        read(path)
        figures["read_mb_per_s"] = raw / 1e6 / (time.perf_counter() - started)
    return figures


def measure(long: bool = False, task: str = "stack_three", demos: Path | None = None) -> dict[str, Any]:
    """Generate episodes (64; 8 unless `long`) and store them in every layout."""
    # Scenes per chunk: as by default, or no more than are wanted.
    count, chunk = (64, 32) if long else (8, 8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate.run(
            task, demos, folder / "source", None, count, CAMERAS, 84, 0, 0, None, "handful", False, [f"chunk={chunk}"],
            Reporter(quiet=True),
        )  # fmt: skip
        source = Store.open(folder / "source")
        of_part = source.index().part
        parts = [[source.episode(int(i)) for i in np.flatnonzero(of_part == p)] for p in np.unique(of_part)]
        raw = sum(value.nbytes for part in parts for episode in part for value in episode.arrays.values())
        images = sum(episode.arrays[f"images/{c}"].nbytes for part in parts for episode in part for c in CAMERAS)

        ours: dict[str, Mapping[str, Any]] = {"lossless": {}}
        ours |= {f"jpeg:{quality}": {"image_codec": f"jpeg:{quality}"} for quality in QUALITIES}
        ours |= {f"level_{level}": {"compression_level": level} for level in LEVELS}
        layouts = {
            name: measure_layout(
                folder / name, lambda path, plan=plan: write_store(path, parts, plan), read_store, count, raw
            )
            for name, plan in ours.items()
        }
        for name, per_frame in (("hdf5_gzip", False), ("hdf5_gzip_chunk_per_frame", True)):
            layouts[name] = measure_layout(
                folder / f"{name}.hdf5",
                lambda path, each=per_frame: write_hdf5(path, parts, each),
                read_hdf5,
                count,
                raw,
            )
        layouts |= _lerobot(source, folder, count, raw)
        psnr = {
            f"jpeg:{quality}": {c: fidelity(Store.open(folder / f"jpeg:{quality}"), c).psnr for c in CAMERAS}
            for quality in QUALITIES
        }
    value, limit = layouts["lossless"]["bytes_per_episode"], layouts["hdf5_gzip"]["bytes_per_episode"]
    return {
        "benchmark": "storage",
        "task": task,
        "value": value,
        "limit": limit,
        "ratio": value / limit,
        "ratio_to_chunk_per_frame": value / layouts["hdf5_gzip_chunk_per_frame"]["bytes_per_episode"],
        "gb_of_100_000_episodes": value * 1e5 / 1e9,
        "episodes": count,
        "steps_per_episode": source.frames / count,
        "raw_bytes_per_episode": raw / count,
        "raw_image_bytes_per_episode": images / count,
        "jpeg_psnr_db": psnr,
        "layouts": layouts,
    }


def _lerobot(source: Store, folder: Path, count: int, raw: int) -> dict[str, dict[str, float]]:
    """LeRobot's layout by the project's own exporter, where the packages it needs are installed."""
    if any(importlib.util.find_spec(package) is None for package in ("av", "pyarrow")):
        return {}
    from trajectories.exporters.lerobot import LerobotOptions, export_lerobot

    def write(path: Path, images: Any) -> None:
        export_lerobot(source, path, LerobotOptions(images=images))

    return {
        f"lerobot_{images}": measure_layout(
            folder / f"lerobot_{images}", lambda path, images=images: write(path, images), None, count, raw
        )
        for images in ("png", "video")
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="64 episodes instead of 8")
    parser.add_argument("--task", default="stack_three")
    parser.add_argument("--demos", type=Path, default=None)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.task, chosen.demos)))


if __name__ == "__main__":
    main()
