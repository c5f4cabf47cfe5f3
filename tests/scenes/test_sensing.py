"""Cameras that are late: which frame is seen when, and that environments and stored episodes agree on it."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import scenes  # noqa: F401  registers the environments
from scenes.domains import NONE, Domain
from scenes.sensing import seen_steps, sees_late

RATE = 20.0
STEPS = np.arange(4000)


def ledger(latency: float = 0.0, drops: float = 0.0, seed: int = 7) -> dict[str, Any]:
    return {"camera": {"camera_latency": latency, "frame_drops": drops}, "physics": {"jitter_seed": seed}}


@pytest.mark.parametrize("without", [{}, {"camera": {}}, ledger()], ids=["imported", "older", "nominal"])
def test_a_camera_that_is_not_late_shows_what_is(without: dict[str, Any]) -> None:
    assert not sees_late(without)
    np.testing.assert_array_equal(seen_steps(without, STEPS, RATE), STEPS)


def test_a_latency_of_whole_steps_shows_the_frame_of_so_many_steps_before() -> None:
    np.testing.assert_array_equal(seen_steps(ledger(0.1), np.arange(6), RATE), [0, 0, 0, 1, 2, 3])


@pytest.mark.parametrize("latency", [0.01, 0.033, 0.08, 0.15])
def test_frames_are_late_by_their_latency_on_average_and_time_never_runs_back(latency: float) -> None:
    seen = seen_steps(ledger(latency), STEPS, RATE)
    age = (STEPS - seen)[10:]
    assert age.mean() / RATE == pytest.approx(latency, abs=0.002)
    assert np.ptp(age) <= 1
    assert (np.diff(seen) >= 0).all()


def test_a_lost_frame_is_replaced_by_the_one_before() -> None:
    seen = seen_steps(ledger(drops=0.2), STEPS, RATE)
    assert np.mean(seen != STEPS) == pytest.approx(0.2, abs=0.02)
    lost = np.flatnonzero(seen != STEPS)
    np.testing.assert_array_equal(seen[lost], seen[lost - 1])
    assert seen[0] == 0


def test_which_frames_are_late_is_the_scenes_own_and_no_matter_when_it_is_asked() -> None:
    at_once = seen_steps(ledger(0.033, 0.1), STEPS[:60], RATE)
    one_by_one = [seen_steps(ledger(0.033, 0.1), np.array([step]), RATE)[0] for step in range(60)]
    np.testing.assert_array_equal(at_once, one_by_one)
    assert (at_once != seen_steps(ledger(0.033, 0.1, seed=8), STEPS[:60], RATE)).any()


LATE = Domain("late", NONE.randomization.with_({"camera_latency": 0.08, "frame_drops": 0.2}))
SHORT = 14


def waved(environment: Any, seed: int, lanes: int) -> list[dict[str, np.ndarray]]:
    """What is seen as the arm waves at the camera."""
    several = lanes > 1
    seen, _ = environment.reset(seed=seed)
    rows = [seen]
    for t in range(SHORT):
        target = np.append(np.asarray(seen["joint_position"]).reshape(-1, 7)[0] + 0.05 * np.sin(t), 1.0)
        action = np.append(target[:7] + 0.05 * np.eye(7)[0], 1.0)
        seen = environment.step(np.tile(action, (lanes, 1)) if several else action)[0]
        rows.append(seen)
    return rows


def test_an_environment_shows_the_frames_of_before_and_measures_now() -> None:
    shown = {}
    for name, domain in (("late", LATE), ("prompt", NONE)):
        environment = gymnasium.make("handful/Lift-v0", domain=domain, cameras=("front",), resolution=32)
        shown[name] = waved(environment, 0, 1)
        drawn = environment.unwrapped._stage.scenes[0].ledger
        environment.close()
        if name == "late":
            when = seen_steps(drawn, np.arange(SHORT + 1), RATE)
    assert (when < np.arange(SHORT + 1)).sum() > SHORT / 2
    for t, frame in enumerate(shown["late"]):
        np.testing.assert_array_equal(frame["images/front"], shown["prompt"][when[t]]["images/front"])
        np.testing.assert_array_equal(frame["joint_position"], shown["prompt"][t]["joint_position"])
    assert any((row["images/front"] != shown["prompt"][0]["images/front"]).any() for row in shown["prompt"])


def test_one_environment_and_many_see_the_same() -> None:
    alone = gymnasium.make("handful/Lift-v0", domain=LATE, cameras=("front",), resolution=32)
    many = gymnasium.make_vec("handful/Lift-v0", num_envs=2, domain=LATE, cameras=("front",), resolution=32)
    one, both = waved(alone, 5, 1), waved(many, 5, 2)
    for single, several in zip(one, both, strict=True):
        for key in ("images/front", "joint_position"):
            np.testing.assert_array_equal(single[key], several[key][0])
    alone.close()
    many.close()
