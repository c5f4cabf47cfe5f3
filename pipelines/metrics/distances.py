"""How far two sets of images, or of anything that has features, lie apart.

Small is not simply good: policies that do best on real robots tell simulation from reality without fail, and renderings
that cannot be told apart were seen to hurt. So report a distance together with how well the sets can be told apart
(`two_sample`), and always with its feature and its n: the Fréchet distance falls as n rises, whatever the images.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, special, stats

from handful import InputError


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of two normal laws with the sets' means and covariances (Dowson and Landau 1982).

        |mean_a - mean_b|^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2))

    Args:
        a: (n, d) features.
        b: (m, d) features.

    Returns:
        In squared units of the feature. Biased upwards, by about as much as two halves of one set are apart: see
        `frechet_floor`.

    Raises:
        InputError: features of different sizes, not finite, or sets no larger than the feature.
    """
    _check(a, b)
    least = a.shape[1] + 1
    if min(len(a), len(b)) < least:
        raise InputError(
            f"{len(a)} and {len(b)} images are too few for the Fréchet distance of features of size {a.shape[1]}: "
            f"it needs at least {least} in each set; the kernel distance has no such need"
        )
    apart = a.mean(axis=0) - b.mean(axis=0)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    # trace (C_a C_b)^(1/2) from the symmetric product, whose eigenvalues cannot turn complex.
    root = linalg.sqrtm(first).real
    values = linalg.eigvalsh(root @ second @ root)
    middle = np.sqrt(np.clip(values, 0, None)).sum()
    return float(max(0.0, apart @ apart + np.trace(first) + np.trace(second) - 2 * middle))


def frechet_floor(features: np.ndarray, rng: np.random.Generator, splits: int = 5) -> float:
    """Mean Fréchet distance of two random halves of one set: what sets of half this n score without any difference."""
    found = []
    for _ in range(splits):
        order = rng.permutation(len(features))
        half = len(order) // 2
        found.append(frechet_distance(features[order[:half]], features[order[half : 2 * half]]))
    return float(np.mean(found))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """KID (Binkowski et al. 2018): the unbiased squared maximum mean discrepancy with kernel (x.y / d + 1)^3.

    Without bias at any n, so it suits small sets; a value below 0 is noise about 0.

    Args:
        a: (n, d) features, n at least 2.
        b: (m, d) features, m at least 2.
    """
    _check(a, b)
    if min(len(a), len(b)) < 2:
        raise InputError(f"the kernel distance needs two images in each set, got {len(a)} and {len(b)}")

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    def within(x: np.ndarray) -> float:
        k = kernel(x, x)
        return float((k.sum() - np.trace(k)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


@dataclass(frozen=True)
class TwoSample:
    """How well a classifier tells two sets apart, on images it was not fitted to."""

    # Share of held-out images told right, each set counting half; 0.5 is chance.
    accuracy: float
    # Area under the curve: chance that an image of b looks more like b than one of a does.
    auc: float
    # Of both sets being drawn from one law (Mann-Whitney, two-sided, on the held-out scores).
    p_value: float
    # Held-out images of each set.
    held_out: tuple[int, int]


def two_sample(a: np.ndarray, b: np.ndarray, rng: np.random.Generator, penalty: float = 1.0) -> TwoSample:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017) with logistic regression.

    Half of each set, drawn by `rng`, fits the classifier, the other half tests it. Frames of one episode are no
    independent images: give one or few of each, or p-values mean nothing.

    Args:
        a: (n, d) features, n at least 10.
        b: (m, d) features, m at least 10.
        rng: splits the sets.
        penalty: on the squared weights of standardised features.
    """
    _check(a, b)
    if min(len(a), len(b)) < 10:
        raise InputError(f"the classifier needs ten images in each set, got {len(a)} and {len(b)}")
    parts = []
    for values in (a, b):
        order = rng.permutation(len(values))
        half = len(order) // 2
        parts.append((values[order[:half]], values[order[half:]]))
    (fit_a, test_a), (fit_b, test_b) = parts
    x = np.concatenate([fit_a, fit_b])
    center, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    # Each set counts half, however many images it has.
    weight = np.concatenate([np.full(len(p), 0.5 / len(p)) for p in (fit_a, fit_b)]) * len(x)
    sign = np.repeat([-1.0, 1.0], [len(fit_a), len(fit_b)])
    slope, offset = _logistic((x - center) / scale, sign, weight, penalty)
    score_a, score_b = (((test - center) / scale) @ slope + offset for test in (test_a, test_b))
    ranked = stats.mannwhitneyu(score_b, score_a)
    return TwoSample(
        accuracy=float(((score_a < 0).mean() + (score_b > 0).mean()) / 2),
        auc=float(ranked.statistic / (len(score_a) * len(score_b))),
        p_value=float(ranked.pvalue),
        held_out=(len(test_a), len(test_b)),
    )


def _logistic(x: np.ndarray, sign: np.ndarray, weight: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights and offset of a penalised logistic regression of the sign."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ w[:-1] + w[-1])
        pull = -weight * sign * special.expit(-margin)
        value = -(weight * special.log_expit(margin)).sum() + 0.5 * penalty * (w[:-1] @ w[:-1])
        return float(value), np.concatenate([pull @ x + penalty * w[:-1], [pull.sum()]])

    found = optimize.minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B")
    return found.x[:-1], float(found.x[-1])


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"features must be (n, d) and (m, d) of one size d, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("features must be finite")
