"""What a policy sees where cameras are late: in each scene of a batch, the frames of before."""

from typing import Any

import numpy as np
import pytest

from pipelines import runner
from pipelines.runner import Condition, Rollout, RolloutConfig
from policies.policy import Policy
from scenes.domains import SIM, Domain
from scenes.sensing import seen_steps
from scenes.workspace import build_workspace
from tests.pipelines.tiny_policy import TASK, policy_run

EXECUTE = 12
LATE = Domain("late", SIM.randomization.with_({"camera_latency": 0.12, "frame_drops": 0.2}))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return Policy.load(policy_run(tmp_path_factory.mktemp("policy")))


def shown(policy: Policy, domain: Domain, indices: list[int], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A rollout that is over, and the states that were drawn for it, in the order of looks."""
    drawn: list[np.ndarray] = []
    with monkeypatch.context() as patch:
        render = runner.FrameRenderer.render
        patch.setattr(
            runner.FrameRenderer,
            "render",
            lambda self, model, state, cameras: (drawn.append(state.copy()), render(self, model, state, cameras))[1],
        )
        rollout = Rollout(
            Condition(build_workspace(TASK), domain, "sim"),
            policy,
            indices,
            0,
            RolloutConfig(execute=EXECUTE, threads=1),
        )
        rollout.run()
    return rollout, drawn


def test_a_policy_sees_the_frames_of_before(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout, drawn = shown(policy, LATE, [3, 5], monkeypatch)
    looks = EXECUTE * np.arange(len(drawn) // 2)
    assert [len(states) > looks[-1] for states in rollout.states] == [True, True]
    whens = [seen_steps(scene.ledger, looks, 20.0) for scene in rollout.scenes]
    assert (whens[0] != whens[1]).any()
    for lane, when in enumerate(whens):
        assert (when[1:] < looks[1:] - 1).all()
        for state, step in zip(drawn[lane::2], when, strict=True):
            np.testing.assert_array_equal(state, rollout.states[lane][step])


def test_prompt_cameras_show_the_present(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout, drawn = shown(policy, SIM, [0], monkeypatch)
    for look, state in enumerate(drawn):
        np.testing.assert_array_equal(state, rollout.states[0][look * EXECUTE])
