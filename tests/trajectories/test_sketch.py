import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from handful import InputError
from trajectories.sketch import RELATIVE_ERROR, Sketch

LEVELS = (0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0)
FINITE = st.floats(-(2.0**120), 2.0**120, width=32)


def same(a: Sketch, b: Sketch) -> bool:
    return a.columns == b.columns and np.array_equal(a.keys, b.keys) and np.array_equal(a.counts, b.counts)


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 60), st.integers(1, 3)), elements=FINITE))
def test_a_quantile_is_within_the_stated_error_of_the_value_with_its_rank(rows):
    exact = np.quantile(rows.astype(np.float64), LEVELS, axis=0, method="inverted_cdf")
    found = Sketch.of(rows).quantiles(LEVELS)
    # Below float32's normal numbers, precision is absolute.
    assert (np.abs(found - exact) <= RELATIVE_ERROR * np.abs(exact) + 2.0**-137).all()


def test_the_error_is_as_large_as_stated_and_no_larger():
    rows = np.linspace(1, 2, 200_001)[:, None]
    rounded = np.array([Sketch.of(row[None]).quantiles([0.5])[0, 0] for row in rows[::97]])
    error = np.abs(rounded - rows[::97, 0]) / rows[::97, 0]
    assert 0.9 * RELATIVE_ERROR < error.max() <= RELATIVE_ERROR


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(3, 50), st.just(2)), elements=FINITE),
    st.integers(1, 49),
    st.integers(1, 49),
)
def test_order_and_grouping_change_nothing(rows, first, second):
    first, second = sorted((min(first, len(rows) - 1), min(second, len(rows) - 1)))
    groups = [group for group in np.split(rows, [first, second]) if len(group)]
    whole = Sketch.of(rows)
    forwards, backwards = (Sketch.of(groups[end]) for end in (0, -1))
    for group in groups[1:]:
        forwards = forwards.merge(Sketch.of(group))
    for group in groups[-2::-1]:
        backwards = Sketch.of(group[::-1]).merge(backwards)
    assert same(forwards, whole)
    assert same(backwards, whole)


def test_whole_number_weights_are_repetitions():
    rng = np.random.default_rng(0)
    light, heavy = rng.normal(size=(40, 2)), rng.normal(1, 3, size=(17, 2))
    weighted = Sketch.of(light).merge(Sketch.of(heavy, weight=5))
    assert same(weighted, Sketch.of(np.concatenate([light, np.tile(heavy, (5, 1))])))


def test_signs_and_zeros_keep_their_order():
    rows = np.array([[-3e30], [-1.5], [-1e-20], [-0.0], [0.0], [1e-20], [1.5], [3e30]])
    found = Sketch.of(rows).quantiles([i / 8 for i in range(1, 9)])[:, 0]
    np.testing.assert_allclose(found, rows[:, 0], rtol=RELATIVE_ERROR)
    assert len(Sketch.of(rows).keys) == 7


def test_memory_is_bounded_whatever_comes():
    """Eleven bits of mantissa: a decade has at most 1024 * log2(10) entries."""
    rows = np.random.default_rng(0).uniform(1, 10, size=(1_000_000, 1))
    assert len(Sketch.of(rows).keys) <= 3.33 * 1024 + 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(InputError, match=r"finite numbers below 3.4e38; row 1, column 2 is"):
        Sketch.of(np.array([[0, 0, 0], [0, 0, value]]))


def test_other_columns_cannot_be_merged():
    with pytest.raises(InputError, match="of 2 and of 3 columns"):
        Sketch.of(np.zeros((1, 2))).merge(Sketch.of(np.zeros((1, 3))))


def test_levels_are_shares():
    with pytest.raises(InputError, match=r"must be in \[0, 1\], got 1.5"):
        Sketch.of(np.zeros((1, 1))).quantiles([0.5, 1.5])
