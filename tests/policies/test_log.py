"""The log of a run, and who else is told."""

import sys
from types import SimpleNamespace

import pytest

from handful import InputError
from policies.log import require_log, training_log
from tests.policies.test_train import make_trainer


def test_wandb_is_told_only_when_asked_and_goes_on_where_it_was(tmp_path, monkeypatch):
    told: list = []
    fake = SimpleNamespace(
        init=lambda **given: told.append(given),
        log=lambda line, step: told.append((step, line)),
        finish=lambda: told.append("finished"),
        __spec__=SimpleNamespace(),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)  # type: ignore[arg-type]
    with training_log(tmp_path / "run", 0) as log:
        log({"step": 1, "loss": 2.0})
    assert told == []
    with training_log(tmp_path / "run", 1, "wandb") as log:
        log({"step": 2, "loss": 1.0, "validation": {"a": 0.5}})
    begun, line, finished = told
    assert (begun["name"], begun["resume"], begun["dir"]) == ("run", "allow", str(tmp_path / "run"))
    assert line == (2, {"loss": 1.0, "validation": {"a": 0.5}})
    assert finished == "finished"
    with training_log(tmp_path / "run", 2, "wandb"):
        pass
    assert told[3]["id"] == begun["id"]


def test_wandb_that_is_not_installed_is_refused_before_anything_is_done(episodes, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="log=wandb needs the package wandb, which is not installed here"):
        require_log("wandb")
    with pytest.raises(InputError, match="log=wandb needs the package wandb"):
        make_trainer(episodes, tmp_path / "run", "log=wandb")
    assert not (tmp_path / "run").exists()
