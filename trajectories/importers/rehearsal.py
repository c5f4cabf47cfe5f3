"""Read an untrusted file in a process of its own first, with limits on time and memory.

The C libraries behind these formats, given a damaged file, may loop for ever, crash where no exception reaches Python,
or ask for all memory there is. So a child process reads the file before we do, and dies in our place.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from handful import HandfulError, InputError, JobError

# A reader starts in about a second; the slowest disks deliver this much [s], [bytes/s].
_START = 60.0
_RATE = 5e6
# Libraries and small files need this much; the content of large ones may be packed [bytes], [bytes per byte of file].
_MEMORY = 2 << 30
_UNPACKED = 8
_ERRORS: dict[str, type[HandfulError]] = {error.__name__: error for error in (InputError, JobError)}
# Exit status of a child that ran out of memory; Python itself uses 1 and 2.
_NO_MEMORY = 77


def rehearse(reader: str, path: Path, *arguments: str, limit: float | None = None, memory: int | None = None) -> Any:
    """Run a reader on a file or folder in a child process, to see whether it ends and what it says.

    Args:
        reader: "module:function"; called with the path and the arguments. It returns None, or something of JSON types.
        path: the file or folder.
        arguments: further strings for the reader.
        limit: time allowed [s]; None: a minute, and more for large files.
        memory: what it may allocate [bytes]; None: 2 GiB and eight times the file, at most three quarters of what the
            machine has. Enforced on Linux alone.

    Returns:
        What the reader returned.

    Raises:
        InputError: the reader refused the file, did not end in time, needed too much memory, or crashed.
        JobError: the reader raised one.
    """
    size = _size(path)
    seconds = _START + size / _RATE if limit is None else limit
    allowed = min(_MEMORY + _UNPACKED * size, _physical_memory() * 3 // 4) if memory is None else memory
    command = [sys.executable, "-m", "trajectories.importers.rehearsal", str(allowed), reader, str(path), *arguments]
    # Idle threads of numerical libraries would count as memory.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        result = subprocess.run(command, capture_output=True, timeout=seconds, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"'{path}' is damaged: reading it did not end within {seconds:.0f} s") from error
    if result.returncode == _NO_MEMORY:
        raise InputError(
            f"'{path}' is damaged or too large: reading it needs more than {allowed / 1e9:.1f} GB of memory"
        )
    if result.returncode < 0:
        raise InputError(f"'{path}' is damaged: reading it crashed (signal {-result.returncode})")
    if result.returncode != 0:
        lines = result.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise InputError(f"'{path}' cannot be read: {lines[-1]}")
    account = json.loads(result.stdout)
    if "failed" in account:
        raise InputError(f"'{path}' cannot be read: {account['failed']}")
    if "refused" in account:
        raise _ERRORS[account["kind"]](account["refused"])
    return account["returned"]


def _size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def limit_memory(memory: int) -> None:
    """Let this process allocate at most so many bytes from now on; asking for more is then a MemoryError.

    Counts what is allocated, not address space that is only reserved. Elsewhere than on Linux it does nothing: the
    systems there do not keep such a limit.
    """
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _main(memory: str, reader: str, path: str, *arguments: str) -> None:
    # Libraries may print; the answer goes where they cannot reach.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    limit_memory(int(memory))
    module, function = reader.split(":")
    try:
        account = {"returned": getattr(importlib.import_module(module), function)(Path(path), *arguments)}
    except HandfulError as error:
        if isinstance(error.__cause__, MemoryError):
            sys.exit(_NO_MEMORY)
        kind = next(kind for kind in _ERRORS if isinstance(error, _ERRORS[kind]))
        account = {"refused": str(error), "kind": kind}
    except MemoryError:
        sys.exit(_NO_MEMORY)
    except Exception as error:  # whatever a library makes of the file is said of the file
        account = {"failed": " ".join(f"{type(error).__name__}: {error}".split())}
    with answer:
        json.dump(account, answer)


if __name__ == "__main__":
    _main(*sys.argv[1:])
