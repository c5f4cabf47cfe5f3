"""Damage done to a good LeRobot data set: its JSON, its tables, the pictures in them, its videos, the folder itself."""

import io
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.trajectories.importers.mutations import ABSURD, Rng, damage_bytes, damage_json, pick


def damage_lerobot(path: Path, rng: Rng) -> str:
    """Damage one file of the data set, now and then more."""
    done = [_damage_file(path, rng)]
    while rng.random() < 0.15:
        done.append(_damage_file(path, rng))
    return "; ".join(done)


def _damage_file(path: Path, rng: Rng) -> str:
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    if not any(file.name != "stats.json" for file in files):
        return "nothing left"
    # Nobody reads the statistics.
    file = pick(rng, [file for file in files if file.name != "stats.json"] if rng.random() < 0.95 else files)
    name = file.relative_to(path).as_posix()
    if rng.random() < 0.12:
        return f"{name}: {_damage_folder(path, file, pick(rng, files), rng)}"
    if file.suffix == ".json" and rng.random() < 0.8:
        file.write_text(damage_json(file.read_text(errors="replace"), rng), errors="replace")
        return f"{name}: JSON"
    if file.suffix == ".jsonl" and rng.random() < 0.8:
        lines = file.read_text(errors="replace").splitlines()
        at = int(rng.integers(max(len(lines), 1)))
        lines[at : at + 1] = [] if rng.random() < 0.2 else [damage_json((lines or [""])[at if lines else 0], rng)]
        file.write_text("\n".join(lines) + "\n", errors="replace")
        return f"{name}: line {at}"
    if file.suffix == ".parquet" and rng.random() < 0.6:
        try:
            table = pq.read_table(file)
        except (pa.ArrowException, OSError):
            return damage_bytes(file, rng)
        changed, how = _damage_table(table, rng)
        pq.write_table(changed, file)
        return f"{name}: {how}"
    return damage_bytes(file, rng)


def _damage_folder(path: Path, file: Path, other: Path, rng: Rng) -> str:
    kind = pick(rng, ["deleted", "renamed", "emptied", "replaced", "folder", "outside", "itself", "extra", "all"])
    if kind == "all":
        shutil.rmtree(file.parent)
        return "its folder deleted"
    content = file.read_bytes()
    if kind == "extra":
        (file.parent / f"file-001{file.suffix}").write_bytes(content)
        return "copied to file-001"
    replacement = other.read_bytes()
    file.unlink()
    if kind == "renamed":
        file.with_name(f"x{file.name}").write_bytes(content)
    elif kind == "emptied":
        file.write_bytes(b"")
    elif kind == "replaced":
        file.write_bytes(replacement)
        return f"replaced by {other.name}"
    elif kind == "folder":
        file.mkdir()
    elif kind == "outside":
        file.symlink_to("/etc/hostname")
    elif kind == "itself":
        file.symlink_to(file.name)
    return kind


def _damage_table(table: pa.Table, rng: Rng) -> tuple[pa.Table, str]:
    if not table.num_columns:
        return table, "nothing in it"
    at = int(rng.integers(table.num_columns))
    name, column = table.column_names[at], table.column(at)
    kind = pick(
        rng, ["dropped", "renamed", "null", "retyped", "poked", "rows", "shuffled", "lists", "doubled", "plain"]
    )
    if kind == "dropped":
        return table.remove_column(at), f"{name} dropped"
    if kind == "renamed":
        names = [f"{n}_" if n == name else n for n in table.column_names]
        return table.rename_columns(names), f"{name} renamed"
    if kind == "rows":
        keep = int(rng.integers(table.num_rows + 1))
        return table.slice(0, keep), f"only {keep} rows"
    if kind == "shuffled":
        return table.take(pa.array(rng.permutation(table.num_rows))), "rows shuffled"
    if kind == "doubled":
        return pa.concat_tables([table, table]), "rows doubled"
    if kind == "plain":
        return table.replace_schema_metadata(None), "without metadata"
    values = column.to_pylist()
    if kind == "null":
        values = [None if rng.random() < 0.3 else value for value in values]
        return table.set_column(at, name, pa.array(values, column.type)), f"{name} has nulls"
    if kind == "retyped":
        new = pick(rng, [str, lambda v: 0.5, lambda v: 10**12, lambda v: [1, 2], lambda v: b"x", lambda v: None])
        return table.set_column(at, name, pa.array([new(value) for value in values])), f"{name} retyped"
    index = int(rng.integers(max(len(values), 1)))
    if values and isinstance(values[index], dict):
        values[index] = {**values[index], **_picture(values[index], rng)}
    elif values and isinstance(values[index], list) and values[index]:
        inner = list(values[index])
        inner = _poke(inner, rng) if kind == "poked" else inner[:-1] if rng.random() < 0.5 else [*inner, inner[0]]
        values[index] = inner
    elif values:
        values = _poke(values, rng)
    try:
        return table.set_column(at, name, pa.array(values, column.type)), f"{name} {kind}"
    except (pa.ArrowException, TypeError, OverflowError, ValueError):
        return table.remove_column(at), f"{name} dropped"


def _poke(values: list, rng: Rng) -> list:
    values[int(rng.integers(len(values)))] = pick(rng, (*ABSURD, float("nan"), 1e30, -1, 10**6, 2**40))
    return values


def _picture(image: dict, rng: Rng) -> dict:
    """Another content for a picture's cell."""
    data = bytearray(image.get("bytes") or b"x")
    kind = pick(rng, ["flip", "cut", "empty", "none", "path", "bomb", "text", "noise"])
    if kind == "flip":
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[int(rng.integers(len(data))) :]
    elif kind == "empty":
        data.clear()
    elif kind == "none":
        return {"bytes": None}
    elif kind == "path":
        return {"bytes": None, "path": pick(rng, ["/etc/hostname", "../../x.png", "/dev/zero"])}
    elif kind == "bomb":
        data = bytearray(_png(int(2 ** rng.uniform(8, 31)), int(2 ** rng.uniform(8, 31))))
    elif kind == "text":
        data = bytearray(b"GIF89a" + rng.bytes(50))
    else:
        data = bytearray(rng.bytes(len(data)))
    return {"bytes": bytes(data)}


def _png(width: int, height: int) -> bytes:
    """A picture that claims to be large and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    out = io.BytesIO()
    out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
    out.write(chunk(b"IDAT", zlib.compress(np.zeros(1000, np.uint8).tobytes())) + chunk(b"IEND", b""))
    return out.getvalue()
