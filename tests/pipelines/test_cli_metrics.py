"""What `handful evaluate` is asked for beside domains: another policy, or a suite."""

from pathlib import Path

import pytest

from handful import InputError
from pipelines import duel, robustness
from pipelines.cli import app
from pipelines.cli_metrics import check_evaluation

ASKED = [
    "evaluate",
    "runs/a",
    "--task",
    "lift",
    "--out",
    "out",
    "--episodes",
    "40",
    "--seed",
    "3",
    "--quiet",
    "batch=8",
]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, None, None, "mild"), "--severity is of a suite; add --suite robustness"),
        ((None, None, "robust", None), "unknown suite 'robust'.*robustness"),
        ((["sim"], None, "robustness", None), "brings its own conditions; leave --domain out"),
        ((None, Path("b"), "robustness", None), "brings its own conditions; leave --against out"),
    ],
)
def test_options_that_do_not_go_together(given: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_evaluation(*given)


@pytest.mark.parametrize("given", [(None, None, None, None), (["sim"], Path("b"), None, None)])
def test_options_that_do(given: tuple) -> None:
    check_evaluation(*given)


def called(monkeypatch: pytest.MonkeyPatch, job: object, words: list[str]) -> dict:
    """What a job is called with by the command line, before it does anything."""
    found: dict = {}

    def run(**given: object) -> None:
        found.update(given)
        raise InputError("noted")

    monkeypatch.setattr(job, "run", run)
    with pytest.raises(InputError, match="noted"):
        app([*ASKED, *words], standalone_mode=False)
    del found["progress"]
    return found


GIVEN = {"run": Path("runs/a"), "task": "lift", "out": Path("out"), "episodes": 40, "seed": 3, "embodiment": "panda"}


def test_another_policy_is_met_in_the_same_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = called(monkeypatch, duel, ["--against", "runs/b", "--domain", "sim", "twin/dev-0"])
    assert found == {
        **GIVEN,
        "overrides": ["batch=8"],
        "against": Path("runs/b"),
        "domains": ["sim", "twin/dev-0"],
    }


def test_a_suite_has_a_severity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert called(monkeypatch, robustness, ["--suite", "robustness"])["severity"] == "medium"
    found = called(monkeypatch, robustness, ["--suite", "robustness", "--severity", "mild"])
    assert found == {**GIVEN, "overrides": ["batch=8"], "severity": "mild"}
