"""Lock-step scenes: exact, independent of company and threads, late by their latency, honest when they fail."""

import mujoco
import numpy as np
import pytest

from handful import InputError
from scenes.domains import SIM
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.workspace import build_workspace
from sim.batch import Actuation, BatchSim, ControlTiming, model_field
from sim.panda import PANDA

N = 6
ALL = np.arange(N)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(build_workspace("lift"), SIM, "generation", 5, i) for i in range(N)]


def loaded(scenes: list[Scene], ids: np.ndarray = ALL, threads: int = 1) -> BatchSim:
    workspace = build_workspace("lift")
    sim = BatchSim(workspace.model, PANDA, len(scenes), threads)
    for chunk in np.array_split(ids, 2) if len(ids) > 1 else [ids]:
        load_scenes(sim, workspace, chunk, [scenes[i] for i in chunk])
    return sim


def actions(steps: int, n: int = N) -> np.ndarray:
    """A different wave of the joints in each scene, (steps, n, 8)."""
    t, lane = np.arange(steps)[:, None, None], np.arange(n)[None, :, None]
    joints = PANDA.home + 0.2 * np.sin(0.15 * t * (1 + 0.1 * lane) + np.arange(7))
    opening = np.broadcast_to((np.sin(0.3 * t + lane) > 0).astype(float), (steps, n, 1))
    return np.concatenate([joints, opening], axis=2)


def run(sim: BatchSim, plan: np.ndarray, ids: np.ndarray = ALL) -> np.ndarray:
    for action in plan:
        sim.step(ids, action[ids])
    return sim.state.copy()


def test_same_actions_give_the_same_bits(scenes: list[Scene]) -> None:
    plan = actions(15)
    np.testing.assert_array_equal(run(loaded(scenes), plan), run(loaded(scenes), plan))


def test_thread_count_changes_no_bit(scenes: list[Scene]) -> None:
    plan = actions(15)
    np.testing.assert_array_equal(run(loaded(scenes), plan), run(loaded(scenes, threads=2), plan))


def test_a_scene_alone_gives_the_bits_it_gives_in_company(scenes: list[Scene]) -> None:
    plan = actions(15)
    together = run(loaded(scenes), plan)
    alone = loaded(scenes[3:4], np.array([0]))
    for action in plan:
        alone.step(np.array([0]), action[3:4])
    np.testing.assert_array_equal(alone.state[0], together[3])


def test_subsets_stepped_in_any_order_give_the_same_bits(scenes: list[Scene]) -> None:
    plan = actions(10)
    together = run(loaded(scenes), plan)
    apart = loaded(scenes)
    for ids in (np.array([1, 5]), np.array([0]), np.array([2, 3, 4])):
        run(apart, plan, ids)
    np.testing.assert_array_equal(apart.state, together)


def test_stepping_some_leaves_the_others_where_they_are(scenes: list[Scene]) -> None:
    sim = loaded(scenes)
    before = sim.state.copy()
    run(sim, actions(3), np.array([1, 2]))
    rest = [0, 3, 4, 5]
    np.testing.assert_array_equal(sim.state[rest], before[rest])
    assert (sim.state[[1, 2]] != before[[1, 2]]).any(axis=1).all()


def test_a_snapshot_continues_bit_for_bit(scenes: list[Scene]) -> None:
    plan, sim = actions(20), loaded(scenes)
    run(sim, plan[:8])
    saved = sim.snapshot(ALL)
    straight = run(sim, plan[8:])
    sim.restore(ALL, saved)
    np.testing.assert_array_equal(run(sim, plan[8:]), straight)


def test_a_snapshot_of_some_scenes_leaves_the_others_alone(scenes: list[Scene]) -> None:
    plan, sim, some = actions(12), loaded(scenes), np.array([0, 4])
    run(sim, plan[:6])
    saved = sim.snapshot(some)
    before = run(sim, plan[6:])
    sim.restore(some, saved)
    np.testing.assert_array_equal(sim.state[[1, 2, 3, 5]], before[[1, 2, 3, 5]])
    np.testing.assert_array_equal(run(sim, plan[6:], some), before)


