"""What a page may say, one small JSON object at a time, and what it means: everything else is refused with a reason."""

from dataclasses import dataclass
from typing import Any

from generators.assistance import Assistance
from handful import InputError, unknown_name
from pipelines.web.operation import ACTS
from pipelines.web.server import parse_object, read_json

_NUMBER = (int, float)
# Milliseconds that a page's clock may have reached: some thousands of years.
_LATEST = 1e14

# Type -> its fields.
FIELDS: dict[str, dict[str, Any]] = {
    # The first message: which tab this is, so that a reloaded page gets its own seat back.
    "hello": {"type": str, "tab": str},
    # What the hand does: 6 deflections, whether the clutch is held, when on the page's clock [ms].
    "steer": {"type": str, "axes": list, "clutch": bool, "at": _NUMBER},
    # One of ACTS.
    "act": {"type": str, "name": str},
    # What helps.
    "assist": {"type": str, "speed": int, "deadband": _NUMBER, "guidance": bool, "skip_pauses": bool},
    # Take the free seat of the operator.
    "take": {"type": str},
}


@dataclass(frozen=True)
class Hello:
    """A page has come."""

    tab: str


@dataclass(frozen=True)
class Steer:
    """What the hand does."""

    axes: tuple[float, ...]
    clutch: bool
    at: float


@dataclass(frozen=True)
class Act:
    """Something to do once."""

    name: str


@dataclass(frozen=True)
class Take:
    """The page wants to operate."""


Message = Hello | Steer | Act | Take | Assistance


def parse(text: str) -> Message:
    """Read a message.

    Raises:
        InputError: it is none; says why.
    """
    found = read_json(text)
    kind = found.get("type") if isinstance(found, dict) else None
    if not isinstance(kind, str) or kind not in FIELDS:
        raise unknown_name("type of message", str(kind)[:40], FIELDS)
    values = parse_object(text, FIELDS[kind])
    del values["type"]
    if kind == "hello":
        if not 8 <= len(values["tab"]) <= 64:
            raise InputError("'tab' of a message must have 8 to 64 characters")
        return Hello(values["tab"])
    if kind == "steer":
        if not 0 <= values["at"] < _LATEST:
            raise InputError(f"'at' of a message must lie in [0, {_LATEST:g})")
        return Steer(_axes(values["axes"]), values["clutch"], float(values["at"]))
    if kind == "act":
        if values["name"] not in ACTS:
            raise unknown_name("act", values["name"][:40], ACTS)
        return Act(values["name"])
    return Take() if kind == "take" else Assistance(**values)


def _axes(axes: list[Any]) -> tuple[float, ...]:
    if len(axes) != 6 or any(isinstance(v, bool) or not isinstance(v, int | float) for v in axes):
        raise InputError("'axes' of a message must be 6 numbers")
    if any(not -1.0 <= v <= 1.0 for v in axes):
        raise InputError("'axes' of a message must lie in [-1, 1]")
    return tuple(float(v) for v in axes)
