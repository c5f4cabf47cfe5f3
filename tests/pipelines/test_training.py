"""`handful train`: what reaches the training loop, and what is refused before it."""

from types import SimpleNamespace

import pytest

from handful import InputError
from pipelines import training
from pipelines.progress import Reporter
from tests.pipelines.tiny_policy import policy_run

QUIET = Reporter(quiet=True)


@pytest.fixture
def loop(monkeypatch):
    """Stands in for the training loop and notes what it was given."""
    given = {}

    def train(config, sources, out, show, evaluation, base):
        given.update(config=config, sources=sources, out=out, evaluation=evaluation, base=base)
        show(SimpleNamespace(fraction=0.5, step=7, loss=0.25))
        return SimpleNamespace(steps=7, seconds=1.5, loss=0.25, validation={"a": 0.5}, checkpoint="run/checkpoint")

    monkeypatch.setattr(training, "train", train)
    return given


def test_stores_weights_budget_and_overrides_reach_the_loop(tmp_path, loop):
    (tmp_path / "a").mkdir()
    result = training.run([f"{tmp_path}/a:3"], "run", "tiny", 0.5, ["seed=4"], QUIET)
    assert result == {
        "steps": 7,
        "seconds": 1.5,
        "loss": 0.25,
        "validation": {"a": 0.5},
        "checkpoint": "run/checkpoint",
    }
    assert (loop["config"].minutes, loop["config"].seed, loop["sources"][0].weight) == (0.5, 4, 3.0)


def test_without_minutes_the_presets_own_budget_holds(loop):
    training.run(["a"], "run", "tiny", None, ["minutes=2"], QUIET)
    assert loop["config"].minutes == 2.0


@pytest.mark.parametrize(
    ("data", "preset", "overrides", "message"),
    [
        (["a:0"], "tiny", [], "the weight of 'a' must be a positive number, got 0"),
        (["a"], "tniy", [], "unknown policy preset 'tniy'.*Did you mean 'tiny'"),
        (["a"], "tiny", ["lerning_rate=1"], "unknown configuration key 'lerning_rate'.*Did you mean 'learning_rate'"),
        (["a"], "tiny", ["batch_size=0"], "batch_size must be at least 1, got 0"),
    ],
)
@pytest.mark.usefixtures("loop")
def test_bad_input_is_refused(data, preset, overrides, message):
    with pytest.raises(InputError, match=message):
        training.run(data, "run", preset, None, overrides, QUIET)


@pytest.fixture
def run(tmp_path):
    return policy_run(tmp_path)


def test_fine_tuning_takes_the_settings_of_the_run_it_starts_from(run, loop):
    training.run(["a"], "run", None, None, ["steps=7", "freeze=[prefix]"], QUIET, base=run)
    config = loop["config"]
    assert (config.batch_size, config.steps, config.freeze, config.minutes) == (4, 7, ("prefix",), None)
    assert loop["base"].record["step"] == 2
    with pytest.raises(InputError, match="--from takes the settings of the run it starts from; leave out --preset"):
        training.run(["a"], "run", "small", None, [], QUIET, base=run)
    with pytest.raises(InputError, match="holds no checkpoint to start from; --from takes a run folder"):
        training.run(["a"], "run", None, None, [], QUIET, base=run.parent / "data")
