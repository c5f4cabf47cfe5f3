"""The benchmark of one policy for several robots: which rates it pairs, and what it says before there is anything."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import robots
from handful import InputError

# Policy and robot -> scenes of 100 in which it succeeds.
SUCCEEDS = {
    ("shared", "panda"): range(10, 100),
    ("panda", "panda"): range(80),
    ("shared", "ur5e"): range(60),
    ("ur5e", "ur5e"): range(70),
}


def _read(folder: Path) -> SimpleNamespace:
    won = SUCCEEDS[folder.parent.name, folder.name.removeprefix("evaluation-")]
    # Tables are in the order in which rollouts ended.
    scenes = range(100) if folder.parent.name == "shared" else range(99, -1, -1)
    return SimpleNamespace(successes=lambda domain: {scene: domain == "sim" and scene in won for scene in scenes})


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robots, "read_evaluation", _read)
    monkeypatch.setattr(robots, "_make", lambda *_: None)


def _finished(folder: Path, policy: str, robot: str) -> None:
    results = robots._met(folder, policy, robot)
    results.parent.mkdir(parents=True)
    results.touch()


def test_both_rates_of_a_robot_and_what_sharing_gains_scene_by_scene(tmp_path: Path) -> None:
    for policy, robot in SUCCEEDS:
        _finished(tmp_path, policy, robot)
    found = robots.measure(True, tmp_path)
    assert (found["value"], found["limit"]) == pytest.approx((0.75, 0.75))
    panda, ur5e = found["robots"]["panda"], found["robots"]["ur5e"]
    assert (panda["shared"]["successes"], panda["own"]["successes"]) == (90, 80)
    assert panda["gain"] == pytest.approx(0.1)
    assert panda["gain_ci"][0] < 0.1 < panda["gain_ci"][1]
    # 20 scenes won and 10 lost: P(X <= 10) twice, X binomial of 30 and one half.
    assert panda["p"] == pytest.approx(2 * sum(math.comb(30, k) for k in range(11)) / 2**30)
    assert ur5e["gain"] == pytest.approx(-0.1)
    assert ur5e["gain_ci"][1] < 0


def test_a_robot_without_both_policies_counts_for_neither(tmp_path: Path) -> None:
    _finished(tmp_path, "shared", "panda")
    found = robots.measure(True, tmp_path)
    assert found["robots"] == {}
    assert math.isnan(found["value"])
    assert math.isnan(found["limit"])
    _finished(tmp_path, "panda", "panda")
    assert set(robots.measure(True, tmp_path)["robots"]) == {"panda"}


def test_an_unknown_policy_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match="jaco, panda, shared, ur5e"):
        robots.measure(True, policies=["r2d2"])
