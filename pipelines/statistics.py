"""Intervals for what is counted: every rate in the project is printed with its n and one of these."""

import math
from statistics import NormalDist

from handful import InputError


def wilson_interval(successes: float, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial proportion (Wilson 1927; no continuity correction).

    Args:
        successes: k, 0 to `trials`; or a sum of n values in [0, 1], whose interval is then rather too wide.
        trials: n; with none nothing is known and the interval is (0, 1).
        confidence: probability that such an interval covers the true rate, between 0 and 1.

    Returns:
        Lower and upper end, both in [0, 1].

    Raises:
        InputError: counts or a confidence that make no sense.
    """
    if not 0 <= successes <= trials:
        raise InputError(f"successes must be between 0 and trials, got {successes} of {trials}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, got {confidence}")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / trials
    scale = 1 + z * z / trials
    center = (rate + z * z / (2 * trials)) / scale
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / scale
    # At the ends the formula is exact, its rounding is not.
    lower = 0.0 if successes == 0 else max(0.0, center - half)
    upper = 1.0 if successes == trials else min(1.0, center + half)
    return lower, upper
