"""What the analysis of mix studies is worth, on studies whose truth is known.

    python benchmarks/studies.py [--long]

Rollouts are drawn from laws with planted ceilings, exponents and worths of synthetic demos, with noise of training
seeds and of scenes (`pipelines.studies.planted`), and analysed as a person's would be, without being told the law.
Prints one JSON object: `value` the lowest share, over kinds of study, in which the 95 % interval of what synthetic
demos are worth holds the truth, `limit` the nominal 0.95, `ratio` of the two. Beside it: the same of rates, gains,
marginal rates, the best mix for a budget, and of predictions of the largest mix, held out; how often the verdict is
"not identifiable", of plateaued laws above all; and processor seconds per study.
"""

import argparse
import json
import math
import time
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from pipelines.studies.cost import Prices, best_mix
from pipelines.studies.exchange import exchange_rate, marginal_rate
from pipelines.studies.fits import Fits
from pipelines.studies.laws import EXPONENTIAL, ODDS, POWER, SATURATING, TRANSFER, Law
from pipelines.studies.noise import means
from pipelines.studies.planted import Truth, drawn
from pipelines.studies.prediction import largest, predict
from pipelines.studies.surface import gains, rates

NOMINAL = 0.95
# Synthetic and real demos at which the exchange rate is asked for.
M, AT = 1000, 10
# A real demo at 1.5, and synthetic ones so dear that what to buy is not plain.
PRICES, BUDGET = Prices(minutes_per_real=3, seconds_per_sim=36, operator_hour=30, processor_hour=1), 60.0
# What is expensive is measured in every so manieth study.
EVERY = 5


@dataclass(frozen=True)
class Design:
    """How large a study is."""

    n_real: tuple[int, ...]
    n_sim: tuple[int, ...]
    seeds: int
    scenes: int


SMALL = Design((0, 10, 25, 50), (0, 200, 1000, 5000), 3, 200)
TINY = Design((10, 25, 50), (0, 200, 1000), 3, 200)
WIDE = Design((10, 20, 50, 100, 200), (0, 100, 500, 1000, 5000), 3, 200)
FIVE = Design((0, 10, 25, 50), (0, 200, 1000, 5000), 5, 100)


def truth(law: Law, ceiling: float, k: float, a: float, worth: float, e: float, seed_share: float = 0.03) -> Truth:
    """A planted law; `seed_share` 0.03 makes runs at 50 % success differ by 7 points (standard deviation)."""
    return Truth(law, np.array([ceiling, math.log(k), math.log(a), math.log(worth), e]), seed_share)


POWER_LAW, ODDS_LAW = Law(POWER, TRANSFER, M), Law(ODDS, TRANSFER, M)
CAPPED = Law(EXPONENTIAL, SATURATING, M)
# Name, design, law, and whether its success with real demos plateaus before the first number of them.
KINDS = (
    ("power law with a floor", SMALL, truth(POWER_LAW, 0.9, 30, 1.5, 20, 0.6), False),
    ("power law, all synthetic demos alike", SMALL, truth(POWER_LAW, 1.0, 60, 2.0, 15, 1.0), False),
    ("exponential, worth saturates", SMALL, truth(CAPPED, 0.8, 25, 0.9, 15, 0.5), False),
    ("odds, noisy seeds", SMALL, truth(ODDS_LAW, 0.95, 20, 1.2, 12, 0.4, 0.08), False),
    ("power law, 9 mixes", TINY, truth(POWER_LAW, 0.9, 30, 1.5, 20, 0.6), False),
    ("odds, 25 mixes", WIDE, truth(ODDS_LAW, 0.95, 40, 1.2, 30, 0.5), False),
    ("exponential, five seeds", FIVE, truth(CAPPED, 0.8, 25, 0.9, 15, 0.5), False),
    ("synthetic demos worth nothing", SMALL, truth(POWER_LAW, 0.9, 30, 1.5, 0.02, 0.5), False),
    ("worth more than all real demos tried", SMALL, truth(ODDS_LAW, 0.9, 40, 1.5, 200, 0.5), False),
    ("plateaued at 0.7", SMALL, truth(POWER_LAW, 0.7, 0.3, 3.0, 20, 0.6), True),
    ("plateaued at 0.95", SMALL, truth(CAPPED, 0.95, 1.0, 1.0, 50, 0.9), True),
)


