"""Task functions that spawned workers and Ray import by name; a test module itself is not importable there."""

import os
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


def either(call: tuple[str, str]) -> object:
    """Call the function of this module that is named first with what is named second."""
    name, argument = call
    return globals()[name](argument)
