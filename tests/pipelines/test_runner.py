"""Rollouts of an untrained policy under every kind of execution: what is carried out, what is held, what is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful import InputError, JobError
from pipelines.evaluations import read_evaluation
from pipelines.runner import Condition, Rollout, RolloutConfig
from policies.policy import Policy
from scenes.domains import get_domain
from scenes.workspace import build_workspace
from sim.panda import PANDA
from tests.pipelines.tiny_policy import TASK, evaluate, policy_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return policy_run(tmp_path_factory.mktemp("policy"))


def rows_of(run: Path, out: Path, *overrides: str, **changes: Any) -> list[dict[str, Any]]:
    evaluate(run, out, *overrides, **changes)
    return read_evaluation(out).rows


def test_control_that_never_waits_equals_waiting_where_decisions_take_no_time(trained: Path, tmp_path: Path) -> None:
    waited = rows_of(trained, tmp_path / "a")
    went_on = rows_of(trained, tmp_path / "b", "execution=asynchronous")
    assert [row["digest"] for row in waited] == [row["digest"] for row in went_on]
    assert all(row[name] == 0 for row in waited for name in row if name.startswith("held_"))


def test_what_a_decision_takes_is_waited_for_at_each_look_or_once(trained: Path, tmp_path: Path) -> None:
    given = ("delay=4", "execute=8")
    (waited,) = rows_of(trained, tmp_path / "a", *given, episodes=1)
    (went_on,) = rows_of(trained, tmp_path / "b", *given, "execution=asynchronous", episodes=1)
    cycles, rest = divmod(waited["steps"], 12)
    assert waited["held_waiting"] == 4 * cycles + min(rest, 4)
    assert went_on["held_waiting"] == 4
    assert waited["digest"] != went_on["digest"]


def test_asynchronous_rollouts_do_not_depend_on_the_batch(trained: Path, tmp_path: Path) -> None:
    given = ("execution=asynchronous", "delay=3", "execute=8", "blend=2", "acceleration=6")
    together = rows_of(trained, tmp_path / "a", *given)
    alone = rows_of(trained, tmp_path / "b", *given, "batch=1")
    assert together == alone


def test_a_chunk_that_is_stale_is_not_carried_out_and_the_result_says_so(trained: Path, tmp_path: Path) -> None:
    result = evaluate(trained, tmp_path, "execute=8", "stale=6", episodes=1)
    (row,) = read_evaluation(tmp_path).rows
    cycles, rest = divmod(row["steps"], 8)
    assert row["held_stale"] == 2 * cycles + max(rest - 6, 0)
    (found,) = result["results"]
    assert found["control"]["held_stale"] == row["held_stale"]
    assert found["control"]["steps"] == row["steps"]
    (note,) = [note for note in read_evaluation(tmp_path).notes if "held" in note]
    assert note == (
        f"in sim the arm was held in {row['held_stale']} of {row['steps']} control steps: stale {row['held_stale']}"
    )


def rollout(run: Path, **config: Any) -> Rollout:
    condition = Condition(build_workspace(TASK), get_domain("sim"), "sim")
    return Rollout(condition, Policy.load(run), [0, 1], 0, RolloutConfig(threads=1, execute=16, **config))


def test_numbers_that_are_not_finite_hold_one_arm_and_leave_the_other_alone(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = rollout(trained).run()
    broken = rollout(trained)
    decide, calls = broken._decide, []

    def spoil(ids: np.ndarray, *rest: Any) -> np.ndarray:
        chunk = decide(ids, *rest)
        calls.append(list(ids))
        if 32 <= len(broken.states[0]) < 40:
            chunk[list(ids).index(0), 3, 2] = np.nan
        return chunk

    monkeypatch.setattr(broken, "_decide", spoil)
    found = broken.run()
    assert [row["held_not_finite"] for row in found] == [8, 0]
    assert found[1] == good[1]
    # It asks again at each step until there is something to carry out.
    assert calls.count([0]) >= 7
    states = np.array(broken.states[0])
    assert np.isfinite(states).all()


def test_a_policy_that_looks_back_is_shown_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = rollout(policy_run(tmp_path, 0, "model.history=2", "model.history_stride=3"))
    act, seen = one.policy.act, []

    def watch(images: dict[str, np.ndarray], proprio: np.ndarray, *rest: Any) -> np.ndarray:
        seen.append((len(one.states[0]), images["front"][0], proprio[0], rest[-1][0]))
        return act(images, proprio, *rest)

    monkeypatch.setattr(one.policy, "act", watch)
    one.run()
    (start, first, state, mask), (later, second, moved, known) = seen[:2]
    assert (start, mask.tolist(), known.tolist()) == (0, [False, True], [True, True])
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(state[0], state[1])
    assert later == 16
    joints = one.workspace.embodiment.chain.joint_count()
    np.testing.assert_allclose(moved[0, :joints], one._measured[0][13][:-1].astype(np.float32))
    assert np.abs(moved[0] - moved[1]).max() > 0
    # The older image is that of the state then.
    assert np.abs(second[0].astype(int) - second[1]).max() > 0
    assert np.abs(second[0].astype(int) - first[1]).max() > 0


def test_guidance_needs_a_domain_that_the_policy_knows(trained: Path, tmp_path: Path) -> None:
    result = evaluate(trained, tmp_path / "sim", "guidance=2", episodes=1)
    assert result["results"][0]["episodes"] == 1
    with pytest.raises(InputError, match=r"not told 'twin/.*'; it knows: sim"):
        evaluate(trained, tmp_path / "twin", "guidance=2", episodes=1, domains=["twin/dev-0"])
    with pytest.raises(InputError, match="it is not told 'sim'"):
        evaluate(trained, tmp_path / "untold", "guidance=2", "tell_domain=false", episodes=1)


def test_what_is_sent_keeps_the_robots_limits(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sent_under(**config: Any) -> tuple[np.ndarray, int]:
        one = rollout(trained, **config)
        step, sent = one.sim.step, []

        def record(ids: np.ndarray, action: np.ndarray) -> None:
            sent.append(action[0, :-1].copy())
            step(ids, action)

        # An untrained policy asks for next to nothing: let it ask for a leap.
        monkeypatch.setattr(one, "_decide", lambda ids, *_: np.full((len(ids), 16, 8), 0.5) + np.eye(8)[1] * 3)
        monkeypatch.setattr(one.sim, "step", record)
        rows = one.run()
        return np.array(sent[:20]), rows[0]["clipped"]

    free, none = sent_under(limits=False)
    assert none == 0
    assert (free > PANDA.chain.upper).any()
    kept, clipped = sent_under(acceleration=8.0)
    assert clipped > 0
    assert ((kept >= PANDA.chain.lower) & (kept <= PANDA.chain.upper)).all()
    speed = np.diff(kept, axis=0) * 20
    assert (np.abs(speed) <= PANDA.chain.max_speed + 1e-6).all()
    assert (np.abs(np.diff(speed, axis=0)) * 20 <= 8.0 + 1e-6).all()


def test_an_exception_of_the_policy_ends_the_evaluation(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In simulation nobody is in danger, and a rate of a policy that fails would mean nothing."""

    def fail(*_: Any, **__: Any) -> np.ndarray:
        raise JobError("no")

    one = rollout(trained)
    monkeypatch.setattr(one.policy, "act", fail)
    with pytest.raises(JobError, match="no"):
        one.run()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("execution=asynchron", r"unknown value of 'execution': 'asynchron'.*Did you mean 'asynchronous'"),
        ("delay=-1", "delay must not be negative, got -1"),
        ("execute=17", "execute must be at least 1 and at most the chunk's 16 actions, got 17"),
        ("blend=2", "blend needs execution=asynchronous"),
        ("acceleration=-1", "acceleration must not be negative, got -1"),
    ],
)
def test_execution_that_is_none_is_refused_before_anything_is_lost(
    trained: Path, tmp_path: Path, override: str, message: str
) -> None:
    kept = tmp_path / "episodes.jsonl"
    kept.write_text("rollouts of an earlier sitting")
    with pytest.raises(InputError, match=message):
        evaluate(trained, tmp_path, override, episodes=1)
    assert kept.read_text() == "rollouts of an earlier sitting"


def test_chunks_that_run_out_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a chunk of 16 actions runs out .* every 16 actions and a decision takes 1"):
        evaluate(trained, tmp_path, "execution=asynchronous", "delay=1")
    with pytest.raises(InputError, match=r"acceleration is one of the limits; it needs limits=true"):
        evaluate(trained, tmp_path, "acceleration=2", "limits=false")
    assert not list(tmp_path.iterdir())
