"""Two policies in the same scenes until it is decided: planted outcomes, and two that know nothing."""

import json
from pathlib import Path

import pytest

from handful import InputError
from pipelines import duel, rollouts
from pipelines.compare import run as compare
from pipelines.progress import Reporter
from tests.pipelines.tiny_policy import TASK, policy_run


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [policy_run(tmp_path_factory.mktemp("policy"), seed) for seed in (0, 1)]


class Planted:
    """Stands in for rollouts: scene i of policy A or B ends as planned; counts how many were made."""

    made: int = 0

    def __init__(self, condition, policy, indices, seed, config) -> None:
        self.world = condition.domain.world
        self.indices, self.second = indices, policy.record["config"]["seed"] == 1
        Planted.made += len(indices)

    def run(self) -> list[dict]:
        return [
            {
                "domain": "sim",
                "world": self.world,
                "task": TASK,
                "seed": 0,
                "scene": i,
                "outcome": "success" if (i % 4 == 0 if self.second else True) else "timed_out",
                "asked": "cube_1",
                "stage": 0,
            }
            for i in self.indices
        ]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> type[Planted]:
    monkeypatch.setattr(rollouts, "Rollout", Planted)
    monkeypatch.setattr(rollouts, "save_videos", lambda *_: None)
    Planted.made = 0
    return Planted


def fight(policies: list[Path], out: Path, *overrides: str, episodes: int = 100, **more: object) -> dict:
    progress = Reporter(quiet=True)
    return duel.run(*policies, TASK, ["sim"], episodes, out, 0, ["threads=1", *overrides], progress, **more)


def test_it_stops_once_it_is_decided_whatever_the_batch(policies, planted, tmp_path) -> None:
    found = {batch: fight(policies, tmp_path / str(batch), f"batch={batch}") for batch in (1, 5)}
    one = found[1]["decisions"][0]
    assert one == found[5]["decisions"][0]
    # A alone wins scenes 1, 2, 3, 5, ...; nothing is learnt from every fourth.
    assert one["verdict"] == "a"
    assert one["a_alone"] == one["pairs"] - -(-one["pairs"] // 4)
    assert one["p_value"] <= 0.05
    # No rollout after the decision, but for those of its batch.
    assert [row["episodes"] for row in found[1]["results"]] == [one["pairs"]]
    assert found[5]["results"][0]["episodes"] == 5 * -(-one["pairs"] // 5)


def test_a_duel_that_was_stopped_goes_on(policies, planted, tmp_path) -> None:
    whole = fight(policies, tmp_path / "whole", "batch=1")
    fight(policies, tmp_path / "part", "batch=1", episodes=4)
    before = planted.made
    assert fight(policies, tmp_path / "part", "batch=1") == whole
    assert planted.made - before == 2 * (whole["decisions"][0]["pairs"] - 4)


def test_comparing_what_was_stopped_says_so(policies, planted, tmp_path) -> None:
    fight(policies, tmp_path)
    flags = compare([tmp_path / "a", tmp_path / "b"])["flags"]
    assert [flag.split(" ended")[0] for flag in flags if "as soon as a comparison was decided" in flag] == [
        "a in sim",
        "b in sim",
    ]


def test_an_undecided_duel_ends(policies, planted, tmp_path) -> None:
    decision = fight(policies, tmp_path, episodes=4)["decisions"][0]
    assert (decision["verdict"], decision["pairs"], decision["most"]) == ("undecided", 4, 4)
    assert json.loads((tmp_path / "a" / "results.json").read_text())["stopped"] == []


def test_each_domain_has_its_share_of_the_error(policies, tmp_path) -> None:
    found = duel.run(
        *policies, TASK, ["sim", "none"], 1, tmp_path, 0, ["threads=1", "execute=16", "videos=0"], Reporter(quiet=True)
    )
    assert [(row["domain"], row["alpha"], row["pairs"]) for row in found["decisions"]] == [
        ("sim", 0.025, 1),
        ("none", 0.025, 1),
    ]
    # Two policies, the same worlds, other motions.
    tables = [[json.loads(line) for line in (tmp_path / x / "episodes.jsonl").read_text().splitlines()] for x in "ab"]
    for one, other in zip(tables[0][1:], tables[1][1:], strict=True):
        assert one["instruction"] == other["instruction"]
        assert one["digest"] != other["digest"]


def test_a_policy_against_itself_is_refused(policies, tmp_path) -> None:
    with pytest.raises(InputError, match="are the same policy; compare two"):
        fight([policies[0], policies[0]], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_alpha_of_nothing_is_refused(policies, tmp_path) -> None:
    with pytest.raises(InputError, match="alpha must lie between 0 and 1"):
        fight(policies, tmp_path, alpha=0.0)
