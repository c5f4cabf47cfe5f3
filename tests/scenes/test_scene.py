"""Drawn scenes: repeatable, different across namespaces, rebuilt from the ledger, at rest when loaded."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from handful import InputError, Namespace, random_stream
from scenes.domains import NONE, SIM, TWIN_DEV_0
from scenes.scene import Scene, draw_scene, load_scenes, restart_scenes
from scenes.sensing import measure_joints
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from sim.panda import PANDA

NAMESPACES: tuple[Namespace, ...] = ("generation", "evaluation", "recording")


def drawn(index: int, seed: int = 0, namespace: Namespace = "generation", task: str = "lift") -> Scene:
    return draw_scene(build_workspace(task), SIM, namespace, seed, index)


def batch(scenes: list[Scene]) -> BatchSim:
    sim = BatchSim(build_workspace("lift").model, PANDA, len(scenes))
    load_scenes(sim, build_workspace("lift"), np.arange(len(scenes)), scenes)
    return sim


def test_a_scene_is_a_function_of_its_plan_and_index() -> None:
    assert drawn(3) == drawn(3)


def test_scenes_of_one_plan_differ() -> None:
    poses = {json.dumps(drawn(i).ledger["poses"]) for i in range(20)}
    assert len(poses) == 20


def test_seeds_draw_different_scenes() -> None:
    assert drawn(0, seed=0).ledger != drawn(0, seed=1).ledger


def test_generation_evaluation_and_recording_never_share_a_scene() -> None:
    drawn_by = {ns: {json.dumps(drawn(i, namespace=ns).ledger["poses"]) for i in range(30)} for ns in NAMESPACES}
    assert len(set.union(*drawn_by.values())) == 90


def test_tasks_of_one_seed_draw_different_places() -> None:
    assert drawn(0).ledger["poses"] != drawn(0, task="stack_three").ledger["poses"]


def test_a_ledger_stored_as_json_rebuilds_the_whole_scene() -> None:
    workspace = build_workspace("lift")
    scene = draw_scene(workspace, TWIN_DEV_0, "generation", 0, 0)
    again = replace(scene, ledger=json.loads(json.dumps(scene.ledger)))
    np.testing.assert_array_equal(scene.qpos(workspace), again.qpos(workspace))
    first, second = scene.fields(workspace), again.fields(workspace)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_the_instruction_is_one_of_the_scenes_own_sentences() -> None:
    workspace = build_workspace("lift")
    seen = set()
    for i in range(30):
        scene = drawn(i)
        assert scene.instruction in scene.paraphrases
        assert scene.paraphrases == workspace.task.instructions(scene.roles)
        seen.add(scene.instruction)
    assert len(seen) > 8  # colours times sentences


def test_the_robot_starts_at_home_with_an_open_gripper() -> None:
    sim = batch([drawn(i) for i in range(4)])
    np.testing.assert_allclose(sim.joint_position(np.arange(4)), np.tile(PANDA.home, (4, 1)), atol=1e-3)
    np.testing.assert_allclose(sim.gripper_opening(np.arange(4)), 1.0, atol=1e-3)


def test_loaded_objects_rest_where_they_were_drawn() -> None:
    scenes = [drawn(i) for i in range(8)]
    sim, workspace = batch(scenes), build_workspace("lift")
    world = workspace.observe(sim, np.arange(8))
    for i, scene in enumerate(scenes):
        surface = -0.0031 + scene.ledger["physics"]["table_height"]
        for name, pose in scene.ledger["poses"].items():
            np.testing.assert_allclose(world.objects[name][i, :2], pose[:2], atol=2e-4)
            assert world.objects[name][i, 2] == pytest.approx(pose[2] + surface, abs=2e-4)
            assert world.speeds[name][i] < 0.01
        assert world.table_height[i] == pytest.approx(surface)


def test_a_restart_is_the_same_as_a_fresh_load() -> None:
    scenes, ids = [drawn(i) for i in range(3)], np.arange(3)
    sim = batch(scenes)
    fresh = sim.state.copy()
    for _ in range(10):
        sim.step(ids, np.tile(np.append(PANDA.home + 0.1, 0.0), (3, 1)))
    restart_scenes(sim, build_workspace("lift"), ids, scenes)
    np.testing.assert_array_equal(sim.state, fresh)


def test_latency_and_offsets_reach_the_controller() -> None:
    workspace = build_workspace("lift")
    scene = draw_scene(workspace, TWIN_DEV_0, "generation", 0, 0)
    sim = batch([scene])
    assert sim.latency[0] == scene.ledger["physics"]["latency"]
    np.testing.assert_array_equal(sim.joint_offset[0], scene.ledger["physics"]["joint_offset"])


@pytest.mark.parametrize(
    ("namespace", "names"),
    [
        ("generation", {"source", "motion_noise", "sensor_noise"}),
        ("evaluation", {"policy", "sensor_noise"}),
        ("recording", {"operator", "sensor_noise"}),
    ],
)
def test_provenance_names_the_streams_of_the_attempt(namespace: Namespace, names: set[str]) -> None:
    seeds = drawn(4, seed=9, namespace=namespace).seeds("lift", attempt=2)
    assert set(seeds["keys"]) == {"scene", "appearance"} | names
    for name in names:
        np.testing.assert_array_equal(
            reopened(seeds, name).random(4), random_stream(namespace, 9, "lift", 4, name, 2).random(4)
        )


def reopened(seeds: dict[str, Any], name: str) -> np.random.Generator:
    """A stream opened from provenance alone."""
    sequence = np.random.SeedSequence(seeds["seed"], spawn_key=tuple(seeds["keys"][name]))
    return np.random.Generator(np.random.PCG64(sequence))


def test_provenance_of_a_retry_draws_the_same_scene_again() -> None:
    task, scene = build_workspace("lift").task, drawn(4, seed=9)
    rng = reopened(scene.seeds("lift", attempt=2), "scene")
    assert task.draw_roles(rng) == scene.roles
    poses = task.draw_poses(rng)
    for name, pose in scene.ledger["poses"].items():
        poses[name][2] *= scene.ledger["physics"]["object_size"][name]
        np.testing.assert_array_equal(poses[name], pose)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(InputError, match=r"seed must be >= 0, got -1"):
        drawn(0, seed=-1)


def test_measured_joints_have_the_scenes_noise() -> None:
    scene = draw_scene(build_workspace("lift"), TWIN_DEV_0, "generation", 0, 0)
    sim, stream = batch([scene]), np.random.default_rng(0)
    lane = np.array([0])
    errors = [measure_joints(sim, lane, [scene], [stream]) - sim.joint_position(lane) for _ in range(300)]
    want = scene.ledger["physics"]["proprioceptive_noise"]
    assert np.std(errors) == pytest.approx(want, rel=0.1)


def test_joints_are_measured_exactly_where_there_is_no_noise() -> None:
    scene = draw_scene(build_workspace("lift"), NONE, "generation", 0, 0)
    sim, stream = batch([scene]), np.random.default_rng(0)
    lane = np.array([0])
    np.testing.assert_array_equal(measure_joints(sim, lane, [scene], [stream]), sim.joint_position(lane))
    assert stream.random() == np.random.default_rng(0).random()  # nothing was drawn


def test_noise_of_a_scene_does_not_depend_on_its_company() -> None:
    workspace = build_workspace("lift")
    noisy = draw_scene(workspace, TWIN_DEV_0, "generation", 0, 0)
    calm = draw_scene(workspace, NONE, "generation", 0, 1)
    sim, both = batch([calm, noisy]), np.arange(2)
    together = measure_joints(sim, both, [calm, noisy], [np.random.default_rng(1), np.random.default_rng(2)])
    alone = measure_joints(sim, both[1:], [noisy], [np.random.default_rng(2)])
    np.testing.assert_array_equal(together[1:], alone)
