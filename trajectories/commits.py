"""Committing a chunk's outcome as a part: checked, written aside, moved in, and only then declared to exist.

The steps, and what a crash after each leaves behind:
1. part and manifest are written under temporary names and synced    both are swept away by the next writer
2. the part is renamed to its final place                            a part without manifest: it does not exist
3. its manifest is renamed to its final place                        a committed part, never touched again
"""

import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful import InputError, JobError
from trajectories.canonical import canonical_json, disk_errors, sha256, sync_to_disk, sync_tree
from trajectories.catalogue import Entry
from trajectories.codecs import Encoding
from trajectories.index import summarise
from trajectories.layout import manifest_path, part_folder
from trajectories.manifest import Manifest, list_files, spec_difference
from trajectories.parts import array_chunks, array_specs, write_part
from trajectories.schema import Episode, validate
from trajectories.staging import discard, staging_path

_LOG = logging.getLogger(__name__)
_DUMP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*")

Dumps = Mapping[str, Mapping[str, np.ndarray]]
Scenes = Sequence[Mapping[str, Any]]


def check_part(
    part: int,
    episodes: Sequence[Episode],
    scenes: Scenes,
    dumps: Dumps,
    encoding: Encoding,
    other: Entry | None,
) -> None:
    """Refuse what must not be committed, before anything is written.

    Args:
        part: index of the chunk.
        episodes: what was kept.
        scenes: records of the scenes tried.
        dumps: arrays to keep beside the episodes.
        encoding: how they are to be written.
        other: another part of the store, whose keys, dtypes and shapes this one must share.

    Raises:
        InputError: naming the episode, record or dump, and what is wrong with it.
    """
    if not 0 <= part <= 99_999_999:
        raise InputError(f"part index must be 0 to 99999999, got {part}")
    for index, episode in enumerate(episodes):
        try:
            validate(episode)
        except InputError as error:
            raise InputError(f"episode {index} of part {part}: {error}") from error
    specs = array_specs(episodes)
    if other is not None and specs and specs != other.arrays:
        raise InputError(f"part {part} {spec_difference(other.part, other.arrays, specs)}")
    for key, spec in specs.items():
        try:
            encoding.of(key).check(np.dtype(spec["dtype"]), tuple(spec["row"]))
        except InputError as error:
            raise InputError(f"'{key}' of part {part}: {error}") from error
    canonical_json(list(scenes), f"scene records of part {part}")
    indices = [scene.get("scene", -1) for scene in scenes]
    if not all(isinstance(index, int) and index >= 0 for index in indices) or indices != sorted(indices):
        raise InputError(f"scene records of part {part} need an integer 'scene' each, in order; got {indices}")
    for name, arrays in dumps.items():
        if not _DUMP_NAME.fullmatch(name):
            raise InputError(f"a dump's name has letters, digits, '_' and '.' only; got '{name}'")
        objects = [key for key, value in arrays.items() if np.asarray(value).dtype.hasobject]
        if objects:
            raise InputError(f"dump '{name}' holds Python objects in {', '.join(objects)}; only numbers are stored")


def commit_part(
    store: Path,
    plan_digest: str,
    part: int,
    episodes: Sequence[Episode],
    scenes: Scenes,
    dumps: Dumps,
    encoding: Encoding,
    promised: str | None,
) -> None:
    """Write checked content as part `part`; a part that is committed already is kept as it is.

    Args:
        store: the store.
        plan_digest: SHA-256 of its plan.
        part: index of the chunk.
        episodes: what was kept.
        scenes: records of the scenes tried.
        dumps: arrays to keep beside the episodes.
        encoding: how they are to be written.
        promised: SHA-256 of the manifest that the part has to have, where the store was closed with it.

    Raises:
        JobError: disk full, the part cannot be written, or it is not the one that was promised; nothing half-written
            is left.
    """
    if manifest_path(store, part).exists():
        return
    final, declared = part_folder(store, part), manifest_path(store, part)
    staging = staging_path(final.parent, final.name)
    staged_manifest = staging_path(declared.parent, declared.name)
    with disk_errors(f"part {final.name} of store '{store}'"):
        try:
            written = write_part(staging, episodes, dumps, encoding)
            specs = array_specs(episodes)
            manifest = Manifest(
                part=part,
                plan=plan_digest,
                episodes=len(episodes),
                frames=sum(len(episode) for episode in episodes),
                lengths=[len(episode) for episode in episodes],
                arrays=specs,
                chunks=array_chunks(specs),
                summary=summarise([episode.meta for episode in episodes], written.lines),
                files=written.files,
                scenes=[dict(scene) for scene in scenes],
            )
            record = manifest.to_bytes()
            if promised not in (None, sha256(record)):
                raise JobError(
                    f"part {final.name} of store '{store}' was lost and made again, and came out differently: another "
                    "processor, MuJoCo or graphics driver than the first time? Make it again where the store was made, "
                    "or go on without its episodes: handful data filter"
                )
            staged_manifest.write_bytes(record)
            sync_tree(staging, staged_manifest)
            _move_in(store, staging, final, manifest)
            if not declared.exists():
                os.replace(staged_manifest, declared)
                sync_to_disk(declared.parent)
        finally:
            staged_manifest.unlink(missing_ok=True)
            shutil.rmtree(staging, ignore_errors=True)


def _move_in(store: Path, staging: Path, final: Path, manifest: Manifest) -> None:
    """Put a finished folder in its place, whoever else is doing the same."""
    if final.exists():
        if _holds(final, manifest):
            return
        if manifest_path(store, manifest.part).exists():
            _LOG.warning("part %s was committed by another writer with other bytes; its version is kept", final.name)
            return
        # Left by a killed writer; nobody reads it.
        discard(final)
    try:
        os.rename(staging, final)
    except OSError:
        # Another writer's folder arrived in between; identical bytes are as good as ours.
        if not _holds(final, manifest):
            raise
    sync_to_disk(final.parent)


def _holds(final: Path, manifest: Manifest) -> bool:
    """Whether a folder holds exactly the files of a manifest; one that is being removed by others does not."""
    try:
        return list_files(final) == manifest.files
    except FileNotFoundError:
        return False
