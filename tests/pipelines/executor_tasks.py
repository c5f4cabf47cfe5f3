"""Task functions that spawned workers and Ray import by name; a test module itself is not importable there."""

import ctypes
import os
import signal
import time
from pathlib import Path

from handful import InputError


def square(number: int) -> int:
    return number * number


def process_id(_: object) -> int:
    return os.getpid()


def threads(_: object) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def die_once(marker: str) -> str:
    """Kill the process on the first call with this marker file, succeed on the second."""
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(9)
    return "survived"


def die_always(counter: str) -> None:
    with open(counter, "a") as file:
        file.write("x")
    os._exit(3)


def fail(message: str) -> None:
    raise ValueError(message)


def fail_politely(message: str) -> None:
    raise InputError(message)


def unpicklable(_: object) -> object:
    return lambda: None


def write_then_sleep(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def sleep(seconds: str) -> None:
    """As code that swallows whatever goes wrong in it."""
    try:
        time.sleep(float(seconds))
    except Exception:
        sleep(seconds)


def either(call: tuple[str, str]) -> object:
    """Call the function of this module that is named first with what is named second."""
    name, argument = call
    return globals()[name](argument)


def square_of(number: str) -> int:
    return int(number) ** 2


def hold_the_lock(_: object) -> None:
    ctypes.PyDLL(None).sleep(60)


def no_memory_once(path: str) -> tuple[int, int]:
    """Run out of memory on the first call with this file; the second tells both calls' processes."""
    if not Path(path).exists():
        Path(path).write_text(str(os.getpid()))
        raise MemoryError
    return int(Path(path).read_text()), os.getpid()


def kill_parent_once(path: str) -> tuple[int, int]:
    """Kill the process that started this one on the first call with this file; the second tells both processes."""
    if not Path(path).exists():
        Path(path).write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return int(Path(path).read_text()), os.getpid()


_KEPT: list[bytearray] = []


def keep_megabytes(count: int) -> int:
    """Leak so much memory."""
    _KEPT.append(bytearray(os.urandom(2**20)) * count)
    return os.getpid()
