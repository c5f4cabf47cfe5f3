"""Where objects start: in their regions, apart, refused where that cannot be; levels from narrow to wide."""

import numpy as np
import pytest

from handful import InputError, JobError
from scenes.distractors import DISTRACTORS
from scenes.domains import NONE
from scenes.placement import Region, check_room, place, radius
from scenes.props import cube
from scenes.scene import draw_scene
from scenes.task import get_task
from scenes.workspace import build_workspace, workspace_of

CUBES = tuple(cube(f"cube_{i}", "red", 0.05, 0.1) for i in (1, 2, 3))


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_objects_stand_in_their_regions_and_apart() -> None:
    regions = dict.fromkeys(("cube_1", "cube_2", "cube_3"), Region((0.3, 0.6), (-0.2, 0.1), (0.5, 1.0)))
    for seed in range(50):
        poses = place(CUBES, regions, seeded(seed), apart=0.12)
        at = np.array([pose[:2] for pose in poses.values()])
        assert ((at >= [0.3, -0.2]) & (at <= [0.6, 0.1])).all()
        assert all(np.hypot(*(a - b)) >= 0.12 for i, a in enumerate(at) for b in at[:i])
        for pose in poses.values():
            assert pose[2] == 0.025
            assert 0.5 <= 2 * np.arctan2(pose[6], pose[3]) <= 1.0


def test_objects_keep_off_what_stands_there_already() -> None:
    there = (CUBES[0], np.array([0.4, 0.0, 0.025, 1, 0, 0, 0]))
    region = {"cube_2": Region((0.3, 0.5), (-0.1, 0.1))}
    for seed in range(50):
        pose = place(CUBES[1:2], region, seeded(seed), taken=[there])["cube_2"]
        assert np.hypot(*(pose[:2] - [0.4, 0.0])) >= 2 * radius(CUBES[0])


@pytest.mark.parametrize(("x", "y"), [((0.5, 0.4), (0.0, 0.1)), ((0.4, 0.5), (0.0, np.nan))])
def test_an_inverted_or_broken_region_is_refused(x: tuple[float, float], y: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="give the smaller end first"):
        Region(x, y)


def test_regions_without_room_are_refused_before_anything_is_drawn() -> None:
    tight = dict.fromkeys(("cube_1", "cube_2"), Region((0.5, 0.52), (0.0, 0.02)))
    with pytest.raises(InputError, match=r"'cube_2' and 'cube_1' are to stand 0\.\d+ m apart"):
        check_room(CUBES[:2], tight)
    with pytest.raises(InputError, match="'cube_3' has no region"):
        check_room(CUBES, tight)


def test_a_table_too_full_is_an_error() -> None:
    # Any two would fit; three cannot.
    region = dict.fromkeys(("cube_1", "cube_2", "cube_3"), Region((0.5, 0.56), (0.0, 0.06)))
    with pytest.raises(JobError, match="could not place cube_1, cube_2, cube_3"):
        place(CUBES, region, seeded(0), apart=0.08)


@pytest.mark.parametrize("name", ["lift", "stack_three"])
def test_levels_widen_and_bring_distractors(name: str) -> None:
    spread, previous = 0.0, get_task(name).levels["D0"]
    for level in ("D0", "D1", "D2"):
        workspace = build_workspace(f"{name}:{level}")
        scenes = [draw_scene(workspace, NONE, "generation", 0, i) for i in range(60)]
        at = np.array([scene.ledger["poses"]["cube_1"][:2] for scene in scenes])
        assert np.ptp(at, axis=0).sum() > spread
        spread = np.ptp(at, axis=0).sum()
        heights = [scene.ledger["physics"]["table_height"] for scene in scenes]
        assert (np.ptp(heights) > 0.03) == (level != "D0")
        region = workspace.task.reset.region
        for axis in ("x", "y", "yaw"):
            (low, high), (inner_low, inner_high) = getattr(region, axis), getattr(previous.region, axis)
            assert low <= inner_low
            assert inner_high <= high
        previous = workspace.task.reset
        count = len(DISTRACTORS) if level != "D0" else 0
        assert len(workspace.task.objects) == 3 + count
        assert set(scenes[0].roles.values()) <= set(workspace.task.own)


def test_no_instruction_describes_a_distractor() -> None:
    task = get_task("lift:D1")
    own = {(prop.colour, prop.noun) for prop in task.props if prop.name in task.own}
    assert own.isdisjoint((prop.colour, prop.noun) for prop in DISTRACTORS)


def test_an_unknown_level_is_named() -> None:
    with pytest.raises(InputError, match="level of task 'lift' 'D3'"):
        get_task("lift:D3")


def test_an_episode_knows_the_workspace_it_was_made_in() -> None:
    class Meta:
        task, embodiment = "lift", "panda"
        extra = {"level": "D1"}  # noqa: RUF012

    assert workspace_of(Meta()) is build_workspace("lift:D1", "panda")
