"""A study's results worked out for its page: domain by domain, with what weakens them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful import InputError
from pipelines.studies.cost import Prices
from pipelines.studies.exchange import ExchangeRate, exchange_rate
from pipelines.studies.fits import Fits
from pipelines.studies.noise import Means, means
from pipelines.studies.rankers import Ranker, rankers
from pipelines.studies.results import Cell, Mix, Table, select
from pipelines.studies.spec import StudySpec
from pipelines.studies.summary import Summary, summarise
from pipelines.studies.surface import Gain, Rate, gains, rates

# Below these, a page says so.
_FEW_SEEDS, _FEW_SCENES = 3, 100
# Real demos seen so many times as often in one cell as in another are worth a word.
_UNEVEN = 1.5


@dataclass(frozen=True, eq=False)
class DomainResults:
    """What a study found in one domain.

    Attributes:
        domain: its name.
        table: the cells, on the scenes that all of them met.
        means: rates and their noise.
        rates: of every mix.
        gains: of mixes of both sources on their real demos alone.
        real_gains: of the same on their synthetic demos alone: what the real ones add.
        rankers: whether something cheaper than rollouts would have ranked the mixes.
        summaries: weight rule -> what the laws say of it, at the most synthetic demos.
        exchanges: weight rule -> the exchange rate at each number of synthetic demos.
        unfitted: weight rule -> why no law was fitted.
        costs: of every mix, in the order of `rates`.
        frontier: of every mix, whether no other does at least as well for less.
    """

    domain: str
    table: Table
    means: Means
    rates: list[Rate]
    gains: list[Gain]
    real_gains: list[Gain]
    rankers: list[Ranker]
    summaries: dict[str, Summary]
    exchanges: dict[str, list[ExchangeRate]]
    unfitted: dict[str, str]
    costs: list[float]
    frontier: list[bool]

    @property
    def surrogate(self) -> bool:
        """Whether it was measured in surrogate reality."""
        return self.domain.startswith("twin/")

    @property
    def label(self) -> str:
        """Its name, and that it is surrogate reality where it is."""
        return f"{self.domain} (surrogate reality)" if self.surrogate else self.domain


def analyse(
    spec: StudySpec, cells: Sequence[Cell], rows: Sequence[Mapping[str, Any]], seconds_per_sim: float
) -> list[DomainResults]:
    """Work out the results in every domain.

    Args:
        spec: the study.
        cells: its rollouts.
        rows: its cells, as in `study.json`.
        seconds_per_sim: processor time of a synthetic demo [s].
    """
    found = []
    for domain in dict.fromkeys(cell.domain for cell in cells):
        table = select(cells, spec.task, domain)
        pooled = means(table)
        every = rates(pooled)
        costs = [cost_of(spec, rate.mix, rows, seconds_per_sim) for rate in every]
        summaries: dict[str, Summary] = {}
        exchanges: dict[str, list[ExchangeRate]] = {}
        unfitted: dict[str, str] = {}
        for weight in table.weights:
            try:
                summaries[weight] = summarise(table, weight, prices=prices_of(spec, rows, seconds_per_sim))
                exchanges[weight] = _exchanges(summaries[weight])
            except InputError as error:
                unfitted[weight] = str(error)
        found.append(
            DomainResults(
                domain,
                table,
                pooled,
                every,
                gains(pooled),
                gains(pooled, alone="sim"),
                rankers([row for row in rows if row["state"] == "done"], every),
                summaries,
                exchanges,
                unfitted,
                costs,
                _frontier(costs, [rate.rate for rate in every]),
            )
        )
    return found


def _exchanges(summary: Summary) -> list[ExchangeRate]:
    """The exchange rate at each number of synthetic demos, the fewest first."""
    at = summary.exchange
    fewer = sorted({mix.n_sim for mix in summary.means.mixes if 0 < mix.n_sim < at.n_sim})
    return [*(exchange_rate(Fits(summary.means, number), at.n_real) for number in fewer), at]


def prices_of(spec: StudySpec, rows: Sequence[Mapping[str, Any]], seconds_per_sim: float) -> Prices | None:
    """What demos and a training cost; None where a kind of demo is free, so that no budget bounds it."""
    cost = spec.cost
    if not (cost.minutes_per_real * cost.operator_hour and seconds_per_sim * cost.processor_hour):
        return None
    trained = [row["seconds"]["training"] for row in rows if row["state"] == "done"]
    hours = float(np.mean(trained)) / 3600 if trained else 0.0
    hour = cost.processor_hour * spec.training.threads
    return Prices(cost.minutes_per_real, seconds_per_sim, cost.operator_hour, cost.processor_hour, hours, hour)


def cost_of(spec: StudySpec, mix: Mix, rows: Sequence[Mapping[str, Any]], seconds_per_sim: float) -> float:
    """What a mix costs: its demos, and the training of one policy."""
    cost = spec.cost
    trained = [
        row["seconds"]["training"]
        for row in rows
        if row["state"] == "done"
        and (row["n_real"], row["n_sim"], row["weight"]) == (mix.n_real, mix.n_sim, mix.weight)
    ]
    training = float(np.mean(trained)) * spec.training.threads if trained else 0.0
    real = mix.n_real * cost.minutes_per_real / 60 * cost.operator_hour
    return real + (mix.n_sim * seconds_per_sim + training) / 3600 * cost.processor_hour


def _frontier(costs: Sequence[float], success: Sequence[float]) -> list[bool]:
    """Whether no other mix does at least as well for less, or better for no more."""
    pairs = list(zip(costs, success, strict=True))
    return [not any((c <= cost and s > rate) or (c < cost and s >= rate) for c, s in pairs) for cost, rate in pairs]


def epochs(row: Mapping[str, Any]) -> tuple[float, float]:
    """How often a cell's training saw each recorded step of its real and of its synthetic demos."""
    samples = row["steps"] * row["batch"]
    shares = (row["real_share"], 1 - row["real_share"])
    real, sim = (
        samples * share / there if there else 0.0 for share, there in zip(shares, row["steps_there"], strict=True)
    )
    return real, sim


