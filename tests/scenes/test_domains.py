"""Domains: `none` is fixed, and the held-out twin lies outside what training draws."""

import numpy as np
import pytest

from handful import InputError
from scenes.domains import DOMAINS, NONE, SIM, TWIN_DEV_0, WIDE, get_domain
from scenes.randomization import Fixed, Uniform
from scenes.scene import SCENE_GROUPS, draw_scene
from scenes.workspace import build_workspace
from sim.batch import ControlTiming

DIFFERENT = SIM.randomization.differences(TWIN_DEV_0.randomization)


def test_the_twin_lies_outside_whatever_training_draws_wherever_it_differs() -> None:
    meeting = SIM.randomization.shared_with(TWIN_DEV_0.randomization)
    # An encoder's error may be nil by chance; the others never meet.
    assert meeting == ("joint_offset",)
    assert {"object_friction", "table_value", "light_diffuse", "camera_y", "wrist_fovy", "latency"} <= set(DIFFERENT)


@pytest.mark.parametrize("name", ["joint_offset", "proprioceptive_noise", "noise_std", "blur_sigma"])
def test_the_twin_adds_errors_that_training_never_has(name: str) -> None:
    assert SIM.randomization[name] == Fixed(0.0)
    assert TWIN_DEV_0.randomization[name].varies


def test_training_randomises_at_least_what_is_promised() -> None:
    for name, low, high in (
        ("object_friction", 0.4, 1.0),
        ("pad_friction", 0.4, 1.0),
        ("mass_factor", 0.5, 2.0),
        ("servo_gain_factor", 0.8, 1.25),
        ("latency", 0.0, 0.040),
        ("table_height", -0.010, 0.010),
    ):
        for domain in (SIM, WIDE):
            assert domain.randomization[name].contains(low), name
            assert domain.randomization[name].contains(high), name


def test_wide_is_wider_on_every_axis() -> None:
    for name in SIM.randomization.varied:
        inner = SIM.randomization[name]
        assert all(WIDE.randomization[name].contains(value) for value in inner.support), name


def test_sensors_are_ranges_for_a_cameras_errors() -> None:
    assert SIM.sensor == NONE.sensor
    assert TWIN_DEV_0.sensor.noise_std == (0.015, 0.03)
    assert TWIN_DEV_0.sensor.jpeg_quality is None
    assert get_domain("sim", {"jpeg_quality": [40, 80]}).sensor.jpeg_quality == (40, 80)


def test_nothing_but_places_and_words_varies_in_none() -> None:
    workspace = build_workspace("stack_three")
    ledgers = [draw_scene(workspace, NONE, "generation", 0, i).ledger for i in range(3)]
    for ledger in ledgers:
        ledger["physics"].pop("jitter_seed")
    for group in SCENE_GROUPS:
        assert ledgers[0][group] == ledgers[1][group] == ledgers[2][group]
    assert ledgers[0]["poses"] != ledgers[1]["poses"]


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_is_found_by_its_name(name: str) -> None:
    assert get_domain(name).name == name


def test_a_misspelt_domain_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown domain 'twin/dev0'; there is: .*Did you mean 'twin/dev-0'"):
        get_domain("twin/dev0")


def test_a_domain_can_be_had_with_changes() -> None:
    changed = get_domain("sim", {"latency": [0.01, 0.02]})
    assert changed.randomization["latency"] == Uniform(0.01, 0.02)
    assert SIM.randomization.differences(changed.randomization) == ("latency",)


def test_every_latency_fits_the_controllers_memory() -> None:
    for domain in DOMAINS.values():
        longest = sum(float(np.max(domain.randomization[name].support)) for name in ("latency", "control_jitter"))
        assert longest <= ControlTiming().max_latency