def study(name: str, kind: Truth, design: Design, number: int, seed: int) -> dict[str, list[bool]]:
    """Draw and analyse one study: for each statement, whether its interval holds the truth."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number, zlib.crc32(name.encode())])))
    measured = means(drawn(kind, design.n_real, design.n_sim, design.seeds, design.scenes, rng))
    fits = Fits(measured, M)
    found = exchange_rate(fits, AT)
    worth = kind.worth(M)
    holds = found.worth[1] <= worth <= found.worth[2]
    held: dict[str, list[bool]] = {
        "worth": [holds],
        "identifiable": [found.identifiable],
        "worth_where_identifiable": [holds] if found.identifiable else [],
        "bounded": [found.worth[1] > 0 and math.isfinite(found.worth[2])],
        "misfit": [fits.misfit < 0.05],
        "rates": [row.low <= kind.rate(row.mix.n_real, row.mix.n_sim) <= row.high for row in rates(measured)],
        "gains": [
            row.low <= kind.rate(row.mix.n_real, row.mix.n_sim) - kind.rate(row.mix.n_real, 0) <= row.high
            for row in gains(measured)
        ],
    }
    if number % EVERY == 0:
        held["best_mix"] = [best_mix_held(kind, design, fits)]
        _, low, high = marginal_rate(fits)
        held["marginal"] = [low <= float(kind.law.marginal(kind.theta, M)) <= high]
        most = max(design.n_real), max(design.n_sim)
        if len(set(design.n_sim) - {0}) > 2:
            _, low, high = predict(Fits(measured.only(~largest(measured)), M), *most)
            held["prediction"] = [low <= kind.rate(*most) <= high]
    return held


def best_mix_held(kind: Truth, design: Design, fits: Fits) -> bool:
    """Whether the real demos of the truly best mix for the budget are in their interval."""
    found = best_mix(fits, PRICES, BUDGET)
    n_real = np.arange(int(BUDGET / PRICES.real) + 1)
    n_sim = np.minimum((BUDGET - n_real * PRICES.real) // PRICES.sim, max(design.n_sim))
    true = int(n_real[kind.law.effective(kind.theta, n_real, n_sim).argmax()])
    return found.n_real[1] <= true <= found.n_real[2]


def share(outcomes: list[bool]) -> dict[str, Any]:
    """How often, with n and its exact 95 % interval."""
    test = binomtest(sum(outcomes), len(outcomes)).proportion_ci(method="exact")
    return {"share": sum(outcomes) / len(outcomes), "n": len(outcomes), "ci": [test.low, test.high]}


def kind_coverage(name: str, design: Design, kind: Truth, plateau: bool, count: int, seed: int) -> dict[str, Any]:
    """Draw and analyse many studies of one kind."""
    began = time.process_time()
    held: dict[str, list[bool]] = {}
    for number in range(count):
        for what, outcomes in study(name, kind, design, number, seed).items():
            held.setdefault(what, []).extend(outcomes)
    return {
        "kind": name,
        "mixes": len(design.n_real) * len(design.n_sim) - (0 in design.n_real and 0 in design.n_sim),
        "seeds": design.seeds,
        "scenes": design.scenes,
        "studies": count,
        "plateau": plateau,
        "worth_planted": kind.worth(M),
        **{what: share(outcomes) for what, outcomes in held.items() if outcomes},
        "processor_seconds_per_study": (time.process_time() - began) / count,
    }


def measure(long: bool, count: int | None = None, seed: int = 0) -> dict[str, Any]:
    """Measure; `long` draws 500 studies of each kind, else 5."""
    studies = count or (500 if long else 5)
    rows = [kind_coverage(*kind, studies, seed) for kind in KINDS]
    lowest = min(row["worth"]["share"] for row in rows)
    plateaued = [row for row in rows if row["plateau"]]
    return {
        "benchmark": "studies",
        "value": lowest,
        "limit": NOMINAL,
        "ratio": lowest / NOMINAL,
        "studies": studies,
        "plateaued_not_identifiable": min(1 - row["identifiable"]["share"] for row in plateaued),
        "kinds": rows,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="500 studies of each kind")
    parser.add_argument("--studies", type=int, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(measure(given.long, given.studies, given.seed)))


if __name__ == "__main__":
    main()
