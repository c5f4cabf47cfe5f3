"""The seal of a finished store: exactly which of its committed parts, episodes and scene records are exposed.

Workers finish chunks in any order and a job that wants N episodes overshoots. "The first N kept in scene order" is
the same whoever ran it, so the seal exposes those and the rest is dropped. It also holds the digest of the catalogue
of what it exposes (`index.npz`), and through it fixes every byte of the store.

The seal is written first, the catalogue after it. So a store without its catalogue was closed a moment ago, or has lost
it: either way the manifests give it again, and the digest says whether they do. A store with a catalogue and no seal
has lost the seal.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from handful import InputError, JobError
from trajectories.canonical import canonical_json, sha256
from trajectories.catalogue import Catalogue, Entry, build
from trajectories.layout import index_path, seal_path
from trajectories.manifest import Manifest

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seal:
    """What a finished store exposes."""

    # Parts 0 to parts - 1.
    parts: int
    # The first so many episodes of them.
    episodes: int
    # The first so many scene records of them.
    scenes: int
    # SHA-256 of index.npz.
    index: str
    # SHA-256 of deleted.json, once episodes were deleted.
    deleted: str | None = None
    # Scenes among these that were left out because they cannot be made, and why; by number, in decimal.
    quarantined: dict[str, str] | None = None

    def to_bytes(self) -> bytes:
        """The canonical bytes of seal.json, with a digest of its own."""
        record = {name: value for name, value in asdict(self).items() if value is not None}
        return canonical_json({**record, "digest": sha256(canonical_json(record))})


def load_seal(store: Path) -> Seal | None:
    """Read a store's seal; None where the job has not been closed.

    Raises:
        JobError: it is damaged, or has been lost.
    """
    try:
        data = seal_path(store).read_bytes()
    except FileNotFoundError:
        if index_path(store).exists():
            raise JobError(f"store '{store}' is damaged: its seal.json is missing; {_hint(store)}") from None
        return None
    except OSError as error:
        raise JobError(f"store '{store}' is damaged: its seal.json cannot be read ({error.strerror})") from error
    try:
        record = json.loads(data)
        named = {name: record[name] for name in ("parts", "episodes", "scenes", "index")}
        seal = Seal(**named, deleted=record.get("deleted"), quarantined=record.get("quarantined"))
        whole = seal.to_bytes() == data
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise JobError(f"store '{store}' is damaged: its seal.json cannot be read ({error}); {_hint(store)}") from error
    if not whole:
        raise JobError(f"store '{store}' is damaged: its seal.json has changed; {_hint(store)}")
    return seal


def _hint(store: Path) -> str:
    return f"restore it with: handful data repair {store}"


def load_catalogue(store: Path, seal: Seal) -> Catalogue | None:
    """Read the catalogue that a seal speaks of; None where index.npz is missing or is not it."""
    try:
        data = index_path(store).read_bytes()
    except OSError:
        return None
    if sha256(data) != seal.index:
        return None
    return Catalogue.from_bytes(data, f"store '{store}': index.npz")


def sealed_catalogue(store: Path, seal: Seal, entry: Callable[[int], Entry]) -> Catalogue:
    """The catalogue that a seal speaks of: from index.npz, or where that is lost, from the manifests.

    Args:
        store: the store.
        seal: its seal.
        entry: gives the catalogue's entry of a part; raises JobError where its manifest is missing or damaged.

    Raises:
        JobError: neither gives it.
    """
    catalogue = load_catalogue(store, seal)
    if catalogue is not None:
        return catalogue
    try:
        entries = [entry(part) for part in range(seal.parts)]
    except JobError as error:
        raise JobError(f"store '{store}' is damaged: its index.npz is missing or has changed, and {error}") from error
    catalogue = build(str(store), entries, seal.episodes, seal.scenes)
    if sha256(catalogue.to_bytes()) != seal.index:
        raise JobError(f"store '{store}' is damaged: its index.npz and its manifests are not what its seal speaks of")
    _LOG.warning("store '%s': index.npz is missing or has changed; its manifests are read instead", store)
    return catalogue


def plan_seal(
    store: Path,
    episodes: int | None,
    committed: list[int],
    manifest: Callable[[int], Manifest],
    entry: Callable[[int], Entry],
) -> tuple[Seal, Catalogue]:
    """Work out the seal that exposes the first `episodes` in scene order (None: everything committed).

    A seal at N episodes ends with the scene of the last of them: what was tried after it is not counted.

    Args:
        store: the store.
        episodes: how many to expose.
        committed: the parts that there are.
        manifest: gives a part's manifest.
        entry: gives the catalogue's entry of a part.

    Returns:
        The seal, and the catalogue it speaks of.

    Raises:
        InputError: fewer were committed.
        JobError: a part in between was never committed, or parts disagree.
    """
    entries: list[Entry] = []
    visible = scenes = 0
    while len(entries) < len(committed) and (episodes is None or visible < episodes):
        part = len(entries)
        if committed[part] != part:
            raise JobError(f"store '{store}' cannot be closed: part {part:08d} was not committed")
        found = entry(part)
        if episodes is not None and visible + len(found.index) >= episodes:
            last = found.index.scene[episodes - visible - 1]
            scenes += sum(scene["scene"] <= last for scene in manifest(part).scenes)
            visible = episodes
        else:
            scenes += found.scenes
            visible += len(found.index)
        entries.append(found)
    if episodes is not None and visible < episodes:
        raise InputError(f"store '{store}' holds {visible} episodes; it cannot be closed at {episodes}")
    catalogue = build(str(store), entries, visible, scenes)
    return seal_of(catalogue), catalogue


def seal_of(catalogue: Catalogue, deleted: str | None = None) -> Seal:
    """The seal that exposes what a catalogue says."""
    parts = catalogue.parts
    return Seal(
        parts=len(parts),
        episodes=len(catalogue.index),
        scenes=int(parts.scenes.sum()),
        index=sha256(catalogue.to_bytes()),
        deleted=deleted,
        quarantined={str(scene): reason for scene, (_, reason) in catalogue.quarantined.items()} or None,
    )
