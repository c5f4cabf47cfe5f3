"""A population of surrogate realities, each known by its name alone.

One robot in one room is one sample of reality; twins are many. Which side of the training range a twin takes on an
axis, and where in its band it lies, follows from its name, so a twin is the same for ever and on every machine, and
another axis shifts none of those that are there. Within a twin each value stays within a quarter of its band: reality
is one robot and one room, not a distribution of them.

`twin/dev-*` are for tuning, of demos from `twin/study-*` policies may learn, and `twin/test-*` are sealed: they are met
in evaluation alone, and refused wherever data is made or learnt from. A figure is worth something because nobody tuned
towards it. All of them are surrogate reality, and everything that prints them says so.
"""

import re
from typing import Any

import numpy as np

from handful import InputError, keyed_uniform, name_salt
from scenes.randomization import DEFAULT, LogUniform, Randomization, Uniform
from scenes.twins.severity import BANDS, GROUPS, SEVERITIES, TOGETHER, Range, Severity

# How many of each kind there are, twin/dev-0 aside, which was made by hand.
COUNTS = {"dev": 3, "study": 6, "test": 12}
NAMES: tuple[str, ...] = tuple(
    f"twin/{kind}-{number + (kind == 'dev')}" for kind, count in COUNTS.items() for number in range(count)
)
SEALED = "twin/test-"
# The share of its band that a twin covers.
_SPREAD = 0.25


def severity_of(name: str) -> Severity:
    """How severe a twin is: by turns mild, medium and severe."""
    found = re.fullmatch(r"twin/(dev|study|test)-(\d+)", name)
    if name not in NAMES or found is None:
        raise InputError(f"'{name}' is not one of the twins: {NAMES[0]} to {NAMES[-1]}")
    return SEVERITIES[(int(found[2]) - (found[1] == "dev")) % len(SEVERITIES)]


def twin(name: str) -> Randomization:
    """What the scenes of a twin are drawn from.

    Raises:
        InputError: there is no such twin.
    """
    return at_severity(name, severity_of(name), GROUPS)


def at_severity(name: str, severity: Severity, groups: tuple[str, ...]) -> Randomization:
    """A twin of another severity, or that differs from training in some groups alone: sides and places as named.

    Raises:
        InputError: there is no such group.
    """
    changes: dict[str, Any] = {}
    for group in groups:
        if group not in BANDS:
            raise InputError(f"there is no group '{group}' of a twin; there is: {', '.join(GROUPS)}")
        for axis, bands in BANDS[group].items():
            band = bands[SEVERITIES.index(severity)]
            if band:
                side, place = _share(name, TOGETHER.get(axis, axis), "side"), _share(name, axis, "at")
                changes[axis] = _within(axis, band[int(side * len(band))], place)
    return DEFAULT.with_(changes)


def require_open(name: str, what: str) -> None:
    """Refuse a sealed twin where data is made or learnt from.

    Args:
        name: of a domain.
        what: what was to be done, e.g. "generation".

    Raises:
        InputError: the twin is kept for evaluation.
    """
    if name.startswith(SEALED):
        raise InputError(
            f"'{name}' is kept for evaluation alone, so {what} must not use it; there are twin/dev-* to tune on and "
            "twin/study-* to make demos in"
        )


def _within(axis: str, part: Range | str, place: float) -> Any:
    """A quarter of a range, or what has a name."""
    if isinstance(part, str):
        return part
    low, high = part
    start = low + (1 - _SPREAD) * place * (high - low)
    stop = start + _SPREAD * (high - low)
    kind = LogUniform if isinstance(DEFAULT[axis], LogUniform) else Uniform
    return kind(float(f"{start:.5g}"), float(f"{stop:.5g}"))


def _share(name: str, axis: str, what: str) -> float:
    """A number in [0, 1) that a twin has for one axis."""
    key, salt = (np.array(bits, np.uint64) for bits in (name_salt(name), name_salt(axis, what)))
    return float(keyed_uniform(key, salt))
