import numpy as np
import pytest
from scipy import stats

from handful import InputError
from pipelines.studies.laws import POWER, TRANSFER, Law
from pipelines.studies.noise import angle, means, scene_shares
from pipelines.studies.planted import Truth, drawn
from pipelines.studies.results import Table

LAW = Law(POWER, TRANSFER, 1000.0)
THETA = np.array([0.9, np.log(30), np.log(1.5), np.log(20), 0.6])


def table(seed_share: float, scene_share: float, seeds: int = 3, scenes: int = 400, number: int = 0):  # type: ignore[no-untyped-def]
    truth = Truth(LAW, THETA, seed_share, scene_share)
    return drawn(truth, (10, 25, 50, 100), (0, 200, 1000, 5000), seeds, scenes, np.random.default_rng(number))


def test_variance_of_runs_is_pooled_over_mixes() -> None:
    found = means(table(0.0, 0.0, seeds=6))
    assert found.freedom == 16 * 5
    # Binomial alone: 1 / (4 n) on the scale of arcs.
    assert found.run_variance == pytest.approx(1 / 1600, rel=0.35)
    assert found.seed_share < 0.3
    noisy = means(table(0.1, 0.0, seeds=6))
    # d(arcsin sqrt p)/dx at a normal share s^2 of x: (phi / (2 sqrt(p q)))^2 s^2, about 0.16 s^2 at p = 0.5.
    assert noisy.run_variance == pytest.approx(1 / 1600 + 0.1 * 0.159, rel=0.3)
    assert noisy.seed_share > 0.9


def test_noise_of_seeds_is_that_of_a_bootstrap_only_with_many() -> None:
    """Three seeds: the resampled mean's spread is sqrt(2/3) of the true one, and 95 % become 75 %."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal((100_000, 3))
    reach = stats.norm.ppf(0.975) * values.std(axis=1) / np.sqrt(3)
    assert (np.abs(values.mean(axis=1)) < reach).mean() == pytest.approx(0.75, abs=0.01)


def test_scenes_in_common_are_noticed() -> None:
    own, across = scene_shares(list(table(0.0, 0.0).runs.values()))
    assert max(own, across) < 0.03
    own, across = scene_shares(list(table(0.0, 0.5).runs.values()))
    # Outcomes cut at the median from normals that correlate 0.5: 2 / pi arcsin 0.5 = 1/3; less beside it.
    assert across == pytest.approx(0.3, abs=0.05)
    assert own == pytest.approx(across, abs=0.05)


def test_covariance_is_that_of_repeated_studies() -> None:
    repeated = np.array([means(table(0.05, 0.3, scenes=100, number=n)).z for n in range(120)])
    true = np.cov(repeated.T)
    told = np.mean([means(table(0.05, 0.3, scenes=100, number=n)).covariance for n in range(12)], axis=0)
    assert np.diag(told).mean() == pytest.approx(np.diag(true).mean(), rel=0.2)
    apart = ~np.eye(len(told), dtype=bool)
    assert told[apart].mean() == pytest.approx(true[apart].mean(), rel=0.4)


def test_one_seed_leaves_the_luck_of_scenes_alone() -> None:
    found = means(table(0.1, 0.0, seeds=1))
    assert np.isinf(found.freedom)
    assert found.run_variance == pytest.approx(1 / 1600)
    assert found.quantile() == pytest.approx(1.96, abs=0.001)
    assert np.isnan(found.seed_share)
    assert means(table(0.1, 0.0, seeds=3)).seed_share > 0


def test_angle_is_unbiased_near_the_ends() -> None:
    trials, rate = 50, 0.05
    counts = np.arange(trials + 1)
    chances = stats.binom.pmf(counts, trials, rate)
    true = np.arcsin(np.sqrt(rate))
    plain = (chances * np.arcsin(np.sqrt(counts / trials))).sum() - true
    assert abs((chances * angle(counts / trials, trials)).sum() - true) < min(0.006, abs(plain) / 2)


def test_a_confidence_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"between 0 and 1, got 95"):
        means(table(0, 0)).quantile(95)


def test_only_noisier_mixes_have_a_noise_of_their_own() -> None:
    calm, noisy = table(0.005, 0.1, number=2), table(0.3, 0.1, number=2)
    first = calm.mixes[:3]
    mixed = Table(tuple(b if a.mix in first else a for a, b in zip(calm.cells, noisy.cells, strict=True)))
    found = means(mixed)
    assert (found.own_variance >= found.run_variance).all()
    assert found.own_variance[:3].max() > 2 * found.run_variance
    np.testing.assert_allclose(found.own_variance[3:], found.run_variance)
    alike = means(calm)
    np.testing.assert_allclose(alike.own_covariance, alike.covariance, rtol=0.5)
