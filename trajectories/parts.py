"""One part: a Zarr group of arrays, with the episodes of a chunk of work concatenated in time.

Every array is one shard file (`trajectories.shards`). Plain Zarr would read a deleted shard as zeros and most flipped
bits without an error; the reader here checks files against the part's manifest, and chunks by their checksums, so
damage is always an error.
"""

import io
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from handful import InputError, JobError, unknown_name
from trajectories.canonical import canonical_json, file_entry, sha256
from trajectories.codecs import Encoding
from trajectories.manifest import Manifest
from trajectories.schema import FORMAT_VERSION, Episode, EpisodeMeta, lookup
from trajectories.shards import Layout, ShardReader, write_array

# Images: a run of frames of about this size [bytes], within these numbers of frames. Short enough for a window, long
# enough that neighbouring frames, which are much alike, are compressed together.
_IMAGE_BYTES = 1 << 20
_IMAGE_ROWS = (4, 32)
# Other arrays: a run of rows of about this size [bytes].
_CHUNK_BYTES = 65536

_EPISODE_ENDS = "episode_ends"
_METADATA = "episodes.jsonl"


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


def chunk_rows(key: str, row_bytes: int) -> int:
    """How many rows of a key are compressed together."""
    if key.startswith(("images/", "depth/", "segmentation/")):
        return int(np.clip(_IMAGE_BYTES // max(row_bytes, 1), *_IMAGE_ROWS))
    return int(np.clip(_CHUNK_BYTES // max(row_bytes, 1), 1, 1024))


@dataclass(frozen=True)
class Written:
    """What was written as a part."""

    # Path inside the part -> {"bytes": ..., "sha256": ...}.
    files: dict[str, dict[str, Any]]
    # The lines of episodes.jsonl.
    lines: list[bytes]


def write_part(
    folder: Path, episodes: Sequence[Episode], dumps: Mapping[str, Mapping[str, np.ndarray]], encoding: Encoding
) -> Written:
    """Write the arrays, metadata and dumps of a part into a new folder.

    Args:
        folder: does not exist yet.
        episodes: valid ones that agree in keys, dtypes and row shapes; may be none.
        dumps: name -> arrays, written as `dumps/<name>.npz`.
        encoding: how arrays are compressed.
    """
    specs = array_specs(episodes)
    files: dict[str, dict[str, Any]] = {}

    def write(name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        files[name] = file_entry(data)

    group = {"node_type": "group", "zarr_format": 3}
    write("zarr.json", canonical_json({**group, "attributes": {"handful_format": FORMAT_VERSION}}))
    for prefix in sorted({key.split("/")[0] for key in specs if "/" in key}):
        write(f"{prefix}/zarr.json", canonical_json({**group, "attributes": {}}))
    chunks = array_chunks(specs)
    for key, spec in specs.items():
        row = lookup(key)
        pieces = [episode.arrays[key] for episode in episodes]
        shape = (sum(len(piece) for piece in pieces), *spec["row"])
        layout = Layout(shape, np.dtype(spec["dtype"]), chunks[key], encoding.of(key))
        files |= write_array(folder, key, pieces, layout, {"rows": row.rows, "unit": row.unit})
    ends = np.cumsum([len(episode) for episode in episodes], dtype=np.int64)
    layout = Layout(ends.shape, ends.dtype, chunk_rows(_EPISODE_ENDS, ends.itemsize), encoding.numbers)
    unit = "steps up to the end of each episode"
    files |= write_array(folder, _EPISODE_ENDS, [ends], layout, {"rows": "episode", "unit": unit})
    lines = [
        canonical_json(episode.meta.to_json(), f"metadata of episode {i}") + b"\n" for i, episode in enumerate(episodes)
    ]
    write(_METADATA, b"".join(lines))
    for name, arrays in sorted(dumps.items()):
        npz = io.BytesIO()
        np.savez(npz, allow_pickle=False, **dict(sorted(arrays.items())))
        write(f"dumps/{name}.npz", npz.getvalue())
    return Written(dict(sorted(files.items())), lines)


class PartReader:
    """Reads the rows of one committed part; each array's files are looked at when it is first wanted."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        # Not the manifest itself: the numbers of its episodes take many times the memory as Python's own.
        self._files, self._specs = manifest.files, manifest.arrays
        self._ends = np.cumsum([0, *manifest.lengths], dtype=np.int64)
        self._line_ends = np.array([0, *manifest.summary["line_ends"]], np.int64)
        self._line_crcs = np.array(manifest.summary["line_crcs"], np.uint32)
        self._arrays: dict[str, ShardReader | None] = {}

    @property
    def steps(self) -> int:
        """Control steps over all episodes of the part."""
        return int(self._ends[-1])

    def meta(self, episode: int) -> EpisodeMeta:
        """Metadata of one episode of the part."""
        start, stop = self._line_ends[episode : episode + 2].tolist()
        try:
            with open(self.folder / _METADATA, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(start)
                line = file.read(stop - start)
        except OSError as error:
            raise self._damaged(_METADATA, error.strerror or str(error)) from error
        self._check_size(_METADATA, size)
        if zlib.crc32(line) != self._line_crcs[episode]:
            raise self._damaged(_METADATA, f"line {episode + 1} has changed")
        return EpisodeMeta.from_json(json.loads(line))

    def rows(self, episode: int, key: str) -> tuple[int, int]:
        """First row and number of rows of one key of one episode of the part."""
        begin, end = self._ends[episode : episode + 2].tolist()
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
        if key not in self._arrays:
            self._arrays[key] = self._open(key)
        shard = self._arrays[key]
        if shard is None or start == stop:
            spec = self._specs[key]
            return np.zeros((stop - start, *spec["row"]), spec["dtype"])
        try:
            return shard.read(start, stop)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            raise self._damaged(f"{key}/{shard.layout.file}", why or str(error)) from error

    def dump(self, name: str) -> dict[str, np.ndarray]:
        """The arrays that were dumped under a name while the part was made."""
        names = [Path(file).stem for file in self._files if file.startswith("dumps/")]
        if name not in names:
            raise unknown_name(f"dump of part {self.folder.name}", name, names)
        with np.load(io.BytesIO(self._checked_file(f"dumps/{name}.npz")), allow_pickle=False) as arrays:
            return dict(arrays)

    def attributes(self, key: str) -> dict[str, Any]:
        """What the part says of one of its arrays.

        Raises:
            JobError: the array's zarr.json is missing or damaged.
        """
        attributes: dict[str, Any] = json.loads(self._checked_file(f"{key}/zarr.json"))["attributes"]
        return attributes

    def _open(self, key: str) -> ShardReader | None:
        """The shard of a key, once its description is known to be undamaged; None where rows have no numbers."""
        name = f"{key}/zarr.json"
        try:
            layout = Layout.parse(self._checked_file(name))
        except JobError as error:
            raise self._damaged(name, str(error)) from error
        entry = self._files.get(f"{key}/{layout.file}")
        if entry is None and layout.chunks:
            raise self._damaged(f"{key}/{layout.file}", "the manifest does not name it")
        return None if entry is None else ShardReader(self.folder / key / layout.file, layout, entry)

    def _checked_file(self, name: str) -> bytes:
        try:
            data = (self.folder / name).read_bytes()
        except OSError as error:
            raise self._damaged(name, error.strerror or str(error)) from error
        self._check_size(name, len(data))
        if sha256(data) != self._files[name]["sha256"]:
            raise self._damaged(name, "its content has changed")
        return data

    def _check_size(self, name: str, size: int) -> None:
        expected = self._files[name]["bytes"]
        if size != expected:
            raise self._damaged(name, f"it is {size} bytes long instead of {expected}")

    def _damaged(self, what: str, why: str) -> JobError:
        store, part = self.folder.parent.parent, self.folder.name
        reason = " ".join(why.split())
        return JobError(f"store {store}, part {part}: '{what}' is missing or damaged: {reason}")
