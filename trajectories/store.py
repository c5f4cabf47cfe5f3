"""The trajectory store: a Zarr v3 root whose data are immutable parts, each committed by its own manifest object.

The same plan and content give the same bytes in the whole tree, however often the job was killed and however many
workers ran it. `trajectories.layout` draws the tree.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from handful import InputError, JobError, unknown_name
from trajectories.canonical import canonical_json, disk_errors, sha256, write_whole
from trajectories.catalogue import Catalogue, Entry, build, entry_of
from trajectories.codecs import encoding_of
from trajectories.commits import check_part, commit_part
from trajectories.dataset import Dataset
from trajectories.index import Index
from trajectories.layout import (
    PART_NAME,
    committed_parts,
    index_path,
    make_store,
    manifest_path,
    part_folder,
    plan_differences,
    read_plan,
    seal_path,
)
from trajectories.manifest import QUARANTINED, Manifest, load_manifest
from trajectories.parts import PartReader
from trajectories.schema import Episode, EpisodeMeta, lookup
from trajectories.seal import Seal, load_catalogue, load_seal, plan_seal, sealed_catalogue
from trajectories.staging import discard, sweep
from trajectories.tombstone import load_tombstone
from trajectories.verification import verify_store

# What is kept of parts: an open one costs some 50 kB, a manifest up to a megabyte; a store may have very many.
_OPEN_PARTS = 4096
_MANIFESTS = 16


class Store(Dataset):
    """A trajectory store. `Store.create` opens one for writing, `Store.open` for reading.

    What is exposed is looked up once, at the first use, and after `commit`, `seal` and `refresh`.
    """

    def __init__(self, path: Path, plan: dict[str, Any], writable: bool) -> None:
        self.path = path
        self.plan = plan
        self.plan_digest = sha256(canonical_json(plan, "plan"))
        self._writable = writable
        # These caches are safe to share between threads.
        self._manifest = lru_cache(_MANIFESTS)(self._load_manifest)
        self._reader = lru_cache(_OPEN_PARTS)(self._open_part)
        # Of an unfinished store, by part; of a finished one, only what commits and seals looked at.
        self._entries: dict[int, Entry] = {}
        self._catalogue: Catalogue | None = None

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
        encoding = encoding_of(self.plan)
        others = (self._entry(index) for index in self.committed() if index != part)
        check_part(part, episodes, scenes, dumps or {}, encoding, next((e for e in others if e.arrays), None))
        promised = self._promised(part)
        commit_part(self.path, self.plan_digest, part, episodes, scenes, dumps or {}, encoding, promised)
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
        old = load_seal(self.path)
        seal, catalogue = plan_seal(self.path, episodes, self.committed(), self._manifest, self._entry)
        if old is not None:
            # What was deleted stays so.
            seal = replace(seal, deleted=old.deleted)
        self._require_same(old, seal, catalogue)
        with disk_errors(f"seal of store '{self.path}'"):
            # The seal first: a store that was killed in between is closed, and its catalogue can be made again. That
            # of an older seal goes before, or it would look like a damaged one.
            if old is not None and old != seal:
                index_path(self.path).unlink(missing_ok=True)
            for path, data in ((seal_path(self.path), seal.to_bytes()), (index_path(self.path), catalogue.to_bytes())):
                if not path.is_file() or path.read_bytes() != data:
                    write_whole(path, data)
            for part in self.committed()[seal.parts :]:
                manifest_path(self.path, part).unlink(missing_ok=True)
            for folder in sorted((self.path / "parts").iterdir()):
                if PART_NAME.fullmatch(folder.name) and not manifest_path(self.path, int(folder.name)).exists():
                    discard(folder)
            sweep(self.path / "parts")
        self.refresh()

    def quarantined(self) -> dict[int, tuple[int, str]]:
        """Scenes that were left out because they cannot be made: number -> part and reason."""
        return dict(self.catalogue().quarantined)

    def has_deletions(self) -> bool:
        """Whether episodes were deleted since the store was closed: what is left keeps its place for ever."""
        seal = load_seal(self.path)
        return seal is not None and seal.deleted is not None

    def retract(self, part: int) -> None:
        """Take back a part that lacks quarantined scenes, so that it can be committed with more of them.

        The store is unfinished then. Others must not be writing to it.

        Raises:
            InputError: the part lacks none, or episodes were deleted from the store since.
        """
        self._require_writable()
        if not any(scene.get("outcome") == QUARANTINED for scene in self._manifest(part).scenes):
            raise InputError(f"part {part:08d} of store '{self.path}' lacks no scene; a committed part is kept")
        if self.has_deletions():
            raise InputError(
                f"part {part:08d} of store '{self.path}' stays as it is: episodes were deleted from it by their places"
            )
        with disk_errors(f"store '{self.path}'"):
            # A catalogue without a seal would be taken for damage.
            for path in (index_path(self.path), seal_path(self.path), manifest_path(self.path, part)):
                path.unlink(missing_ok=True)
            discard(part_folder(self.path, part))
        self._entries.pop(part, None)
        self.refresh()

    def refresh(self) -> None:
        """Look again at what is committed: other processes may have added parts since the last look."""
        self._catalogue = None
        committed = set(self.committed())
        self._entries = {part: entry for part, entry in self._entries.items() if part in committed}
        self._manifest.cache_clear()
        self._reader.cache_clear()

    def __len__(self) -> int:
        """Number of episodes exposed."""
        return len(self.index())

    def catalogue(self) -> Catalogue:
        """What is exposed: the index of episodes, and one row per part that holds them.

        Raises:
            JobError: the seal, the catalogue or a manifest is missing or damaged.
        """
        if self._catalogue is None:
            seal = load_seal(self.path)
            if seal is None:
                self._catalogue = build(str(self.path), [self._entry(part) for part in self.committed()])
            else:
                self._catalogue = self._without_deleted(sealed_catalogue(self.path, seal, self._entry), seal)
        return self._catalogue

    def index(self) -> Index:
        """One row per exposed episode, in columns."""
        return self.catalogue().index

    @property
    def parts(self) -> int:
        """Number of parts that hold the exposed episodes."""
        return int(np.count_nonzero(self.catalogue().parts.bytes))

    @property
    def bytes(self) -> int:
        """Size of these parts' files."""
        return int(self.catalogue().parts.bytes.sum())

    @property
    def sealed_episodes(self) -> int | None:
        """How many episodes the store was closed at; None while the job is unfinished."""
        seal = load_seal(self.path)
        return None if seal is None else seal.episodes

    def keys(self) -> list[str]:
        """The schema keys that every episode has, sorted."""
        return sorted(self.catalogue().arrays)

    def row_shape(self, key: str) -> tuple[int, ...]:
        """Shape of one row of a key, known without reading any data."""
        self._require_key(key)
        return tuple(self.catalogue().arrays[key]["row"])

    def chunk_rows(self, key: str) -> int:
        """How many rows of a key are compressed together; runs that start at a multiple of it read least.

        Rows are counted over a part (`Index.first`), not over an episode.
        """
        self._require_key(key)
        return self.catalogue().chunks[key]

    def scene_records(self) -> list[dict[str, Any]]:
        """The records of all scenes tried, in order, up to the seal."""
        parts = self.catalogue().parts
        exposed = zip(parts.number.tolist(), parts.scenes.tolist(), strict=True)
        return [record for part, count in exposed for record in self._manifest(part).scenes[:count]]

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
        rows = reader.steps
        if not 0 <= begin + start <= begin + stop <= rows:
            raise InputError(
                f"part {reader.folder.name} of store '{self.path}' has {rows} steps; "
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
        parts = self.catalogue().parts
        manifests = [self._manifest(part) for part in parts.number[parts.dumps > 0].tolist()]
        found = [(m.part, PurePosixPath(file)) for m in manifests for file in sorted(m.files)]
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
        if key not in self.catalogue().arrays:
            raise unknown_name(f"key of store '{self.path}'", key, self.keys())

    def _load_manifest(self, part: int) -> Manifest:
        return load_manifest(manifest_path(self.path, part), part, self.plan_digest, self._promised(part))

    def _open_part(self, part: int) -> PartReader:
        return PartReader(part_folder(self.path, part), self._manifest(part))

    def _entry(self, part: int) -> Entry:
        if part not in self._entries:
            path = manifest_path(self.path, part)
            self._entries[part] = entry_of(load_manifest(path, part, self.plan_digest))
        return self._entries[part]

    def _require_same(self, old: Seal | None, new: Seal, catalogue: Catalogue) -> None:
        """Refuse to close the store again with other parts than those it was closed with before."""
        if old is None:
            return
        before = load_catalogue(self.path, old)
        parts = min(old.parts, new.parts)
        if before is not None:
            same = np.array_equal(before.parts.digest[:parts], catalogue.parts.digest[:parts])
        else:
            same = (old.parts, old.episodes, old.scenes) != (new.parts, new.episodes, new.scenes) or old == new
        if not same:
            raise JobError(
                f"store '{self.path}' cannot be closed: its parts are not those that it was closed with before"
            )

    def _without_deleted(self, closed: Catalogue, seal: Seal) -> Catalogue:
        tombstone = load_tombstone(self.path, seal.deleted)
        return closed if tombstone is None else tombstone.applied(closed)

    def _promised(self, part: int) -> str | None:
        """SHA-256 of the manifest that a part has to have, where the store was closed with it."""
        if self._catalogue is None:
            seal = load_seal(self.path)
            if seal is None or part >= seal.parts:
                return None
            # Without its catalogue a store is closed again only with the same one; `seal` sees to that.
            closed = load_catalogue(self.path, seal)
            if closed is None:
                return None
            self._catalogue = self._without_deleted(closed, seal)
        return self._catalogue.parts.digest_of(part)

    def _locate(self, episode: int) -> tuple[PartReader, int]:
        index = self.index()
        if not 0 <= episode < len(index):
            raise InputError(f"store '{self.path}' has {len(index)} episodes, counted from 0; there is no {episode}")
        return self._reader(int(index.part[episode])), int(index.local[episode])
