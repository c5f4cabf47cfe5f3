"""Play and dry friction: the formulas against their definitions, and what they do to an arm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenes.workspace import build_workspace
from sim.batch import Actuation, BatchSim
from sim.gears import STRIBECK_SPEED, friction_torque, through_play
from sim.panda import PANDA

LANE = np.array([0])
GAP = 0.02


def there_and_back(actuation: Actuation, steps: int = 20, turn: float = 0.06) -> np.ndarray:
    """Where the first joint is as its command goes up by `turn` [rad] and comes back, (2 steps + 1,)."""
    workspace = build_workspace("lift")
    sim = BatchSim(workspace.model, PANDA, 1)
    qpos = np.array(workspace.model.qpos0)[None]
    qpos[0, PANDA.joint_addresses(workspace.model)[0]] = PANDA.home
    sim.reset(LANE, qpos, actuation)
    path = [sim.joint_position(LANE)[0, 0]]
    for share in [*np.linspace(0, 1, steps + 1)[1:], *np.linspace(1, 0, steps + 1)[1:]]:
        sim.step(LANE, np.append(PANDA.home + turn * share * np.eye(7)[0], 1.0)[None])
        path.append(sim.joint_position(LANE)[0, 0])
    return np.array(path)


def joints(value: float) -> np.ndarray:
    return np.full((1, 7), value)


def follow(motor: np.ndarray, joint: float, gap: float) -> list[float]:
    """The play operator by its definition, one number after the other."""
    found = []
    for position in motor:
        if position - joint > gap / 2:
            joint = position - gap / 2
        elif joint - position > gap / 2:
            joint = position + gap / 2
        found.append(joint)
    return found


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(-1, 1), st.floats(0, 0.5))
def test_play_is_the_play_operator(path: list[float], start: float, gap: float) -> None:
    led, _ = through_play(np.array(path)[:, None, None], np.array([[start]]), np.array([[gap]]))
    np.testing.assert_allclose(led[:, 0, 0], follow(np.array(path), start, gap), atol=1e-15)


def test_without_play_a_joint_follows_to_the_bit_and_is_always_held() -> None:
    motor = np.random.default_rng(0).normal(size=(5, 3, 7))
    led, held = through_play(motor, np.zeros((3, 7)), np.zeros((3, 7)))
    np.testing.assert_array_equal(led, motor)
    assert held.all()


def test_a_joint_with_play_stands_still_until_the_gap_is_crossed() -> None:
    tight, loose = there_and_back(Actuation(np.zeros(1))), there_and_back(Actuation(np.zeros(1), backlash=joints(GAP)))
    # On its way up it stays behind by half the gap; coming back it waits for the whole of it, then is ahead by half.
    assert tight[15] - loose[15] == pytest.approx(GAP / 2, abs=1e-3)
    assert tight[35] - loose[35] == pytest.approx(-GAP / 2, abs=1e-3)
    crossing = loose[22:26]  # 0.003 rad a step: the gap takes six of them and two thirds, the servo settles in one
    assert np.ptp(crossing) < 5e-4 < 5e-3 < np.ptp(tight[22:26])


def test_where_a_joint_with_play_ends_depends_on_where_it_came_from() -> None:
    path = there_and_back(Actuation(np.zeros(1), backlash=joints(GAP)))
    assert path[-1] - path[0] == pytest.approx(GAP / 2, abs=1e-3)
    assert there_and_back(Actuation(np.zeros(1)))[-1] == pytest.approx(path[0], abs=1e-3)


def test_stribecks_curve() -> None:
    speeds = np.array([[0.0, STRIBECK_SPEED, -STRIBECK_SPEED, 10.0]])
    found = friction_torque(speeds, np.full((1, 4), 2.0), np.array([1.5]))[0]
    np.testing.assert_allclose(found, [3.0, 2.0 + np.exp(-1), 2.0 + np.exp(-1), 2.0])


def pushed(torque: float, friction: float, breakaway: float = 1.0, speed: float = 0.0) -> float:
    """How far the last joint turns in 0.25 s under a torque [N m], its servo idle, from a speed [rad/s]."""
    workspace = build_workspace("lift")
    sim = BatchSim(workspace.model, PANDA, 1)
    column, dof = (each[-1] for each in PANDA.joint_addresses(workspace.model))
    servo = workspace.model.actuator(PANDA.actuators[-1]).id
    for name in ("actuator_gainprm", "actuator_biasprm"):
        sim.batch.expand(name)[0, servo] = 0.0
    qpos = np.array(workspace.model.qpos0)[None]
    qpos[0, PANDA.joint_addresses(workspace.model)[0]] = PANDA.home
    friction_of_all = np.append(np.zeros(6), friction)[None]
    sim.reset(LANE, qpos, Actuation(np.zeros(1), friction=friction_of_all, breakaway=np.array([breakaway])))
    sim.qvel[0, dof] = speed
    sim.batch.bind("qfrc_applied")[0, dof] = torque
    for _ in range(5):
        sim.step(LANE, np.append(PANDA.home, 1.0)[None])
    return float(sim.qpos[0, column] - PANDA.home[-1])


def test_below_its_friction_a_torque_moves_nothing() -> None:
    # The engine's dry friction is soft, so that a joint that it holds creeps.
    assert abs(pushed(0.5, 1.0)) < 0.02 * pushed(0.5, 0.0)
    assert pushed(1.5, 1.0) == pytest.approx(pushed(0.5, 0.0), rel=0.1)


def test_a_joint_at_rest_holds_against_more_than_one_that_moves() -> None:
    assert abs(pushed(1.5, 1.0, breakaway=2.0)) < 0.05 * pushed(1.5, 1.0)
    assert pushed(1.5, 1.0, breakaway=2.0, speed=0.5) == pytest.approx(pushed(1.5, 1.0, speed=0.5), rel=0.05)


def test_scenes_without_friction_are_the_same_beside_one_that_has_it() -> None:
    workspace, both = build_workspace("lift"), np.arange(2)
    qpos = np.tile(workspace.model.qpos0, (2, 1))
    qpos[:, PANDA.joint_addresses(workspace.model)[0]] = PANDA.home
    rough, loose = (np.array([np.zeros(7), np.full(7, value)]) for value in (5.0, 0.01))
    rows = []
    for actuation, ids in (
        (Actuation(np.zeros(2), friction=rough, backlash=loose), both),
        (Actuation(np.zeros(1)), LANE),
    ):
        sim = BatchSim(workspace.model, PANDA, len(ids))
        sim.reset(ids, qpos[ids], actuation)
        for t in range(10):
            sim.step(ids, np.tile(np.append(PANDA.home + 0.02 * t, 1.0), (len(ids), 1)))
        rows.append(sim.state.copy())
    np.testing.assert_array_equal(rows[0][0], rows[1][0])
    assert (rows[0][0] != rows[0][1]).any()


def test_a_scene_that_starts_anew_without_friction_has_none() -> None:
    workspace = build_workspace("lift")
    qpos = np.array(workspace.model.qpos0)[None]
    qpos[0, PANDA.joint_addresses(workspace.model)[0]] = PANDA.home
    fresh, used = (BatchSim(workspace.model, PANDA, 1) for _ in range(2))
    used.reset(LANE, qpos, Actuation(np.zeros(1), friction=joints(5.0), backlash=joints(0.01)))
    used.step(LANE, np.append(PANDA.home + 0.1, 1.0)[None])
    for sim in (fresh, used):
        sim.reset(LANE, qpos, Actuation(np.zeros(1)))
        for t in range(5):
            sim.step(LANE, np.append(PANDA.home + 0.02 * t, 1.0)[None])
    np.testing.assert_array_equal(fresh.state, used.state)


def test_a_snapshot_remembers_where_the_gears_stand() -> None:
    workspace = build_workspace("lift")
    sim = BatchSim(workspace.model, PANDA, 1)
    qpos = np.array(workspace.model.qpos0)[None]
    qpos[0, PANDA.joint_addresses(workspace.model)[0]] = PANDA.home
    sim.reset(
        LANE, qpos, Actuation(np.zeros(1), friction=joints(3.0), backlash=joints(0.02), breakaway=np.array([2.0]))
    )
    wave = [np.append(PANDA.home + 0.03 * np.sin(0.5 * t), 1.0)[None] for t in range(16)]
    for action in wave[:6]:
        sim.step(LANE, action)
    saved, ends = sim.snapshot(LANE), []
    for _ in range(2):
        sim.restore(LANE, saved)
        for action in wave[6:]:
            sim.step(LANE, action)
        ends.append(sim.state.copy())
    np.testing.assert_array_equal(ends[0], ends[1])
