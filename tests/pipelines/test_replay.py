"""Replay divergence in simulation: nothing where nothing differs, and more the more severe a twin is."""

from pathlib import Path

import pytest

from handful import InputError
from pipelines.replay import twin_divergence
from scenes.randomization import DEFAULT, NONE
from scenes.twins import twin

DEMOS = Path(__file__).parents[2] / "demos" / "lift"


def test_the_same_world_follows_the_same_commands_to_the_bit():
    assert twin_divergence(NONE, DEMOS, seconds=2, episodes=[0, 1]).millimetres.tolist() == [0.0] * 4


def test_only_the_groups_that_were_asked_for_take_part():
    assert twin_divergence(twin("twin/study-1"), DEMOS, seconds=1, episodes=[0], groups=("light",)).median == 0


def test_severity_is_divergence():
    """At 12 segments each; the page has all twins."""
    medians = [
        twin_divergence(drawn, DEMOS, seconds=2, episodes=range(6)).median
        for drawn in (DEFAULT, twin("twin/dev-1"), twin("twin/dev-2"), twin("twin/dev-3"))
    ]
    assert medians == sorted(medians)
    assert medians[0] < 4
    assert 2 < medians[1] < 8 < medians[3] < 25


def test_demos_that_are_too_short_are_refused():
    with pytest.raises(InputError, match=r"no demo in .* lasts 500 s; take fewer seconds"):
        twin_divergence(NONE, DEMOS, seconds=500)
