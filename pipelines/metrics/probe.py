"""Whether domains can be told apart by a linear classifier from what a policy makes of them.

It says what the features keep, not what is good: a policy that tells simulation from reality may well do better for it.
Features that a linear classifier cannot tell apart may still differ in other ways (Alain and Bengio 2016 on probes).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from handful import InputError
from pipelines.statistics import wilson_interval

# Episodes of each domain that a probe needs: half of them fit it, the others test it.
LEAST = 4


@dataclass(frozen=True)
class Probe:
    """How well domains are told apart in episodes that the classifier was not fitted to."""

    # Share of held-out frames told right, averaged over held-out episodes; each domain has as many of them.
    accuracy: float
    # 95 % interval of that. A mean of shares varies at most as much as a coin, so Wilson's with n = episodes covers.
    ci: tuple[float, float]
    # What guessing scores: one over the number of domains.
    chance: float
    # Held-out episodes of all domains together.
    episodes: int
    # Row i: how held-out frames of domain i were named, shares that add up to 1.
    confusion: tuple[tuple[float, ...], ...]


def domain_probe(
    features: Sequence[np.ndarray], episodes: Sequence[np.ndarray], rng: np.random.Generator, penalty: float = 1.0
) -> Probe:
    """Fit a linear classifier on half of the episodes of each domain, and test it on the others.

    Frames of one episode are alike, so an episode is on one side alone, and counts once. Of each domain as many
    episodes are taken as the smallest has, drawn by `rng`.

    Args:
        features: per domain (n_i, d).
        episodes: per domain (n_i,): which episode each row is from.
        rng: chooses and splits the episodes.
        penalty: on the squared weights of standardised features.

    Raises:
        InputError: fewer than two domains, or than `LEAST` episodes of one; features of different sizes or not finite.
    """
    if len(features) < 2:
        raise InputError(f"a probe tells domains apart; it needs at least two, got {len(features)}")
    if len({each.shape[1:] for each in features}) != 1 or any(each.ndim != 2 for each in features):
        raise InputError(f"features must be (n, d) of one size d, got {', '.join(str(f.shape) for f in features)}")
    if not all(np.isfinite(each).all() for each in features):
        raise InputError("features must be finite")
    fewest = min(len(np.unique(each)) for each in episodes)
    if fewest < LEAST:
        raise InputError(f"a probe needs at least {LEAST} episodes of each domain, got {fewest}")
    half = fewest // 2
    fit: list[tuple[np.ndarray, np.ndarray]] = []
    test: list[list[np.ndarray]] = []
    for label, (values, owner) in enumerate(zip(features, episodes, strict=True)):
        order = rng.permutation(np.unique(owner))[: 2 * half]
        rows = np.isin(owner, order[:half])
        fit.append((values[rows], np.full(int(rows.sum()), label)))
        test.append([values[owner == episode] for episode in order[half:]])
    x, y = (np.concatenate(parts) for parts in zip(*fit, strict=True))
    center, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    # Each domain counts alike, however many frames it has.
    weight = (len(y) / len(features) / np.bincount(y))[y]
    slopes, offsets = softmax_regression((x - center) / scale, y, weight, penalty)

    def named(values: np.ndarray) -> np.ndarray:
        return np.asarray((((values - center) / scale) @ slopes + offsets).argmax(axis=1))

    shares = np.array(
        [
            np.mean([np.bincount(named(values), minlength=len(features)) / len(values) for values in each], axis=0)
            for each in test
        ]
    )
    accuracy, n = float(shares.diagonal().mean()), half * len(features)
    low, high = wilson_interval(accuracy * n, n)
    return Probe(accuracy, (low, high), 1 / len(features), n, tuple(tuple(row) for row in shares.tolist()))


def softmax_regression(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (d, k) and offsets (k,) of a multinomial logistic regression (e.g. Hastie et al. 2009, section 4.4).

    Minimises  - sum_i w_i log p(y_i | x_i) + penalty / 2 |slopes|^2,  p = softmax(x slopes + offsets).

    Args:
        x: (n, d).
        y: (n,) labels from 0 to k - 1, each there.
        weight: (n,) of the rows.
        penalty: at least 0.
    """
    size, count = x.shape[1], int(y.max()) + 1
    truth = np.eye(count)[y]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        table = flat.reshape(size + 1, count)
        score = x @ table[:-1] + table[-1]
        value = weight @ (special.logsumexp(score, axis=1) - (score * truth).sum(axis=1))
        pull = weight[:, None] * (special.softmax(score, axis=1) - truth)
        gradient = np.vstack([x.T @ pull + penalty * table[:-1], pull.sum(axis=0)])
        return float(value + 0.5 * penalty * (table[:-1] ** 2).sum()), gradient.ravel()

    found = optimize.minimize(loss, np.zeros((size + 1) * count), jac=True, method="L-BFGS-B").x
    table = found.reshape(size + 1, count)
    return table[:-1], table[-1]
