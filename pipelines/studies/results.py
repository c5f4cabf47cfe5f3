"""What a mix study measured: one row per trained policy and domain, with the outcome of every rollout.

The analysis needs the rollouts themselves: policies met the same scenes, so that a scene counts as a pair across
cells, and each training seed is a draw of its own. Counts alone would lose both.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from handful import InputError, JobError
from trajectories.canonical import write_whole

# Where a policy saw one source alone there is nothing to weigh, whatever rule the study declared.
UNWEIGHTED = ""
_COLUMNS = ("task", "domain", "n_real", "n_sim", "weight", "real_share", "seed", "scene", "success")


@dataclass(frozen=True, order=True)
class Mix:
    """What a policy was trained on.

    Attributes:
        n_real: real demos.
        n_sim: synthetic demos.
        weight: the rule that weighs the two, as the study declares it ("natural", "0.5"); "" where one of them is 0.
    """

    n_real: int
    n_sim: int
    weight: str

    def __str__(self) -> str:
        rule = f", weight {self.weight}" if self.weight else ""
        return f"{self.n_real} real + {self.n_sim} synthetic{rule}"


@dataclass(frozen=True, eq=False)
class Cell:
    """One trained policy's rollouts in one domain.

    Attributes:
        n_real: real demos that it was trained on.
        n_sim: synthetic demos that it was trained on; one of the two is above 0.
        weight: the rule that weighs them, as declared; "" where one of them is 0.
        real_share: the share of real samples in its batches that the rule came to, [0, 1].
        seed: its training seed.
        task: what it was trained to do.
        domain: where it was tried.
        scenes: (S,) scene of each rollout, ascending, none twice.
        successes: (S,) bool.
    """

    n_real: int
    n_sim: int
    weight: str
    real_share: float
    seed: int
    task: str
    domain: str
    scenes: np.ndarray
    successes: np.ndarray

    def __post_init__(self) -> None:
        if min(self.n_real, self.n_sim) < 0 or self.n_real + self.n_sim == 0:
            raise InputError(f"a cell needs demos, got {self.n_real} real and {self.n_sim} synthetic ones")
        if not 0 <= self.real_share <= 1:
            raise InputError(f"{self.mix}: the real share must lie between 0 and 1, got {self.real_share}")
        one_source = min(self.n_real, self.n_sim) == 0
        if one_source and self.weight != UNWEIGHTED:
            raise InputError(f"{self.mix}: there is one source, so the weight must be empty, got '{self.weight}'")
        if one_source and self.real_share != float(self.n_sim == 0):
            raise InputError(f"{self.mix}: the real share must be {int(self.n_sim == 0)}, got {self.real_share}")
        if not one_source and not self.weight:
            raise InputError(f"{self.mix}: two sources need the name of the rule that weighs them")
        if self.scenes.shape != self.successes.shape or self.scenes.ndim != 1 or not len(self.scenes):
            raise InputError(
                f"{self.mix}, seed {self.seed}: scenes and successes must be as many, and at least one, "
                f"got shapes {self.scenes.shape} and {self.successes.shape}"
            )
        if (np.diff(self.scenes) <= 0).any():
            raise InputError(f"{self.mix}, seed {self.seed}: scenes must ascend, each there once")
        if self.successes.dtype != bool:
            raise InputError(f"{self.mix}, seed {self.seed}: successes must be bool, got {self.successes.dtype}")

    @property
    def mix(self) -> Mix:
        """What it was trained on, the same for all seeds."""
        return Mix(self.n_real, self.n_sim, self.weight)

    @property
    def rate(self) -> float:
        """Share of successes."""
        return float(self.successes.mean())


@dataclass(frozen=True)
class Table:
    """The cells of a study: one task, one domain, the same scenes everywhere.

    Raises:
        InputError: there are none; several tasks or domains; a seed of a mix twice; scenes that differ.
    """

    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        if not self.cells:
            raise InputError("a study without a finished cell cannot be analysed")
        for what in ("task", "domain"):
            names = sorted({getattr(cell, what) for cell in self.cells})
            if len(names) > 1:
                raise InputError(f"one {what} is analysed at a time, got {', '.join(names)}; take one with `select`")
        keys: set[tuple[Mix, int]] = set()
        for cell in self.cells:
            if (cell.mix, cell.seed) in keys:
                raise InputError(f"{cell.mix}: training seed {cell.seed} is there twice")
            keys.add((cell.mix, cell.seed))
            if not np.array_equal(cell.scenes, self.cells[0].scenes):
                raise InputError(f"{cell.mix}, seed {cell.seed}: other scenes than {self.cells[0].mix}; see `shared`")

    @cached_property
    def mixes(self) -> tuple[Mix, ...]:
        """The mixes, sorted."""
        return tuple(sorted({cell.mix for cell in self.cells}))

    @cached_property
    def runs(self) -> Mapping[Mix, np.ndarray]:
        """Successes by mix: (training seeds, scenes) bool, seeds in ascending order."""
        ordered = sorted(self.cells, key=lambda cell: cell.seed)
        return {mix: np.stack([cell.successes for cell in ordered if cell.mix == mix]) for mix in self.mixes}

    @property
    def weights(self) -> tuple[str, ...]:
        """The rules that weigh two sources, sorted."""
        return tuple(sorted({mix.weight for mix in self.mixes} - {UNWEIGHTED}))

    def of_weight(self, weight: str) -> "Table":
        """The cells of one rule, and those of a single source, which every rule shares."""
        return Table(tuple(cell for cell in self.cells if cell.weight in (weight, UNWEIGHTED)))


def select(cells: Iterable[Cell], task: str, domain: str) -> Table:
    """The table of one task in one domain, cut to the scenes that all its cells met.

    Raises:
        InputError: there is no such cell, or no scene that all met.
    """
    return shared([cell for cell in cells if (cell.task, cell.domain) == (task, domain)])


def shared(cells: Iterable[Cell]) -> Table:
    """A table of cells, cut to the scenes that all of them met.

    Raises:
        InputError: no scene is common to all.
    """
    given = list(cells)
    if not given:
        return Table(())
    common = given[0].scenes
    for cell in given[1:]:
        common = np.intersect1d(common, cell.scenes)
        if not len(common):
            raise InputError(f"{cell.mix}, seed {cell.seed} met no scene that all cells before it met")
    return Table(tuple(_cut(cell, common) for cell in given))


def _cut(cell: Cell, scenes: np.ndarray) -> Cell:
    kept = np.isin(cell.scenes, scenes)
    return Cell(**{**vars(cell), "scenes": cell.scenes[kept], "successes": cell.successes[kept]})


def write_jsonl(path: Path, cells: Iterable[Cell]) -> None:
    """Write one JSON object per cell, its scenes and its successes as lists."""
    lines = [
        json.dumps({**vars(cell), "scenes": cell.scenes.tolist(), "successes": cell.successes.astype(int).tolist()})
        for cell in cells
    ]
    write_whole(path, "".join(line + "\n" for line in lines).encode())


def read_jsonl(path: Path) -> list[Cell]:
    """Read what `write_jsonl` wrote.

    Raises:
        InputError: there is no such file.
        JobError: a line is damaged.
    """
    cells = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        try:
            cells.append(_cell(json.loads(line)))
        except (ValueError, KeyError, TypeError, InputError) as error:
            raise JobError(f"'{path}', line {number}: not a cell of a study ({error}); the table is damaged") from error
    return cells


def write_csv(path: Path, cells: Iterable[Cell]) -> None:
    """Write one line per rollout, for spreadsheets and other people's statistics."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for c in cells:
        head = (c.task, c.domain, c.n_real, c.n_sim, c.weight, repr(c.real_share), c.seed)
        pairs = zip(c.scenes.tolist(), c.successes.astype(int).tolist(), strict=True)
        writer.writerows((*head, *pair) for pair in pairs)
    write_whole(path, text.getvalue().encode())