def warnings(spec: StudySpec, record: Mapping[str, Any], found: Sequence[DomainResults]) -> list[str]:
    """What weakens the study, a sentence each."""
    rows = record["cells"]
    done = [row for row in rows if row["state"] == "done"]
    said = []
    if len(done) < len(rows):
        said.append(f"{len(rows) - len(done)} of {len(rows)} cells failed; their reasons are below")
    if len(spec.grid.seeds) < _FEW_SEEDS:
        said.append(
            f"{len(spec.grid.seeds)} training seed{'s' * (len(spec.grid.seeds) != 1)} per cell: how far seeds differ "
            f"is {'unknown' if len(spec.grid.seeds) == 1 else 'poorly known'}; three or more would tell"
        )
    for results in found:
        if results.means.scenes < _FEW_SCENES:
            said.append(
                f"{results.means.scenes} scenes in {results.domain}: differences below some "
                f"{100 / results.means.scenes**0.5:.0f} points are lost in chance"
            )
        met = {len(cell.scenes) for cell in found[0].table.cells}
        if spec.evaluation.stopping.half_width is not None and len(met) > 1:
            said.append(f"evaluations in {results.domain} stopped early; mixes are compared on the scenes that all met")
    real = [epochs(row)[0] for row in done if row["demos"][0]]
    if real and max(real) > _UNEVEN * min(real):
        said.append(
            f"unequal exposure: the budget rule is '{spec.training.budget.rule}', so cells saw each real step from "
            f"{min(real):,.3g} to {max(real):,.3g} times"
        )
    if spec.training.budget.rule == "minutes":
        said.append("cells trained by the clock, several at once: a busy machine gave some of them fewer steps")
    chosen = (spec.training.choose or "").partition(":")[2]
    if chosen and any(domain in chosen for domain in spec.evaluation.domains):
        said.append(f"selection on test: checkpoints were chosen by '{spec.training.choose}', where they are measured")
    if spec.training.mixed_actions:
        said.append("commanded and achieved actions are blended: an arm lags behind what it is told")
    if record["sources"]["real"]["surrogate"]:
        said.append(
            "the real demos are surrogate: recorded by a script in a simulated twin; nothing was measured on a robot"
        )
    if record["sources"]["real"].get("posed"):
        said.append(
            "the images of the real demos were drawn, of scenes posed by what was recorded; no camera took them"
        )
    return [*said, *dict.fromkeys(note for row in done for note in row["notes"])]
