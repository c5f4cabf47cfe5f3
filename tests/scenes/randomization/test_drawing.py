"""How scenes draw: as distributions say, each axis on its own, the same whatever else is drawn; each has an effect."""

import itertools
import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

from handful import keyed_uniform, name_salt
from scenes.domains import SIM, Domain
from scenes.physics import options_from_ledger
from scenes.randomization import AXES, DEFAULT, NONE, WIDE, Choice, Fixed, LogUniform, Randomization, Uniform
from scenes.randomization.drawing import draw, value_of, values_of
from scenes.scene import draw_scene, load_scenes, rebuild_scene
from scenes.slots import elements_of
from scenes.task import get_task
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from sim.panda import PANDA
from sim.rendering import FrameRenderer
from tests.arm import LANE, Arm

ELEMENTS = elements_of(get_task("lift:D1"), PANDA)
DRAWN_PER_SCENE = [name for name, axis in AXES.items() if axis.group != "sensor"]
SPARSE = [name for name, axis in AXES.items() if axis.sparse]
# A value of each that differs from the nominal one.
PROBES: dict[str, Any] = {
    "backlash": 0.01,
    "joint_friction": 0.05,
    "stiction": 2.0,
    "solver_cone": "pyramidal",
    "solver_impratio": 10.0,
    "solver_iterations": 1,
    "solver_tolerance": 0.01,
    "solver_integrator": "euler",
    "contact_softness": 2.0,
    "camera_latency": 0.1,
    "frame_drops": 0.3,
}
TASKS = ("lift", "stack", "stack_three", "square", "pick_place", "lift:D1", "square:D2", "pick_place:D2")


@cache
def ledgers(randomization: Randomization, count: int = 400) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**63, (count, 2), dtype=np.uint64).tolist()
    return [draw(randomization, ELEMENTS, scene, looks) for scene, looks in keys]


@pytest.mark.parametrize("name", [name for name in DRAWN_PER_SCENE if WIDE[name].varies])
def test_values_follow_their_distribution(name: str) -> None:
    """Kolmogorov-Smirnov for ranges, chi-squared for choices; at 75 axes, chance alone gives p < 1e-5 once in 1,300."""
    drawn = WIDE[name]
    values = [value for ledger in ledgers(WIDE) for value in values_of(ledger, name)]
    assert len(values) >= 400
    assert all(drawn.contains(value) for value in values)
    if isinstance(drawn, Choice):
        counts = [values.count(choice) for choice in drawn.values]
        weights = np.array(drawn.weights or [1.0] * len(counts))
        assert stats.chisquare(counts, weights / weights.sum() * len(values)).pvalue > 1e-5
    else:
        oracle = (
            stats.loguniform(drawn.low, drawn.high)
            if isinstance(drawn, LogUniform)
            else stats.uniform(drawn.support[0], float(drawn.support[1]) - float(drawn.support[0]))
        )
        assert stats.kstest(values, oracle.cdf).pvalue > 1e-5


def test_axes_and_elements_are_independent_of_each_other() -> None:
    rows = []
    for ledger in ledgers(WIDE, 1500):
        rows.append([v for name in DRAWN_PER_SCENE for v in values_of(ledger, name) if isinstance(v, float)])
    table = np.array(rows)
    correlation = np.corrcoef(table[:, table.std(axis=0) > 0].T)
    np.fill_diagonal(correlation, 0.0)
    assert np.abs(correlation).max() < 0.15  # of some 5,000 pairs; one standard deviation is 0.026