def read_csv(path: Path) -> list[Cell]:
    """Read what `write_csv` wrote, or a table made elsewhere with the same columns in any order.

    Raises:
        InputError: there is no such file, a column is missing, or a value cannot be; the message names the line.
    """
    reader = csv.DictReader(_text(path).splitlines())
    lacking = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if lacking:
        raise InputError(f"'{path}', line 1: no column {', '.join(lacking)}; the header must have {','.join(_COLUMNS)}")
    rows: dict[tuple[Any, ...], dict[int, bool]] = {}
    for row in reader:
        try:
            numbers = (int(row["n_real"]), int(row["n_sim"]), int(row["seed"]))
            key = (row["task"], row["domain"], row["weight"], float(row["real_share"]), *numbers)
            scene, success = int(row["scene"]), {"0": False, "1": True}[row["success"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"'{path}', line {reader.line_num}: {error}; numbers must be numbers, and success 0 or 1"
            ) from error
        if scene in rows.setdefault(key, {}):
            raise InputError(f"'{path}', line {reader.line_num}: scene {scene} of this policy is there already")
        rows[key][scene] = success
    return [_from_rollouts(key, outcomes) for key, outcomes in rows.items()]


def _from_rollouts(key: tuple[Any, ...], outcomes: Mapping[int, bool]) -> Cell:
    task, domain, weight, real_share, n_real, n_sim, seed = key
    scenes = np.array(sorted(outcomes))
    successes = np.array([outcomes[scene] for scene in scenes.tolist()], bool)
    return Cell(n_real, n_sim, weight, real_share, seed, task, domain, scenes, successes)


def _cell(row: Mapping[str, Any]) -> Cell:
    scenes, successes = np.array(row["scenes"], np.int64), np.array(row["successes"])
    if not np.isin(successes, (0, 1)).all():
        raise ValueError("successes must be 0 or 1")
    return Cell(**{**row, "scenes": scenes, "successes": successes.astype(bool)})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from error
