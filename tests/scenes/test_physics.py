"""Physical draws: inside their ranges, rebuilt from the ledger alone, refused when inverted."""

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from handful import InputError
from scenes import physics
from scenes.domains import SIM, TWIN_DEV_0
from scenes.physics import NONE, PhysicsRanges, draw, fields_from_ledger
from scenes.workspace import build_workspace
from sim.panda import PANDA

CUBES = ("cube_1", "cube_2", "cube_3")
RANGES = {"NONE": NONE, "DEFAULT": physics.DEFAULT, "TWIN": TWIN_DEV_0.physics}


def draws(ranges: PhysicsRanges, n: int) -> list[dict[str, Any]]:
    return [draw(ranges, np.random.default_rng(i), CUBES, 7) for i in range(n)]


def flat(value: Any) -> list[float]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]


@pytest.mark.parametrize("ranges", RANGES.values(), ids=RANGES)
def test_draws_stay_inside_and_fill_their_ranges(ranges: PhysicsRanges) -> None:
    ledgers = draws(ranges, 300)
    for name, (low, high) in vars(ranges).items():
        values = np.array([v for ledger in ledgers for v in flat(ledger[name])])
        slack = 1e-12
        assert values.min() >= low - slack
        assert values.max() <= high + slack
        assert values.min() <= low + 0.05 * (high - low) + slack
        assert values.max() >= high - 0.05 * (high - low) - slack


def test_every_range_appears_in_the_ledger() -> None:
    assert set(draws(physics.DEFAULT, 1)[0]) == {f.name for f in fields(PhysicsRanges)}


def test_training_randomises_at_least_what_is_promised() -> None:
    ranges = SIM.physics
    for name, low, high in (
        ("object_friction", 0.4, 1.0),
        ("pad_friction", 0.4, 1.0),
        ("mass_factor", 0.5, 2.0),
        ("servo_gain_factor", 0.8, 1.25),
        ("latency", 0.0, 0.040),
        ("table_height", -0.010, 0.010),
    ):
        assert getattr(ranges, name)[0] <= low, name
        assert getattr(ranges, name)[1] >= high, name


@pytest.mark.parametrize("ranges", RANGES.values(), ids=RANGES)
def test_nominal_friction_is_at_most_one(ranges: PhysicsRanges) -> None:
    assert max(ranges.object_friction[1], ranges.pad_friction[1], ranges.table_friction[1]) <= 1.0


def test_each_object_gets_its_own_mass() -> None:
    assert len(set(draws(physics.DEFAULT, 1)[0]["mass_factor"].values())) == 3


def test_masses_are_drawn_evenly_in_the_logarithm() -> None:
    factors = [f for ledger in draws(physics.DEFAULT, 500) for f in ledger["mass_factor"].values()]
    assert np.mean(np.array(factors) < 1.0) == pytest.approx(0.5, abs=0.05)


def test_a_ledger_stored_as_json_rebuilds_identical_fields() -> None:
    model = build_workspace("lift").model
    for ledger in draws(TWIN_DEV_0.physics, 5):
        first = fields_from_ledger(ledger, model, PANDA)
        again = fields_from_ledger(json.loads(json.dumps(ledger)), model, PANDA)
        assert first.keys() == again.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], again[name])


def test_fields_hold_what_the_ledger_says() -> None:
    model = build_workspace("lift").model
    ledger = draws(physics.DEFAULT, 1)[0]
    got = fields_from_ledger(ledger, model, PANDA)
    for name in CUBES:
        body = model.body(name).id
        factor = ledger["mass_factor"][name]
        assert got["geom_friction"][model.geom(f"{name}_geom").id, 0] == ledger["object_friction"]
        assert got["body_mass"][body] == pytest.approx(0.08 * factor)
        # A solid cube's moment of inertia is m a^2 / 6.
        np.testing.assert_allclose(got["body_inertia"][body], 0.08 * factor * 0.0468**2 / 6)
    for name in ("pad_left", "pad_right"):
        assert got["geom_friction"][model.geom(name).id, 0] == ledger["pad_friction"]
    assert got["geom_friction"][model.geom("table_top").id, 0] == ledger["table_friction"]
    shift = got["body_pos"] - model.body_pos
    assert shift[model.body("table").id, 2] == pytest.approx(ledger["table_height"])
    assert np.count_nonzero(shift) == 1


def test_servo_gains_keep_their_damping_ratio_to_stiffness() -> None:
    model = build_workspace("lift").model
    ledger = {**draws(physics.DEFAULT, 1)[0], "servo_gain_factor": 1.2}
    got = fields_from_ledger(ledger, model, PANDA)
    for name in PANDA.actuators:
        i = model.actuator(name).id
        assert got["actuator_gainprm"][i, 0] == pytest.approx(1.2 * model.actuator_gainprm[i, 0])
        # A position servo's force is k (ctrl - q) - d qd: both ends scale together.
        assert got["actuator_biasprm"][i, 1] == -got["actuator_gainprm"][i, 0]
        assert got["actuator_biasprm"][i, 2] == pytest.approx(1.2 * model.actuator_biasprm[i, 2])
    gripper = model.actuator(PANDA.gripper_actuator).id
    assert got["actuator_gainprm"][gripper, 0] == model.actuator_gainprm[gripper, 0]


def test_without_randomisation_only_friction_differs_from_the_model() -> None:
    model = build_workspace("lift").model
    for name, value in fields_from_ledger(draws(NONE, 1)[0], model, PANDA).items():
        if name != "geom_friction":
            np.testing.assert_array_equal(value, getattr(model, name))


@pytest.mark.parametrize("name", [f.name for f in fields(PhysicsRanges)])
def test_an_inverted_range_is_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match=rf"physics range '{name}' is inverted: 0.02 to 0.01"):
        replace(physics.DEFAULT, **{name: (0.02, 0.01)})
