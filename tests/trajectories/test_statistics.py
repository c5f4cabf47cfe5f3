import tracemalloc

import numpy as np
import pytest

from handful import InputError
from trajectories import Statistics, statistics, store_statistics
from trajectories.sketch import RELATIVE_ERROR
from trajectories.statistics import (
    STD_FLOOR,
    Moments,
    Summary,
    chunk_statistics,
    describe_stream,
    summarise,
    summarise_chunks,
)


@pytest.fixture
def groups():
    rng = np.random.default_rng(0)
    return [rng.normal(3, 2, (n, 4)) for n in (1, 700, 13, 300)]


def test_statistics_agree_with_numpy(groups):
    rows = np.concatenate(groups)
    found = describe_stream(groups)
    assert found.count == len(rows)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, rows.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found.minimum, rows.min(axis=0))
    np.testing.assert_array_equal(found.maximum, rows.max(axis=0))
    for level, value in ((0.01, found.q01), (0.5, found.median), (0.99, found.q99)):
        exact = np.quantile(rows, level, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(value, exact, rtol=RELATIVE_ERROR)


def test_quantiles_stay_within_what_was_seen():
    summary = Summary.of(np.array([[1.0001], [1.0002]]))
    np.testing.assert_array_equal(summary.quantile([0, 1]), [[1.0001], [1.0001]])


def test_how_rows_are_grouped_changes_no_bit(groups, monkeypatch):
    monkeypatch.setattr(statistics, "_BLOCK", 400)
    rows = np.concatenate(groups)
    assert describe_stream(groups).hash == describe_stream([rows]).hash
    assert describe_stream(row[None] for row in rows).hash == describe_stream([rows]).hash


def test_statistics_of_two_stores_merge_into_those_of_both(groups):
    first, second = summarise(groups[:2]), summarise(groups[2:])
    both, merged = summarise(groups).statistics(), first.merge(second).statistics()
    assert merged.count == both.count
    for name in ("q01", "median", "q99", "minimum", "maximum"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(both, name))
    np.testing.assert_allclose(merged.mean, both.mean, rtol=1e-13)
    np.testing.assert_allclose(merged.std, both.std, rtol=1e-13)


def test_a_group_may_be_overwritten_once_it_was_taken():
    buffer = np.empty((10, 1))

    def refill():
        for i in range(20):
            buffer[:] = i
            yield buffer

    assert describe_stream(refill()).mean == 9.5


def test_streaming_keeps_no_rows():
    """20 million numbers, 160 MB, are described in a fraction of that."""
    rng = np.random.default_rng(0)
    tracemalloc.start()
    found = describe_stream(rng.normal(size=(50_000, 4)) for _ in range(100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.count == 5_000_000
    np.testing.assert_allclose(found.std, 1, rtol=1e-2)
    assert peak < 80e6


def test_chunks_are_described_at_each_position(monkeypatch):
    monkeypatch.setattr(statistics, "_BLOCK", 500)
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(300, 5, 2)) * np.arange(1, 6)[:, None]
    mask = np.arange(5) < rng.integers(1, 6, size=300)[:, None]
    found = chunk_statistics([(windows[:100], mask[:100]), (windows[100:], mask[100:])])
    assert len(found) == 5
    for position, one in enumerate(found):
        rows = windows[mask[:, position], position]
        assert one.count == len(rows)
        np.testing.assert_allclose(one.mean, rows.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(one.std, rows.std(axis=0), rtol=1e-9)
        exact = np.quantile(rows, 0.99, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(one.q99, exact, rtol=RELATIVE_ERROR)


def test_chunks_of_two_stores_merge():
    rng = np.random.default_rng(0)
    windows, mask = rng.normal(size=(60, 3, 2)), np.ones((60, 3), bool)
    parts = zip(
        summarise_chunks([(windows[:20], mask[:20])]), summarise_chunks([(windows[20:], mask[20:])]), strict=True
    )
    for (first, second), whole in zip(parts, chunk_statistics([(windows, mask)]), strict=True):
        merged = first.merge(second).statistics()
        np.testing.assert_array_equal(merged.median, whole.median)
        np.testing.assert_allclose(merged.std, whole.std, rtol=1e-13)


def test_a_position_that_no_window_reaches_is_like_the_one_before():
    windows, mask = np.ones((4, 3, 1)), np.array([[True, True, False]] * 4)
    windows[:, 1] = 7
    first, second, third = chunk_statistics([(windows, mask)])
    assert (first.mean, second.mean, third.mean) == (1, 7, 7)


def test_windows_must_fit_their_mask():
    with pytest.raises(InputError, match=r"windows of 3 steps .* got \(4, 3, 1\) and \(4, 2\)"):
        chunk_statistics([(np.ones((4, 3, 1)), np.ones((4, 2), bool))])


def test_merging_stays_accurate_far_from_zero():
    rows = 1e8 + np.random.default_rng(0).normal(size=(1000, 1))
    merged = Moments.of(rows[:10]).merge(Moments.of(rows[10:]))
    np.testing.assert_allclose(np.sqrt(merged.deviations / merged.count), rows.std(axis=0), rtol=1e-6)


def test_weights_count_as_repetitions(groups):
    small, large = groups[2], groups[3]
    # A share of 3 : 1 between 13 and 300 rows is 900 copies of the first against 13 of the second.
    repeated = np.concatenate([np.tile(small, (900, 1)), np.tile(large, (13, 1))])
    found, expected = describe_stream([(small, 3 / 13), (large, 1 / 300)]), describe_stream([repeated])
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9)
    np.testing.assert_allclose(found.std, expected.std, rtol=1e-9)
    np.testing.assert_array_equal(found.q01, expected.q01)
    np.testing.assert_array_equal(found.q99, expected.q99)


def test_a_dimension_that_hardly_moves_keeps_a_floor():
    rows = np.tile([1.0, 2.0], (50, 1))
    rows[:, 1] += np.linspace(0, 1e-6, 50)
    np.testing.assert_array_equal(describe_stream([rows]).std, STD_FLOOR)
    np.testing.assert_array_equal(describe_stream([rows], floor=0.5).std, 0.5)


def test_the_hash_follows_the_numbers(groups):
    found = describe_stream(groups)
    assert Statistics.from_json(found.to_json()).hash == found.hash
    assert describe_stream([groups[0] + 1e-9, *groups[1:]]).hash != found.hash


def test_a_key_of_a_store_is_described_over_all_episodes(tmp_path, make_episode, make_store):
    episodes = [make_episode(i) for i in range(3)]
    store = make_store(tmp_path / "s", [episodes[:1], episodes[1:]])
    rows = np.concatenate([episode.arrays["action/intended"] for episode in episodes]).astype(np.float64)
    np.testing.assert_allclose(store_statistics(store, "action/intended").mean, rows.mean(axis=0), rtol=1e-12)


def test_nothing_has_no_statistics():
    with pytest.raises(InputError, match="at least one row"):
        describe_stream([np.zeros((0, 3))])
    with pytest.raises(InputError, match="at least one window"):
        chunk_statistics([])


def test_what_is_not_rows_is_refused():
    with pytest.raises(InputError, match=r"array of shape \(3,\)"):
        describe_stream([np.zeros(3)])
    with pytest.raises(InputError, match="of 3 and of 4 columns"):
        describe_stream([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(InputError, match="weight must be a positive number, got -1"):
        describe_stream([(np.zeros((2, 3)), -1)])
