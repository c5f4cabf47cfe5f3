"""Damage done to good files: bytes as disks and transfers damage them, structure as careless and hostile people do."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

# What the formats mark their own structures with; damage there does the most.
_SIGNATURES = re.compile(rb"\x89HDF|TREE|HEAP|SNOD|OHDR|GCOL|PAR1|PNG|moov|moof|avcC|av1C|stsz|stco|trun|mdat")
ABSURD = (
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../../x",
    "\u0000",
    [],
    {},
    [[]],
)
ABSURD += ("a" * 3000, "é\u202e", [None] * 9, {"x": {"y": [1]}}, "1", "nan", 2**31, 2**63 - 1, 1.5)

Rng = np.random.Generator


def pick(rng: Rng, items):
    return items[int(rng.integers(len(items)))]


# Bytes


def _position(data: bytes, rng: Rng) -> int:
    """Anywhere; every second time close behind a signature."""
    if rng.random() < 0.5:
        found = [match.end() for match in _SIGNATURES.finditer(data)]
        if found:
            return min(pick(rng, found) + int(rng.integers(96)), len(data) - 1)
    return int(rng.integers(len(data)))


def damage_bytes(path: Path, rng: Rng) -> str:
    """Flip bits, cut, overwrite, swap, insert or append."""
    data = bytearray(path.read_bytes())
    if not data:
        path.write_bytes(rng.bytes(10))
        return f"{path.name}: filled"
    kind = pick(
        rng, ["flip", "flip", "flip", "flips", "cut", "span", "zeros", "ones", "swap", "insert", "remove", "append"]
    )
    at = _position(bytes(data), rng)
    length = int(min(2 ** rng.uniform(0, 12), len(data) - at))
    if kind in ("flip", "flips"):
        for place in [at] if kind == "flip" else rng.integers(0, len(data), int(rng.integers(2, 40))):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del data[at:]
    elif kind in ("span", "zeros", "ones"):
        data[at : at + length] = {"span": rng.bytes(length), "zeros": bytes(length), "ones": b"\xff" * length}[kind]
    elif kind == "swap":
        other = int(rng.integers(len(data)))
        data[at : at + length] = data[other : other + length][:length].ljust(length, b"\0")
    elif kind == "insert":
        data[at:at] = rng.bytes(length)
    elif kind == "remove":
        del data[at : at + length]
    else:
        data += rng.bytes(length)
    path.write_bytes(data)
    return f"{path.name}: {kind} at {at}, {length} bytes"


# JSON


def damage_json(text: str, rng: Rng) -> str:
    """Change one value somewhere inside, drop it, or break the text."""
    if rng.random() < 0.15:
        return pick(rng, ["", "{", text[: len(text) // 2], "null", "[]", '"x"', "[" * 2000, text + "x", "{}", text * 2])
    try:
        value = json.loads(text)
    except ValueError:
        return "x"
    spots = list(_spots(value))
    if not spots:
        return json.dumps(pick(rng, ABSURD))
    container, key = pick(rng, spots)
    if rng.random() < 0.2:
        del container[key]
    else:
        container[key] = pick(rng, ABSURD)
    return json.dumps(value)


def _spots(value):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _spots(inner)


# Structure of HDF5


def damage_hdf5(path: Path, rng: Rng) -> str:
    """Damage either the bytes or the structure of an HDF5 file."""
    if rng.random() < 0.45:
        return damage_bytes(path, rng)
    with h5py.File(path, "r+") as file:
        done = [_damage_item(file, _items(file), rng)]
        while rng.random() < 0.15:
            done.append(_damage_item(file, _items(file), rng))
    return "; ".join(done)


def _items(file: h5py.File) -> list[h5py.HLObject]:
    items: list[h5py.HLObject] = [file]
    file.visititems(lambda name, item: items.append(item))
    return items


def _damage_item(file: h5py.File, items: list[h5py.HLObject], rng: Rng) -> str:
    with_attributes = [item for item in items if len(item.attrs)]
    if with_attributes and rng.random() < 0.3:
        return _damage_attribute(pick(rng, with_attributes), rng)
    if len(items) == 1:
        file["x"] = 1
        return "x added"
    item = pick(rng, items[1:])
    name = item.name
    if isinstance(item, h5py.Group) or rng.random() < 0.25:
        kind = pick(rng, ["deleted", "renamed", "number", "group", "dangling", "itself", "outside", "another", "child"])
        if kind == "child" and isinstance(item, h5py.Group):
            strange = pick(
                rng, ["..", ".", " ", "a b", "é", "x" * 300, "demo_99999999999999999999", "demo_0x", "demo_1"]
            )
            if strange not in item:
                item[strange] = np.zeros(3)
            return f"{name}/{strange!r} added"
        other = pick(rng, items).name
        del file[name]
        if kind == "renamed":
            file[f"{name}_"] = 1.0
        elif kind == "number":
            file[name] = 1.0
        elif kind == "group":
            file.create_group(name)
        elif kind == "dangling":
            file[name] = h5py.SoftLink("/nowhere")
        elif kind == "itself":
            file[name] = h5py.SoftLink(name)
        elif kind == "outside":
            file[name] = h5py.ExternalLink(pick(rng, ["/etc/passwd", "none.hdf5", "input", "/dev/zero"]), "/data")
        elif kind == "another" and other in file:
            file[name] = file[other]
        return f"{name}: {kind} ({other})"
    kind, change = pick(rng, _ARRAY_CHANGES)
    value = item[()]
    del file[name]
    change(file, name, value, rng)
    return f"{name}: {kind}"


def _damage_attribute(item: h5py.HLObject, rng: Rng) -> str:
    name = pick(rng, sorted(item.attrs))
    value = item.attrs[name]
    kind = pick(rng, ["deleted", "absurd", "absurd", "json", "json", "json", "bytes", "array", "empty"])
    if kind == "json" and isinstance(value, str):
        value = damage_json(value, rng)
    elif kind == "bytes":
        value = np.void(rng.bytes(20)) if rng.random() < 0.5 else np.bytes_(b"\xff\xfe\x80")
    elif kind == "array":
        value = rng.normal(size=(3, 2))
    elif kind == "empty":
        value = h5py.Empty(pick(rng, [np.float64, h5py.string_dtype()]))
    elif kind != "deleted":
        value = pick(rng, [item for item in ABSURD if isinstance(item, bool | float | str) and item != "\u0000"])
    del item.attrs[name]
    if kind != "deleted":
        try:
            item.attrs[name] = value
        except (ValueError, UnicodeEncodeError):
            item.attrs[name] = "x"
    return f"{item.name}@{name}: {kind} {str(value)[:60]!r}"


def _numbers(value):
    return np.atleast_1d(np.asarray(value)).copy()


def _poked(replacements: tuple) -> Callable:
    def change(file, name, value, rng):
        value = _numbers(value)
        if value.size and value.dtype.kind in "fiu":
            if value.dtype.kind != "f":
                value = value.astype(np.float64)
            with np.errstate(over="ignore"):
                value.reshape(-1)[rng.integers(0, value.size, int(rng.integers(1, 5)))] = pick(rng, replacements)
        file[name] = value

    return change


def _reshaped(file, name, value, rng):
    value = _numbers(value)
    shapes = [
        value[:-1],
        value[:0],
        value[..., None],
        value.reshape(-1),
        np.repeat(value, 2, axis=0),
        value[..., :-1],
        value.T,
    ]
    file[name] = pick(rng, shapes)


def _retyped(file, name, value, rng):
    value = _numbers(value)
    kind = pick(rng, ["f2", "f4", "f8", "i8", "u1", "i1", "c16", "S7", "bool", "text", "compound", "g", ">f8", ">i4"])
    if kind == "text":
        file.create_dataset(name, data=["x"] * max(len(value), 1), dtype=h5py.string_dtype())
    elif kind == "compound":
        file[name] = np.zeros(value.shape, [("a", "f4"), ("b", "i8")])
    else:
        with np.errstate(all="ignore"):
            file[name] = value.astype(kind if value.dtype.kind not in "SO" or kind.startswith("S") else "S3")


def _huge(file, name, value, rng):
    value = _numbers(value)
    rows = int(10 ** rng.uniform(4, 14))
    file.create_dataset(name, (rows, *value.shape[1:]), value.dtype if value.dtype.kind != "O" else "f8", chunks=True)


def _sparse(file, name, value, rng):
    value = _numbers(value)
    data = value if value.dtype.kind in "fiub" and value.ndim and value.size else np.zeros((4, 2))
    array = file.create_dataset(name, data.shape, data.dtype, chunks=(1, *data.shape[1:]), compression="gzip")
    array[: len(data) // 2] = data[: len(data) // 2]


def _bomb(file, name, value, rng):
    """Megabytes that are kilobytes when packed."""
    value = _numbers(value)
    rows = int(10 ** rng.uniform(3, 5))
    file.create_dataset(name, data=np.zeros((rows, *value.shape[1:2]), np.float32), compression="gzip", chunks=True)


def _virtual(file, name, value, rng):
    value = _numbers(value)
    layout = h5py.VirtualLayout(value.shape, "f8")
    layout[...] = h5py.VirtualSource("elsewhere.hdf5", "x", value.shape)
    file.create_virtual_dataset(name, layout)


_ARRAY_CHANGES = [
    ("not finite", _poked((np.nan, np.inf, -np.inf))),
    ("poked", _poked((0.0, 1e300, -1e300, 1e-300, 2.0, -1.0, 1e10))),
    ("reshaped", _reshaped),
    ("retyped", _retyped),
    ("huge", _huge),
    ("sparse", _sparse),
    ("bomb", _bomb),
    ("virtual", _virtual),
]