def test_reset_erases_the_past(scenes: list[Scene]) -> None:
    plan, workspace = actions(10), build_workspace("lift")
    fresh = run(loaded(scenes), plan)
    used = loaded(scenes)
    run(used, actions(7)[::-1])
    load_scenes(used, workspace, ALL, scenes)
    np.testing.assert_array_equal(run(used, plan), fresh)


def first_motion(latency: float) -> float:
    """When a joint gets halfway through a ramp that it was told to follow [s]."""
    workspace = build_workspace("lift")
    sim, lane = BatchSim(workspace.model, PANDA, 1), np.array([0])
    qpos = np.array(workspace.model.qpos0)[None]
    columns = PANDA.joint_addresses(workspace.model)[0]
    qpos[0, columns] = PANDA.home
    sim.reset(lane, qpos, Actuation(np.array([latency])))
    path = []
    for t in range(1, 17):
        target = PANDA.home + np.array([0.04 * min(t, 8), 0, 0, 0, 0, 0, 0])
        sim.step(lane, np.append(target, 1.0)[None])
        path.append(sim.joint_position(lane)[0, 0])
    return float(np.interp(0.16, path, np.arange(1, 17) / 20.0))


@pytest.mark.parametrize("latency", [0.013, 0.04, 0.07, 0.15])
def test_latency_delays_motion_by_what_it_says(latency: float) -> None:
    assert first_motion(latency) - first_motion(0.0) == pytest.approx(latency, abs=0.003)


def test_without_latency_the_target_is_reached_at_the_end_of_its_step() -> None:
    assert first_motion(0.0) == pytest.approx(0.2, abs=0.002)


def test_latency_delays_the_gripper_too(scenes: list[Scene]) -> None:
    workspace, lanes = build_workspace("lift"), np.array([0, 1])
    sim = BatchSim(workspace.model, PANDA, 2)
    qpos = np.stack([scenes[0].qpos(workspace)] * 2)
    sim.reset(lanes, qpos, Actuation(np.array([0.0, 0.1])))
    still = np.concatenate([sim.joint_position(lanes), np.zeros((2, 1))], axis=1)
    openings = []
    for _ in range(8):
        sim.step(lanes, still)
        openings.append(sim.gripper_opening(lanes).copy())
    prompt, late = np.array(openings).T
    np.testing.assert_allclose(late[2:], prompt[:-2], atol=0.02)
    assert prompt[1] < 0.95 < late[1]


@pytest.mark.parametrize("latency", [-0.01, 0.2])
def test_a_latency_outside_the_memory_is_refused(scenes: list[Scene], latency: float) -> None:
    workspace = build_workspace("lift")
    sim = BatchSim(workspace.model, PANDA, 1)
    with pytest.raises(InputError, match=r"outside \[0, 0.15\] s"):
        sim.reset(np.array([0]), scenes[0].qpos(workspace)[None], Actuation(np.array([latency])))


def test_an_encoder_offset_moves_the_arm_and_not_what_it_reads() -> None:
    workspace, lane = build_workspace("lift"), np.array([0])
    sim, offset = BatchSim(workspace.model, PANDA, 1), np.full((1, 7), 0.01)
    qpos = np.array(workspace.model.qpos0)[None]
    qpos[0, PANDA.joint_addresses(workspace.model)[0]] = PANDA.home + 0.01
    sim.reset(lane, qpos, Actuation(np.zeros(1), joint_offset=offset))
    target = PANDA.home + 0.05
    for _ in range(20):
        sim.step(lane, np.append(target, 1.0)[None])
    np.testing.assert_allclose(sim.joint_position(lane)[0], target, atol=1e-3)
    np.testing.assert_allclose(sim.true_joint_position(lane)[0], target + 0.01, atol=1e-3)


