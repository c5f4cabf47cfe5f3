"""Distances between sets of features, against closed forms, other formulas and the laws they were drawn from."""

import numpy as np
import pytest
from scipy import linalg

from handful import InputError
from pipelines.metrics.distances import frechet_distance, frechet_floor, kernel_distance, two_sample
from pipelines.metrics.features import RANDOM_SIZE, random_convolution


def test_frechet_of_normal_laws_with_known_moments():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (200_000, 2)) * (1, 2)
    b = rng.normal(0, 1, (200_000, 2)) * (3, 2) + (1, 0)
    assert frechet_distance(a, b) == pytest.approx(1 + (3 - 1) ** 2, rel=0.02)


def test_frechet_is_the_formula():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(60, 4)) + 0.5
    first, second = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(first @ second).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_floor_of_frechet_is_what_halves_score():
    rng = np.random.default_rng(2)
    many, few = (frechet_floor(rng.normal(size=(n, 8)), rng) for n in (2000, 60))
    assert 0 < many < 0.1 < few


def test_kernel_distance_is_the_u_statistic_and_unbiased():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 1
    k = lambda x, y: (x @ y / 3 + 1) ** 3  # noqa: E731
    within = [np.mean([k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (a, b)]
    across = np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(sum(within) - 2 * across)
    none = [kernel_distance(rng.normal(size=(10, 3)), rng.normal(size=(10, 3))) for _ in range(2000)]
    assert abs(np.mean(none)) < 4 * np.std(none) / np.sqrt(2000)
    assert min(none) < 0


def test_the_classifier_tells_apart_what_differs_and_nothing_else():
    rng = np.random.default_rng(4)
    a = rng.normal(size=(400, 6))
    apart = two_sample(a, rng.normal(size=(300, 6)) + np.eye(6)[0] * 1.5, rng)
    # Two unit normal laws 1.5 apart: the best accuracy is Phi(0.75), the best area Phi(1.5 / sqrt 2).
    assert apart.accuracy == pytest.approx(0.773, abs=0.06)
    assert apart.auc == pytest.approx(0.856, abs=0.06)
    assert apart.p_value < 1e-9
    assert apart.held_out == (200, 150)


def test_the_classifiers_p_values_are_honest():
    rng = np.random.default_rng(5)
    p = [two_sample(rng.normal(size=(40, 5)), rng.normal(size=(40, 5)), rng).p_value for _ in range(400)]
    assert np.mean(np.array(p) <= 0.05) <= 0.08
    assert 0.4 < np.mean(p) < 0.6


def test_constant_features_hold_no_difference():
    rng = np.random.default_rng(6)
    same = two_sample(np.ones((20, 3)), np.ones((20, 3)), rng)
    assert same.auc == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: frechet_distance(x[:5], x), "5 and 30 images are too few.*size 5: it needs at least 6"),
        (lambda x: kernel_distance(x[:1], x), "needs two images in each set, got 1 and 30"),
        (lambda x: two_sample(x[:9], x, np.random.default_rng(0)), "needs ten images in each set, got 9 and 30"),
        (lambda x: kernel_distance(x, x[:, :2]), r"of one size d, got \(30, 5\) and \(30, 2\)"),
        (lambda x: kernel_distance(x, x * np.nan), "features must be finite"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(np.random.default_rng(0).normal(size=(30, 5)))


# The sum of the features of three pictures.
REFERENCE = 31.878545


def pictures(count: int, seed: int, gain: float = 1.0) -> np.ndarray:
    """Discs on plain ground, at random places and in random colours."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :48]
    images = np.empty((count, 48, 48, 3))
    for image in images:
        x, y = rng.uniform(12, 36, 2)
        disc = (columns - x) ** 2 + (rows - y) ** 2 < 64
        image[:] = np.where(disc[..., None], rng.uniform(0, 255, 3), rng.uniform(60, 180, 3))
    return (gain * images).clip(0, 255).astype(np.uint8)


def test_the_random_feature_is_fixed_and_sees_light():
    features = random_convolution(pictures(3, 0))
    assert features.shape == (3, RANDOM_SIZE) == (3, 192)
    # Whoever changes it changes every distance that was ever printed.
    assert features[0, :3] == pytest.approx(random_convolution(pictures(1, 0))[0, :3])
    assert features.sum() == pytest.approx(REFERENCE, rel=1e-4)
    same, dim = (
        kernel_distance(random_convolution(pictures(40, 1)), random_convolution(x))
        for x in (pictures(40, 2), pictures(40, 2, 0.6))
    )
    assert dim > 3 * abs(same)


def test_a_plain_image_has_no_features():
    assert random_convolution(np.full((1, 40, 40, 3), 128, np.uint8)) == pytest.approx(0, abs=1e-5)
    assert random_convolution(np.zeros((0, 40, 40, 3), np.uint8)).shape == (0, 192)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 48, 48, 3)), r"\(n, H, W, 3\) uint8, got \(2, 48, 48, 3\) float64"),
        (np.zeros((2, 39, 48, 3), np.uint8), "at least 40 x 40 pixels, got 39 x 48"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    with pytest.raises(InputError, match=message):
        random_convolution(images)
