"""The lanes of a chunk: a failed subtask leaves no trace, whoever else is in the chunk; every try is on record."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from generators.augment import ChunkResult, Engine, MotionNoise, Options
from generators.chunk import Chunk
from generators.demos import Demo
from generators.execution import Checkpoint, Execution
from generators.options import PlanOptions
from generators.perception import Perception
from scenes.domains import NONE, SIM
from scenes.outcome import Outcome
from scenes.scene import draw_scene, load_scenes
from scenes.task import World
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from sim.panda import PANDA
from trajectories import Episode, validate


def engine(demos: list[Demo], task: str = "stack_three", **options: Any) -> Engine:
    return Engine(build_workspace(task), demos, SIM, seed=0, options=Options(**options))


def failing(
    monkeypatch: pytest.MonkeyPatch, subtask: int, scene: int = 0, times: int = 1, how: Outcome = Outcome.MISPLACED
) -> None:
    """Let one scene's first tries at a subtask fail at its end."""
    real: Callable[[Chunk, int, World], Outcome | None] = Chunk._shortfall
    left = [times]

    def shortfall(self: Chunk, lane: int, world: World) -> Outcome | None:
        if self.scenes[lane].index == scene and self.stage[lane] == subtask and left[0]:
            left[0] -= 1
            return how
        return real(self, lane, world)

    monkeypatch.setattr(Chunk, "_shortfall", shortfall)


def replayed(task: str, episode: Episode) -> np.ndarray:
    """The states that an episode's executed actions lead through, from the start of its scene."""
    workspace, lane = build_workspace(task), np.array([0])
    sim = BatchSim(workspace.model, PANDA, 1)
    load_scenes(sim, workspace, lane, [draw_scene(workspace, SIM, "generation", 0, episode.meta.scene)])
    states = [sim.state[0].copy()]
    for action in episode.arrays["action/executed"]:
        sim.step(lane, action[None].astype(float))
        states.append(sim.state[0].copy())
    return np.stack(states)


def same(a: Episode, b: Episode) -> None:
    for key in a.arrays:
        assert a.arrays[key].tobytes() == b.arrays[key].tobytes(), key
    assert json.dumps(a.meta.to_json()) == json.dumps(b.meta.to_json())


@pytest.fixture
def again(stack_demos: list[Demo], monkeypatch: pytest.MonkeyPatch) -> ChunkResult:
    """Two scenes, of which the first fails its second subtask once."""
    failing(monkeypatch, subtask=1)
    return engine(stack_demos).make([0, 1])


def test_after_a_rollback_a_lane_is_bit_for_bit_where_it_was(
    stack_demos: list[Demo], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, subtask=1)
    saved, restored = [], []

    def everything(self: Execution, lane: int) -> list[bytes]:
        sim = self.sim.snapshot(np.array([lane]))
        parts = [sim.state, sim.targets, sim.finger, sim.steps, self.drift[lane], self.command[lane]]
        parts += [self.gripper[lane], self.tape.length[lane], self.monitor.held[lane], self.monitor.met[lane]]
        world = self.monitor.workspace.observe(self.sim, np.array([lane]))
        parts += [*world.objects.values(), *world.speeds.values(), world.tool, world.opening]
        return [np.asarray(part).tobytes() for part in parts]

    save, restore = Execution.checkpoint, Execution.restore

    def saving(self: Execution, lane: int) -> Checkpoint:
        if lane == 0:
            saved.append(everything(self, lane))
        return save(self, lane)

    def restoring(self: Execution, lane: int, checkpoint: Checkpoint) -> None:
        restore(self, lane, checkpoint)
        restored.append(everything(self, lane))

    monkeypatch.setattr(Execution, "checkpoint", saving)
    monkeypatch.setattr(Execution, "restore", restoring)
    engine(stack_demos).make([0])
    assert restored[0] == saved[1]


def test_an_episode_with_a_rollback_replays_bit_for_bit(again: ChunkResult) -> None:
    for episode in again.episodes:
        validate(episode)
        np.testing.assert_array_equal(replayed("stack_three", episode), episode.arrays["state"])
    assert again.scenes[0]["attempts"][0] == "misplaced"
    assert again.episodes[0].meta.attempts == len(again.scenes[0]["attempts"])


def test_tries_and_the_parts_of_an_episode_are_on_record(again: ChunkResult) -> None:
    first, second = again.scenes[0]["tries"][:2]
    assert (first["start"], first["subtask"], len(first["demos"])) == (0, 1, 2)
    assert second["start"] == 1
    assert again.scenes[0]["simulated"] > again.scenes[0]["steps"] == len(again.episodes[0])
    parts, steps = again.episodes[0].meta.extra["tries"], again.episodes[0].arrays["subtask"]
    assert [number for number, _ in parts[:2]] == [0, 1]
    assert parts[0][1] == 0
    # The second try begins where the second subtask does.
    assert parts[1][1] == np.flatnonzero(steps == 1)[0]


def test_a_second_try_takes_another_demo_and_other_noise(again: ChunkResult) -> None:
    first, second = again.scenes[0]["tries"][:2]
    assert second["demos"][0] != first["demos"][1]
    assert again.episodes[0].meta.seeds["attempt"] == len(again.scenes[0]["tries"]) - 1


def test_a_failure_changes_nothing_for_the_others(
    stack_demos: list[Demo], monkeypatch: pytest.MonkeyPatch, again: ChunkResult
) -> None:
    other = engine(stack_demos).make([1])
    assert other.scenes[0] == again.scenes[1]
    same(other.episodes[0], again.episodes[1])


