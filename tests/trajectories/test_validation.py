"""Content held against the table of rules, episode after episode."""

from pathlib import Path

import numpy as np
import pytest

from handful import JobError
from trajectories import Store
from trajectories.recording import JointLimits, Thresholds
from trajectories.rules import RULES
from trajectories.validation import validate_content

DEMOS = Path(__file__).resolve().parents[2] / "demos"
# Of the rules that noise for joints and poses keeps.
QUIET = Thresholds(speed=1e9, lag=1e9)


def by_name(results):
    return {result.rule.name: result for result in results}


@pytest.mark.parametrize("task", ["lift", "stack_three"])
def test_the_bundled_demos_break_no_rule(task):
    limits = {"panda": JointLimits(np.full(7, -3.0), np.full(7, 3.8), np.full(7, 2.2))}
    results = validate_content(Store.open(DEMOS / task), limits)
    assert {r.rule.name: r.episodes for r in results if r.episodes} == {}
    looked = {r.rule.name for r in results if r.checked == 10}
    assert looked == {rule.name for rule in RULES} - {"blank_images", "frozen_images"}


def test_each_rule_says_how_many_it_looked_at_and_what_it_found(tmp_path, make_episode, make_store):
    episodes = [make_episode(i) for i in range(5)]
    episodes[1].arrays["subtask"][-1] = 0
    episodes[3].arrays["subtask"][5] = 3
    results = validate_content(make_store(tmp_path / "s", [episodes[:2], episodes[2:]]), thresholds=QUIET)
    assert [result.rule for result in results] == list(RULES)
    found = by_name(results)["subtask_order"]
    assert (found.checked, found.episodes) == (5, [1, 3])
    assert [str(example) for example in found.examples] == [
        "episode 1 'subtask' at step 22: it goes from 1 to 0",
        "episode 3 'subtask' at step 6: it goes from 3 to 0",
    ]
    assert found.to_json() == {
        "rule": "subtask_order",
        "severity": "error",
        "checked": 5,
        "episodes": [1, 3],
        "examples": [
            {"episode": 1, "key": "subtask", "step": 22, "steps": 1, "detail": "it goes from 1 to 0"},
            {"episode": 3, "key": "subtask", "step": 6, "steps": 1, "detail": "it goes from 3 to 0"},
        ],
    }
    assert by_name(results)["joint_limits"].checked == 0
    assert by_name(results)["source_steps"].checked == 0


def test_few_examples_are_kept_of_many_findings(tmp_path, make_episode, make_store):
    episodes = [make_episode(i) for i in range(6)]
    for episode in episodes:
        episode.arrays["subtask"][-1] = 0
    found = by_name(validate_content(make_store(tmp_path / "s", [episodes]), thresholds=QUIET, examples=2))
    assert found["subtask_order"].episodes == list(range(6))
    assert len(found["subtask_order"].examples) == 2


def test_an_episode_stored_twice_is_found_wherever_it_lies(tmp_path, make_episode, make_store):
    store = make_store(tmp_path / "s", [[make_episode(0), make_episode(1)], [make_episode(2), make_episode(0)]])
    found = by_name(validate_content(store, thresholds=QUIET))["duplicate"]
    assert (found.checked, found.episodes) == (4, [3])
    assert found.examples[0].detail == "it repeats episode 0"


def test_images_are_looked_at_in_runs(tmp_path, make_episode, make_store, monkeypatch):
    """One camera goes dark for a second, the other repeats one image while the arm moves."""
    episode = make_episode(0, steps=80)
    episode.arrays["images/front"][30:50] = 3
    episode.arrays["images/wrist"][41:70] = episode.arrays["images/wrist"][40]
    store = make_store(tmp_path / "s", [[episode]])
    monkeypatch.setattr("trajectories.validation._IMAGE_BYTES", 1)
    found = by_name(validate_content(store, thresholds=QUIET))
    (blank,) = found["blank_images"].examples
    assert (blank.key, blank.step, blank.steps) == ("images/front", 30, 20)
    (frozen,) = found["frozen_images"].examples
    assert (frozen.key, frozen.step, frozen.steps) == ("images/wrist", 41, 29)


def test_progress_counts_episodes(tmp_path, make_episode, make_store):
    done: list[int] = []
    validate_content(make_store(tmp_path / "s", [[make_episode(i) for i in range(3)]]), progress=done.append)
    assert done == [1, 2, 3]


def test_damage_is_an_error_not_a_finding(tmp_path, make_episode, make_store):
    store = make_store(tmp_path / "s", [[make_episode(0)]])
    shard = next((store.path / "parts").rglob("subtask/c*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(JobError, match="subtask"):
        validate_content(Store.open(store.path))
