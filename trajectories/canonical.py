"""Bytes that depend on content alone, and files that are either whole or absent.

A store made twice from one plan must be identical byte for byte, so JSON has one spelling (sorted keys, no spaces, no
NaN) and is hashed in that spelling. A job may die at any moment, so a file appears under its name only once it is
complete and on the disk.
"""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from handful import InputError, JobError
from trajectories.staging import staging_path

# Files that are waited for at once.
_SYNCS = 8


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as JSON types; anything else that JSON does not know is refused."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON type")


def canonical_json(value: Any, what: str = "record") -> bytes:
    """The one spelling of a JSON value, as UTF-8.

    Args:
        value: JSON types, NumPy scalars or arrays; floats are finite.
        what: names the value in an error.

    Raises:
        InputError: the value is not JSON, or holds NaN or infinity.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
        ).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be written as JSON: {error}") from error


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_entry(data: bytes) -> dict[str, Any]:
    """What a manifest says of a file of these bytes."""
    return {"bytes": len(data), "sha256": sha256(data)}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path, *besides: Path) -> None:
    """Wait until everything in a folder, and some files besides, are on the disk.

    Several files are waited for at once, because a journal commits what waits together in one go.
    """
    with ThreadPoolExecutor(_SYNCS) as pool:
        for _ in pool.map(sync_to_disk, [folder, *folder.rglob("*"), *besides]):
            pass


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that at every moment it is absent, the old one, or completely the new one."""
    temporary = staging_path(path.parent, path.name)
    try:
        temporary.write_bytes(data)
        sync_to_disk(temporary)
        os.replace(temporary, path)
        sync_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn the operating system's errors while `what` is written into a `JobError` of one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise JobError(f"disk full while writing {what}; free some space and run the same command again") from error
        raise JobError(f"cannot write {what}: {error.strerror or error}") from error
