"""What a study is: one YAML file, read into frozen records that say everything that decides its results.

handful study laptop --out runs/study        a preset of configs/study
handful study mine.yaml --out runs/study     a file of one's own
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from handful import InputError
from pipelines.configuration import preset, presets, resolve
from pipelines.studies.weights import WeightRule
from scenes.domains import get_domain
from scenes.twins import require_open

KIND = "study"

BudgetRule = Literal["steps", "epochs", "minutes", "real_exposure"]


@dataclass(frozen=True)
class Recording:
    """Demos that the scripted operator records in a domain; in a twin they are surrogate real ones."""

    domain: str = "twin/study-0"
    episodes: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        get_domain(self.domain)
        require_open(self.domain, "a study's source")
        _at_least("record.episodes", self.episodes, 1)
        _at_least("record.seed", self.seed, 0)


@dataclass(frozen=True)
class Generation:
    """Synthetic demos, as `handful generate` makes them."""

    count: int
    # Seed demos: a store; null: the task's bundled ones; "real": the study's real source, but for what is held out.
    demos: str | None = None
    seed: int = 0
    algorithm: str = "handful"
    # `a.b=c`, as on the command line of handful generate.
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _at_least("generate.count", self.count, 1)
        _at_least("generate.seed", self.seed, 0)


@dataclass(frozen=True)
class SourceSpec:
    """Where demos come from: exactly one of these."""

    # A store or view that is there already, e.g. imported; it needs images.
    store: str | None = None
    record: Recording | None = None
    generate: Generation | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("store", "record", "generate") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(f"a source is one of store, record and generate; got {', '.join(given) or 'none of them'}")


@dataclass(frozen=True)
class Grid:
    """The cells: each number of real demos with each number of synthetic ones, each weight, each training seed."""

    n_real: tuple[int, ...]
    n_sim: tuple[int, ...]
    # The real source's share of the samples; see `pipelines.studies.weights`.
    weights: tuple[str, ...] = ("natural",)
    # Of training: a cell is trained once with each.
    seeds: tuple[int, ...] = (0,)
    # Which demos make up the first n; subsets of one seed are nested.
    subset_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_real", "n_sim", "weights", "seeds"):
            values = getattr(self, name)
            if not values:
                raise InputError(f"grid.{name} is empty; give at least one value")
            if len(set(values)) != len(values):
                raise InputError(f"grid.{name} has a value twice: {', '.join(map(str, values))}")
        for name in ("n_real", "n_sim", "seeds"):
            for value in getattr(self, name):
                _at_least(f"grid.{name}", value, 0)
        _at_least("grid.subset_seed", self.subset_seed, 0)
        for weight in self.weights:
            WeightRule(weight)
        if max(self.n_real) == 0 and max(self.n_sim) == 0:
            raise InputError("the grid has no cell with any demo; give n_real or n_sim a value above 0")


@dataclass(frozen=True)
class Budget:
    """What all cells have the same of."""

    # steps: optimiser steps. epochs: passes over all the cell's demos. minutes: time on the clock. real_exposure: how
    # often each real step is seen.
    rule: BudgetRule = "steps"
    amount: float = 2000

    def __post_init__(self) -> None:
        if not self.amount > 0:
            raise InputError(f"training.budget.amount must be above 0, got {self.amount:g}")


@dataclass(frozen=True)
class Training:
    """How each cell's policy is trained."""

    # A preset of handful train.
    preset: str = "small"
    # `a.b=c` for it.
    overrides: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)
    # Rule of normalisation; null: the trainer's own.
    normalisation: str | None = None
    # Whether policies are told, and tell, the domain of what they see.
    domain_token: bool = True
    # Which checkpoint is measured; null: the trainer's own rule, the last.
    choose: str | None = None
    # Processor threads of each cell: a number, so that results do not depend on how many cells run at once.
    threads: int = 1
    # Blend actions that were commanded with actions that were read off what was achieved.
    mixed_actions: bool = False

    def __post_init__(self) -> None:
        _at_least("training.threads", self.threads, 1)
        taken = {"steps", "minutes", "seed", "threads", "cameras", "validation_fraction", "domain_dropout"}
        taken |= {"normalisation", "choose"}
        for override in self.overrides:
            name = override.partition("=")[0]
            if name in taken:
                raise InputError(f"training.overrides has '{override}', which the specification says elsewhere")