def test_a_scene_with_a_rollback_gives_the_same_bytes_alone(
    stack_demos: list[Demo], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, subtask=2, how=Outcome.GRASP_MISSED)
    together = engine(stack_demos).make([2, 0, 1])
    failing(monkeypatch, subtask=2, how=Outcome.GRASP_MISSED)
    alone = engine(stack_demos).make([0])
    assert alone.scenes[0] == together.scenes[1]
    same(alone.episodes[0], next(episode for episode in together.episodes if episode.meta.scene == 0))


def test_what_keeps_failing_goes_back_one_subtask_further(
    stack_demos: list[Demo], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, subtask=1, times=3)
    tries = engine(stack_demos, plan=PlanOptions(retries=2)).make([0]).scenes[0]["tries"]
    assert [entry["start"] for entry in tries[:3]] == [0, 1, 0]


def test_restarting_begins_the_scene_anew(stack_demos: list[Demo], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, subtask=1, times=2)
    result = engine(stack_demos, plan=PlanOptions(on_failure="restart")).make([0])
    assert [entry["start"] for entry in result.scenes[0]["tries"]] == [0] * len(result.scenes[0]["tries"])
    assert len(result.episodes[0].meta.extra["tries"]) == 1


def test_recovering_keeps_the_failure_and_its_correction(
    stack_demos: list[Demo], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first cube is taken to be missed: the arm opens, backs away and goes for what is not in place."""
    failing(monkeypatch, subtask=0, how=Outcome.GRASP_MISSED)
    result = engine(stack_demos, plan=PlanOptions(on_failure="recover")).make([0])
    episode = result.episodes[0]
    validate(episode)
    np.testing.assert_array_equal(replayed("stack_three", episode), episode.arrays["state"])
    number, step = episode.meta.extra["tries"][1]
    assert (number, result.scenes[0]["tries"][1]["start"]) == (1, 0)
    # The hand closed, opened again without a demo, rose, and closed once more, all in one episode.
    gripper = episode.arrays["action/intended"][:, -1]
    assert gripper[step - 1] == 0
    assert (gripper[step : step + 10] == 1).all()
    assert (episode.arrays["source/demo"][step : step + 10] == -1).all()
    assert result.scenes[0]["simulated"] == result.scenes[0]["steps"]


def test_the_last_try_is_the_judges_to_refuse(stack_demos: list[Demo], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a single try, a placement that looks wrong is seen to its end, as the published algorithm does."""
    looks: list[bool] = []
    done = build_workspace("stack_three").task.done

    def never(k: int, world: Any, roles: Any) -> np.ndarray:
        looks.append(True)
        return done(k, world, roles) & (build_workspace("stack_three").task.subtasks[k].kind == "grasp")

    monkeypatch.setattr(build_workspace("stack_three").task, "done", never)
    result = engine(stack_demos, plan=PlanOptions(max_attempts=1)).make([0])
    assert looks
    assert result.scenes[0]["attempts"] == ["success"]


def test_failed_tries_are_kept_where_they_are_asked_for(
    stack_demos: list[Demo], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, subtask=1)
    result = engine(stack_demos).make([0], keep_failed=True)
    failed = result.failed[0]
    validate(failed)
    assert (failed.meta.outcome, failed.meta.attempts) == ("misplaced", 1)
    np.testing.assert_array_equal(replayed("stack_three", failed), failed.arrays["state"])


def test_a_path_goes_with_an_object_that_moves(lift_demos: list[Demo], monkeypatch: pytest.MonkeyPatch) -> None:
    """The target is pushed aside by 4 cm while the arm is on its way: it is grasped where it then is."""
    workspace = build_workspace("lift")
    scene = draw_scene(workspace, NONE, "generation", 0, 0)
    column = workspace.object_qpos[scene.roles["target"]]
    real, calls = BatchSim.step, []

    def nudge(self: BatchSim, ids: np.ndarray, action: np.ndarray) -> None:
        calls.append(ids)
        if len(calls) == 12:
            self.qpos[0, column : column + 2] += [0.024, 0.032]
        real(self, ids, action)

    def first(reanchor: float) -> str:
        calls.clear()
        plan = PlanOptions(reanchor=reanchor, max_attempts=1)
        made = Engine(workspace, lift_demos, NONE, 0, Options(plan=plan, noise=MotionNoise(std=0.0))).make([0])
        return made.scenes[0]["outcome"]

    monkeypatch.setattr(BatchSim, "step", nudge)
    assert first(reanchor=0.004) == "success"
    assert first(reanchor=0.0) != "success"


def test_poses_seen_wrongly_change_the_plan_and_not_the_judge(lift_demos: list[Demo]) -> None:
    right = engine(lift_demos, "lift").make([0, 1])
    wrong = engine(lift_demos, "lift", perception=Perception(0.005, 0.05)).make([0, 1])
    again = engine(lift_demos, "lift", perception=Perception(0.005, 0.05)).make([1, 0])
    assert wrong.episodes[0].arrays["state"].tobytes() != right.episodes[0].arrays["state"].tobytes()
    same(wrong.episodes[0], again.episodes[1])
    for a, b in zip(right.episodes, wrong.episodes, strict=True):
        assert a.meta.ledger == b.meta.ledger
        assert a.arrays["objects/cube_1"][0].tobytes() == b.arrays["objects/cube_1"][0].tobytes()
