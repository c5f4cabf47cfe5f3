"""Boxes: their gap against a search for their nearest points, and what is told as boxes."""

import numpy as np
import pytest
from scipy.optimize import minimize

from generators.boxes import Boxes, around, gap
from scenes.task import get_task
from sim.transforms import compose, quat_from_rotvec, quat_rotate

PICK = get_task("pick_place")


def drawn(rng: np.random.Generator, n: int) -> Boxes:
    place = rng.uniform(-0.15, 0.15, (n, 3))
    return Boxes(
        np.concatenate([place, quat_from_rotvec(rng.normal(0, 1, (n, 3)))], axis=1), rng.uniform(0.02, 0.1, (n, 3))
    )


def nearest(a: Boxes, b: Boxes, i: int, rng: np.random.Generator) -> float:
    """The distance of the i-th pair, by minimisation over a point in each."""

    def squared(z: np.ndarray) -> float:
        in_a = a.pose[i, :3] + quat_rotate(a.pose[i, 3:], z[:3] * a.half[i])
        in_b = b.pose[i, :3] + quat_rotate(b.pose[i, 3:], z[3:] * b.half[i])
        return float(((in_a - in_b) ** 2).sum())

    starts = [np.zeros(6), *rng.uniform(-1, 1, (2, 6))]
    options = {"ftol": 1e-15, "gtol": 1e-12}
    found = [minimize(squared, x, bounds=[(-1, 1)] * 6, method="L-BFGS-B", options=options).fun for x in starts]
    return float(np.sqrt(min(found)))


def test_the_gap_is_positive_where_boxes_are_apart_and_never_more_than_their_distance() -> None:
    rng = np.random.default_rng(0)
    a, b = drawn(rng, 60), drawn(rng, 60)
    found, true = gap(a, b), np.array([nearest(a, b, i, rng) for i in range(60)])
    np.testing.assert_array_equal(found > 0, true > 1e-5)
    assert (found <= true + 1e-6).all()
    assert 5 < (found < 0).sum() < 55


@pytest.mark.parametrize("axis", range(3))
def test_side_by_side_the_gap_is_the_distance(axis: int) -> None:
    at = np.tile([0.0, 0, 0, 1, 0, 0, 0], (2, 1))
    at[1, axis] = 0.1
    boxes = Boxes(at, np.full((2, 3), 0.03))
    one, other = Boxes(boxes.pose[0], boxes.half[0]), Boxes(boxes.pose[1], boxes.half[1])
    assert gap(one, other) == pytest.approx(0.04, abs=1e-12)


def test_the_gap_does_not_depend_on_the_frame() -> None:
    rng = np.random.default_rng(1)
    a, b = drawn(rng, 40), drawn(rng, 40)
    frame = np.array([0.3, -0.2, 0.5, *quat_from_rotvec(np.array([0.4, -1.0, 0.7]))])
    moved = [Boxes(compose(frame, boxes.pose), boxes.half) for boxes in (a, b)]
    np.testing.assert_allclose(gap(*moved), gap(a, b), atol=1e-12)
    np.testing.assert_allclose(gap(b, a), gap(a, b), atol=1e-12)


def test_a_bin_is_its_walls_and_its_floor_and_empty_inside() -> None:
    bins = next(prop for prop in PICK.props if "bin" in prop.name)
    walls = around(bins)
    assert len(walls.half) == sum(shape.collides for shape in bins.shapes) > 1
    ball = Boxes(np.array([[0.0, 0.0, bins.half[2], 1.0, 0.0, 0.0, 0.0]]), np.full((1, 3), 0.01))
    assert gap(ball, walls).min() > 0.0
