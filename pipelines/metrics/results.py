"""Successes of several policies, real or simulated: the counts that agreement is measured on, and their CSV file.

Rates alone would not do: how far a rate can be trusted is in its n.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful import InputError

_NEEDED = ("policy", "successes", "episodes")
_OPTIONAL = ("condition", "domain")


@dataclass(frozen=True)
class Results:
    """Counts of N policies under C conditions.

    Attributes:
        policies: N names.
        conditions: C names; one, "", where none were told apart.
        successes: (N, C).
        episodes: (N, C), each at least 1.
    """

    policies: tuple[str, ...]
    conditions: tuple[str, ...]
    successes: np.ndarray
    episodes: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.policies), len(self.conditions))
        if self.successes.shape != shape or self.episodes.shape != shape:
            raise InputError(
                f"{shape[0]} policies and {shape[1]} conditions need counts of that shape, "
                f"got {self.successes.shape} and {self.episodes.shape}"
            )
        if not (self.episodes >= 1).all() or not ((self.successes >= 0) & (self.successes <= self.episodes)).all():
            raise InputError("each cell needs at least one episode, and from 0 to that many successes")

    @property
    def rates(self) -> np.ndarray:
        """(N, C) success rates."""
        return self.successes / self.episodes

    @property
    def scores(self) -> np.ndarray:
        """(N,) success rates; the plain mean over conditions, so that none counts more for having been tried more."""
        return np.asarray(self.rates.mean(axis=1))

    def drawn(self, rates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Scores (...) x (N,) that as many episodes would give if the true rates were `rates`, (...) x (N, C)."""
        return np.asarray((rng.binomial(self.episodes, rates) / self.episodes).mean(axis=-1))

    def of(self, policies: np.ndarray) -> "Results":
        """The same of some policies, by number; one may come several times."""
        names = tuple(self.policies[i] for i in policies)
        return Results(names, self.conditions, self.successes[policies], self.episodes[policies])


def read_results(path: str | Path, kind: str) -> Results:
    """Read a table of results from CSV: a header, then a line per policy, or per policy and condition.

    Args:
        path: the file; columns `policy`, `successes`, `episodes`, and optionally `condition` and `domain`, in any
            order. `domain` is held against `kind`: it starts with "real" or it does not.
        kind: "real" or "sim", what the file is supposed to hold.

    Raises:
        InputError: there is no such file, or something in it is wrong; the message names line and column.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8") from error
    reader = csv.reader(text.splitlines(), strict=True)
    cells: dict[tuple[str, str], tuple[int, int]] = {}
    lines: dict[tuple[str, str], int] = {}
    try:
        header = _header(path, next(reader, []))
        for row in reader:
            if not any(value.strip() for value in row):
                continue
            policy, condition, counts = _row(path, reader.line_num, header, row, kind)
            if (policy, condition) in cells:
                under = f" under condition '{condition}'" if condition else ""
                raise InputError(
                    f"'{path}', line {reader.line_num}: policy '{policy}'{under} is there already, "
                    f"in line {lines[policy, condition]}"
                )
            cells[policy, condition] = counts
            lines[policy, condition] = reader.line_num
    except csv.Error as error:
        raise InputError(f"'{path}', line {reader.line_num}: {error}") from error
    if not cells:
        raise InputError(f"'{path}' has a header and no results below it")
    policies = tuple(dict.fromkeys(policy for policy, _ in cells))
    conditions = tuple(dict.fromkeys(condition for _, condition in cells))
    for policy in policies:
        for condition in conditions:
            if (policy, condition) not in cells:
                raise InputError(
                    f"'{path}': policy '{policy}' has no line for condition '{condition}'; "
                    "every policy needs one for every condition"
                )
    table = np.array([[cells[policy, condition] for condition in conditions] for policy in policies])
    return Results(policies, conditions, table[..., 0], table[..., 1])


def matched(real: Results, sim: Results) -> Results:
    """`sim` in the order of `real`.

    Raises:
        InputError: they hold different policies or conditions.
    """
    for what, ours, theirs in (("policy", real.policies, sim.policies), ("condition", real.conditions, sim.conditions)):
        for name in ours:
            if name not in theirs:
                raise InputError(f"{what} '{name}' has real results and none in simulation; simulated: {_list(theirs)}")
        for name in theirs:
            if name not in ours:
                raise InputError(f"{what} '{name}' has results in simulation and no real ones; real: {_list(ours)}")
    rows = [sim.policies.index(name) for name in real.policies]
    columns = [sim.conditions.index(name) for name in real.conditions]
    place = np.ix_(rows, columns)
    return Results(real.policies, real.conditions, sim.successes[place], sim.episodes[place])


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(name or "(not told apart)" for name in names)


def _header(path: str | Path, row: list[str]) -> list[str]:
    names = [value.strip().lower() for value in row]
    for needed in _NEEDED:
        if needed not in names:
            raise InputError(
                f"'{path}', line 1: there is no column '{needed}'; the header must be policy,successes,episodes "
                f"and may have condition and domain, got: {','.join(names) or 'nothing'}"
            )
    for number, name in enumerate(names, 1):
        if name not in (*_NEEDED, *_OPTIONAL):
            raise InputError(
                f"'{path}', line 1, column {number}: unknown column '{name}'; "
                f"there is: {', '.join((*_NEEDED, *_OPTIONAL))}"
            )
        if names.index(name) != number - 1:
            raise InputError(f"'{path}', line 1, column {number}: column '{name}' is there twice")
    return names


def _row(path: str | Path, line: int, header: list[str], row: list[str], kind: str) -> tuple[str, str, tuple[int, int]]:
    if len(row) != len(header):
        raise InputError(f"'{path}', line {line}: {len(row)} values, the header has {len(header)} columns")
    value = {name: given.strip() for name, given in zip(header, row, strict=True)}

    def wrong(name: str, why: str) -> InputError:
        return InputError(f"'{path}', line {line}, column {header.index(name) + 1} ({name}): {why}")

    counts = []
    for name in ("successes", "episodes"):
        digits = value[name]
        if not (digits.isascii() and digits.isdigit()):
            hint = "; give the count, not the rate" if "." in digits or "%" in digits else ""
            raise wrong(name, f"'{digits}' is not a whole number of {name}{hint}")
        counts.append(int(digits))
    successes, episodes = counts
    if episodes < 1:
        raise wrong("episodes", "0 episodes say nothing; leave the line out")
    if successes > episodes:
        raise wrong("successes", f"{successes} successes of {episodes} episodes")
    if not value["policy"]:
        raise wrong("policy", "the policy has no name")
    domain = value.get("domain", "")
    if domain and domain.startswith("real") != (kind == "real"):
        other = "REAL.csv comes first, then SIM.csv"
        raise wrong("domain", f"'{domain}' in the table that should be {kind}; {other}")
    return value["policy"], value.get("condition", ""), (successes, episodes)
