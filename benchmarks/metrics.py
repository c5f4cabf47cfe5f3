"""The error bars themselves, measured: how often intervals hold the truth, and how soon a comparison is decided.

    python benchmarks/metrics.py [--long]

Prints one JSON object: `value` pairs of rollouts until the sequential test tells policies of 0.8 and 0.6 apart (at most
200 pairs, looked at after each), `limit` the pairs that any such test would need on average if it knew both rates
(Wald's bound: log(1 / alpha) over the information that a pair gives), `ratio` of the two. Beside it: its power and its
false positives, the coverage of the intervals of rates, computed without sampling, and that of MMRV's and Pearson's
intervals over drawn studies.
"""

import argparse
import json
import math
from typing import Any

import numpy as np
from scipy.stats import binom, binomtest

from pipelines.metrics.agreement import correlations, rank_violations
from pipelines.metrics.results import Results
from pipelines.metrics.sequential import log_evidence
from pipelines.metrics.success import clopper_pearson_interval
from pipelines.metrics.uncertainty import uncertainty
from pipelines.statistics import wilson_interval

ALPHA, MOST, BETTER, WORSE = 0.05, 200, 0.8, 0.6
# Rates at which two equal policies are compared, and how the two arms hang together: the share of scenes whose
# difficulty decides for both.
NULL_RATES, SHARED = (0.1, 0.5, 0.7, 0.9), (0.0, 0.5)
# Numbers of rollouts for which intervals of rates are checked, and how many rates on a fine grid.
TRIALS, RATES = (10, 20, 50, 100, 200), 1999
# Studies: policies, real and simulated episodes each; and how far sim is from real, None: sim knows nothing.
STUDIES = ((6, 20, 100), (8, 50, 200), (20, 50, 200))
OFF = (0.0, 0.1, 0.25, None)


def streams(a: float, b: float, shared: float, count: int, rng: np.random.Generator) -> dict[str, float]:
    """Run the sequential test on streams of paired rollouts, looking after each pair."""
    common = rng.random((count, MOST)) < shared
    luck = rng.random((count, MOST))
    won_a = np.where(common, luck, rng.random((count, MOST))) < a
    won_b = np.where(common, luck, rng.random((count, MOST))) < b
    evidence = log_evidence(*np.ogrid[: MOST + 1, : MOST + 1])
    wins, losses = (won_a & ~won_b).cumsum(axis=1), (won_b & ~won_a).cumsum(axis=1)
    crossed = evidence[wins, losses] >= math.log(1 / ALPHA)
    decided = crossed.any(axis=1)
    pairs = np.where(decided, crossed.argmax(axis=1) + 1, MOST)
    last = (np.arange(count), pairs - 1)
    return {
        "streams": count,
        "decided": float(decided.mean()),
        "wrong": float((decided & (wins[last] < losses[last])).mean()),
        "pairs": float(pairs.mean()),
    }


def bound() -> float:
    """Wald's bound on the mean number of pairs, for a test that knows both rates and looks at differing pairs."""
    won, lost = BETTER * (1 - WORSE), WORSE * (1 - BETTER)
    information = won * math.log(2 * won / (won + lost)) + lost * math.log(2 * lost / (won + lost))
    return math.log(1 / ALPHA) / information


def rate_coverage() -> dict[str, dict[str, float]]:
    """Exact coverage of the intervals of a rate: lowest and mean over a grid of true rates, all n together."""
    rates = (np.arange(RATES) + 1) / (RATES + 1)
    found = {}
    for name, interval in (("wilson", wilson_interval), ("clopper_pearson", clopper_pearson_interval)):
        per_n = []
        for n in TRIALS:
            ends = np.array([interval(k, n) for k in range(n + 1)])
            holds = (ends[:, 0] <= rates[:, None]) & (rates[:, None] <= ends[:, 1])
            per_n.append((holds * binom.pmf(np.arange(n + 1), n, rates[:, None])).sum(axis=1))
        found[name] = {"lowest": float(np.min(per_n)), "mean": float(np.mean(per_n))}
    return found


def study(policies: int, off: float | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """True rates of some policies, real and in simulation."""
    real = rng.uniform(0, 0.95, policies)
    if off is None:
        return real, rng.uniform(0, 0.95, policies)
    return real, np.clip(real + off * rng.standard_normal(policies), 0, 1)


def agreement_coverage(
    policies: int, real_n: int, sim_n: int, off: float | None, count: int, samples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """How often the intervals of MMRV and Pearson hold the truth, over drawn studies."""
    many = [study(policies, off, rng) for _ in range(4000)]
    real, sim = (np.array(rates) for rates in zip(*many, strict=True))
    whole = [study(10_000, off, rng)]
    target = {"mmrv": rank_violations(real, sim).mean(), "pearson": correlations(*whole[0])}
    truth_of = {"mmrv": rank_violations, "pearson": correlations}
    held = {name: {"others": 0, "these": 0, "width": 0.0} for name in target}
    names = tuple(map(str, range(policies)))
    for number in range(count):
        rates = study(policies, off, rng)
        counts = [rng.binomial(n, rate)[:, None] for n, rate in zip((real_n, sim_n), rates, strict=True)]
        if np.ptp(counts[0]) == 0 or np.ptp(counts[1]) == 0:
            continue
        results = [Results(names, ("",), k, np.full_like(k, n)) for k, n in zip(counts, (real_n, sim_n), strict=True)]
        for name, cell in held.items():
            found = uncertainty(real=results[0], sim=results[1], metric=name, samples=samples, seed=number)
            exact = float(truth_of[name](*rates))
            cell["these"] += found.ci_these[0] - 1e-9 <= exact <= found.ci_these[1] + 1e-9
            cell["others"] += found.ci[0] - 1e-9 <= target[name] <= found.ci[1] + 1e-9
            cell["width"] += found.ci[1] - found.ci[0]
    return {
        "policies": policies,
        "real_episodes": real_n,
        "sim_episodes": sim_n,
        "off": off,
        "studies": count,
        **{
            name: {
                "truth": float(target[name]),
                "others": cell["others"] / count,
                "these": cell["these"] / count,
                "width": cell["width"] / count,
            }
            for name, cell in held.items()
        },
    }


def measure(long: bool) -> dict[str, Any]:
    """Measure; `long` takes 10,000 streams and 400 studies of each kind, else 2,000 and 20."""
    rng = np.random.Generator(np.random.PCG64(0))
    count, studies, samples = (10_000, 400, 600) if long else (2000, 20, 300)
    power = streams(BETTER, WORSE, 0.0, count, rng)
    null = [
        {"rate": rate, "shared": shared, **streams(rate, rate, shared, count, rng)}
        for rate in NULL_RATES
        for shared in SHARED
    ]
    worst = max(row["decided"] for row in null)
    interval = binomtest(round(worst * count), count).proportion_ci(method="exact")
    return {
        "benchmark": "metrics",
        "value": power["pairs"],
        "limit": bound(),
        "ratio": power["pairs"] / bound(),
        "power": power,
        "false_positives": {"worst": worst, "ci": [interval.low, interval.high], "streams": count},
        "null": null,
        "rates": rate_coverage(),
        "agreement": [agreement_coverage(*kind, off, studies, samples, rng) for kind in STUDIES for off in OFF],
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="10,000 streams and 400 studies of each kind")
    print(json.dumps(measure(parser.parse_args().long)))


if __name__ == "__main__":
    main()
