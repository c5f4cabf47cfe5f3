"""Randomisation as values: which axes there are, what each is drawn from, how a scene draws, what a data set covers."""

from scenes.randomization.axes import AXES, COLOSSEUM, GROUPS, Axis, get_axis
from scenes.randomization.distributions import Choice, Distribution, Fixed, LogUniform, Uniform, Value
from scenes.randomization.presets import DEFAULT, NONE, TWIN_DEV_0, WIDE
from scenes.randomization.randomization import Randomization

__all__ = [
    "AXES", "COLOSSEUM", "DEFAULT", "GROUPS", "NONE", "TWIN_DEV_0", "WIDE", "Axis", "Choice", "Distribution", "Fixed",
    "LogUniform", "Randomization", "Uniform", "Value", "get_axis",
]  # fmt: skip
