import numpy as np
import pytest

from handful import InputError
from trajectories import Statistics, store_statistics
from trajectories.statistics import STD_FLOOR, Moments, describe


@pytest.fixture
def groups():
    rng = np.random.default_rng(0)
    return [rng.normal(3, 2, (n, 4)) for n in (1, 700, 13, 300)]


def test_statistics_agree_with_numpy(groups):
    rows = np.concatenate(groups)
    found = describe(groups)
    assert found.count == len(rows)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, rows.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found.minimum, rows.min(axis=0))
    np.testing.assert_array_equal(found.maximum, rows.max(axis=0))
    np.testing.assert_array_equal(found.q01, np.quantile(rows, 0.01, axis=0, method="inverted_cdf"))
    np.testing.assert_array_equal(found.q99, np.quantile(rows, 0.99, axis=0, method="inverted_cdf"))


def test_merging_stays_accurate_far_from_zero():
    rows = 1e8 + np.random.default_rng(0).normal(size=(1000, 1))
    merged = Moments.of(rows[:10]).merge(Moments.of(rows[10:]))
    np.testing.assert_allclose(np.sqrt(merged.deviations / merged.count), rows.std(axis=0), rtol=1e-6)


def test_weights_count_as_repetitions(groups):
    small, large = groups[2], groups[3]
    # A share of 3 : 1 between 13 and 300 rows is 900 copies of the first against 13 of the second.
    repeated = np.concatenate([np.tile(small, (900, 1)), np.tile(large, (13, 1))])
    found, expected = describe([small, large], [3, 1]), describe([repeated])
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9)
    np.testing.assert_allclose(found.std, expected.std, rtol=1e-9)
    np.testing.assert_array_equal(found.q01, expected.q01)
    np.testing.assert_array_equal(found.q99, expected.q99)


def test_a_dimension_that_hardly_moves_keeps_a_floor():
    rows = np.tile([1.0, 2.0], (50, 1))
    rows[:, 1] += np.linspace(0, 1e-6, 50)
    np.testing.assert_array_equal(describe([rows]).std, STD_FLOOR)


def test_the_hash_follows_the_numbers(groups):
    found = describe(groups)
    assert Statistics.from_json(found.to_json()).hash == found.hash
    assert describe([groups[0] + 1e-9, *groups[1:]]).hash != found.hash


def test_a_key_of_a_store_is_described_over_all_episodes(tmp_path, make_episode, make_store):
    episodes = [make_episode(i) for i in range(3)]
    store = make_store(tmp_path / "s", [episodes[:1], episodes[1:]])
    rows = np.concatenate([episode.arrays["action/intended"] for episode in episodes]).astype(np.float64)
    np.testing.assert_allclose(store_statistics(store, "action/intended").mean, rows.mean(axis=0), rtol=1e-12)


def test_nothing_has_no_statistics():
    with pytest.raises(InputError, match="at least one row"):
        describe([np.zeros((0, 3))])
