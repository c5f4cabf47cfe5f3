"""The engine: keeps what the judge accepts, repeats bit for bit in any company, accounts for every scene and step."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from generators.augment import ChunkResult, Engine, MotionNoise, Options
from generators.demos import Demo
from generators.options import PLAIN
from handful import InputError
from scenes.domains import NONE, SIM, Domain, get_domain
from scenes.outcome import Outcome
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from sim.panda import PANDA
from trajectories import Episode, Store, validate

SIX = list(range(6))


def engine(demos: list[Demo], task: str = "lift", domain: Domain = SIM, **options: Any) -> Engine:
    return Engine(build_workspace(task), demos, domain, seed=0, options=Options(**options))


@pytest.fixture(scope="module")
def lifted(lift_demos: list[Demo]) -> ChunkResult:
    return engine(lift_demos).make(SIX)


@pytest.fixture(scope="module")
def stacked(stack_demos: list[Demo]) -> ChunkResult:
    return engine(stack_demos, "stack_three").make([0, 1, 2])


def same_bytes(a: Episode, b: Episode) -> None:
    assert a.arrays.keys() == b.arrays.keys()
    for key in a.arrays:
        assert a.arrays[key].tobytes() == b.arrays[key].tobytes(), key
    assert json.dumps(a.meta.to_json()) == json.dumps(b.meta.to_json())


def same(a: ChunkResult, b: ChunkResult) -> None:
    assert a.scenes == b.scenes
    assert len(a.episodes) == len(b.episodes)
    for x, y in zip(a.episodes, b.episodes, strict=True):
        same_bytes(x, y)


def test_most_lift_scenes_are_kept_under_all_randomisation(lifted: ChunkResult) -> None:
    assert len(lifted.episodes) >= 5


def test_stacks_are_kept_too(stacked: ChunkResult) -> None:
    assert len(stacked.episodes) >= 2


def test_kept_episodes_obey_the_schema(lifted: ChunkResult, stacked: ChunkResult) -> None:
    for episode in lifted.episodes + stacked.episodes:
        validate(episode)
        assert episode.meta.outcome == "success"
        assert episode.meta.operator == "augmentation"
        assert episode.meta.domain == "sim"


def test_running_twice_gives_the_same_bytes(lift_demos: list[Demo], lifted: ChunkResult) -> None:
    same(engine(lift_demos).make(SIX), lifted)


def test_threads_change_no_byte(lift_demos: list[Demo], lifted: ChunkResult) -> None:
    same(engine(lift_demos, threads=2).make(SIX), lifted)


@pytest.mark.parametrize("index", [3, 5])
def test_a_scene_made_alone_gives_the_bytes_it_gives_in_company(
    lift_demos: list[Demo], lifted: ChunkResult, index: int
) -> None:
    alone = engine(lift_demos).make([index])
    assert alone.scenes == [lifted.scenes[index]]
    together = [e for e in lifted.episodes if e.meta.scene == index]
    assert len(alone.episodes) == len(together)
    for a, b in zip(alone.episodes, together, strict=True):
        same_bytes(a, b)


def test_another_seed_gives_other_episodes(lift_demos: list[Demo], lifted: ChunkResult) -> None:
    other = Engine(build_workspace("lift"), lift_demos, SIM, seed=1).make([0])
    assert other.episodes[0].meta.ledger != lifted.episodes[0].meta.ledger


def test_episodes_and_records_are_in_scene_order(lifted: ChunkResult) -> None:
    assert [record["scene"] for record in lifted.scenes] == SIX
    kept = [record["scene"] for record in lifted.scenes if record["outcome"] == "success"]
    assert [episode.meta.scene for episode in lifted.episodes] == kept


def test_every_attempt_is_accounted_for(lifted: ChunkResult) -> None:
    by_scene = {episode.meta.scene: episode for episode in lifted.episodes}
    for record in lifted.scenes:
        assert record["attempts"][-1] == record["outcome"]
        assert all(Outcome.from_label(label) for label in record["attempts"])
        assert "success" not in record["attempts"][:-1]
        if record["outcome"] == "success":
            assert by_scene[record["scene"]].meta.attempts == len(record["attempts"])


def test_steps_outside_bridges_name_a_demo_segment(stacked: ChunkResult, stack_demos: list[Demo]) -> None:
    for episode in stacked.episodes:
        demo, step = episode.arrays["source/demo"], episode.arrays["source/step"]
        named = demo >= 0
        np.testing.assert_array_equal(named, step >= 0)
        assert set(demo[~named].tolist()) <= {-1}
        assert named.mean() > 0.25  # whole segments were replayed
        for d, t in zip(demo[named], step[named], strict=True):
            assert 0 <= t < len(stack_demos[d])
        # Within a subtask one segment is followed step by step.
        for k in range(4):
            inside = named & (episode.arrays["subtask"] == k)
            assert len(set(demo[inside].tolist())) == 1
            assert (np.diff(step[inside]) == 1).all()


def test_a_replayed_step_is_the_demos_step_moved_rigidly(lifted: ChunkResult, lift_demos: list[Demo]) -> None:
    episode = lifted.episodes[0]
    named = episode.arrays["source/demo"] >= 0
    demo = lift_demos[int(episode.arrays["source/demo"][named][0])]
    then = demo.target[episode.arrays["source/step"][named]]
    now = episode.arrays["action/tool_pose_in_base"][named]
    # Rigid: distances between poses of the path are those of the demo's.
    far = np.linalg.norm(then[:, None, :3] - then[None, :, :3], axis=2)
    np.testing.assert_allclose(np.linalg.norm(now[:, None, :3] - now[None, :, :3], axis=2), far, atol=1e-5)
    np.testing.assert_array_equal(
        episode.arrays["action/intended"][named, -1], demo.gripper[episode.arrays["source/step"][named]]
    )


def test_executed_actions_replay_to_the_stored_states_bit_for_bit(lifted: ChunkResult, stacked: ChunkResult) -> None:
    for task, episode in (("lift", lifted.episodes[1]), ("stack_three", stacked.episodes[0])):
        workspace, lane = build_workspace(task), np.array([0])
        sim = BatchSim(workspace.model, PANDA, 1)
        load_scenes(sim, workspace, lane, [draw_scene(workspace, SIM, "generation", 0, episode.meta.scene)])
        states = [sim.state[0].copy()]
        for action in episode.arrays["action/executed"]:
            sim.step(lane, action[None].astype(float))
            states.append(sim.state[0].copy())
        np.testing.assert_array_equal(np.stack(states), episode.arrays["state"])


def test_motion_noise_is_in_what_was_executed_and_not_in_what_was_intended(lifted: ChunkResult) -> None:
    for episode in lifted.episodes:
        executed, intended = episode.arrays["action/executed"], episode.arrays["action/intended"]
        np.testing.assert_array_equal(executed[:, -1], intended[:, -1])
        noise = (executed - intended)[:, :-1]
        assert 0 < np.abs(noise).max() < 6 * MotionNoise().std
        # Intended targets are the path's own: they aim at the stored tool pose.
        pose = PANDA.chain.forward(intended[:, :-1].astype(float))
        assert np.linalg.norm(pose[:, :3] - episode.arrays["action/tool_pose_in_base"][:, :3], axis=1).max() < 1.1e-3
        pose = PANDA.chain.forward(executed[:, :-1].astype(float)).astype(np.float32)
        np.testing.assert_array_equal(episode.arrays["action/executed_tool_pose_in_base"], pose)


def test_quaternions_do_not_jump_between_q_and_minus_q(lifted: ChunkResult, stacked: ChunkResult) -> None:
    for episode in (*lifted.episodes, *stacked.episodes):
        actions = ("action/tool_pose_in_base", "action/executed_tool_pose_in_base")
        for key in (*actions, "observation/tool_pose_in_base", "objects/cube_1"):
            q = episode.arrays[key][:, 3:]
            assert (np.sum(q[1:] * q[:-1], axis=1) > 0).all(), key


def test_without_noise_both_actions_are_the_same(lift_demos: list[Demo]) -> None:
    episode = engine(lift_demos, domain=NONE, noise=MotionNoise(std=0.0)).make([0]).episodes[0]
    np.testing.assert_array_equal(episode.arrays["action/executed"], episode.arrays["action/intended"])


def test_kept_episodes_hold_the_goal_for_their_last_second(lifted: ChunkResult) -> None:
    for episode in lifted.episodes:
        target = episode.arrays[f"objects/{episode.meta.extra['roles']['target']}"][-19:]
        table = -0.0031 + episode.meta.ledger["physics"]["table_height"]
        assert (target[:, 2] - 0.0234 - table >= 0.08).all()
        assert np.abs(np.diff(target[:, :3], axis=0)).max() * 20 < 0.011


def test_nothing_is_penetrated_by_a_millimetre_and_grip_and_torque_keep_their_limits(stacked: ChunkResult) -> None:
    workspace = build_workspace("stack_three")
    episode = stacked.episodes[0]
    sim = BatchSim(workspace.model, PANDA, 1)
    load_scenes(sim, workspace, np.array([0]), [draw_scene(workspace, SIM, "generation", 0, episode.meta.scene)])
    model = sim.batch.get_model(0)
    data, dofs = mujoco.MjData(model), PANDA.joint_addresses(model)[1]
    for row in episode.arrays["state"]:
        mujoco.mj_setState(model, data, row, mujoco.mjtState.mjSTATE_INTEGRATION.value)
        mujoco.mj_forward(model, data)
        assert data.ncon == 0 or data.contact.dist.min() > -1e-3
        assert (np.abs(data.qfrc_actuator[dofs]) <= [87.0] * 4 + [12.0] * 3).all()
        assert np.abs(data.actuator_force[model.actuator(PANDA.gripper_actuator).id]) <= 70.0


def test_failed_scenes_are_recorded_with_their_outcomes(lift_demos: list[Demo]) -> None:
    ice = get_domain("none", {"object_friction": 0.001, "pad_friction": 0.001, "mass_factor": 2.0})
    result = engine(lift_demos, domain=ice).make([0, 1])
    assert result.episodes == []
    for record in result.scenes:
        assert record["outcome"] != "success"
        assert len(record["attempts"]) == Options().plan.max_attempts
        assert set(record["attempts"]) <= {o.label for o in Outcome}
    assert "grasp_missed" in {label for record in result.scenes for label in record["attempts"]}


def test_an_unreachable_scene_says_so(lift_demos: list[Demo]) -> None:
    high = get_domain("none", {"table_height": 0.9})
    result = engine(lift_demos, domain=high).make([0])
    # Nothing moves, so it is looked at again for a few times only.
    assert result.scenes[0]["attempts"] == ["unreachable"] * Options().plan.retries
    assert result.episodes == []


def unstable(monkeypatch: pytest.MonkeyPatch, index: int) -> None:
    """Give one scene servos that push away from their target, hard."""
    real = Scene.fields

    def broken(self: Scene, workspace: Any) -> dict[str, np.ndarray]:
        fields = real(self, workspace)
        if self.index == index:
            fields["actuator_biasprm"][:7, 1:3] *= -1e6
        return fields

    monkeypatch.setattr(Scene, "fields", broken)


def test_a_scene_that_cannot_be_simulated_becomes_an_outcome(
    lift_demos: list[Demo], lifted: ChunkResult, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unstable(monkeypatch, index=1)
    result = engine(lift_demos).make([0, 1, 2])
    # It would come to rest no better a second time.
    assert result.scenes[1]["attempts"] == ["diverged"]
    # The others never notice.
    assert [result.scenes[i] for i in (0, 2)] == [lifted.scenes[i] for i in (0, 2)]
    same_bytes(result.episodes[0], lifted.episodes[0])
    # And what is left of it can be stored.
    store = Store.create(tmp_path / "s", {"task": "lift"})
    store.commit(0, result.episodes, result.scenes, {str(k): v for k, v in result.dumps.items()})
    assert store.committed() == [0]


def test_a_scene_that_diverges_on_the_way_is_dumped_and_tried_again(
    lift_demos: list[Demo], lifted: ChunkResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = BatchSim.step, []

    def explode(self: BatchSim, ids: np.ndarray, action: np.ndarray) -> None:
        calls.append(ids)
        if len(calls) == 30:
            self.qvel[1] = 1e12
        real(self, ids, action)

    monkeypatch.setattr(BatchSim, "step", explode)
    result = engine(lift_demos).make([0, 1, 2])
    assert result.scenes[1]["attempts"][0] == "diverged"
    assert result.scenes[1]["outcome"] == "success"
    assert set(result.dumps) == {1}
    dump = result.dumps[1]
    # 30 steps, of which two let the objects come to rest.
    assert (len(dump["states"]), len(dump["executed"])) == (29, 28)
    assert np.isfinite(dump["states"][:-1]).all()
    assert [result.scenes[i] for i in (0, 2)] == [lifted.scenes[i] for i in (0, 2)]
    same_bytes(result.episodes[0], lifted.episodes[0])


def test_the_plain_algorithm_runs_once_per_scene(lift_demos: list[Demo]) -> None:
    result = engine(lift_demos, plan=PLAIN).make([0, 1, 2])
    assert all(len(record["attempts"]) == 1 for record in result.scenes)


def test_a_demo_that_does_not_show_the_task_is_refused(lift_demos: list[Demo]) -> None:
    demo = lift_demos[0]
    open_handed = replace(demo, gripper=np.ones_like(demo.gripper), opening=np.ones_like(demo.gripper))
    with pytest.raises(InputError, match=r"demo 0 does not show subtask 'lift'"):
        engine([open_handed])


def test_images_are_rendered_for_kept_episodes_only(lift_demos: list[Demo]) -> None:
    result = engine(lift_demos, cameras=("front",), resolution=24, domain=NONE).make([0])
    episode = result.episodes[0]
    assert episode.arrays["images/front"].shape == (len(episode), 24, 24, 3)
    assert episode.arrays["images/front"].std() > 5
    assert episode.meta.gl_renderer
    assert episode.meta.cameras["front"]["height"] == 24
    validate(episode)


def test_rendering_changes_nothing_else(lift_demos: list[Demo], lifted: ChunkResult) -> None:
    seen = engine(lift_demos, cameras=("wrist",), resolution=16).make([0]).episodes[0]
    for key, value in lifted.episodes[0].arrays.items():
        assert seen.arrays[key].tobytes() == value.tobytes(), key
