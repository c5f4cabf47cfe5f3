"""The trajectory store: a Zarr v3 root whose data are immutable parts, each committed by its own manifest object.

The same plan and content give the same bytes in the whole tree, however often the job was killed and however many
workers ran it. `trajectories.layout` draws the tree.
"""

import json
import os
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from handful import InputError, JobError, unknown_name
from trajectories.canonical import canonical_json, disk_errors, sha256, write_whole
from trajectories.codecs import encoding_of
from trajectories.commits import check_part, commit_part
from trajectories.dataset import Dataset
from trajectories.index import Index, join, part_index
from trajectories.layout import (
    PART_NAME,
    committed_parts,
    make_store,
    manifest_path,
    part_folder,
    plan_differences,
    read_plan,
)
from trajectories.manifest import Manifest, load_manifest, spec_difference
from trajectories.parts import PartReader
from trajectories.schema import Episode, EpisodeMeta, lookup
from trajectories.seal import load_seal, plan_seal
from trajectories.staging import discard, sweep
from trajectories.verification import verify_store

# An open part costs some 100 kB; a store may have very many.
_OPEN_PARTS = 1024


class Store(Dataset):
    """A trajectory store. `Store.create` opens one for writing, `Store.open` for reading.

    What is exposed is looked up once, at the first use, and after `commit`, `seal` and `refresh`.
    """

    def __init__(self, path: Path, plan: dict[str, Any], writable: bool) -> None:
        self.path = path
        self.plan = plan
        self.plan_digest = sha256(canonical_json(plan, "plan"))
        self._writable = writable
        self._manifests: dict[int, Manifest] = {}
        self._readers: dict[int, PartReader] = {}
        self._index: Index | None = None
        self._exposed: tuple[list[Manifest], list[int]] | None = None

    def __reduce__(self) -> tuple[Callable[..., "Store"], tuple[Path, dict[str, Any], bool]]:
        return Store, (self.path, self.plan, self._writable)

    @classmethod
    def create(cls, path: str | os.PathLike[str], plan: Mapping[str, Any]) -> "Store":
        """Make a new store, or resume the one that the same plan made.

        Args:
            path: absent, an empty folder, or a store of the same plan.
            plan: everything that decides the content, as JSON; nothing about where or when.

        Raises:
            InputError: the path holds something else, or a store of another plan (names the fields that differ); or
                the plan asks for an encoding that there is not.
            JobError: the store cannot be written.
        """
        path = Path(path)
        wanted = json.loads(canonical_json(plan, "plan"))
        encoding_of(wanted)
        make_store(path, wanted)
        differences = plan_differences(read_plan(path), wanted)
        if differences:
            raise InputError(
                f"store '{path}' was made by another plan; it differs in: {', '.join(differences)}; "
                "give the same settings to resume it, or another path"
            )
        return cls(path, wanted, writable=True)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Store":
        """Open a store for reading.

        Raises:
            InputError: there is no store at the path, or it has another format version.
            JobError: its root or plan is damaged.
        """
        path = Path(path)
        return cls(path, read_plan(path), writable=False)

    def committed(self) -> list[int]:
        """Indices of the parts that have a manifest object now, in order."""
        return committed_parts(self.path)

    def commit(
        self,
        part: int,
        episodes: Sequence[Episode],
        scenes: Sequence[Mapping[str, Any]],
        dumps: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    ) -> None:
        """Write one chunk's outcome as an immutable part; a part that is committed already is kept as it is.

        Args:
            part: index of the chunk in the plan, 0 to 99,999,999.
            episodes: what was kept, in scene order; may be none.
            scenes: one JSON record per scene tried, in scene order, each with its index as "scene".
            dumps: name -> arrays to keep beside the episodes, such as the states of a diverged scene.

        Raises:
            InputError: an episode breaks the schema, or differs in keys, dtypes or row shapes from the others.
            JobError: disk full, or the part cannot be written; nothing half-written is left.
        """
        self._require_writable()
        filled = (self._manifest(index) for index in self.committed() if index != part)
        encoding = encoding_of(self.plan)
        check_part(part, episodes, scenes, dumps or {}, encoding, next((m for m in filled if m.arrays), None))
        commit_part(self.path, self.plan_digest, part, episodes, scenes, dumps or {}, encoding)
        self.refresh()

    def seal(self, episodes: int | None) -> None:
        """Close the job: expose exactly the first `episodes` and drop the parts that lie wholly beyond them.

        Args:
            episodes: how many to expose; None: everything that was committed.

        Raises:
            InputError: fewer were committed.
            JobError: a part in between was never committed.
        """
        self._require_writable()
        seal = plan_seal(self.path, episodes, self.committed(), self._manifest)
        with disk_errors(f"seal of store '{self.path}'"):
            write_whole(self.path / "seal.json", seal.to_bytes())
            for part in self.committed()[seal.parts :]:
                manifest_path(self.path, part).unlink(missing_ok=True)
            for folder in sorted((self.path / "parts").iterdir()):
                if PART_NAME.fullmatch(folder.name) and not manifest_path(self.path, int(folder.name)).exists():
                    discard(folder)
            sweep(self.path / "parts")
        self.refresh()

    def refresh(self) -> None:
        """Look again at what is committed: other processes may have added parts since the last look."""
        self._exposed = None
        self._index = None
        committed = set(self.committed())
        self._manifests = {part: m for part, m in self._manifests.items() if part in committed}
        self._readers = {part: r for part, r in self._readers.items() if part in committed}

    def __len__(self) -> int:
        """Number of episodes exposed."""
        return self._exposed_parts()[1][-1]

    @property
    def parts(self) -> int:
        """Number of parts that hold the exposed episodes."""
        return len(self._exposed_parts()[0])

    @property
    def bytes(self) -> int:
        """Size of these parts' files."""
        return sum(manifest.size for manifest in self._exposed_parts()[0])

    @property
    def sealed_episodes(self) -> int | None:
        """How many episodes the store was closed at; None while the job is unfinished."""
        seal = load_seal(self.path)
        return None if seal is None else seal.episodes

    def keys(self) -> list[str]:
        """The schema keys that every episode has, sorted."""
        return sorted(self._specs())

    def row_shape(self, key: str) -> tuple[int, ...]:
        """Shape of one row of a key, known without reading any data."""
        self._require_key(key)
        return tuple(self._specs()[key]["row"])

    def chunk_rows(self, key: str) -> int:
        """How many rows of a key are compressed together; runs that start at a multiple of it read least.

        Rows are counted over a part (`Index.first`), not over an episode.
        """
        self._require_key(key)
        return next(m.chunks for m in self._exposed_parts()[0] if m.arrays)[key]

    def index(self) -> Index:
        """One row per exposed episode, in columns."""
        if self._index is None:
            manifests, ends = self._exposed_parts()
            self._index = join([part_index(m.part, m.lengths, m.summary) for m in manifests]).take(slice(ends[-1]))
        return self._index

    def episode_lengths(self) -> np.ndarray:
        """Number of control steps of each exposed episode, (episodes,) int64."""
        manifests, ends = self._exposed_parts()
        return np.array([length for manifest in manifests for length in manifest.lengths], np.int64)[: ends[-1]]

    def scene_records(self) -> list[dict[str, Any]]:
        """The records of all scenes tried, in order, up to the seal."""
        records = [record for manifest in self._exposed_parts()[0] for record in manifest.scenes]
        seal = load_seal(self.path)
        return records if seal is None else records[: seal.scenes]

    def part_records(self, part: int) -> list[dict[str, Any]]:
        """The records of the scenes tried in one committed part."""
        return list(self._manifest(part).scenes)

    def meta(self, episode: int) -> EpisodeMeta:
        """Metadata of one episode."""
        reader, local = self._locate(episode)
        return reader.meta(local)

    def read(self, episode: int, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of one key of one episode.

        Raises:
            InputError: no such episode, key or rows.
            JobError: the data is missing or damaged.
        """
        self._require_key(key)
        reader, local = self._locate(episode)
        begin, rows = reader.rows(local, key)
        stop = rows if stop is None else stop
        if not 0 <= start <= stop <= rows:
            raise InputError(f"episode {episode} has {rows} rows of '{key}'; cannot read rows {start} to {stop}")
        return reader.read(key, begin + start, begin + stop)

    def read_run(self, episode: int, key: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of one key, counted from an episode's first step, in the part that holds the episode.

        Raises:
            InputError: no such episode or key, a key without a row per step, or rows outside of the part.
            JobError: the data is missing or damaged.
        """
        self._require_key(key)
        if lookup(key).rows != "step":
            raise InputError(f"'{key}' has no row per step; read it episode by episode")
        reader, local = self._locate(episode)
        begin, _ = reader.rows(local, key)
        rows = sum(reader.manifest.lengths)
        if not 0 <= begin + start <= begin + stop <= rows:
            raise InputError(
                f"part {reader.manifest.part:08d} of store '{self.path}' has {rows} steps; "
                f"cannot read steps {begin + start} to {begin + stop}"
            )
        return reader.read(key, begin + start, begin + stop)

    def image_error(self, part: int, camera: str) -> float:
        """Mean squared error that storing a camera's frames has cost one part, on the scale of 0 to 255; 0: lossless.

        Raises:
            InputError: no such camera.
            JobError: what the part says of itself is missing or damaged.
        """
        key = f"images/{camera}"
        self._require_key(key)
        if self.plan.get("image_codec") is None:
            return 0.0
        return float(self._reader(part).attributes(key)["mean_squared_error"])

    def dump(self, part: int, name: str) -> dict[str, np.ndarray]:
        """The arrays that were dumped under a name while a part was made."""
        return self._reader(part).dump(name)

    def dumps(self) -> list[tuple[int, str]]:
        """Part and name of everything that was dumped while the exposed parts were made, in order."""
        found = [(m.part, PurePosixPath(file)) for m in self._exposed_parts()[0] for file in sorted(m.files)]
        return [(part, file.stem) for part, file in found if file.parts[0] == "dumps"]

    def verify(self, parts: Sequence[int] | None = None) -> list[str]:
        """Hash every file again; each problem found as a sentence, with the episodes it costs. Empty: all is well.

        Args:
            parts: look only at these and at what the whole store depends on; None: at everything.
        """
        return verify_store(self.path, self.plan_digest, parts)

    def _require_writable(self) -> None:
        if not self._writable:
            raise InputError(f"store '{self.path}' was opened for reading; open it with Store.create to write")

    def _require_key(self, key: str) -> None:
        if key not in self._specs():
            raise unknown_name(f"key of store '{self.path}'", key, self.keys())

    def _manifest(self, part: int) -> Manifest:
        if part not in self._manifests:
            self._manifests[part] = load_manifest(manifest_path(self.path, part), part, self.plan_digest)
        return self._manifests[part]

    def _reader(self, part: int) -> PartReader:
        # Taken out and put back, so that the first is always the one unused for longest.
        reader = self._readers.pop(part, None) or PartReader(part_folder(self.path, part), self._manifest(part))
        self._readers[part] = reader
        if len(self._readers) > _OPEN_PARTS:
            del self._readers[next(iter(self._readers))]
        return reader

    def _exposed_parts(self) -> tuple[list[Manifest], list[int]]:
        """Exposed parts, and the number of episodes before each and after the last."""
        if self._exposed is None:
            seal = load_seal(self.path)
            parts = self.committed() if seal is None else list(range(seal.parts))
            manifests = [self._manifest(part) for part in parts]
            filled = [manifest for manifest in manifests if manifest.arrays]
            for manifest in filled[1:]:
                if manifest.arrays != filled[0].arrays:
                    difference = spec_difference(filled[0], manifest.arrays)
                    raise JobError(f"store '{self.path}', part {manifest.part:08d} {difference}")
            ends = list(accumulate((manifest.episodes for manifest in manifests), initial=0))
            if seal is not None:
                if ends[-1] < seal.episodes:
                    raise JobError(f"store '{self.path}' is damaged: its seal.json promises more than its parts hold")
                ends[-1] = seal.episodes
            self._exposed = manifests, ends
        return self._exposed

    def _specs(self) -> dict[str, dict[str, Any]]:
        return next((manifest.arrays for manifest in self._exposed_parts()[0] if manifest.arrays), {})

    def _locate(self, episode: int) -> tuple[PartReader, int]:
        manifests, ends = self._exposed_parts()
        if not 0 <= episode < ends[-1]:
            raise InputError(f"store '{self.path}' has {ends[-1]} episodes, counted from 0; there is no {episode}")
        position = bisect_right(ends, episode) - 1
        return self._reader(manifests[position].part), episode - ends[position]
