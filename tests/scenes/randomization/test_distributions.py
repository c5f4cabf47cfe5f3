"""Distributions: refused when empty or inverted, drawn as they say, compared by what they could draw."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from handful import InputError
from scenes.randomization import Choice, Distribution, Fixed, LogUniform, Uniform

KINDS: dict[str, Distribution] = {
    "fixed": Fixed(0.5),
    "uniform": Uniform(-1.0, 3.0),
    "log": LogUniform(0.1, 10.0),
    "choice": Choice(("a", "b", "c"), (1.0, 1.0, 2.0)),
}
SHARES = (np.arange(4000) + 0.5) / 4000


def test_ranges_are_drawn_as_they_say() -> None:
    assert stats.kstest(Uniform(-1.0, 3.0).at(SHARES), stats.uniform(-1.0, 4.0).cdf).statistic < 1e-3
    assert stats.kstest(LogUniform(0.1, 10.0).at(SHARES), stats.loguniform(0.1, 10.0).cdf).statistic < 1e-3
    drawn = Choice(("a", "b", "c"), (1.0, 1.0, 2.0)).at(SHARES).tolist()
    assert [drawn.count(name) / 4000 for name in "abc"] == pytest.approx([0.25, 0.25, 0.5], abs=1e-3)
    assert set(Fixed(0.5).at(SHARES).tolist()) == {0.5}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_whatever_is_drawn_could_be_drawn(kind: Distribution) -> None:
    shares = np.array([0.0, 0.3, np.nextafter(1.0, 0.0)])
    assert all(kind.contains(value) for value in kind.at(shares).tolist())


@pytest.mark.parametrize("kind", [Uniform(-1.0, 3.0), LogUniform(0.1, 10.0)], ids=["uniform", "log"])
def test_shares_and_values_are_each_others_inverse(kind: Distribution) -> None:
    np.testing.assert_allclose(kind.share_below(kind.at(SHARES)), SHARES, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Uniform(0.9, 0.1), r"Uniform from 0.9 to 0.1 is inverted; low must be below high"),
        (lambda: Uniform(0.5, 0.5), r"Uniform from 0.5 to 0.5 is empty; for one value use Fixed"),
        (lambda: Uniform(0.0, float("nan")), r"Uniform's high must be a finite number, got nan"),
        (lambda: Uniform("a", 1.0), r"Uniform's low must be a finite number, got 'a'"),  # type: ignore[arg-type]
        (lambda: LogUniform(2.0, 0.5), r"LogUniform from 2 to 0.5 is inverted"),
        (lambda: LogUniform(0.0, 0.5), r"LogUniform's low must be more than 0, got 0"),
        (lambda: Choice(()), r"Choice has no values"),
        (lambda: Choice(("a", "a")), r"Choice has a value twice"),
        (lambda: Choice(("a", "b"), (1.0,)), r"Choice of 2 values needs as many weights above 0, got \(1.0,\)"),
        (lambda: Choice(("a", "b"), (1.0, 0.0)), r"weights above 0"),
        (lambda: Fixed(float("inf")), r"a fixed value must be finite, got inf"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def test_overlaps_are_seen_whatever_the_kinds() -> None:
    assert Uniform(0.0, 1.0).overlaps(Uniform(1.0, 2.0))
    assert not Uniform(0.0, 1.0).overlaps(LogUniform(1.1, 2.0))
    assert Uniform(0.0, 1.0).overlaps(Fixed(0.5))
    assert not Fixed(1.5).overlaps(Uniform(0.0, 1.0))
    assert Choice(("a", "b")).overlaps(Fixed("b"))
    assert not Choice(("a", "b")).overlaps(Choice(("c",)))
    assert not Fixed("a").overlaps(Uniform(0.0, 1.0))


def test_they_print_in_words() -> None:
    printed = [str(kind) for kind in (*KINDS.values(), Choice((True, False)))]
    assert printed == [
        "0.5",
        "uniform -1 to 3",
        "log-uniform 0.1 to 10",
        "one of a (25%), b (25%), c (50%)",
        "one of yes, no",
    ]