def test_divergence_is_noticed_in_its_scene_only(scenes: list[Scene]) -> None:
    plan = actions(10)
    sound = run(loaded(scenes), plan)
    sim = loaded(scenes)
    sim.step(ALL, plan[0])
    sim.qvel[2] = 1e12
    for action in plan[1:]:
        sim.step(ALL, action)
    assert sim.diverged.tolist() == [False, False, True, False, False, False]
    others = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(sim.state[others], sound[others])


def test_a_diverged_scene_is_sound_again_after_a_reset(scenes: list[Scene]) -> None:
    workspace, plan, broken = build_workspace("lift"), actions(10), np.array([2])
    sim = loaded(scenes)
    sim.qvel[2] = 1e12
    sim.step(ALL, plan[0])
    assert sim.diverged[2]
    load_scenes(sim, workspace, broken, [scenes[2]])
    run(sim, plan, broken)
    assert not sim.diverged[2]
    np.testing.assert_array_equal(sim.state[2], run(loaded(scenes), plan)[2])


def test_each_scene_has_its_own_model_values(scenes: list[Scene]) -> None:
    workspace, sim = build_workspace("lift"), loaded(scenes)
    for i, scene in enumerate(scenes):
        want = scene.fields(workspace)
        model = sim.batch.get_model(i)
        for name in ("geom_friction", "body_mass", "actuator_gainprm", "body_pos"):
            np.testing.assert_array_equal(getattr(model, name), want[name])
    masses = [sim.batch.get_model(i).body_mass[workspace.model.body("cube_1").id] for i in range(N)]
    assert len(set(masses)) == N


def test_constants_follow_a_changed_mass(scenes: list[Scene]) -> None:
    workspace, sim = build_workspace("lift"), loaded(scenes)
    for i in range(N):
        model = sim.batch.get_model(i)
        whole = model.body_subtreemass[0]
        assert whole == pytest.approx(model.body_mass.sum())
        reference = model.__copy__()
        mujoco.mj_setConst(reference, mujoco.MjData(reference))
        np.testing.assert_allclose(model.body_invweight0, reference.body_invweight0)
    assert (workspace.model.body_mass != sim.batch.get_model(0).body_mass).any()


def test_the_shared_model_is_not_written_to(scenes: list[Scene]) -> None:
    workspace = build_workspace("lift")
    before = {name: model_field(workspace.model, name).copy() for name in scenes[0].fields(workspace)}
    run(loaded(scenes), actions(3))
    for name, value in before.items():
        np.testing.assert_array_equal(model_field(workspace.model, name), value)


def test_stored_state_rows_are_the_engines_integrator_state(scenes: list[Scene]) -> None:
    sim = loaded(scenes)
    run(sim, actions(5))
    model = sim.batch.get_model(1)
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, sim.state[1], mujoco.mjtState.mjSTATE_INTEGRATION.value)
    np.testing.assert_array_equal(data.qpos, sim.qpos[1])
    np.testing.assert_array_equal(data.ctrl, sim.ctrl[1])


def test_a_timestep_that_does_not_divide_the_control_period_is_refused() -> None:
    assert ControlTiming().substeps(0.002) == 5
    with pytest.raises(InputError, match=r"timestep of 0.003 s does not divide the control period of 0.05 s"):
        ControlTiming().substeps(0.003)


def test_control_steps_last_as_long_as_they_say(scenes: list[Scene]) -> None:
    sim = loaded(scenes)
    time = sim.batch.bind("time")
    before = float(np.ravel(time)[0])
    run(sim, actions(4))
    assert float(np.ravel(time)[0]) - before == pytest.approx(4 / 20.0)
    assert sim.steps_per_control() * sim.model.opt.timestep == pytest.approx(1 / 20.0)


def jittered(scenes: list[Scene], jitter: float, key: int) -> BatchSim:
    workspace = build_workspace("lift")
    sim = loaded(scenes[:1], np.array([0]))
    timing = Actuation(np.array([0.01]), np.array([jitter]), np.array([key], np.uint64))
    sim.reset(np.array([0]), scenes[0].qpos(workspace)[None], timing)
    return sim


