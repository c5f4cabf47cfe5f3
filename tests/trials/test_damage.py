"""A store damaged anywhere, in any way: `verify` finds it, and nothing is read that was not written."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful import HandfulError
from tests.trials import writer
from trajectories import Store
from trajectories.repair import repair_store

Damage = Callable[[Path, list[Path], np.random.Generator], str]


def _flip(file: Path, files: list[Path], rng: np.random.Generator) -> str:
    data = bytearray(file.read_bytes())
    bit = int(rng.integers(8 * len(data)))
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)
    return f"bit {bit} flipped"


def _truncate(file: Path, files: list[Path], rng: np.random.Generator) -> str:
    data = file.read_bytes()
    # Half of them lose one byte: the least that there is to see.
    keep = len(data) - 1 if rng.random() < 0.5 else int(rng.integers(len(data)))
    file.write_bytes(data[:keep])
    return f"cut to {keep} bytes"


def _delete(file: Path, files: list[Path], rng: np.random.Generator) -> str:
    file.unlink()
    return "deleted"


def _append(file: Path, files: list[Path], rng: np.random.Generator) -> str:
    extra = rng.bytes(int(rng.integers(1, 20)))
    with open(file, "ab") as stream:
        stream.write(extra)
    return f"{len(extra)} bytes appended"


def _swap(file: Path, files: list[Path], rng: np.random.Generator) -> str:
    """Exchange with a file of other content: preferably one of the same name, the easiest to take for it."""
    data = file.read_bytes()
    others = [other for other in files if other.read_bytes() != data]
    alike = [other for other in others if other.name == file.name and other.parent.name == file.parent.name]
    other = (alike or others)[int(rng.integers(len(alike or others)))]
    file.write_bytes(other.read_bytes())
    other.write_bytes(data)
    return f"swapped with {other}"


def _blank(file: Path, files: list[Path], rng: np.random.Generator) -> str:
    """A block of zeros, as a bad sector reads."""
    data = bytearray(file.read_bytes())
    filled = [i for i, byte in enumerate(data) if byte]
    start = filled[int(rng.integers(len(filled)))]
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    file.write_bytes(data)
    return f"zeros from byte {start}"


def _scramble(file: Path, files: list[Path], rng: np.random.Generator) -> str:
    """Other bytes of the same length, as a block written to the wrong place leaves."""
    file.write_bytes(rng.bytes(file.stat().st_size))
    return "replaced by noise"


_DAMAGES: tuple[Damage, ...] = (_flip, _flip, _flip, _truncate, _delete, _append, _swap, _blank, _scramble)


def _kind(name: str) -> str:
    """The kind of file that a path in a store is, so that rare kinds are damaged as often as common ones."""
    name = re.sub(r"\d{8}", "N", name)
    if not name.startswith("parts/"):
        return name
    if name.endswith("zarr.json"):
        return "metadata of an array" if name.count("/") > 2 else "metadata of a part"
    return "dump" if "/dumps/" in name else "shard" if "/c." in name else name


@dataclass(frozen=True)
class _Damaged:
    """A sealed store that was damaged in one place."""

    store: Path
    kind: str
    what: str


def _damage(folder: Path, count: int, seed: int, codec: str | None) -> Iterator[_Damaged]:
    """Damage a fresh copy of a sealed store, `folder`/whole, in one place after another; all kinds of files in turn."""
    rng = np.random.default_rng(seed)
    writer.work(folder / "whole", codec)
    names = [p.relative_to(folder / "whole") for p in sorted((folder / "whole").rglob("*")) if p.is_file()]
    kinds: dict[str, list[Path]] = {}
    for name in names:
        kinds.setdefault(_kind(name.as_posix()), []).append(name)
    for number in range(count):
        store = folder / "damaged"
        shutil.copytree(folder / "whole", store)
        kind = sorted(kinds)[number % len(kinds)]
        file = store / kinds[kind][int(rng.integers(len(kinds[kind])))]
        size = file.stat().st_size
        usable = [damage for damage in _DAMAGES if size or damage in (_delete, _append, _swap)]
        damage = usable[int(rng.integers(len(usable)))]
        what = f"{file.relative_to(store)} of {size} bytes: {damage(file, [store / n for n in names], rng)}"
        yield _Damaged(store, kind, what)
        shutil.rmtree(store)


def _damage_many(folder: Path, count: int, seed: int, codec: str | None = None) -> Counter[str]:
    """Look at a sealed store after each of `count` damages; returns how often each kind of file was hit."""
    hit: Counter[str] = Counter()
    missed = []
    whole: dict[str, Any] = {}
    for damaged in _damage(folder, count, seed, codec):
        whole = whole or writer.read_all(folder / "whole")
        assert not [value for value in whole.values() if isinstance(value, HandfulError)]
        missed += [f"{damaged.what}: {wrong}" for wrong in _wrong(damaged.store, whole)]
        hit[damaged.kind] += 1
    assert not missed, f"{len(missed)} of {count} damages: " + "\n".join(missed)
    return hit


def _repair_many(folder: Path, count: int, seed: int) -> None:
    """Repair a store after each of `count` damages and run its job again: the bytes are those that there were."""
    failed = []
    for damaged in _damage(folder, count, seed, None):
        try:
            repair_store(damaged.store)
            writer.work(damaged.store)
        except HandfulError as error:
            # What decides the content is written once: nothing gives it again. A number of another format is believed.
            if "plan.json" not in damaged.what and " has format " not in str(error):
                failed.append(f"{damaged.what}: {error}")
            continue
        if writer.tree(damaged.store) != writer.tree(folder / "whole"):
            failed.append(f"{damaged.what}: other bytes after the repair")
    assert not failed, f"{len(failed)} of {count} repairs: " + "\n".join(failed)


def _wrong(store: Path, whole: dict[str, Any]) -> list[str]:
    """What is wrong with how a damaged store is treated."""
    try:
        problems = Store.open(store).verify()
    except HandfulError as error:
        problems = [str(error)]
    wrong = [] if problems else ["verify finds nothing"]
    for name, value in writer.read_all(store).items():
        if not isinstance(value, HandfulError) and value != whole[name]:
            wrong.append(f"{name} is read as {str(value)[:80]}")
    return wrong


@pytest.mark.parametrize("codec", [None, "jpeg:90"])
def test_damage_is_found_and_never_read_as_data(tmp_path: Path, codec: str | None) -> None:
    hit = _damage_many(tmp_path, 25, 0, codec)
    assert {"zarr.json", "plan.json", "seal.json", "index.npz", "manifest/N.json", "shard", "dump"} <= hit.keys()


@pytest.mark.trial
@pytest.mark.parametrize("codec", [None, "jpeg:90"])
def test_five_hundred_damages_are_found(tmp_path: Path, codec: str | None) -> None:
    _damage_many(tmp_path, 500, 1, codec)


def test_what_is_damaged_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    _repair_many(tmp_path, 20, seed=2)


@pytest.mark.trial
def test_five_hundred_damages_are_repaired(tmp_path: Path) -> None:
    _repair_many(tmp_path, 500, seed=3)


def test_a_file_too_many_is_found_wherever_it_lies(tmp_path: Path) -> None:
    whole = writer.work(tmp_path / "s")
    folders = [tmp_path / "s", *(p for p in sorted((tmp_path / "s").rglob("*")) if p.is_dir())]
    for folder in folders:
        foreign = folder / "foreign.bin"
        foreign.write_bytes(b"x")
        assert any("foreign" in problem for problem in whole.verify()), folder
        foreign.unlink()
    assert whole.verify() == []
