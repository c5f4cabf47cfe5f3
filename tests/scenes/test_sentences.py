"""What tasks are told: enough ways to say it, and sentences that training never shows, of known words and of others."""

import re

import numpy as np
import pytest

from scenes.task import Task, get_task

TASKS = [get_task(name) for name in ("lift", "stack", "stack_three", "square", "pick_place")]


def words(sentences: tuple[str, ...]) -> set[str]:
    return {word for sentence in sentences for word in re.findall(r"[a-z]+", sentence)}


@pytest.fixture(params=TASKS, ids=lambda task: task.name)
def task(request: pytest.FixtureRequest) -> Task:
    return request.param


def test_a_task_can_be_asked_for_in_eight_ways(task: Task) -> None:
    assert len(set(task.sentences)) >= 8


def test_held_out_sentences_are_of_training_words_in_new_order(task: Task) -> None:
    for roles in task.casts():
        shown, held_out = task.instructions(roles), task.instructions(roles, "held_out")
        assert len(set(held_out)) >= 4
        assert not set(held_out) & set(shown)
        assert words(held_out) <= words(shown)


def test_unseen_sentences_each_have_a_word_that_training_never_shows(task: Task) -> None:
    known = {word for roles in task.casts() for word in words(task.instructions(roles))}
    for roles in task.casts():
        unseen = task.instructions(roles, "unseen")
        assert len(set(unseen)) >= 4
        assert all(words((sentence,)) - known for sentence in unseen)


def test_every_sentence_says_which_object(task: Task) -> None:
    """Two casts never share a sentence, so an instruction has one meaning."""
    meant: dict[str, dict[str, str]] = {}
    for roles in task.casts():
        for which in ("sentences", "held_out", "unseen"):
            for sentence in task.instructions(roles, which):
                assert "{" not in sentence
                assert meant.setdefault(sentence, roles) == roles


def test_roles_are_drawn_among_the_casts_and_all_of_them(task: Task) -> None:
    rng = np.random.default_rng(0)
    drawn = [task.draw_roles(rng) for _ in range(60 * len(task.casts()))]
    counts = [drawn.count(cast) for cast in task.casts()]
    assert sum(counts) == len(drawn)
    assert min(counts) > 30


def test_each_subtask_is_a_sentence_of_its_own_that_names_the_objects_of_the_scene(task: Task) -> None:
    told = {task.steps(roles) for roles in task.casts()}
    assert len(told) == len({task.instructions(roles) for roles in task.casts()})
    for steps in told:
        assert len(set(steps)) == len(steps) == len(task.subtasks)
        assert all(step and "{" not in step for step in steps)
