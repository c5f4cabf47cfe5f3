"""From tool poses to joint targets: the tool goes where the policy leads it."""

from typing import Any

import numpy as np

from pipelines.deciding import Decider, joint_limits
from sim.panda import PANDA

HORIZON = 16


class Sketch:
    """A policy that leads the tool along a line, 12 cm in a chunk, at the opening 0.3; row 1 is spoilt if asked to."""

    action_space = "tool_delta"
    horizon = HORIZON

    def __init__(self, way: float = 0.12, spoilt: bool = False) -> None:
        self.way, self.spoilt = way, spoilt

    def act(self, images: Any, proprio: np.ndarray, *_: Any, **__: Any) -> np.ndarray:
        tool = PANDA.chain.forward(proprio[:, :7].astype(float))
        actions = np.concatenate([np.repeat(tool[:, None], HORIZON, 1), np.full((len(tool), HORIZON, 1), 0.3)], 2)
        actions[..., 1] += self.way * (np.arange(HORIZON) + 1) / HORIZON
        if self.spoilt:
            actions[1, 3, 2] = np.nan
        return actions


def decide(policy: Sketch) -> np.ndarray:
    joints = PANDA.home + np.array([0, 0.1, -0.05])[:, None]
    noise = np.zeros((3, HORIZON, 10), np.float32)
    decider = Decider(policy, PANDA)  # type: ignore[arg-type]
    return decider({}, joints, np.ones(3), ["lift it"] * 3, joints, noise)


def test_the_tool_goes_where_the_policy_leads_it() -> None:
    chunk = decide(Sketch())
    joints = PANDA.home + np.array([0, 0.1, -0.05])[:, None]
    start, reached = PANDA.chain.forward(joints), PANDA.chain.forward(chunk[..., :-1])
    np.testing.assert_allclose(
        reached[..., 1] - start[:, None, 1], np.tile(0.12 * (np.arange(16) + 1) / 16, (3, 1)), atol=1e-4
    )
    np.testing.assert_allclose(reached[..., [0, 2]], np.repeat(start[:, None, [0, 2]], 16, 1), atol=1e-4)
    assert (chunk[..., -1] == 0.3).all()
    assert np.abs(np.diff(chunk[..., :-1], axis=1)).max() < 0.05


def test_a_spoilt_row_is_nan_and_spoils_no_other() -> None:
    good, found = decide(Sketch()), decide(Sketch(spoilt=True))
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], good[[0, 2]])


def test_motion_that_is_not_worth_its_while_is_left_out_and_the_gripper_obeys() -> None:
    chunk = decide(Sketch(way=0.01))
    np.testing.assert_array_equal(chunk[0, :, :-1], np.tile(PANDA.home, (HORIZON, 1)))
    assert (chunk[..., -1] == 0.3).all()


def test_limits_are_the_robots() -> None:
    limits = joint_limits(PANDA, 8.0)
    assert (limits.speed == PANDA.chain.max_speed).all()
    assert (limits.acceleration == 8).all()
    assert np.isinf(joint_limits(PANDA).acceleration).all()
