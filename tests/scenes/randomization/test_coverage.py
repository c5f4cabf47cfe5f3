"""Coverage: what a set of scenes has of each axis, and where it has nothing."""

import numpy as np
import pytest

from scenes.randomization import DEFAULT, NONE, Choice, LogUniform, Randomization, Uniform
from scenes.randomization.coverage import STRETCHES, coverage


def physics(axis: str, values: list[float]) -> list[dict]:
    return [{"physics": {axis: value}} for value in values]


def test_a_whole_range_is_covered_evenly() -> None:
    drawn = NONE.with_({"latency": Uniform(0.0, 0.04)})
    (found,) = coverage(physics("latency", np.linspace(0.0, 0.04, 201).tolist()), drawn)
    assert (found.axis, found.values, found.share, found.gaps, found.outside) == ("latency", 201, 1.0, (), 0)
    assert max(found.counts) - min(found.counts) <= 2


def test_gaps_are_named_and_neighbours_joined() -> None:
    drawn = NONE.with_({"latency": Uniform(0.0, 0.04)})
    values = [0.001, 0.005, 0.009, 0.021, 0.025, 0.029, 0.033, 0.05]
    (found,) = coverage(physics("latency", values), drawn)
    assert found.share == pytest.approx(0.7)
    assert [pytest.approx(gap) for gap in found.gaps] == [(0.012, 0.02), (0.036, 0.04)]
    assert found.outside == 1
    assert found.to_plain()["gaps"] == [list(gap) for gap in found.gaps]


def test_stretches_of_a_factor_are_even_in_the_logarithm() -> None:
    drawn = NONE.with_({"mass_factor": LogUniform(0.1, 10.0)})
    ledgers = [{"physics": {"mass_factor": {"cube_1": 0.5, "cube_2": 0.2}}}]
    (found,) = coverage(ledgers, drawn)
    assert found.values == 2
    assert [float(low) for low, _ in found.stretches] == pytest.approx(np.geomspace(0.1, 10, STRETCHES + 1)[:-1])
    assert np.flatnonzero(found.counts).tolist() == [1, 3]


def test_missing_choices_are_gaps() -> None:
    drawn = Randomization({"table_material": Choice(("world_wood", "world_grid", "world_plain"))})
    ledgers = [{"appearance": {"table_material": name}} for name in ("world_wood", "world_plain", "world_terrazzo")]
    (found,) = coverage(ledgers, drawn)
    assert (found.counts, found.gaps, found.outside) == ((1, 0, 1), (("world_grid",),), 1)


def test_only_what_varies_and_is_there_is_listed() -> None:
    assert coverage(physics("latency", [0.0]), NONE) == []
    assert [found.axis for found in coverage(physics("latency", [0.01]), DEFAULT)] == ["latency"]
