"""Reading of HDF5 files by strangers: nothing is believed before it is checked, and damage is one sentence.

A few flipped bits can make a file claim terabytes, share one array's bytes between two, or point into other files.
So sizes are held against what is really stored before any memory is asked for, and every array is looked at for its
shape, its type, and numbers that are not finite. The library itself may hang or crash: see `rehearsal`.
"""

import contextlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from handful import InputError, unknown_name

# The best that gzip, the strongest filter in use, can do: 258 bytes in two bits.
_PACKED = 1040
# Files of one kind name their demos like this.
_DEMO = "demo_"
_NUMBERS = "fiub"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LONGEST_TEXT = 1 << 24


def require_file(path: Path) -> None:
    """Refuse what is no file at all.

    Raises:
        InputError: there is nothing, or a folder.
    """
    if not path.exists():
        raise InputError(f"there is no file '{path}'")
    if not path.is_file():
        raise InputError(f"'{path}' is a folder; give the HDF5 file itself")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; whatever the library says about damage becomes an `InputError` of one line.

    Raises:
        InputError: there is no such file, it is none of HDF5, or damaged.
    """
    require_file(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    # h5py raises all of these for damaged files.
    except (
        OSError,
        RuntimeError,
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"'{path}' is damaged, or no HDF5 file: {reason}") from error


def _inside(group: h5py.Group, name: str) -> str:
    return f"{group.name}/{name}".lstrip("/")


def demo_names(path: Path, file: h5py.File) -> list[str]:
    """Names of the groups `data/demo_<i>`, by number."""
    if not isinstance(file.get("data"), h5py.Group):
        raise InputError(f"'{path}' has no group 'data', so it is not in the layout of robomimic and Isaac Lab")
    names = [name for name in file["data"] if name.startswith(_DEMO) and name.removeprefix(_DEMO).isdecimal()]
    if not names:
        raise InputError(f"'{path}' holds no demos (no group 'data/demo_0')")
    return sorted(names, key=lambda name: int(name.removeprefix(_DEMO)))


def demo_group(path: Path, file: h5py.File, name: str) -> h5py.Group:
    """One demo's group."""
    group = file["data"][name]
    if not isinstance(group, h5py.Group):
        raise InputError(f"'{path}': 'data/{name}' is not a group")
    return group


def find(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """A dataset, checked to hold numbers that lie in this very file, all of them, and no more than the file can hold.

    Raises:
        InputError: naming it, and what is wrong.
    """
    where = f"'{path}': '{_inside(group, name)}'"
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"'{path}' has no array '{_inside(group, name)}'")
    if dataset.is_virtual or dataset.external or h5py.h5f.get_name(dataset.id) != h5py.h5f.get_name(group.file.id):
        raise InputError(f"{where} lies in another file; copy it into this one first")
    if dataset.dtype.kind not in _NUMBERS or dataset.dtype.itemsize > 8 or dataset.shape is None:
        raise InputError(f"{where} holds {dataset.dtype}, not numbers")
    stored = min(dataset.id.get_storage_size(), path.stat().st_size)
    claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
    if claimed > stored * (1 if dataset.chunks is None else _PACKED):
        raise InputError(f"{where} claims {claimed} bytes; the file holds {stored} for it")
    if dataset.chunks is not None:
        wanted = math.prod(-(-has // rows) for has, rows in zip(dataset.shape, dataset.chunks, strict=True))
        if dataset.id.get_num_chunks() != wanted:
            raise InputError(f"{where} has {dataset.id.get_num_chunks()} of its {wanted} chunks; the rest is missing")
    return dataset


def read_array(path: Path, group: h5py.Group, name: str, shape: tuple[int | None, ...] | None = None) -> np.ndarray:
    """One array, checked as by `find`, against its shape (None: any) and for being finite.

    Raises:
        InputError: naming it, and what is wrong.
    """
    dataset = find(path, group, name)
    where = f"'{path}': '{_inside(group, name)}'"
    has = dataset.shape
    if shape is not None and (
        len(has) != len(shape) or any(want not in (None, got) for got, want in zip(has, shape, strict=True))
    ):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise InputError(f"{where} has shape {has}; it should be ({wanted})")
    value = np.asarray(dataset[()])
    if not np.isfinite(value).all():
        raise InputError(f"{where} holds values that are not finite")
    return value


def children(path: Path, group: h5py.Group, name: str, advice: str) -> list[str]:
    """Names of what a group holds, sorted; it must hold something.

    Raises:
        InputError: there is no such group, or it is empty (ends with the advice), or a name cannot become one of ours.
    """
    if not isinstance(group.get(name), h5py.Group) or not len(group[name]):
        raise InputError(f"'{path}' has no group '{_inside(group, name)}' with anything in it; {advice}")
    names = sorted(group[name])
    for child in names:
        if not _NAME.fullmatch(child):
            raise InputError(
                f"'{path}': '{_inside(group, name)}' holds {child!r}; a name has letters, digits, '_', '-' and '.' only"
            )
    return names


def text_attribute(path: Path, item: h5py.HLObject, name: str) -> str:
    """An attribute that is one text.

    Raises:
        InputError: it is missing, or no text.
    """
    where = item.name.lstrip("/") or "root"
    if name not in item.attrs:
        raise InputError(f"'{path}': '{where}' has no attribute '{name}'")
    # Its size is read before its content.
    kind = item.attrs.get_id(name)
    value = item.attrs[name] if kind.shape == () and kind.get_storage_size() < _LONGEST_TEXT else None
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str):
        raise InputError(f"'{path}': attribute '{name}' of '{where}' is no text")
    return value


def json_object(path: Path, what: str, text: str | bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: the text is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}': {what} is no JSON: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise InputError(f"'{path}': {what} is no JSON object")
    return value


def filtered(path: Path, file: h5py.File, names: Sequence[str], filter_key: str | None) -> list[str]:
    """The demos that a robomimic filter key (`mask/<filter_key>`) lists, in the order of `names`; None: all.

    Raises:
        InputError: there is no such key, or it lists demos that are not there, or none.
    """
    if filter_key is None:
        return list(names)
    masks = sorted(file["mask"]) if isinstance(file.get("mask"), h5py.Group) else []
    if filter_key not in masks:
        raise unknown_name(f"filter key of '{path}'", filter_key, masks)
    mask = file["mask"][filter_key]
    where = f"'{path}': 'mask/{filter_key}'"
    if not isinstance(mask, h5py.Dataset) or mask.shape is None or len(mask.shape) != 1 or mask.dtype.kind not in "SO":
        raise InputError(f"{where} is no list of demos")
    if mask.size > 2 * len(names) or mask.dtype.itemsize > 1024:
        raise InputError(f"{where} lists {mask.size} demos; there are {len(names)}")
    listed = [item.decode() if isinstance(item, bytes) else str(item) for item in mask[()].tolist()]
    absent = sorted(set(listed) - set(names))
    if absent or not listed:
        raise InputError(f"{where} lists {'no demos' if not listed else f'{absent[0]!r}, which is not in the file'}")
    return [name for name in names if name in set(listed)]
