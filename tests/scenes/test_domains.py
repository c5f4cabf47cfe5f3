"""Domains: `none` is fixed, and the held-out twin lies outside what training draws."""

import pytest

from handful import InputError
from scenes.domains import DOMAINS, NONE, SIM, TWIN_DEV_0, get_domain
from scenes.scene import draw_scene
from scenes.workspace import build_workspace


@pytest.mark.parametrize("name", [n for n, (low, high) in vars(SIM.physics).items() if low < high])
def test_the_twin_lies_outside_every_randomised_physics_range(name: str) -> None:
    low, high = getattr(SIM.physics, name)
    twin_low, twin_high = getattr(TWIN_DEV_0.physics, name)
    assert twin_low > high or twin_high < low


@pytest.mark.parametrize("name", ["joint_offset", "proprioceptive_noise"])
def test_the_twin_adds_errors_that_training_never_has(name: str) -> None:
    assert getattr(SIM.physics, name) == (0.0, 0.0)
    assert getattr(TWIN_DEV_0.physics, name)[1] > 0.0


def test_the_twin_sees_through_a_noisier_sensor() -> None:
    assert TWIN_DEV_0.sensor.noise_std[0] > 0.0
    assert TWIN_DEV_0.sensor != SIM.sensor


def test_nothing_but_places_and_words_varies_in_none() -> None:
    workspace = build_workspace("stack_three")
    ledgers = [draw_scene(workspace, NONE, "generation", 0, i).ledger for i in range(3)]
    assert ledgers[0]["physics"] == ledgers[1]["physics"] == ledgers[2]["physics"]
    assert ledgers[0]["appearance"] == ledgers[1]["appearance"]
    assert ledgers[0]["poses"] != ledgers[1]["poses"]


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_is_found_by_its_name(name: str) -> None:
    assert get_domain(name).name == name


def test_a_misspelt_domain_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown domain 'twin/dev0'; there is: .*Did you mean 'twin/dev-0'"):
        get_domain("twin/dev0")


def test_the_twins_latency_fits_the_controllers_memory() -> None:
    from sim.batch import ControlTiming

    longest = max(domain.physics.latency[1] for domain in DOMAINS.values())
    assert longest <= ControlTiming().max_latency
