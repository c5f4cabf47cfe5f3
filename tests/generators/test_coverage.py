"""Coverage of the places where objects start: every draw has a cell, counts are per cell, silence is not zero."""

import numpy as np
import pytest

from generators.coverage import CELLS, Coverage, Grid, start_of
from scenes.placement import Region
from scenes.task import get_task
from sim.transforms import quat_about_z

LIFT = get_task("lift")
REGION = LIFT.regions()["cube_1"]


def record(x: float, y: float, yaw: float, outcome: str = "success") -> dict:
    return {"scene": 0, "outcome": outcome, "starts": {"target": [x, y, yaw]}}


def middle(cell: tuple[int, int, int]) -> tuple[float, float, float]:
    """The middle of one of lift's cells."""
    x, y, yaw = (
        low + (high - low) * (k + 0.5) / n
        for (low, high), k, n in zip((REGION.x, REGION.y, REGION.yaw), cell, CELLS, strict=True)
    )
    return x, y, yaw


@pytest.mark.parametrize("name", ["lift:D2", "stack", "stack_three:D1", "square:D1", "pick_place", "pick_place:D2"])
def test_whatever_is_drawn_lies_in_an_open_cell(name: str) -> None:
    task, rng = get_task(name), np.random.default_rng(0)
    coverage = Coverage(task)
    for _ in range(300):
        roles, poses = task.draw_roles(rng), task.draw_poses(rng)
        starts = {role: start_of(poses[object_]) for role, object_ in roles.items()}
        coverage.add([{"outcome": "success", "starts": starts}])
    for role, grid in coverage.grids.items():
        assert coverage.tried[role].sum() == coverage.tried[role][grid.open].sum() == 300
        assert (coverage.tried[role][grid.open] > 0).mean() > 0.8


def test_what_never_moves_is_no_place_to_cover() -> None:
    assert list(Coverage(get_task("square")).grids) == ["nut"]
    assert list(Coverage(get_task("square:D1")).grids) == ["nut", "peg"]


def test_of_several_regions_only_what_they_span_is_open() -> None:
    grid = Grid.over([Region((0.0, 0.1), (0.0, 0.0)), Region((0.3, 0.4), (0.2, 0.2)), Region((0.4, 0.4), (0.2, 0.2))])
    assert grid.open.shape == (4, 4, 1)
    assert np.argwhere(grid.open).tolist() == [[0, 0, 0], [3, 3, 0]]
    assert grid.cell((0.4, 0.2, 0.0)) == (3, 3, 0)
    assert grid.ends((3, 0, 0))["x"] == pytest.approx((0.3, 0.4))


def test_cells_count_what_was_kept_of_what_was_tried() -> None:
    coverage = Coverage(LIFT)
    good, bad = middle((1, 2, 3)), middle((0, 0, 0))
    records = [record(*good)] * 7 + [record(*bad)] * 2 + [record(*bad, outcome="collided")] * 3
    coverage.add(records)
    plain = coverage.to_plain()["roles"]["target"]
    assert (plain["cells"], plain["tried"], plain["kept"], plain["share"]) == (64, 2, 2, 2 / 64)
    assert (plain["lowest"]["kept"], plain["lowest"]["tried"]) == (2, 5)
    for axis, (low, high), n in zip(("x", "y", "yaw"), (REGION.x, REGION.y, REGION.yaw), CELLS, strict=True):
        assert plain["lowest"][axis] == pytest.approx([low, low + (high - low) / n])
    coverage.add(records[5:], -1)
    assert coverage.tried["target"].sum() == coverage.kept["target"].sum() == 5


def test_a_rate_of_a_few_scenes_is_not_called_the_lowest() -> None:
    coverage = Coverage(LIFT)
    coverage.add([record(*middle((0, 0, 0)), outcome="collided")] * 4 + [record(*middle((1, 1, 1)))] * 5)
    assert coverage.lowest("target") == (1, 1, 1)
    coverage.add([record(*middle((0, 0, 0)), outcome="collided")])
    assert coverage.lowest("target") == (0, 0, 0)
    assert Coverage(LIFT).lowest("target") is None


def test_what_is_not_recorded_is_not_said_to_be_uncovered() -> None:
    coverage = Coverage(LIFT)
    coverage.add([{"scene": 0, "outcome": "success", "attempts": ["success"]}])
    assert coverage.to_plain() == {"unrecorded": 1, "roles": {}}


def test_from_above_cells_of_every_yaw_are_one() -> None:
    coverage = Coverage(LIFT)
    coverage.add([record(*middle((3, 0, k))) for k in range(4)] + [record(*middle((3, 0, 0)), outcome="collided")])
    patches = {(patch.kept, patch.tried) for patch in coverage.patches("target")}
    assert (len(coverage.patches("target")), patches) == (16, {(4, 5), (0, 0)})


@pytest.mark.parametrize("yaw", [-3.0, -0.5, 0.0, 1.2, 3.1])
def test_a_start_is_where_it_stands_and_how_it_is_turned(yaw: float) -> None:
    assert start_of([0.51234, -0.1, 0.02, *quat_about_z(yaw)]) == [0.5123, -0.1, yaw]