def test_jitter_repeats_by_its_key_and_differs_by_it(scenes: list[Scene]) -> None:
    plan, lane = actions(12, 1), np.array([0])
    states = [run(jittered(scenes, jitter, key), plan, lane) for jitter, key in ((0.02, 1), (0.02, 1), (0.02, 2))]
    np.testing.assert_array_equal(states[0], states[1])
    assert (states[0] != states[2]).any()
    assert (states[0] != run(jittered(scenes, 0.0, 1), plan, lane)).any()


def test_jitter_only_ever_makes_late_and_by_no_more_than_it_says(scenes: list[Scene]) -> None:
    lane, late = np.array([0]), []
    sim = jittered(scenes, 0.02, 7)
    for action in actions(300, 1):
        late.append(float(sim._lateness(lane)[0]))
        sim.step(lane, action)
    assert 0.0 <= min(late) < 0.001
    assert 0.019 < max(late) <= 0.02
    assert np.mean(late) == pytest.approx(0.01, abs=0.002)


def test_a_snapshot_remembers_where_the_jitter_was(scenes: list[Scene]) -> None:
    plan, lane = actions(20, 1), np.array([0])
    sim = jittered(scenes, 0.02, 3)
    run(sim, plan[:8], lane)
    saved = sim.snapshot(lane)
    first = run(sim, plan[8:], lane)
    sim.restore(lane, saved)
    np.testing.assert_array_equal(run(sim, plan[8:], lane), first)


def test_jitter_and_latency_together_fit_the_memory(scenes: list[Scene]) -> None:
    with pytest.raises(InputError, match=r"latency 0.160 s is outside \[0, 0.15\] s"):
        BatchSim(build_workspace("lift").model, PANDA, 1).reset(
            np.array([0]), scenes[0].qpos(build_workspace("lift"))[None], Actuation(np.array([0.14]), np.array([0.02]))
        )


def test_slow_fingers_close_later(scenes: list[Scene]) -> None:
    workspace, lane = build_workspace("lift"), np.array([0])
    openings = []
    for factor in (1.0, 0.5):
        sim = loaded(scenes[:1], lane)
        sim.reset(lane, scenes[0].qpos(workspace)[None], Actuation(np.zeros(1), finger_speed=np.array([factor])))
        for _ in range(3):
            sim.step(lane, np.append(sim.joint_position(lane)[0], 0.0)[None])
        openings.append(1.0 - float(sim.gripper_opening(lane)[0]))
    assert openings[1] == pytest.approx(openings[0] / 2, rel=0.2)


def test_settings_of_the_engine_are_a_scenes_own(scenes: list[Scene]) -> None:
    plan, sim = actions(20), loaded(scenes)
    plain = run(loaded(scenes), plan)
    sim.set_options(ALL, [{"cone": 0, "impratio": 10.0} if i == 2 else {} for i in ALL])
    assert [sim.batch.get_model(i).opt.cone for i in (1, 2)] == [1, 0]
    other = run(sim, plan)
    rest = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(other[rest], plain[rest])
    assert (other[2] != plain[2]).any()


def test_settings_and_model_values_that_are_not_named_are_as_compiled(scenes: list[Scene]) -> None:
    workspace, sim = build_workspace("lift"), loaded(scenes)
    soft = {"geom_solref": 2 * workspace.model.geom_solref}
    sim.set_options(ALL, [{"impratio": 10.0}] * N)
    sim.set_fields(ALL, [{**scene.fields(workspace), **soft} for scene in scenes])
    assert sim.batch.get_model(3).opt.impratio == 10.0
    load_scenes(sim, workspace, ALL, scenes)
    assert sim.batch.get_model(3).opt.impratio == workspace.model.opt.impratio
    np.testing.assert_array_equal(sim.batch.get_model(3).geom_solref, workspace.model.geom_solref)
    np.testing.assert_array_equal(run(sim, actions(10)), run(loaded(scenes), actions(10)))
