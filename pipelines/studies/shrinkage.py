"""Variances of few values each, drawn towards what they have in common, as far as they have it (Smyth 2004).

Three training seeds say little about a mix's own noise, and what is pooled over all mixes is wrong for each where small
data sets are noisier than large ones. In between: true variances are scattered about a common one like an inverse
chi-square with d0 degrees of freedom, and d0 is read off how far the measured ones lie apart beyond chance.
"""

import numpy as np
from scipy.special import digamma, polygamma

# Beyond so many degrees of freedom all are the same.
_SAME = 1e6


def shrunk(variances: np.ndarray, freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw variances together.

    Args:
        variances: (C,) measured, above 0.
        freedom: (C,) degrees of freedom of each, at least 1.

    Returns:
        (C,) variances and (C,) their degrees of freedom. Where they differ by no more than chance, all are the pooled
        one, with all degrees of freedom together.
    """
    half = freedom / 2
    logs = np.log(variances) - digamma(half) + np.log(half)
    count = len(variances)
    excess = logs.var(ddof=1) - polygamma(1, half).mean() if count > 1 else 0.0
    if excess <= polygamma(1, _SAME / 2):
        pooled = float((variances * freedom).sum() / freedom.sum())
        return np.full(count, pooled), np.full(count, float(freedom.sum()))
    own = 2 * _inverse_trigamma(float(excess))
    common = np.exp(logs.mean() + digamma(own / 2) - np.log(own / 2))
    return (own * common + freedom * variances) / (own + freedom), own + freedom


def _inverse_trigamma(value: float) -> float:
    """The x at which the trigamma function is a value above 0, by Newton's method (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x
