"""What the fingers touch, as recorded states tell it."""

from dataclasses import replace
from pathlib import Path

import pytest

from generators.contacts import recorded_contacts
from generators.demos import Demo
from generators.segmentation import segment
from handful import InputError
from scenes.task import get_task
from trajectories import Episode, Store

STACK = get_task("stack_three")


@pytest.fixture
def episode(stack_store: Path) -> Episode:
    return Store.open(stack_store).episode(0)


def test_the_fingers_touch_an_object_from_the_grasp_to_the_release(stack_demos: list[Demo]) -> None:
    for demo in stack_demos:
        assert demo.touched is not None
        cut = segment(demo, STACK)
        for grasp, place in ((cut[0], cut[1]), (cut[2], cut[3])):
            touched = demo.touched[demo.roles[STACK.subtasks[grasp.subtask].reference]]
            assert touched[grasp.event + 8 : place.event + 1].all()
            assert not touched[grasp.start : grasp.event + 1].any()
            assert not touched[place.end : place.end + 10].any()
        assert not demo.touched[demo.roles["bottom"]].any()


def test_an_episode_without_states_tells_no_contacts(episode: Episode) -> None:
    arrays = {key: value for key, value in episode.arrays.items() if key != "state"}
    assert recorded_contacts(Episode(arrays, episode.meta)) is None


def test_states_of_another_model_tell_no_contacts(episode: Episode) -> None:
    assert recorded_contacts(Episode(episode.arrays, replace(episode.meta, model_hash="0" * 64))) is None


def test_a_robot_that_is_not_known_here_tells_no_contacts(episode: Episode) -> None:
    assert recorded_contacts(Episode(episode.arrays, replace(episode.meta, embodiment="somebody's"))) is None


def test_cuts_are_the_same_without_contacts(stack_demos: list[Demo]) -> None:
    for demo in stack_demos:
        seen, felt = (segment(d, STACK) for d in (replace(demo, touched=None), demo))
        assert [(s.start, s.event, s.end) for s in seen] == [(s.start, s.event, s.end) for s in felt]


def test_an_object_that_is_let_go_of_in_the_fingers_is_not_held(stack_demos: list[Demo]) -> None:
    demo = stack_demos[0]
    assert demo.touched is not None
    place = segment(demo, STACK)[1]
    name = demo.roles["middle"]
    lost = demo.touched[name].copy()
    lost[place.event - 10 : place.event] = False
    with pytest.raises(InputError, match=rf"lifts {name} at step \d+, but loses it at step {place.event - 10}"):
        segment(replace(demo, touched={**demo.touched, name: lost}), STACK)
