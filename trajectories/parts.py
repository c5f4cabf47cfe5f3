"""One part: a Zarr group of arrays, with the episodes of a chunk concatenated in time.

Every array is one shard file of checksummed chunks, each a run of frames, because a random chunk costs about a
millisecond however small it is. Plain Zarr would read a deleted shard as zeros and most flipped bits without an error;
the reader here checks files against the part's manifest, and chunks by their checksums, so damage is always an error.
"""

import io
import json
import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore

from handful import InputError, JobError, unknown_name
from trajectories.canonical import canonical_json, sha256
from trajectories.manifest import Manifest
from trajectories.schema import FORMAT_VERSION, Episode, EpisodeMeta, lookup

# Images: a run of frames of about this size [bytes], within these numbers of frames. Short enough for a window, long
# enough that neighbouring frames, which are much alike, are compressed together.
_IMAGE_BYTES = 1 << 20
_IMAGE_ROWS = (4, 32)
# Other arrays: a run of rows of about this size [bytes].
_CHUNK_BYTES = 65536

_EPISODE_ENDS = "episode_ends"
_METADATA = "episodes.jsonl"

# Jobs run one worker per core, so Zarr's own concurrency would only add threads.
zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1})


def array_specs(episodes: Sequence[Episode]) -> dict[str, dict[str, Any]]:
    """dtype and shape of one row for every key, checked to be the same in all episodes.

    Raises:
        InputError: naming the first episode and key that differ from the first episode.
    """
    specs: dict[str, dict[str, Any]] = {}
    for index, episode in enumerate(episodes):
        found = {
            key: {"dtype": value.dtype.name, "row": list(value.shape[1:])}
            for key, value in sorted(episode.arrays.items())
        }
        specs = specs or found
        if found.keys() != specs.keys():
            keys = ", ".join(sorted(found.keys() ^ specs.keys()))
            raise InputError(f"episodes of one part must have the same keys; episode {index} differs in: {keys}")
        for key, spec in found.items():
            if spec != specs[key]:
                raise InputError(
                    f"episodes of one part must agree; episode {index} has '{key}' as {spec['dtype']} {spec['row']}, "
                    f"the first has {specs[key]['dtype']} {specs[key]['row']}"
                )
    return specs


