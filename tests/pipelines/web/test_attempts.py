"""A whole task by hand: every subtask is told and remembered, and the result can be cut like any demonstration."""

import numpy as np
import pytest

from generators.assistance import Assistance
from generators.demos import demo_of
from generators.following import Place
from generators.hand import Grip, Hand
from generators.scripted import ScriptedOperator
from generators.segmentation import segment
from generators.teleoperation import Limits
from handful import InputError
from pipelines.web.attempts import Attempt
from scenes.domains import get_domain
from scenes.outcome import Outcome
from scenes.scene import draw_scene
from scenes.workspace import build_workspace
from trajectories import validate


def attempt_at(task: str) -> Attempt:
    workspace, limits = build_workspace(task), Limits()
    hand = Hand("test", limits)
    hand.assistance = Assistance(speed=4, deadband=0.0)
    return Attempt(workspace, draw_scene(workspace, get_domain("none"), "recording", 0, 0), hand)


@pytest.mark.parametrize("task", ["stack_three", "pick_place"])
def test_a_whole_task_by_hand_has_a_checkpoint_after_each_subtask(task: str) -> None:
    """The hand does what the scripted operator would, through the same keys and speed limits as a person's."""
    workspace, attempt = build_workspace(task), attempt_at(task)
    session, hand = attempt.session, attempt.hand
    guide = ScriptedOperator()
    guide.begin(attempt.scene, workspace, np.random.default_rng(3))
    limits, told = hand.limits, []
    while session.outcome is None:
        command = guide.read(session.world, session.target)
        hand.axes = np.concatenate([command.twist[:3] / limits.speed, command.twist[3:] / limits.turn_speed])
        hand.closed = command.gripper < 0.5
        before = hand.done
        attempt.step()
        told += [hand.done] if hand.done > before else []
    assert session.outcome is Outcome.SUCCESS
    count = len(workspace.task.subtasks)
    assert told == list(range(1, count + 1))
    assert [mark.why for mark in attempt.marks] == ["start", *["subtask done"] * count]
    episode, _ = attempt.finish()
    validate(episode)
    np.testing.assert_array_equal(np.unique(episode.arrays["subtask"]), np.arange(count))
    cut = segment(demo_of(episode, workspace.task, 0, "here", ""), workspace.task)
    # A checkpoint lies where a demonstration is cut, so going back to one is going back to a subtask's beginning.
    marks = [mark.checkpoint.steps for mark in attempt.marks[1:count]]
    np.testing.assert_allclose(marks, [part.end for part in cut[:-1]], atol=1)
    assert episode.meta.extra["checkpoints"] == [mark.checkpoint.steps for mark in attempt.marks[1:]]


def test_the_way_to_go_leads_to_the_grasp_and_then_to_where_the_object_belongs() -> None:
    attempt = attempt_at("stack_three")
    world, hand = attempt.session.world, attempt.hand
    to_grasp = hand.way(world)
    assert to_grasp.to == "cube_2"
    np.testing.assert_allclose(to_grasp.position, world.objects["cube_2"][0, :3] - world.tool[0, :3], atol=1e-6)
    assert to_grasp.turn is not None
    assert abs(to_grasp.turn) <= np.pi / 4 + 1e-6  # a cube's nearest side
    hand.take(Grip(True, Place(subtask=1)))
    to_place = hand.way(world)
    assert (to_place.to, to_place.turn) == ("cube_1", None)
    np.testing.assert_array_equal(to_place.position, world.objects["cube_1"][0, :3] - world.objects["cube_2"][0, :3])


def test_a_moment_is_remembered_once_and_an_ended_attempt_not_at_all() -> None:
    attempt = attempt_at("lift")
    with pytest.raises(InputError, match="this moment is a checkpoint already"):
        attempt.mark("by hand")
    attempt.hand.axes = np.array([0, 0, -1.0, 0, 0, 0])
    while attempt.session.outcome is None:
        attempt.step()
    with pytest.raises(InputError, match="the attempt has ended; go back to a checkpoint, or redo it"):
        attempt.mark("by hand")


def test_time_may_stand_still_only_after_a_while_of_nothing() -> None:
    attempt = attempt_at("lift")
    attempt.hand.axes = np.array([0, 0, 0.2, 0, 0, 0])
    attempt.step()
    attempt.hand.axes = np.zeros(6)
    rests = []
    for _ in range(12):
        rests.append(attempt.rests())
        attempt.step()
    assert rests == [False] * 10 + [True] * 2
