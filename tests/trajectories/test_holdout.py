import itertools

import numpy as np
import pytest

from trajectories.holdout import hold_out
from trajectories.index import part_index, summarise


def _index(make_episode, scenes, **meta):
    metas = [make_episode(scene, steps=2, **meta).meta for scene in scenes]
    return part_index(0, [2] * len(metas), summarise(metas, [b"\n"] * len(metas)))


def test_the_split_is_by_scene_and_always_the_same(make_episode):
    index = _index(make_episode, (0, 0, 0, *range(1, 40)))
    held_out = hold_out(index, 0.25)
    chosen = set(index.scene[held_out].tolist())
    assert len(chosen) == 10
    assert not chosen & set(index.scene[~held_out].tolist())
    backwards = hold_out(index.take(np.arange(len(index))[::-1]), 0.25)[::-1]
    assert backwards.tolist() == held_out.tolist()


def test_scenes_of_other_tasks_and_seeds_are_chosen_apart(make_episode):
    choices = [
        hold_out(_index(make_episode, range(200), **change), 0.5).tolist()
        for change in ({}, {"task": "stack_three"}, {"seeds": {"seed": 1}}, {"seeds": {}})
    ] + [hold_out(_index(make_episode, range(200)), 0.5, seed=1).tolist()]
    assert all(sum(choice) == 100 for choice in choices)
    for one, other in itertools.combinations(choices, 2):
        # Independent halves agree on half; five standard deviations of that.
        assert abs(np.equal(one, other).sum() - 100) < 5 * np.sqrt(50)


@pytest.mark.parametrize(("scenes", "fraction", "held"), [(10, 0.05, 1), (10, 0.0, 0), (1, 0.5, 0), (2, 0.9, 1)])
def test_small_stores_keep_something_on_both_sides(make_episode, scenes, fraction, held):
    assert hold_out(_index(make_episode, range(scenes)), fraction).sum() == held
