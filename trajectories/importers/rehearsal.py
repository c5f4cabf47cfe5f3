"""Open an untrusted HDF5 file in a process of its own first.

The HDF5 library, given a damaged file, may loop for ever or crash inside C code, where no exception reaches Python.
So a child process reads the file before we do, and is killed when it takes too long.
"""

import importlib
import subprocess
import sys
from pathlib import Path

from handful import HandfulError, InputError

# A reader starts in about a second; the slowest disks deliver this much [s], [bytes/s].
_START = 60.0
_RATE = 5e6


def rehearse(reader: str, path: Path, *arguments: str, limit: float | None = None) -> None:
    """Run a reader on a file in a child process, to see whether it ends.

    Args:
        reader: "module:function"; called with the path and the arguments. What it returns or refuses is not looked
            at: the caller runs it again.
        path: the file.
        arguments: further strings for the reader.
        limit: time allowed [s]; None: a minute, and more for large files.

    Raises:
        InputError: the reader did not end in time, or crashed.
    """
    seconds = _START + path.stat().st_size / _RATE if limit is None else limit
    command = [sys.executable, "-m", "trajectories.importers.rehearsal", reader, str(path), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"'{path}' is damaged: reading it did not end within {seconds:.0f} s") from error
    if result.returncode < 0:
        raise InputError(f"'{path}' is damaged: reading it crashed the HDF5 library (signal {-result.returncode})")
    if result.returncode != 0:
        lines = result.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise InputError(f"'{path}' cannot be read: {lines[-1]}")


def _main(reader: str, path: str, *arguments: str) -> None:
    module, function = reader.split(":")
    try:
        getattr(importlib.import_module(module), function)(Path(path), *arguments)
    except HandfulError:
        # The caller finds the same and reports it.
        return


if __name__ == "__main__":
    _main(*sys.argv[1:])
