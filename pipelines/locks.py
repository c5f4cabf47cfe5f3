"""One writer per folder: a second job into it waits for nobody, it is refused."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handful import InputError


@contextmanager
def alone(folder: Path, refusal: str) -> Iterator[None]:
    """Hold a folder that is there. The lock ends with the process, however that ends.

    Args:
        folder: what others are kept out of.
        refusal: what is said to a second one.

    Raises:
        InputError: another one holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(refusal) from None
        yield
    finally:
        os.close(handle)
