"""Rollouts in the course of training: what is asked for, in which scenes, and what is refused before any work."""

import pytest

from handful import InputError
from pipelines import training
from pipelines.development import FIRST_SCENE, Measured, rollouts_in_training
from pipelines.progress import Reporter
from policies import checkpoint
from policies.candidates import Rate
from policies.config import load_config
from tests.pipelines.run_folder import make_store
from trajectories import Source

CONFIG = load_config("tiny")


@pytest.fixture
def sources(tmp_path) -> list[Source]:
    make_store(tmp_path / "data", episodes=4).seal(None)
    return [Source(str(tmp_path / "data"))]


def test_rollouts_are_counted_in_scenes_that_no_evaluation_meets(sources):
    asked = []

    def rollout(condition, policy, scenes):
        asked.append((condition.name, policy, scenes))
        return [{"outcome": "success" if scene % 4 else "timed_out"} for scene in scenes]

    evaluation = rollouts_in_training(["lift:sim:8", "lift:twin/dev-0:4:panda"], sources, CONFIG, rollout)
    assert evaluation.names == ("lift sim 8", "lift twin/dev-0 4")
    found = evaluation.run("the policy", 3)  # type: ignore[arg-type]
    assert found == {"lift sim": Rate(6, 8), "lift twin/dev-0": Rate(3, 4)}
    assert asked[1] == ("twin/dev-0", "the policy", list(range(FIRST_SCENE, FIRST_SCENE + 4)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lift:sim", r"--evaluate takes TASK:DOMAIN:EPISODES\[:ROBOT\], as in lift:twin/dev-0:50, got 'lift:sim'"),
        ("lift:sim:many", "--evaluate takes TASK:DOMAIN:EPISODES"),
        ("lift:sim:0", "--evaluate takes TASK:DOMAIN:EPISODES"),
        ("lift:twin/test-3:9", "'twin/test-3' is kept for evaluation alone: a policy that was chosen by it"),
    ],
)
def test_what_cannot_be_read_and_twins_of_the_test_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        Measured.parse(text)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["lft:sim:3"], "unknown task 'lft'.*Did you mean 'lift'"),
        (["lift:smi:3"], "unknown domain 'smi'"),
        (["lift:sim:3:ur5e"], "unknown robot in the data 'ur5e'; there is: panda"),
        (["lift:sim:3", "lift:sim:4"], "'lift sim' is evaluated twice"),
    ],
)
def test_what_the_policy_cannot_be_evaluated_in_is_refused(sources, texts, message):
    with pytest.raises(InputError, match=message):
        rollouts_in_training(texts, sources, CONFIG)


def test_a_policy_is_rolled_out_while_it_is_trained_and_the_best_is_kept(tmp_path, sources):
    settings = ["steps=1", "batch_size=4", "threads=1", "choose=best", "execute=16"]
    out = tmp_path / "run"
    told = training.run([sources[0].path], out, "tiny", None, settings, Reporter(quiet=True), ["lift:sim:1"])
    kept = checkpoint.of_policy(out)
    assert str(kept) == told["checkpoint"] == str(out / "chosen-00000001")
    assert checkpoint.latest(out) == out / "checkpoint-00000001"
    figures = {"lift sim": {"successes": 0, "episodes": 1}}
    candidates = [{"step": 1, "mean_rate": 0.0, "results": figures}]
    assert checkpoint.read_record(kept)["choice"] == {"rule": "best", "step": 1, "candidates": candidates}
