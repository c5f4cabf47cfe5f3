"""What every part shares: the version, the errors a person reads, and the named random streams.

Nothing else belongs here. An error's message says what was wrong and what would be right; its `exit_code` is what the
command line returns for it.
"""

import difflib
import zlib
from collections.abc import Iterable
from typing import Literal

import numpy as np

__version__ = "0.1.0"


class HandfulError(Exception):
    """A failure explained to the person who asked for the work. The command line prints it as one line."""

    exit_code = 1


class InputError(HandfulError):
    """Something given to us is wrong: a name, a value, a file. Raised before any work starts."""

    exit_code = 2


class JobError(HandfulError):
    """The input was fine and the work failed: a full disk, a damaged store, a worker that keeps dying."""


def unknown_name(what: str, name: str, valid: Iterable[str]) -> InputError:
    """Build the error for a misspelt name, listing what exists and suggesting the nearest.

    Args:
        what: the kind of thing, e.g. "task".
        name: what was given.
        valid: the names that exist.

    Returns:
        The error, to be raised by the caller.
    """
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return InputError(f"unknown {what} '{name}'; there is: {', '.join(names) or 'none'}.{hint}")


Namespace = Literal["generation", "evaluation", "recording"]
Stream = Literal["scene", "appearance", "source", "motion_noise", "sensor_noise", "policy", "operator"]

# Positions are part of every dataset's identity: append, never reorder.
_NAMESPACES: tuple[Namespace, ...] = ("generation", "evaluation", "recording")
_STREAMS: tuple[Stream, ...] = (
    "scene",
    "appearance",
    "source",
    "motion_noise",
    "sensor_noise",
    "policy",
    "operator",
)


def stream_key(namespace: Namespace, task: str, scene: int, stream: Stream, attempt: int = 0) -> tuple[int, ...]:
    """The spawn key of one named stream, as recorded in an episode's provenance."""
    return (_NAMESPACES.index(namespace), zlib.crc32(task.encode()), scene, _STREAMS.index(stream), attempt)


def random_stream(
    namespace: Namespace, seed: int, task: str, scene: int, stream: Stream, attempt: int = 0
) -> np.random.Generator:
    """Open the named random stream of one scene.

    Streams of different names, scenes, attempts, tasks or namespaces are statistically independent, so drawing more
    from one never shifts another, and evaluation never sees a scene that generation drew.

    Args:
        namespace: who draws: generation, evaluation or recording.
        seed: the dataset's (or evaluation's) seed, >= 0.
        task: the task's name.
        scene: the scene's index in the plan, >= 0.
        stream: the stream's name.
        attempt: 0 for the first try at a scene, counted up by retries.

    Returns:
        A fresh generator at the start of the stream.
    """
    if seed < 0:
        raise InputError(f"seed must be >= 0, got {seed}")
    key = stream_key(namespace, task, scene, stream, attempt)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def stream_word(namespace: Namespace, seed: int, task: str, scene: int, stream: Stream, attempt: int = 0) -> int:
    """64 random bits of one scene's stream at an attempt: the key of its draws by name, see `keyed_uniform`.

    Raises:
        InputError: a negative seed.
    """
    if seed < 0:
        raise InputError(f"seed must be >= 0, got {seed}")
    sequence = np.random.SeedSequence(seed, spawn_key=stream_key(namespace, task, scene, stream, attempt))
    return int(sequence.generate_state(1, np.uint64)[0])


def name_salt(name: str, element: str = "") -> int:
    """64 bits that stand for a named value, and for one of several of its kind, such as one object's."""
    return zlib.crc32(name.encode()) << 32 | zlib.crc32(element.encode())


def keyed_uniform(key: np.ndarray, salt: np.ndarray) -> np.ndarray:
    """Uniform numbers in [0, 1), each a function of its key and its salt alone (uint64, broadcast together).

    So drawing more, fewer or other values never shifts one that is drawn already. The mixing function is SplitMix64
    (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014), once over the salt and once
    over both.
    """
    mixed = _mix(np.asarray(key, np.uint64) ^ _mix(np.asarray(salt, np.uint64)))
    return (mixed >> np.uint64(11)) * 2.0**-53


def _mix(bits: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is meant
        z = bits + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