def test_numbers_are_uniform_and_of_independent_bits() -> None:
    numbers = keyed_uniform(np.uint64(7), np.arange(50_000, dtype=np.uint64))
    assert stats.kstest(numbers, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.02
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0


def test_the_mixing_function_is_splitmix64() -> None:
    """The first outputs of the published generator from seed 1234567."""
    from handful import _mix

    gamma, seed = 0x9E3779B97F4A7C15, 1234567
    states = np.array([(seed + i * gamma) % 2**64 for i in range(5)], np.uint64)
    assert _mix(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_no_two_values_share_a_salt() -> None:
    pairs = [
        (axis.name, element) for axis in AXES.values() if axis.group != "sensor" for element in ELEMENTS.of(axis.per)
    ]
    assert len({name_salt(*pair) for pair in pairs}) == len(pairs)


def test_another_axis_shifts_no_value() -> None:
    """The same numbers under another randomisation, and with other objects in the scene."""
    plain = draw(DEFAULT, ELEMENTS, 1, 2)
    changed = draw(DEFAULT.with_({"latency": 0.1, "lamps": [0, 1], "joint_offset": [-0.1, 0.1]}), ELEMENTS, 1, 2)
    touched = {"latency", "lamps", "joint_offset"}
    for name in set(DRAWN_PER_SCENE) - touched:
        assert values_of(plain, name) == values_of(changed, name), name
    fewer = draw(DEFAULT, elements_of(get_task("lift"), PANDA), 1, 2)
    for name, factor in fewer["physics"]["mass_factor"].items():
        assert plain["physics"]["mass_factor"][name] == factor


def test_physics_comes_from_the_scenes_stream_and_looks_from_their_own() -> None:
    one, other = draw(DEFAULT, ELEMENTS, 1, 2), draw(DEFAULT, ELEMENTS, 1, 3)
    assert one["physics"] == other["physics"]
    assert one["appearance"] != other["appearance"]
    assert draw(DEFAULT, ELEMENTS, 4, 2)["physics"] != one["physics"]
    assert draw(DEFAULT, ELEMENTS, 4, 2)["camera"] == one["camera"]


def test_a_ledger_holds_every_axis_of_a_scene_but_for_sparse_ones_that_are_nominal() -> None:
    ledger = draw(NONE, ELEMENTS, 0, 0)
    for name in DRAWN_PER_SCENE:
        group, nominal = ledger[AXES[name].group], AXES[name].nominal
        assert set(values_of(ledger, name)) == (set() if AXES[name].sparse else {nominal})
        assert value_of(group, name) == nominal or set(values_of(ledger, name)) == {nominal}
    assert values_of({}, "latency") == []


@pytest.mark.parametrize("name", SPARSE)
def test_a_sparse_axis_is_in_the_ledger_once_it_can_differ_and_shifts_no_other(name: str) -> None:
    value = PROBES[name]
    drawn = draw(DEFAULT.with_({name: value}), ELEMENTS, 1, 2)
    count = len(ELEMENTS.of(AXES[name].per))
    assert values_of(drawn, name) == [value] * count
    group = AXES[name].group
    rest = {axis: found for axis, found in drawn[group].items() if axis != name}
    assert {**drawn, group: rest} == draw(DEFAULT, ELEMENTS, 1, 2)
    # A value that may be nominal by chance is stated all the same: it was drawn.
    both = DEFAULT.with_({name: Choice((AXES[name].nominal, value))})
    for key in range(4):
        assert len(values_of(draw(both, ELEMENTS, key, key), name)) == count


def test_the_nominal_settings_of_the_engine_are_those_that_worlds_are_compiled_with() -> None:
    nominal = {axis: AXES[axis].nominal for axis in AXES if axis.startswith("solver_")}
    options = options_from_ledger(nominal)
    assert len(options) == len(nominal) > 0
    for name, value in options.items():
        assert getattr(build_workspace("lift").model.opt, name) == value


# A scene from its ledger.


class Meta:
    """What an episode's metadata says of its scene, as it comes back from JSON."""

    def __init__(self, scene: Any, task: str) -> None:
        self.scene, self.domain, self.instruction = scene.index, scene.domain, scene.instruction
        self.paraphrases, self.seeds = scene.paraphrases, scene.seeds(task, 0)
        self.ledger, self.extra = json.loads(json.dumps(scene.ledger)), {"roles": scene.roles}


@pytest.mark.parametrize("task", TASKS)
def test_a_scene_is_rebuilt_from_its_ledger_to_the_last_bit_of_its_first_frame(task: str) -> None:
    workspace = build_workspace(task)
    wide = Domain("wide", WIDE)
    with FrameRenderer(workspace.model, 48, 48, "standard") as renderer:
        for index in range(2):
            scene = draw_scene(workspace, wide, "generation", 3, index)
            again = rebuild_scene(Meta(scene, task))
            assert again == replace(scene, ledger=again.ledger)
            sims = []
            for one in (scene, again):
                sim = BatchSim(workspace.model, PANDA, 1)
                load_scenes(sim, workspace, LANE, [one])
                sims.append(sim)
            np.testing.assert_array_equal(sims[0].state, sims[1].state)
            cameras = [workspace.model.camera(i).name for i in range(workspace.model.ncam)]
            frames = [renderer.render(sim.batch.get_model(0), sim.state[0], cameras) for sim in sims]
            for camera in cameras:
                assert frames[0][camera].std() > 5
                np.testing.assert_array_equal(frames[0][camera], frames[1][camera])


# Every axis does something.


def extremes(name: str) -> list[Any]:
    """Values at the ends of what `wide` draws, other than the nominal one."""
    axis, drawn = AXES[name], WIDE[name]
    return [value for value in (drawn.support[0], drawn.support[-1]) if value != axis.nominal]


def with_value(name: str, value: Any) -> Domain:
    # A lamp that is off has no colour, and a lamp without strength none to see.
    base = {"lamps": 2} if name.startswith("lamp_") else {}
    return Domain("one axis", NONE.with_(base | {name: value}))


def grasped(domain: Domain) -> np.ndarray:
    """The states of a cube that is grasped, lifted and turned, and the angles that were measured."""
    arm = Arm(task="lift:D1", domain=domain)
    rows: list[np.ndarray] = []
    arm.after_step = lambda: rows.append(np.concatenate([arm.sim.qpos[0], arm.sim.qvel[0]]))
    cube = arm.object("cube_1")
    arm.go(np.array([*cube[:2], cube[2] + 0.10, 0.0, 1.0, 0.0, 0.0]), 20)
    arm.go(np.array([cube[0] + 0.004, cube[1], cube[2] + 0.012, 0.0, 1.0, 0.0, 0.0]), 12)
    arm.grip(0.0, 10)
    arm.go(np.array([cube[0], cube[1] + 0.05, cube[2] + 0.15, 0.0, 0.9689, 0.2474, 0.0]), 10)
    return np.array(rows)


@cache
def grasped_nominal() -> np.ndarray:
    return grasped(Domain("none", NONE))


@pytest.mark.parametrize("name", [n for n in DRAWN_PER_SCENE if AXES[n].group == "physics" and n not in SPARSE])
def test_every_physical_axis_moves_something(name: str) -> None:
    if name == "proprioceptive_noise":
        return  # of measurements, see test_scene.test_measured_joints_have_the_scenes_noise
    moved = [np.abs(grasped(with_value(name, value)) - grasped_nominal()).max() for value in extremes(name)]
    assert max(moved) > 1e-4, name


def picture(domain: Domain) -> dict[str, np.ndarray]:
    workspace = build_workspace("lift:D1")
    sim = BatchSim(workspace.model, PANDA, 1)
    load_scenes(sim, workspace, LANE, [draw_scene(workspace, domain, "generation", 0, 0)])
    with FrameRenderer(workspace.model, 64, 64, "standard") as renderer:
        return renderer.render(sim.batch.get_model(0), sim.state[0], ["front", "wrist"])


@pytest.mark.parametrize("name", [n for n in DRAWN_PER_SCENE if AXES[n].group != "physics" and n not in SPARSE])
def test_every_visual_axis_changes_the_picture(name: str) -> None:
    before = picture(with_value(name, AXES[name].nominal))
    changed = [picture(with_value(name, value)) for value in extremes(name)]
    differing = max(
        np.mean(np.abs(after[camera].astype(int) - before[camera]).max(axis=2) > 4)
        for after, camera in itertools.product(changed, before)
    )
    assert differing > 0.002, name  # at least eight of 64 x 64 pixels


@pytest.mark.parametrize("name", [n for n in SPARSE if AXES[n].group == "physics"])
def test_sparse_physical_axes_move_something_as_well(name: str) -> None:
    # Friction of the joints is what breakaway is a factor of; a solver without iterations to spare shows its tolerance.
    base = {"stiction": {"joint_friction": 0.05}}.get(name, {})
    plain, changed = (grasped(Domain("x", NONE.with_(base | more))) for more in ({}, {name: PROBES[name]}))
    assert np.abs(changed - plain).max() > 1e-4, name


def test_fixed_and_drawn_values_reach_a_scene_alike() -> None:
    workspace = build_workspace("lift")
    fixed = draw_scene(workspace, Domain("x", NONE.with_({"latency": Fixed(0.03)})), "generation", 0, 0)
    assert fixed.ledger["physics"]["latency"] == 0.03
    narrow = draw_scene(workspace, Domain("x", NONE.with_({"latency": Uniform(0.03, 0.0301)})), "generation", 0, 0)
    assert 0.03 <= narrow.ledger["physics"]["latency"] <= 0.0301
    assert draw_scene(workspace, SIM, "generation", 0, 0).roles == fixed.roles
