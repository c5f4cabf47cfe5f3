"""Evaluations in training, and which checkpoint becomes the policy."""

import os
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from handful import InputError, JobError
from policies import checkpoint
from policies.candidates import Evaluation, Rate, best_step, candidate
from policies.policy import Policy
from tests.policies.test_train import log_lines, make_trainer

# Successes at steps 2, 4, 6 and 8.
CURVE = {2: 1, 4: 3, 6: 3, 8: 2}


def measured(seen: list[int] | None = None, stop_at: int = 0) -> Evaluation:
    def evaluate(policy, step):
        if seen is not None:
            seen.append(step)
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return {"lift": Rate(CURVE[step], 4)}

    return Evaluation(evaluate, ("lift 4",))


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("c*-0*"))


def test_the_best_is_the_highest_mean_rate_and_the_latest_of_equals():
    found = [candidate(s, {"a": Rate(n, 4), "b": Rate(1, 2)}) for s, n in CURVE.items()]
    assert found[1]["mean_rate"] == (0.75 + 0.5) / 2
    assert best_step(found) == 6
    assert best_step([]) is None


def test_the_chosen_checkpoint_is_the_policy_and_the_last_one_stays(episodes, tmp_path):
    settings = ("checkpoints=4", "choose=best")
    result = make_trainer(episodes, tmp_path, *settings, evaluation=measured()).run()
    assert names(tmp_path) == ["checkpoint-00000008", "chosen-00000006"]
    assert result.checkpoint.name == "chosen-00000006"
    record = checkpoint.read_record(result.checkpoint)
    assert record["choice"]["step"] == 6
    assert [c["results"]["lift"]["successes"] for c in record["choice"]["candidates"]] == [1, 3, 3, 2]
    policy = Policy.load(tmp_path).network.state_dict()
    kept = load_file(result.checkpoint / "ema.safetensors")
    assert all((policy[name] == value).all() for name, value in kept.items())
    again = make_trainer(episodes, tmp_path, *settings, evaluation=measured()).run()
    assert again.checkpoint == result.checkpoint


def test_the_last_is_the_policy_unless_the_best_is_asked_for(episodes, tmp_path):
    seen: list[int] = []
    settings = ("checkpoints=4", "evaluate_every=2")
    result = make_trainer(episodes, tmp_path, *settings, evaluation=measured(seen)).run()
    assert seen == [4, 8]
    assert names(tmp_path) == ["checkpoint-00000008"]
    choice = checkpoint.read_record(result.checkpoint)["choice"]
    assert (choice["rule"], choice["step"], len(choice["candidates"])) == ("last", 8, 2)
    assert [x["evaluation"]["lift"] for x in log_lines(tmp_path) if "evaluation" in x] == [0.75, 0.5]


def test_an_interrupted_run_chooses_as_an_undisturbed_one(episodes, tmp_path):
    settings = ("checkpoints=4", "choose=best", "steps=8")
    whole = make_trainer(episodes, tmp_path / "whole", *settings, evaluation=measured()).run()
    with pytest.raises(JobError, match="interrupted"):
        make_trainer(episodes, tmp_path / "parts", *settings, evaluation=measured(stop_at=4)).run()
    assert "chosen-00000004" in names(tmp_path / "parts")
    # What a run that was cut off chose after its last checkpoint does not count.
    (tmp_path / "parts" / "chosen-00000007").mkdir()
    resumed = make_trainer(episodes, tmp_path / "parts", *settings, evaluation=measured()).run()
    assert names(tmp_path / "parts") == names(tmp_path / "whole")
    one, two = (result.checkpoint / "ema.safetensors" for result in (whole, resumed))
    assert one.read_bytes() == two.read_bytes()


def test_choosing_needs_something_to_choose_by_and_the_same_to_the_end(episodes, tmp_path):
    with pytest.raises(InputError, match="choose=best needs something to choose by: give --evaluate TASK:DOMAIN"):
        make_trainer(episodes, tmp_path, "choose=best")
    settings = ("checkpoints=4", "choose=best")
    make_trainer(episodes, tmp_path, *settings, evaluation=measured()).run()
    other = Evaluation(measured().run, ("lift 9",))
    with pytest.raises(InputError, match=r"other settings \(evaluate: \['lift 4'\] -> \['lift 9'\]\)"):
        make_trainer(episodes, tmp_path, *settings, evaluation=other)
