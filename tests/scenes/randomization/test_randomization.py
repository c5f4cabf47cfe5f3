"""Randomisations as values: composed, compared, printed, read from what people write, refused when wrong."""

import json
import pickle
from typing import Any

import pytest

from handful import InputError
from scenes.randomization import (
    AXES,
    COLOSSEUM,
    DEFAULT,
    GROUPS,
    NONE,
    TWIN_DEV_0,
    WIDE,
    Choice,
    Fixed,
    LogUniform,
    Randomization,
    Uniform,
)

PRESETS = {"none": NONE, "default": DEFAULT, "wide": WIDE, "twin": TWIN_DEV_0}


def test_what_is_not_given_is_nominal() -> None:
    assert Randomization() == NONE
    assert NONE.varied == ()
    for name, axis in AXES.items():
        assert NONE[name] == Fixed(axis.nominal)


def test_every_nominal_value_is_within_its_axis_bounds() -> None:
    for axis in AXES.values():
        axis.check(Fixed(axis.nominal))
        assert axis.group in GROUPS
        assert axis.says


def test_the_fourteen_axes_of_the_colosseum_are_covered_and_vary_by_default() -> None:
    assert len(COLOSSEUM) == 14
    for name in COLOSSEUM:
        covered = [axis.name for axis in AXES.values() if name in axis.colosseum]
        assert set(covered) & set(DEFAULT.varied), name


def test_parts_compose_to_the_whole() -> None:
    camera, rest = DEFAULT.only("camera"), DEFAULT.without("camera")
    assert camera | rest == rest | camera == DEFAULT
    assert camera != rest
    assert all(AXES[name].group == "camera" for name in camera.varied)
    assert DEFAULT.only("latency", "light").varied == ("latency", *DEFAULT.only("light").varied)
    assert DEFAULT.without(*GROUPS) == NONE


def test_the_right_one_decides_in_a_union() -> None:
    both = Randomization({"latency": [0.0, 0.01]}) | Randomization({"latency": [0.02, 0.03]})
    assert both["latency"] == Uniform(0.02, 0.03)


def test_equal_contents_are_equal_and_hash_alike() -> None:
    again = NONE.with_(dict(DEFAULT))
    assert again == DEFAULT
    assert hash(again) == hash(DEFAULT)
    assert len({DEFAULT, again, NONE}) == 2
    assert pickle.loads(pickle.dumps(DEFAULT)) == DEFAULT


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_they_are_read_back_from_json(preset: Randomization) -> None:
    assert Randomization(json.loads(json.dumps(preset.to_plain()))) == preset


@pytest.mark.parametrize(
    ("axis", "written", "meant"),
    [
        ("latency", 0.02, Fixed(0.02)),
        ("latency", [0, 0.02], Uniform(0, 0.02)),
        ("latency", (0.02, 0.02), Fixed(0.02)),
        ("latency", {"fixed": 0.02}, Fixed(0.02)),
        ("mass_factor", [0.5, 2.0], LogUniform(0.5, 2.0)),
        ("mass_factor", {"uniform": [0.5, 2.0]}, Uniform(0.5, 2.0)),
        ("lamps", 1, Fixed(1)),
        ("lamps", [0, 2], Choice((0, 2))),
        ("light_shadow", False, Fixed(False)),
        ("table_material", "world_wood", Fixed("world_wood")),
        (
            "table_material",
            {"choice": ["world_wood", "world_grid"], "weights": [1, 3]},
            Choice(("world_wood", "world_grid"), (1, 3)),
        ),
    ],
)
def test_people_write_distributions_shortly(axis: str, written: Any, meant: Any) -> None:
    assert Randomization({axis: written})[axis] == meant


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latncy": 0.1}, r"unknown axis 'latncy'; there is: .*Did you mean 'latency'"),
        ({"latency": [0.02, 0.01]}, r"axis 'latency': Uniform from 0.02 to 0.01 is inverted"),
        ({"latency": [0.0, 0.5]}, r"axis 'latency' cannot be 0.5; it is a number from 0 to 0.12 \[s\]"),
        ({"latency": "slow"}, r"axis 'latency' cannot be 'slow'"),
        ({"latency": []}, r"axis 'latency': a range is \[low, high\], got \[\]"),
        ({"latency": [1, 2, 3]}, r"axis 'latency': a range is \[low, high\], got \[1, 2, 3\]"),
        ({"latency": None}, r"axis 'latency': None is no distribution"),
        ({"latency": {"gaussian": [0, 1]}}, r"axis 'latency': unknown distribution 'gaussian'; there is: .*uniform"),
        ({"latency": {"uniform": 1}}, r"axis 'latency': 'uniform' takes \[low, high\], got 1"),
        ({"latency": {"uniform": [0, 0.1], "fixed": 1}}, r"axis 'latency': a distribution has one of"),
        ({"latency": {"uniform": [0, 0.1], "weights": [1]}}, r"weights belong to a choice"),
        ({"object_friction": [0.5, 1.5]}, r"axis 'object_friction' cannot be 1.5; it is a number from 0 to 1"),
        ({"table_material": "world_wod"}, r"value of axis 'table_material':.*Did you mean 'world_wood'"),
        ({"table_material": [0.1, 0.5]}, r"value of axis 'table_material'"),
        ({"lamps": {"uniform": [0, 2]}}, r"value of axis 'lamps'"),
        ({"light_shadow": []}, r"axis 'light_shadow': Choice has no values"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_be_right(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        DEFAULT.with_(changes)


def test_a_misspelt_group_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown axis or group 'lights'; .*Did you mean 'light"):
        DEFAULT.without("lights")
    with pytest.raises(InputError, match=r"unknown axis 'frction'"):
        DEFAULT["frction"]


def test_comparison_names_the_axes() -> None:
    other = DEFAULT.with_({"latency": [0.1, 0.12], "grip_force": [0.5, 0.9]})
    assert DEFAULT.differences(other) == ("grip_force", "latency")
    assert DEFAULT.shared_with(other) == ("grip_force",)
    assert DEFAULT.differences(DEFAULT) == ()


def test_it_prints_as_a_table_by_group() -> None:
    text = str(DEFAULT)
    assert [line for line in text.splitlines() if not line.startswith(" ")] == list(GROUPS)
    assert "  latency                uniform 0 to 0.04 [s]" in text
    assert len(text.splitlines()) == len(GROUPS) + len(AXES)
