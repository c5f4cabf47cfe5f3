"""Whether something cheaper than rollouts would have ranked a study's mixes: action error, loss, the domain probe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from pipelines.metrics.agreement import rank_correlations
from pipelines.studies.results import Mix
from pipelines.studies.surface import Rate

# With fewer mixes Fisher's transform says nothing.
_LEAST = 5
# Name -> what it is of a finished run's row, the better the larger; None where it was not measured.
_MEASURES: Mapping[str, Callable[[Mapping[str, Any]], float | None]] = {
    "least loss on held-out real demos": lambda row: row["offline"] and -row["offline"]["loss"],
    "least error of executed actions there": lambda row: row["offline"] and -row["offline"]["executed"],
    "highest accuracy of the domain probe": lambda row: row["probe"] and row["probe"]["accuracy"],
}


@dataclass(frozen=True)
class Ranker:
    """How well a measure ranks mixes.

    Attributes:
        name: of the measure.
        mixes: how many were ranked.
        rho: Spearman's rank correlation with success over mixes, each the mean of its runs; 1 ranks as rollouts do.
        low, high: its 95 % interval.
        picked: the mix that the measure would choose, with its rate.
        best: the mix with the highest rate.
    """

    name: str
    mixes: int
    rho: float
    low: float
    high: float
    picked: Rate
    best: Rate


def rankers(rows: Sequence[Mapping[str, Any]], rates: Sequence[Rate]) -> list[Ranker]:
    """How well each measure ranks the mixes of a domain.

    Args:
        rows: finished runs, as in `study.json`.
        rates: of the mixes.

    Returns:
        Those of which enough mixes have a value, and whose values differ.
    """
    found = []
    for name, measure in _MEASURES.items():
        values: dict[Mix, list[float]] = {}
        for row in rows:
            value = measure(row)
            if value is not None:
                values.setdefault(Mix(row["n_real"], row["n_sim"], row["weight"]), []).append(value)
        known = [rate for rate in rates if rate.mix in values]
        measured = np.array([np.mean(values[rate.mix]) for rate in known])
        success = np.array([rate.rate for rate in known])
        if len(known) < _LEAST or np.ptp(measured) == 0 or np.ptp(success) == 0:
            continue
        rho = float(rank_correlations(success, measured))
        low, high = interval(rho, len(known))
        picked, best = known[int(measured.argmax())], known[int(success.argmax())]
        found.append(Ranker(name, len(known), rho, low, high, picked, best))
    return found


def interval(rho: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of Spearman's correlation of `n` >= 4 pairs.

    By Fisher's transform with the variance 1.06 / (n - 3) (Fieller, Hartley and Pearson 1957). A perfect correlation is
    taken as that with one pair of neighbours exchanged: its transform has no bounds.
    """
    nearly = 1 - 12 / (n * (n * n - 1))
    middle, reach = np.arctanh(np.clip(rho, -nearly, nearly)), norm.ppf(0.5 + confidence / 2) * np.sqrt(1.06 / (n - 3))
    low, high = np.tanh([middle - reach, middle + reach])
    return min(float(low), rho), max(float(high), rho)
