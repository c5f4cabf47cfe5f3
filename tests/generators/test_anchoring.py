"""A path keeps with its objects: what it was to do to them, it does to them where they are now."""

import numpy as np

from generators.anchoring import Anchor, shifts
from sim.transforms import Array, compose, inverse, quat_from_rotvec


def pose(position: tuple[float, float, float], turn: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Array:
    return np.concatenate([position, quat_from_rotvec(np.array(turn))])


def path(n: int) -> Array:
    rng = np.random.default_rng(1)
    return np.concatenate([rng.uniform(-0.5, 0.5, (n, 3)), quat_from_rotvec(rng.normal(size=(n, 3)))], axis=1)


OLD = Anchor(pose((0.5, 0.1, 0.02), (0.0, 0.0, 0.4)), None)
NEW = Anchor(pose((0.52, 0.09, 0.03), (0.1, 0.0, 0.7)), None)


def test_once_gone_over_the_tool_stands_to_the_object_as_it_would_have() -> None:
    tool = path(30)
    moved = OLD.moved(tool, 20, NEW)
    then, now = compose(inverse(OLD.reference), tool), compose(inverse(NEW.reference), moved)
    np.testing.assert_allclose(now[10:, :3], then[10:, :3], atol=1e-12)
    np.testing.assert_allclose(np.abs(np.sum(now[10:, 3:] * then[10:, 3:], axis=1)), 1.0)


def test_it_goes_over_smoothly_and_before_the_event() -> None:
    still = np.tile(pose((0.4, 0.0, 0.2)), (20, 1))
    moved = OLD.moved(still, 5, NEW)
    goal = moved[-1, :3]
    far = np.linalg.norm(moved[:, :3] - goal, axis=1)
    assert (np.diff(far[:5]) < 0).all()
    np.testing.assert_allclose(far[4:], 0.0, atol=1e-12)
    assert np.linalg.norm(moved[0, :3] - still[0, :3]) < 0.1 * np.linalg.norm(goal - still[0, :3])


def test_a_placement_moves_what_is_held_whatever_it_did_in_the_hand() -> None:
    old = Anchor(OLD.reference, pose((0.0, 0.0, 0.01)))
    new = Anchor(NEW.reference, pose((0.004, 0.001, 0.015), (0.0, 0.1, 0.2)))
    tool = path(25)
    moved = old.moved(tool, 12, new)
    assert old.held is not None
    assert new.held is not None
    then = compose(inverse(old.reference), compose(tool, old.held))
    now = compose(inverse(new.reference), compose(moved, new.held))
    np.testing.assert_allclose(now[12:, :3], then[12:, :3], atol=1e-12)


def test_shifts_count_angles_at_a_lever_and_take_the_larger() -> None:
    moved = Anchor(pose((0.503, 0.104, 0.02), (0.0, 0.0, 0.4)), None)
    turned = Anchor(pose((0.5, 0.1, 0.02), (0.0, 0.0, 0.5)), None)
    held, slipped = Anchor(OLD.reference, pose((0.0, 0.0, 0.0))), Anchor(OLD.reference, pose((0.0, 0.008, 0.0)))
    found = shifts([OLD, held, OLD], [moved, slipped, turned])
    np.testing.assert_allclose(found, [0.005, 0.008, 0.003])
    assert shifts([held], [slipped]) == found[1]
