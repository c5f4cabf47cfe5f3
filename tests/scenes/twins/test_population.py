"""A twin is the same for ever, lies outside what training draws, and sealed ones are refused where data is made."""

import hashlib
import json

import numpy as np
import pytest

from handful import InputError
from scenes.domains import SIM, get_domain
from scenes.randomization import DEFAULT, Uniform
from scenes.scene import draw_scene
from scenes.stage import Setup, Stage
from scenes.twins import BANDS, GROUPS, NAMES, SEVERITIES, at_severity, require_open, severity_of, twin
from scenes.workspace import build_workspace
from sim.batch import ControlTiming


@pytest.mark.parametrize("group", GROUPS)
def test_every_band_lies_outside_what_training_draws_and_further_with_severity(group):
    for axis, bands in BANDS[group].items():
        assert len(bands) == len(SEVERITIES)
        # What is nominal in the milder twins differs in the severer ones.
        assert [bool(several) for several in bands] == sorted(bool(several) for several in bands)
        ranges = [part for several in bands for part in several if not isinstance(part, str)]
        for low, high in ranges:
            assert low < high
            assert not DEFAULT[axis].overlaps(Uniform(low, high)), (axis, low, high)
        for name in (part for several in bands for part in several if isinstance(part, str)):
            assert not DEFAULT[axis].contains(name)
        away = [min(_away(axis, part) for part in several) for several in bands if several and ranges]
        assert away == sorted(set(away)), (axis, away)


def _away(axis: str, part: tuple[float, float]) -> float:
    """How far a range lies from the training range, in the axis' unit."""
    low, high = (float(value) for value in (DEFAULT[axis].support[0], DEFAULT[axis].support[-1]))
    return low - part[1] if part[1] < low else part[0] - high


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_differs_from_training_on_every_axis_of_the_table_and_no_other(name):
    drawn = twin(name)
    severity = SEVERITIES.index(severity_of(name))
    axes = {axis for group in BANDS.values() for axis, bands in group.items() if bands[severity]}
    assert set(DEFAULT.differences(drawn)) == axes
    assert SIM.randomization.shared_with(drawn) == ()
    assert get_domain(name).randomization == drawn
    longest = sum(float(np.max(drawn[axis].support)) for axis in ("latency", "control_jitter"))
    assert longest <= ControlTiming().max_latency


# Whoever changes one changes every figure that was measured in it.
DIGESTS = {"dev": "292b88f496dcac3c", "study": "ef21928712b506cf", "test": "ecb70398c89de504"}


@pytest.mark.parametrize("kind", ["dev", "study", "test"])
def test_twins_are_what_they_were(kind):
    plain = {name: twin(name).to_plain() for name in NAMES if name.startswith(f"twin/{kind}-")}
    assert hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16] == DIGESTS[kind]


def test_twins_differ_from_one_another_on_most_axes():
    for first in range(0, len(NAMES), 3):
        for second in range(first + 3, len(NAMES), 3):
            a, b = twin(NAMES[first]), twin(NAMES[second])
            apart = [axis for axis in a.differences(b) if not a[axis].overlaps(b[axis])]
            assert len(apart) > len(a.differences(b)) / 3


def test_severities_go_by_turns():
    assert [severity_of(f"twin/test-{number}") for number in range(4)] == ["mild", "medium", "severe", "mild"]
    assert severity_of("twin/dev-1") == "mild"
    assert sum(severity_of(name) == "medium" for name in NAMES) == len(NAMES) / 3


def test_a_group_can_be_had_alone():
    only = at_severity("twin/dev-2", "medium", ("light",))
    assert set(DEFAULT.differences(only)) == set(BANDS["light"])
    assert all(only[axis] == twin("twin/dev-2")[axis] for axis in BANDS["light"])
    with pytest.raises(InputError, match="no group 'lights' of a twin; there is: actuation, contact"):
        at_severity("twin/dev-2", "medium", ("lights",))


def test_a_camera_that_was_moved_is_aimed_again():
    for name in NAMES:
        drawn = twin(name)
        middle = {axis: np.mean(drawn[axis].support) for axis in ("camera_y", "camera_yaw", "camera_z", "camera_pitch")}
        assert middle["camera_y"] * middle["camera_yaw"] > 0
        assert middle["camera_z"] * middle["camera_pitch"] < 0


@pytest.mark.parametrize("name", ["twin/dev-3", "twin/test-1"])
def test_scenes_of_a_twin_are_drawn_and_have_its_sensors(name):
    domain = get_domain(name)
    scene = draw_scene(build_workspace("lift"), domain, "evaluation", 0, 0)
    assert scene.domain == name
    latency = scene.ledger["physics"]["latency"]
    assert domain.randomization["latency"].contains(latency)
    assert domain.sensor.jpeg_quality is not None
    assert domain.sensor.noise_std[0] > 0


def test_twins_that_are_not_there_are_named():
    with pytest.raises(InputError, match=r"unknown domain 'twin/tests-1'.*Did you mean 'twin/test-1'"):
        get_domain("twin/tests-1")
    with pytest.raises(InputError, match="'twin/test-12' is not one of the twins: twin/dev-1 to twin/test-11"):
        twin("twin/test-12")
    with pytest.raises(InputError, match="'twin/dev-0' is not one of the twins"):
        severity_of("twin/dev-0")


def test_sealed_twins_are_refused_and_others_are_not():
    with pytest.raises(InputError, match=r"'twin/test-3' is kept for evaluation alone, so recording must not use it"):
        require_open("twin/test-3", "recording")
    for name in ("sim", "twin/dev-0", "twin/study-2"):
        require_open(name, "recording")


def test_environments_meet_sealed_twins_in_evaluation_alone():
    assert Stage(Setup("lift", domain="twin/test-0", cameras=()), 1).domain.name == "twin/test-0"
    with pytest.raises(InputError, match="an environment in the namespace generation must not use it"):
        Setup("lift", domain="twin/test-0", cameras=(), namespace="generation")