def array_chunks(specs: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Rows of one chunk of every key."""
    return {
        key: chunk_rows(key, int(np.prod(spec["row"], dtype=np.int64)) * np.dtype(spec["dtype"]).itemsize)
        for key, spec in specs.items()
    }


def metadata_lines(episodes: Sequence[Episode]) -> list[bytes]:
    """The lines of episodes.jsonl, each with its newline."""
    return [
        canonical_json(episode.meta.to_json(), f"metadata of episode {i}") + b"\n" for i, episode in enumerate(episodes)
    ]


def chunk_rows(key: str, row_bytes: int) -> int:
    """How many rows of a key are compressed together."""
    if key.startswith("images/"):
        return int(np.clip(_IMAGE_BYTES // max(row_bytes, 1), *_IMAGE_ROWS))
    return int(np.clip(_CHUNK_BYTES // max(row_bytes, 1), 1, 1024))


def _write_array(group: zarr.Group, key: str, data: np.ndarray, attributes: dict[str, Any]) -> None:
    rows = chunk_rows(key, data.nbytes // max(len(data), 1))
    array = group.create_array(
        key,
        shape=data.shape,
        dtype=data.dtype,
        chunks=(rows, *data.shape[1:]),
        # One shard: a multiple of the chunk that covers everything.
        shards=(max(-(-len(data) // rows), 1) * rows, *data.shape[1:]),
        compressors=ZstdCodec(checksum=True),
        fill_value=0,
        attributes=attributes,
        # Otherwise chunks of zeros are left out, and a lost chunk would look like one of them.
        config={"write_empty_chunks": True},
    )
    if len(data):
        array[:] = data


def write_part(folder: Path, episodes: Sequence[Episode], dumps: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write the arrays, metadata and dumps of a part into a new folder.

    Args:
        folder: does not exist yet.
        episodes: valid ones that agree in keys, dtypes and row shapes; may be none.
        dumps: name -> arrays, written as `dumps/<name>.npz`.
    """
    specs = array_specs(episodes)
    group = zarr.create_group(LocalStore(folder), attributes={"handful_format": FORMAT_VERSION})
    for prefix in sorted({key.split("/")[0] for key in specs if "/" in key}):
        group.create_group(prefix)
    for key in specs:
        row = lookup(key)
        data = np.concatenate([episode.arrays[key] for episode in episodes])
        _write_array(group, key, data, {"rows": row.rows, "unit": row.unit})
    ends = np.cumsum([len(episode) for episode in episodes], dtype=np.int64)
    _write_array(group, _EPISODE_ENDS, ends, {"rows": "episode", "unit": "steps up to the end of each episode"})
    (folder / _METADATA).write_bytes(b"".join(metadata_lines(episodes)))
    if dumps:
        (folder / "dumps").mkdir()
    for name, arrays in sorted(dumps.items()):
        with open(folder / "dumps" / f"{name}.npz", "wb") as file:
            np.savez(file, allow_pickle=False, **dict(sorted(arrays.items())))


class PartReader:
    """Reads the rows of one committed part; opens it at the first touch, and again after a fork."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._process = -1
        self._arrays: dict[str, zarr.Array] = {}
        self._ends = [0, *accumulate(manifest.lengths)]
        self._metas: list[EpisodeMeta] | None = None

    def metas(self) -> list[EpisodeMeta]:
        """Metadata of every episode, in order."""
        if self._metas is None:
            data = self._checked_file(_METADATA)
            self._metas = [EpisodeMeta.from_json(json.loads(line)) for line in data.splitlines()]
        return self._metas

    def rows(self, episode: int, key: str) -> tuple[int, int]:
        """First row and number of rows of one key of one episode of the part."""
        begin, end = self._ends[episode], self._ends[episode + 1]
        kind = lookup(key).rows
        if kind == "episode":
            return episode, 1
        if kind == "state":
            return begin + episode, end - begin + 1
        return begin, end - begin

    def read(self, key: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of an array of the part.

        Raises:
            JobError: a file is missing or damaged; names the store, the part and the key.
        """
        self._touch()
        return self._slice(key, start, stop)

    def dump(self, name: str) -> dict[str, np.ndarray]:
        """The arrays that were dumped under a name while the part was made."""
        names = [Path(file).stem for file in self.manifest.files if file.startswith("dumps/")]
        if name not in names:
            raise unknown_name(f"dump of part {self.folder.name}", name, names)
        with np.load(io.BytesIO(self._checked_file(f"dumps/{name}.npz")), allow_pickle=False) as arrays:
            return dict(arrays)

    def _touch(self) -> None:
        """On the first use in this process: every file is there and has its size, and metadata is undamaged."""
        if self._process == os.getpid():
            return
        self._arrays = {}
        for name, entry in self.manifest.files.items():
            path = self.folder / name
            size = path.stat().st_size if path.exists() else None
            if size != entry["bytes"]:
                found = "missing" if size is None else f"{size} bytes long instead of {entry['bytes']}"
                raise self._damaged(name, f"it is {found}")
            if path.name == "zarr.json":
                self._checked_file(name)
        self._process = os.getpid()

    def _checked_file(self, name: str) -> bytes:
        try:
            data = (self.folder / name).read_bytes()
        except OSError as error:
            raise self._damaged(name, error.strerror or str(error)) from error
        if sha256(data) != self.manifest.files[name]["sha256"]:
            raise self._damaged(name, "its content has changed")
        return data

    def _slice(self, key: str, start: int, stop: int) -> np.ndarray:
        if start == stop:
            spec = self.manifest.arrays[key]
            return np.zeros((0, *spec["row"]), spec["dtype"])
        # A shard that has vanished since the first touch would be read as zeros.
        for name in (name for name in self.manifest.files if name.startswith(f"{key}/c/")):
            if not (self.folder / name).exists():
                raise self._damaged(name, "it is missing")
        try:
            if key not in self._arrays:
                array = zarr.open_array(LocalStore(self.folder, read_only=True), path=key, mode="r")
                self._arrays[key] = array
            return np.asarray(self._arrays[key][start:stop])
        except Exception as error:  # Zarr and its codecs raise nearly every type for damaged data.
            raise self._damaged(key, f"reading it failed with {type(error).__name__}: {error}") from error

    def _damaged(self, what: str, why: str) -> JobError:
        store, part = self.folder.parent.parent, self.folder.name
        reason = " ".join(why.split())
        return JobError(f"store {store}, part {part}: '{what}' is missing or damaged: {reason}")
