"""The cells of a study: which demos each policy learns from, how often, for how long; and what cannot be is refused.

Everything is worked out, and checked, before anything trains. A run of training is named by the digest of all that
decides it, so cells that come to the same (whatever the weights, without synthetic demos there is one way to train)
are trained once, and a study that grows takes up what it has.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handful import InputError
from pipelines.configuration import resolve, to_plain
from pipelines.runner import RolloutConfig
from pipelines.studies.results import UNWEIGHTED
from pipelines.studies.sources import ROLES, Source
from pipelines.studies.spec import Budget, Evaluation, StudySpec, Training
from pipelines.studies.weights import WeightRule
from policies.config import TrainConfig, load_config
from scenes.task import split_task
from scenes.twins import SEALED
from trajectories.canonical import canonical_json, sha256
from trajectories.sources import Source as BlendSource
from trajectories.sources import WindowSpec, open_sources

# Settings of training that change nothing of its result.
_WITHOUT_EFFECT = ("resident", "loader_threads", "device")


def flat(config: TrainConfig) -> dict[str, Any]:
    """The settings of a training that decide its result, in one level: "model.width" -> 96."""

    def spread(record: dict[str, Any], prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in record.items():
            found |= spread(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        return found

    return {name: value for name, value in spread(to_plain(config), "").items() if name not in _WITHOUT_EFFECT}


_USUAL = flat(TrainConfig())


@dataclass(frozen=True)
class Point:
    """A place in the grid."""

    n_real: int
    n_sim: int
    # The rule that weighs them; "" where one of them is 0.
    weight: str
    seed: int

    def __str__(self) -> str:
        weight = f" weight={self.weight}" if self.weight else ""
        return f"n_real={self.n_real} n_sim={self.n_sim}{weight} seed={self.seed}"


@dataclass(frozen=True)
class CellPlan:
    """A place in the grid, and the run of training that it comes to.

    Attributes:
        point: where it is.
        share: the real source's share of the samples, [0, 1].
        demos: numbers of real and of synthetic demos that are drawn from.
        steps_there: how many recorded steps each of these has.
        steps: of the optimiser; None: the clock decides.
        config: of training.
        digest: of all that decides the training.
    """

    point: Point
    share: float
    demos: tuple[int, int]
    steps_there: tuple[int, int]
    steps: int | None
    config: TrainConfig
    digest: str

    def __str__(self) -> str:
        return str(self.point)


def points(spec: StudySpec) -> list[Point]:
    """The places of the grid, each once; one without any demo is none."""
    grid = spec.grid
    found = [
        Point(n_real, n_sim, weight if n_real and n_sim else UNWEIGHTED, seed)
        for n_real in grid.n_real
        for n_sim in grid.n_sim
        for weight in grid.weights
        for seed in grid.seeds
        if n_real or n_sim
    ]
    return list(dict.fromkeys(found))


def check_points(spec: StudySpec, available: Sequence[int | None]) -> None:
    """Refuse cells for which a source has too few demos.

    Args:
        spec: the study.
        available: demos that each source has for training; None: not known yet.

    Raises:
        InputError: names the cell.
    """
    for point in points(spec):
        for role, wanted, there in zip(ROLES, (point.n_real, point.n_sim), available, strict=True):
            if there is not None and wanted > there:
                held = spec.evaluation.held_out if role == "real" else 0
                kept = f", besides {held} held out" if held else ""
                raise InputError(f"cell {point}: it asks for {wanted} {role} demos, and the source has {there}{kept}")


def check_blends(spec: StudySpec, given: Mapping[str, Source]) -> None:
    """Refuse cells that blend commanded with achieved actions, before sources are made.

    Args:
        spec: the study.
        given: the sources that are there already; those that the study makes are of commanded actions.

    Raises:
        InputError: names the cell.
    """
    actions = {role: set(given[role].values("action_source")) if role in given else {"commanded"} for role in ROLES}
    for point in points(spec):
        try:
            counts = (point.n_real, point.n_sim)
            if 0 < share_of(point, counts) < 1:
                _check_actions(spec, set.union(*actions.values()))
        except InputError as error:
            raise InputError(f"cell {point}: {error}") from error


def promised(spec: StudySpec) -> tuple[int | None, int | None]:
    """Demos that each source will have for training, as far as the specification says."""
    real = None if spec.real.record is None else max(0, spec.real.record.episodes - spec.evaluation.held_out)
    return real, None if spec.sim.generate is None else spec.sim.generate.count


def train_config(training: Training, cameras: tuple[str, ...]) -> TrainConfig:
    """What cells are trained with, apart from the budget and the seed.

    Raises:
        InputError: an unknown preset or key, or a value that does not fit.
    """
    said = [f"{name}={getattr(training, name)}" for name in ("normalisation", "choose") if getattr(training, name)]
    config = load_config(training.preset, [*training.overrides, *said])
    # All n demos of a cell are learnt from: holding some out would make it a cell of fewer.
    config = replace(config, cameras=cameras, threads=training.threads, validation_fraction=0.0)
    return config if training.domain_token else replace(config, domain_dropout=1.0)


def rollout_config(evaluation: Evaluation, training: Training) -> RolloutConfig:
    """How cells are rolled out.

    Raises:
        InputError: an unknown key, or a value that does not fit.
    """
    said = [] if evaluation.guidance is None else [f"guidance={evaluation.guidance}"]
    given = ["videos=0", f"threads={training.threads}", f"tell_domain={training.domain_token}"]
    return resolve(RolloutConfig, None, [*given, *evaluation.overrides, *said])


def plan(spec: StudySpec, sources: dict[str, Source]) -> list[CellPlan]:
    """All cells of a study.

    Raises:
        InputError: a cell cannot be; names it, and says what is wrong.
    """
    check_points(spec, [len(sources[role].order) for role in ROLES])
    base = train_config(spec.training, spec.cameras)
    rollout_config(spec.evaluation, spec.training)
    found: list[CellPlan] = []
    together: set[tuple[str, ...]] = set()
    for point in points(spec):
        try:
            cell = _cell(spec, sources, point, base)
            roles = tuple(role for role, count in zip(ROLES, cell.demos, strict=True) if count)
            _check_sources(spec, [sources[role] for role in roles], cell)
            if roles not in together:
                _check_together(spec, [sources[role] for role in roles], base)
                together.add(roles)
        except InputError as error:
            raise InputError(f"cell {point}: {error}") from error
        found.append(cell)
    return found


def _cell(spec: StudySpec, sources: dict[str, Source], point: Point, base: TrainConfig) -> CellPlan:
    counts = (point.n_real, point.n_sim)
    numbers = [sources[role].subset(count) for role, count in zip(ROLES, counts, strict=True)]
    there = [
        int(sources[role].dataset.index().length[chosen].sum()) for role, chosen in zip(ROLES, numbers, strict=True)
    ]
    share = share_of(point, (there[0], there[1]))
    demos = (point.n_real if share > 0 else 0, point.n_sim if share < 1 else 0)
    steps_there = (there[0] if demos[0] else 0, there[1] if demos[1] else 0)
    steps, minutes = budget_of(spec.training.budget, base.batch_size, share, steps_there)
    config = replace(base, seed=point.seed, minutes=minutes, steps=base.steps if steps is None else steps)
    decides: dict[str, Any] = {
        # Only what is not as usual, so that a setting that is new does not make a study of days begin again.
        "config": {name: value for name, value in flat(config).items() if value != _USUAL.get(name)},
        "sources": [
            {"content": sources[role].digest, "episodes": chosen.tolist(), "share": repr(part)}
            for role, chosen, count, part in zip(ROLES, numbers, demos, (share, 1 - share), strict=True)
            if count
        ],
    }
    digest = sha256(canonical_json(decides, "cell"))
    return CellPlan(point, share, demos, steps_there, steps, config, digest)


def share_of(point: Point, there: tuple[int, int]) -> float:
    """The real source's share of a cell's samples, in [0, 1].

    Args:
        point: the cell.
        there: recorded steps of its real and of its synthetic demos.
    """
    if point.weight == UNWEIGHTED:
        return float(point.n_sim == 0)
    return WeightRule(point.weight).share((point.n_real, point.n_sim), there)


def budget_of(budget: Budget, batch: int, share: float, there: tuple[int, int]) -> tuple[int | None, float | None]:
    """Steps or minutes of a cell's training; one of them is None.

    Args:
        budget: what all cells have the same of.
        batch: samples per step.
        share: of real ones among them.
        there: recorded steps of the demos that are drawn from, real and synthetic.
    """
    rule, amount = budget.rule, budget.amount
    if rule == "minutes":
        return None, amount
    if rule == "steps":
        return max(1, round(amount)), None
    if rule == "epochs":
        return max(1, math.ceil(amount * sum(there) / batch)), None
    if share == 0:
        raise InputError(
            "it has no real demos, so their exposure cannot be the same as in others; leave such cells out of the "
            "grid, or give another training.budget.rule"
        )
    return max(1, math.ceil(amount * there[0] / (share * batch))), None


def _check_sources(spec: StudySpec, used: Sequence[Source], cell: CellPlan) -> None:
    """Refuse what must not be learnt from: sealed twins, and the very scenes of the evaluation."""
    for source, count in zip(used, [count for count in cell.demos if count], strict=True):
        for domain in source.domains:
            if domain.startswith(SEALED):
                raise InputError(
                    f"source '{source.role}' holds episodes of '{domain}', which is kept for evaluation alone"
                )
        scene = _evaluated_scene(spec, source, source.subset(count))
        if scene is not None:
            raise InputError(
                f"source '{source.role}' holds scene {scene} of the evaluation with seed {spec.evaluation.seed}; give "
                "evaluation.seed another value, or leave these episodes out"
            )
    _check_actions(spec, {value for source in used for value in source.values("action_source")})


def _check_actions(spec: StudySpec, actions: set[str]) -> None:
    if len(actions) > 1 and not spec.training.mixed_actions:
        raise InputError(
            f"its sources' actions cannot be reconciled: {' and '.join(sorted(actions))}; an arm lags behind what it "
            "is told, so they mean different things; training.mixed_actions=true blends them all the same"
        )


def _evaluated_scene(spec: StudySpec, source: Source, episodes: np.ndarray) -> int | None:
    """A scene of the study's evaluation that is among some episodes of a source."""
    if not spec.evaluation.domains:
        return None
    index = source.dataset.index()
    near = episodes[(index.seed[episodes] == spec.evaluation.seed) & (index.scene[episodes] < spec.evaluation.episodes)]
    task = split_task(spec.task)[0]
    for number in near.tolist():
        meta = source.dataset.meta(number)
        if meta.seeds.get("namespace") == "evaluation" and split_task(meta.task)[0] == task:
            return meta.scene
    return None


def _check_together(spec: StudySpec, used: Sequence[Source], config: TrainConfig) -> None:
    """Refuse sources that lack the policy's cameras, or whose rates, joints or images differ."""
    window = WindowSpec(spec.cameras, config.horizon, config.action, 0.0)
    open_sources([BlendSource(str(source.dataset.path)) for source in used], window)