@dataclass(frozen=True)
class Stopping:
    """When a cell's evaluation in a domain ends before its last episode: once its rate is known this well."""

    # Half the width of Wilson's 95 % interval; null: never before the last episode.
    half_width: float | None = None
    # Not before so many episodes.
    at_least: int = 50

    def __post_init__(self) -> None:
        if self.half_width is not None and not 0 < self.half_width < 0.5:
            raise InputError(f"evaluation.stopping.half_width must lie between 0 and 0.5, got {self.half_width:g}")
        _at_least("evaluation.stopping.at_least", self.at_least, 1)


@dataclass(frozen=True)
class Evaluation:
    """How each cell's policy is measured."""

    # By rollouts, in these; none: on recorded demos alone.
    domains: tuple[str, ...] = ()
    # Scenes per domain, the same for every cell.
    episodes: int = 200
    seed: int = 0
    stopping: Stopping = field(default_factory=Stopping)
    # Weight of guidance over the domain token; null: none.
    guidance: float | None = None
    # Real demos that no cell learns from, for the action error on them.
    held_out: int = 0
    # `a.b=c`, as on the command line of handful evaluate.
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _at_least("evaluation.episodes", self.episodes, 1)
        _at_least("evaluation.seed", self.seed, 0)
        _at_least("evaluation.held_out", self.held_out, 0)
        for domain in self.domains:
            get_domain(domain)
        if len(set(self.domains)) != len(self.domains):
            raise InputError(f"evaluation.domains has a domain twice: {', '.join(self.domains)}")
        if not self.domains and not self.held_out:
            raise InputError("nothing would be measured; give evaluation.domains, or evaluation.held_out real demos")


@dataclass(frozen=True)
class Cost:
    """What a demo and an hour cost, in one currency."""

    # A person's time per real demo, with resets and failures [minutes].
    minutes_per_real: float = 2.0
    # Processor time per synthetic demo [s]; null: as measured when the study made them.
    seconds_per_sim: float | None = None
    # Prices of a person's and of a processor's hour.
    operator_hour: float = 30.0
    processor_hour: float = 0.05

    def __post_init__(self) -> None:
        for name in ("minutes_per_real", "operator_hour", "processor_hour"):
            if not getattr(self, name) >= 0:
                raise InputError(f"cost.{name} must be at least 0, got {getattr(self, name):g}")
        if self.seconds_per_sim is not None and not self.seconds_per_sim >= 0:
            raise InputError(f"cost.seconds_per_sim must be at least 0, got {self.seconds_per_sim:g}")


@dataclass(frozen=True)
class StudySpec:
    """A study of how much synthetic demos are worth beside real ones."""

    name: str
    task: str
    real: SourceSpec
    sim: SourceSpec
    grid: Grid
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=lambda: Evaluation(domains=("twin/study-0",)))
    cost: Cost = field(default_factory=Cost)
    embodiment: str = "panda"
    cameras: tuple[str, ...] = ("front", "wrist")
    # Side of the images that the study draws [pixels].
    resolution: int = 84

    def __post_init__(self) -> None:
        if not self.cameras:
            raise InputError("cameras is empty; a policy needs at least one, e.g. [front, wrist]")
        if self.real.generate is not None:
            raise InputError("real.generate would make synthetic demos of the real source; give real.store or .record")
        if self.sim.record is not None:
            raise InputError("sim.record would make recordings of the synthetic source; give sim.generate or .store")
        if not 16 <= self.resolution <= 4096:
            raise InputError(f"resolution must be 16 to 4096 pixels, got {self.resolution}")


def load_spec(which: str, overrides: list[str]) -> StudySpec:
    """Read a specification.

    Args:
        which: a YAML file, or the name of a preset.
        overrides: `a.b=c`.

    Raises:
        InputError: there is no such file or preset, or something in it is wrong; names the key.
    """
    path = Path(which)
    if not path.suffix and not path.exists():
        path = preset(KIND, which)
    elif not path.is_file():
        listed = ", ".join(presets(KIND))
        raise InputError(f"there is no specification at '{which}'; give a YAML file, or a preset: {listed}")
    return resolve(StudySpec, path, overrides)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} must be at least {least}, got {value}")
