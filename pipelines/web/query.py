"""What a page asks for, as it stands in its address: facets, ranges and a free filter, all of them one filter.

    ?outcome=success&outcome=collided&length=100..300&ledger.physics.table_friction=0.5..&where=scene+>+3

Each becomes a clause in the language of `trajectories.filters`; the clauses joined with `and` are the whole filter, as
`handful data filter` takes it.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from handful import InputError, unknown_name
from trajectories.filters import NUMBER_FIELDS, TEXT_FIELDS

FREE = "where"
_RANGE = re.compile(r"(?P<low>[^.]*(?:\.\d[^.]*)?)\.\.(?P<high>.*)", re.DOTALL)
_AXIS = re.compile(r"ledger\.[^\W\d]\w*(?:[./:-]\w+|\[-?\d+\])*")
# Values of one field, and characters of everything.
_VALUES, _LONGEST = 64, 3000


@dataclass(frozen=True)
class Clause:
    """One part of a filter.

    Attributes:
        field: whose facet or range it is; "where" for the free filter.
        text: the clause in the language of filters; empty for a range without ends, which leaves everything.
    """

    field: str
    text: str


@dataclass(frozen=True)
class Query:
    """A filter as clauses; no two belong to one field."""

    clauses: tuple[Clause, ...]

    @property
    def where(self) -> str:
        """The whole filter; empty where everything is wanted."""
        texts = [clause.text for clause in self.clauses if clause.text]
        return texts[0] if len(texts) == 1 else " and ".join(f"({text})" for text in texts)

    @classmethod
    def parse(cls, pairs: Iterable[tuple[str, str]]) -> "Query":
        """Read the parameters of an address.

        Raises:
            InputError: an unknown field, or a value that is none.
        """
        asked: dict[str, list[str]] = {}
        for name, value in pairs:
            asked.setdefault(name, []).append(value)
        if sum(len(name) + sum(map(len, values)) for name, values in asked.items()) > _LONGEST:
            raise InputError(f"a filter in an address has at most {_LONGEST:,} characters")
        clauses = []
        for name, values in asked.items():
            if len(values) > _VALUES:
                raise InputError(f"'{name}' is given {len(values)} values; at most {_VALUES} are taken")
            clauses.append(Clause(name, _clause(name, values)))
        return cls(tuple(clauses))


def _clause(name: str, values: list[str]) -> str:
    if name == FREE:
        return values[-1].strip()
    if name in TEXT_FIELDS:
        return _among(name, [_quoted(value) for value in values])
    if name == "demo":
        return _among(name, [_whole(name, value) for value in values])
    if name in NUMBER_FIELDS or _AXIS.fullmatch(name):
        found = _RANGE.fullmatch(values[-1])
        if found:
            return _between(name, found["low"], found["high"])
        if name in NUMBER_FIELDS:
            raise InputError(f"'{name}' wants a range such as 3..10, 3.. or ..10, not '{values[-1][:40]}'")
        return _among(name, [value if value in ("true", "false") else _quoted(value) for value in values])
    raise unknown_name("field of a filter", name[:60], (*TEXT_FIELDS, *NUMBER_FIELDS, "demo", "ledger.<axis>", FREE))


def _among(name: str, values: list[str]) -> str:
    return f"{name} == {values[0]}" if len(values) == 1 else f"{name} in ({', '.join(values)})"


def _between(name: str, low: str, high: str) -> str:
    ends = [_number(name, end) if end.strip() else None for end in (low, high)]
    if ends[0] is None:
        return f"{name} <= {ends[1]}" if ends[1] is not None else ""
    return f"{name} >= {ends[0]}" if ends[1] is None else f"{ends[0]} <= {name} <= {ends[1]}"


def _number(name: str, text: str) -> str:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"'{name}' is a number and cannot be '{text[:40]}'")
    return text.strip() if text.strip().lstrip("+-").isdigit() else repr(value)


def _whole(name: str, text: str) -> str:
    if not re.fullmatch(r"\d{1,9}", text):
        raise InputError(f"'{name}' is a whole number and cannot be '{text[:40]}'")
    return text


def _quoted(text: str) -> str:
    if '"' not in text:
        return f'"{text}"'
    if "'" not in text:
        return f"'{text}'"
    raise InputError(f"text with both kinds of quotes cannot be filtered by: {text[:60]}")
