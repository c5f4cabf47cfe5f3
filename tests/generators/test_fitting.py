"""Where a placement begins to fit: seen in the objects' motion, and kept quiet from there on."""

from pathlib import Path

import numpy as np
import pytest

from generators.demos import Demo, load_demos
from generators.fitting import meets
from generators.library import Library, candidates
from generators.options import PlanOptions
from generators.planning import lay_out
from generators.segmentation import Segment, segment
from generators.situations import Situation
from scenes.cubes import EDGE
from scenes.nut import HEIGHT, PEG_HEIGHT
from scenes.task import get_task
from sim.panda import PANDA

SQUARE, STACK = get_task("square"), get_task("stack_three")
BUNDLED = Path(__file__).parents[2] / "demos" / "square"


@pytest.fixture(scope="module")
def nuts() -> list[Demo]:
    return load_demos(BUNDLED, SQUARE, 20.0)


@pytest.fixture(scope="module")
def inserts(nuts: list[Demo]) -> list[Segment]:
    return [segment(demo, SQUARE)[1] for demo in nuts]


def test_a_nut_meets_its_peg_before_it_is_round_it(inserts: list[Segment]) -> None:
    for part in inserts:
        nut, peg = part.demo.objects["nut"][:, 2], part.demo.objects["square_peg"][0, 2]
        gap = nut - HEIGHT / 2 - (peg + PEG_HEIGHT / 2)
        first = meets(part, SQUARE, SQUARE.subtasks[1])
        assert part.start < first < part.event - 10
        assert gap[first - 1] > 0.008
        assert (gap[first : part.event] < 0.016).all()  # leaning a little, it reaches lower than its middle says


def test_a_cube_meets_the_one_below_just_before_it_is_let_go(stack_demos: list[Demo]) -> None:
    for demo in stack_demos:
        part, roles = segment(demo, STACK)[1], demo.roles
        first = meets(part, STACK, STACK.subtasks[1])
        gap = demo.objects[roles["middle"]][:, 2] - demo.objects[roles["bottom"]][:, 2] - EDGE
        assert part.start < first <= part.event
        assert (gap[first : part.event] < 0.012).all()


def test_a_grasp_begins_with_its_event(nuts: list[Demo]) -> None:
    part = segment(nuts[0], SQUARE)[0]
    assert meets(part, SQUARE, SQUARE.subtasks[0]) == part.event


def test_motion_noise_counts_from_the_whole_of_a_fit(nuts: list[Demo], inserts: list[Segment]) -> None:
    library, part = Library([segment(demo, SQUARE) for demo in nuts], SQUARE, PANDA.chain), inserts[0]
    objects = {name: poses[part.start] for name, poses in part.demo.objects.items()}
    where = Situation(
        tool=part.demo.target[part.start],
        before=part.demo.target[part.start],
        command=PANDA.home.copy(),
        gripper=0.0,
        since=None,
        reference=objects["square_peg"],
        held=objects["nut"],
        reference_prop=SQUARE.prop("square_peg"),
        held_prop=SQUARE.prop("nut"),
        obstacles=(),
        poses=np.zeros((0, 7)),
        load=HEIGHT,
        table_height=-0.0031,
        hand=PANDA.hand,
    )
    for found in candidates(library.of(1, part.demo.roles), where, PlanOptions(), np.random.default_rng(0)):
        layout = lay_out(found, where, PlanOptions())
        met = layout.event - (found.segment.event - found.meets)
        assert (layout.away[met : layout.event + 1] == 0).all()
        assert layout.away[: met + 1].tolist() == list(range(met, -1, -1))
        assert layout.away[layout.event + 3] == 3
