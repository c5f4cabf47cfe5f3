"""Planning: layouts name what they are made of, arms keep their limits."""

import numpy as np
import pytest

from generators.demos import Demo
from generators.library import Candidate, Repertoire, candidates
from generators.options import PlanOptions
from generators.planning import BRIDGE, follow, glance, lay_out
from generators.segmentation import segment
from generators.situations import Situation
from sim.panda import PANDA
from tests.generators.standing import LIFT, cube, situation

OPTIONS = PlanOptions()


@pytest.fixture(scope="module")
def lifts(lift_demos: list[Demo]) -> Repertoire:
    return Repertoire([segment(d, LIFT)[0] for d in lift_demos], LIFT, LIFT.subtasks[0], PANDA.chain)


def found(repertoire: Repertoire, where: Situation, seed: int = 0) -> list[Candidate]:
    return candidates(repertoire, where, OPTIONS, np.random.default_rng(seed))


def test_layouts_mark_bridges_and_name_each_demo_step(lifts: Repertoire) -> None:
    where = situation(cube(0.5, -0.05, 0.1))
    for candidate in found(lifts, where):
        layout = lay_out(candidate, where, OPTIONS)
        count = int((layout.demo == BRIDGE).sum())
        assert (layout.demo[:count] == BRIDGE).all()
        assert (layout.step[:count] == BRIDGE).all()
        s = candidate.segment
        assert (layout.demo[count:] == s.demo.index).all()
        np.testing.assert_array_equal(layout.step[count:], np.arange(s.end - (len(layout.step) - count), s.end))
        np.testing.assert_array_equal(layout.gripper[count:], s.demo.gripper[layout.step[count:]])
        np.testing.assert_allclose(layout.tool[count:], candidate.tool()[layout.step[count:] - s.start])
        assert layout.step[layout.event] == s.event


def test_paths_keep_joint_and_speed_limits_where_they_are_called_feasible(lifts: Repertoire) -> None:
    chain = PANDA.chain
    spots = [cube(x, y, yaw) for x in (0.42, 0.58) for y in (-0.09, 0.09) for yaw in (-0.8, 0.0, 0.8)]
    wheres = [situation(spot) for spot in spots]
    layouts = [lay_out(found(lifts, w)[0], w, OPTIONS) for w in wheres]
    commands = np.stack([w.command for w in wheres])
    paths, feasible = follow(chain, [x.tool for x in layouts], [x.guess for x in layouts], commands, 20.0)
    assert feasible.mean() > 0.8
    for path, layout, command, ok in zip(paths, layouts, commands, feasible, strict=True):
        assert (path >= chain.lower).all()
        assert (path <= chain.upper).all()
        if ok:
            speed = np.abs(np.diff(np.concatenate([command[None], path]), axis=0)) * 20
            assert (speed <= chain.max_speed).all()
            pose = chain.forward(path)
            assert np.linalg.norm(pose[:, :3] - layout.tool[:, :3], axis=1).max() < 1e-3


def test_a_path_out_of_reach_or_too_fast_is_not_feasible() -> None:
    here = PANDA.chain.forward(PANDA.home)
    far, jump = np.tile(here, (5, 1)), np.tile(here, (5, 1))
    far[:, 0] += np.linspace(0, 1.0, 5)
    jump[2:, 1] += 0.3
    guess = [np.tile(PANDA.home, (5, 1))] * 3
    commands = np.tile(PANDA.home, (3, 1))
    _, feasible = follow(PANDA.chain, [np.tile(here, (5, 1)), far, jump], guess, commands, 20.0)
    assert feasible.tolist() == [True, False, False]


def test_a_first_look_never_refuses_what_the_arm_can_follow(lifts: Repertoire) -> None:
    spots = [cube(x, y, yaw) for x in (0.38, 0.5, 0.66) for y in (-0.2, 0.0, 0.2) for yaw in (-0.8, 0.3)]
    wheres = [situation(spot) for spot in spots]
    layouts = [lay_out(found(lifts, w)[0], w, OPTIONS) for w in wheres]
    arguments = (
        PANDA.chain,
        [x.tool for x in layouts],
        [x.guess for x in layouts],
        np.stack([w.command for w in wheres]),
        20.0,
    )
    _, feasible = follow(*arguments)
    excess, _ = glance(*arguments)
    assert feasible.any()
    assert (excess[feasible] <= 1.0).all()


def test_what_a_first_look_found_need_not_be_found_again(lifts: Repertoire) -> None:
    wheres = [situation(cube(x, 0.1, 0.3)) for x in (0.42, 0.5, 0.6)]
    layouts = [lay_out(found(lifts, w)[0], w, OPTIONS) for w in wheres]
    poses, guesses = [x.tool for x in layouts], [x.guess for x in layouts]
    commands = np.stack([w.command for w in wheres])
    paths, feasible = follow(PANDA.chain, poses, guesses, commands, 20.0)
    _, glances = glance(PANDA.chain, poses, guesses, commands, 20.0)
    # Of one scene alone, with what was found among others.
    again, same = follow(PANDA.chain, poses[1:2], guesses[1:2], commands[1:2], 20.0, glances[1:2])
    np.testing.assert_array_equal(again[0], paths[1])
    assert same[0] == feasible[1]


def test_a_first_look_tells_too_fast_from_out_of_reach() -> None:
    here = PANDA.chain.forward(PANDA.home)
    far, jump = np.tile(here, (11, 1)), np.tile(here, (11, 1))
    far[:, 0] += np.linspace(0, 1.0, 11)
    jump[5:, 1] += 0.4
    guess, commands = [np.tile(PANDA.home, (11, 1))] * 3, np.tile(PANDA.home, (3, 1))
    (still, fast, gone), _ = glance(PANDA.chain, [np.tile(here, (11, 1)), jump, far], guess, commands, 20.0)
    assert still < 0.01
    assert 1.0 < fast < 8.0
    assert gone == np.inf
