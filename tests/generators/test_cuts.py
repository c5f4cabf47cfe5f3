"""Where a grasp is cut: as soon as its object is clear of the table and firm in the hand, and no sooner."""

from dataclasses import replace

import numpy as np

from generators.cuts import AIR, WINDOW, cut_after_grasp
from generators.demos import Demo
from generators.holds import Hold, motion_of
from scenes.task import get_task
from tests.generators.spoiling import by_hand, lifting

CUBE = get_task("lift").prop("cube_1")
HOLD = Hold(event=10, lifted=17, release=30)
# The first step at which `lifting` has the cube clear of the table.
CLEAR = int(np.argmax(lifting().objects["cube_1"][:, 2] - 0.02 > AIR))


def cut(demo: Demo) -> int | None:
    return cut_after_grasp(motion_of(demo, CUBE), HOLD)


def test_a_firm_grasp_is_cut_as_soon_as_its_object_is_in_the_air() -> None:
    assert cut(lifting()) == CLEAR + 1


def test_a_grasp_is_cut_only_once_its_object_has_stopped_slipping() -> None:
    demo = lifting()
    slipping = demo.objects["cube_1"].copy()
    # A millimetre per step until step 24, 4 mm or more within any window before.
    slipping[16:, 0] += 0.001 * np.minimum(np.arange(14), 8)
    late = cut(replace(demo, objects={**demo.objects, "cube_1": slipping}))
    assert late is not None
    first = late - 1
    assert abs(slipping[first + WINDOW, 0] - slipping[first, 0]) <= 0.003 + 1e-12
    assert abs(slipping[first - 1 + WINDOW, 0] - slipping[first - 1, 0]) > 0.003


def test_a_grasp_that_sets_its_object_down_again_is_cut_after_the_second_lift() -> None:
    height = [0.02] * 12 + [0.045, 0.07, 0.07, 0.045] + [0.02] * 4 + [0.02 + 0.01 * i for i in range(1, 11)]
    demo = by_hand([1.0] * 10 + [0.0] * 20, height, [0.02] * 10 + height[10:])
    assert cut(demo) == 19 + (CLEAR - 14) + 1


def test_a_low_lift_is_cut_near_its_top() -> None:
    height = [0.02] * 15 + [0.03, 0.04, *[0.05] * 13]
    found = cut(by_hand([1.0] * 10 + [0.0] * 20, height, [0.02] * 10 + height[10:]))
    assert found == 17 + 1


def test_an_object_that_keeps_turning_in_the_hand_has_no_cut() -> None:
    demo = lifting()
    turning = demo.objects["cube_1"].copy()
    half = 0.5 * np.clip(0.05 * (np.arange(30) - 14), 0.0, None)
    turning[:, 3:] = np.stack([np.cos(half), np.zeros(30), np.sin(half), np.zeros(30)], axis=1)
    assert cut(replace(demo, objects={**demo.objects, "cube_1": turning})) is None


def test_noise_makes_no_object_stand_in_the_air() -> None:
    rng, demo = np.random.default_rng(0), lifting()
    still = [int(t) for t in np.repeat(np.arange(30), [10] * 10 + [1] * 20)]
    noisy = demo.objects["cube_1"][still].copy()
    noisy[:, :3] += rng.normal(0.0, 0.002, (len(still), 3))
    long = replace(demo, tool=demo.tool[still], target=demo.target[still], objects={**demo.objects, "cube_1": noisy})
    found = cut_after_grasp(motion_of(long, CUBE), Hold(event=100, lifted=107, release=120))
    assert found is not None
    assert demo.objects["cube_1"][still[found - 1], 2] > 0.02 + AIR
