from pathlib import Path

import numpy as np
import pytest
import torch

from handful import InputError, JobError
from policies import checkpoint
from policies.config import load_config
from policies.finetune import Base
from policies.policy import Policy
from policies.samples import Preparer
from policies.train import Trainer
from tests.policies.test_train import make_trainer
from tests.policies.toy_world import ToyBlend


@pytest.fixture(scope="module")
def run(episodes, tmp_path_factory) -> Path:
    """A run to start from: the toy robot, "lift", in sim."""
    out = tmp_path_factory.mktemp("base")
    make_trainer(episodes, out, "steps=4").run()
    return out


def tune(run: Path, episodes, out: Path, *overrides: str, **data) -> Trainer:
    """A trainer that starts from the run, with other data."""
    base = Base.load(run)
    config = load_config(overrides=["steps=4", *overrides], base=base.record["config"])
    return Trainer(config, ToyBlend(episodes, 13, path="new", **data), out, base=base)  # type: ignore[arg-type]


def weights(network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_it_starts_from_the_averaged_weights(run, episodes, tmp_path):
    start = tune(run, episodes, tmp_path)
    given = Base.load(run).weights
    for state in (start.network.state_dict(), start.state.average.state_dict()):
        assert all(torch.equal(state[name], value) for name, value in given.items())
    assert start.state.counters.step == 0
    assert start.state.record["base"]["step"] == 4
    assert start.validate()["new"] == pytest.approx(Trainer.validate(make_trainer(episodes, run, "steps=4"))["toy"])


def test_new_words_and_domains_get_new_rows_after_the_old_ones(run, episodes, tmp_path):
    trainer = tune(run, episodes, tmp_path, verb="grab", domain="real/kitchen")
    old, new = Preparer.from_json(Base.load(run).record), trainer.preparer
    assert new.vocabulary.words == (*old.vocabulary.words, "grab")
    assert new.domains == ("sim", "real/kitchen")
    given, table = Base.load(run).weights["prefix.word.weight"], trainer.network.state_dict()["prefix.word.weight"]
    assert len(table) == len(given) + 1
    table = table.clone()
    assert torch.equal(table[:-1], given)
    trainer.run()
    assert (trainer.network.state_dict()["prefix.word.weight"][-1] != table[-1]).any()
    assert not Policy.load(tmp_path).unknown_words("lift grab red")


def test_a_new_robot_gets_layers_and_statistics_of_its_own(run, episodes, tmp_path):
    trainer = tune(run, episodes, tmp_path, robot="other")
    assert list(trainer.preparer.normalisers) == ["toy", "other"]
    before = weights(trainer.network)
    trainer.run()
    after = weights(trainer.network)
    moved = {name for name in before if ".other." in name and not torch.equal(before[name], after[name])}
    assert any("proprio_in" in name for name in moved)
    assert any("action_out" in name for name in moved)
    policy = Policy.load(tmp_path)
    assert list(policy.preparer.normalisers) == ["toy", "other"]


def test_statistics_are_kept_and_targets_allowed_where_the_new_data_has_some(run, episodes, tmp_path):
    shifted = [{**e, "action": e["action"] + np.float32([1, 0, 0, 0])} for e in episodes]
    old = Preparer.from_json(Base.load(run).record).normalisers["toy"]
    kept = tune(run, shifted, tmp_path / "a").preparer.normalisers["toy"]
    np.testing.assert_array_equal(kept.action_mean, old.action_mean)
    assert kept.highest[0] > old.highest[0] + 0.9
    assert kept.lowest[0] == old.lowest[0]
    fitted = tune(run, shifted, tmp_path / "b", "base_statistics=refit").preparer.normalisers["toy"]
    assert fitted.action_mean[0, 0] > old.action_mean[0, 0] + 0.9
    with pytest.raises(InputError, match=r"normalisation is 'per_domain', and the statistics of .* are by 'union'"):
        tune(run, shifted, tmp_path / "c", "normalisation=per_domain")


@pytest.mark.parametrize("name", ["prefix", "eyes", "expert.blocks"])
def test_frozen_modules_keep_their_weights(run, episodes, tmp_path, name):
    trainer = tune(run, episodes, tmp_path, f"freeze=[{name}]")
    before = weights(trainer.network)
    trainer.run()
    after, average = weights(trainer.network), weights(trainer.state.average)
    path = {"eyes": "prefix.eyes"}.get(name, name) + "."
    for key, value in before.items():
        if key.startswith(path):
            assert torch.equal(value, after[key]), key
            torch.testing.assert_close(value, average[key])
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_what_cannot_be_frozen_is_refused(run, episodes, tmp_path):
    with pytest.raises(InputError, match=r"unknown module to freeze 'prefx'; there is: .*Did you mean 'prefix'"):
        tune(run, episodes, tmp_path, "freeze=[prefx]")
    with pytest.raises(InputError, match=r"'prefix.word.weight' is frozen, and the data has new words"):
        tune(run, episodes, tmp_path, "freeze=[prefix]", verb="grab")
    with pytest.raises(InputError, match="is frozen, and the data has new robots"):
        tune(run, episodes, tmp_path, "freeze=[action_in]", robot="other")


def test_settings_that_decide_what_weights_mean_cannot_change(run, episodes, tmp_path):
    with pytest.raises(InputError, match=r"cannot be taken over with other settings \(model.width: 32 -> 64\)"):
        tune(run, episodes, tmp_path, "model.width=64")
    with pytest.raises(InputError, match="action_space: tool_delta -> joint_delta"):
        tune(run, episodes, tmp_path, "action_space=joint_delta")
    base = Base.load(run)
    config = load_config(base=base.record["config"])
    blend = ToyBlend(episodes, 13)
    blend.sources[0].control_rate = 10.0
    with pytest.raises(InputError, match="was trained at 20 Hz, and the data has 10 Hz"):
        Trainer(config, blend, tmp_path, base=base)  # type: ignore[arg-type]


def test_resuming_needs_the_same_start(run, episodes, tmp_path):
    tune(run, episodes, tmp_path / "a").run()
    assert tune(run, episodes, tmp_path / "a").state.counters.finished
    make_trainer(episodes, tmp_path / "other", "steps=4", "seed=1").run()
    with pytest.raises(InputError, match=r"other settings .*from: .*checkpoint-00000004 -> .*checkpoint-00000004"):
        tune(tmp_path / "other", episodes, tmp_path / "a", "seed=0")


def test_few_demos_are_enough(run, episodes, tmp_path):
    trainer = tune(run, episodes[:2], tmp_path, verb="grab")
    result = trainer.run()
    assert result.steps == 4
    assert list(result.validation) == ["new"]


def test_a_damaged_start_is_refused(run, episodes, tmp_path):
    make_trainer(episodes, tmp_path, "steps=4").run()
    path = checkpoint.latest(tmp_path)
    assert path is not None
    file = path / "ema.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(JobError, match=r"'.*ema.safetensors' is damaged: its digest is not the one"):
        Base.load(tmp_path)


def test_a_chain_of_fine_tuning_ends_where_it_should(run, episodes, tmp_path):
    tune(run, episodes, tmp_path / "a", verb="grab").run()
    last = tune(tmp_path / "a", episodes, tmp_path / "b", robot="other")
    assert last.preparer.vocabulary.words[-1] == "grab"
    assert last.state.record["base"]["checkpoint"].startswith(str(tmp_path / "a"))
