"""The pilot: what it counts, who it finds to serve badly, and what becomes of a spoilt demo among good ones."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import fisher_exact

from generators.augment import Engine
from generators.demos import Demo
from generators.library import Candidate, Library, candidates
from generators.options import PlanOptions
from generators.pilot import FIRST_SCENE, Pilot, less_often, pilot_of
from generators.planning import Path
from generators.recipe import Options
from generators.search import Search
from generators.segmentation import segment
from generators.situations import Situation
from scenes.domains import SIM
from scenes.workspace import build_workspace
from sim.panda import PANDA
from tests.generators.standing import LIFT, cube, situation

OPTIONS = PlanOptions()


def trial(start: int, subtask: int, outcome: str, demos: list[int | None]) -> dict:
    return {"start": start, "subtask": subtask, "outcome": outcome, "demos": demos, "latched": False}


def told(*counts: tuple[int, int]) -> Pilot:
    """A pilot of a task of one subtask, from (done, served) of each demo."""
    done, served = zip(*counts, strict=True)
    return Pilot(64, (tuple(served),), (tuple(done),))


def test_a_demo_answers_for_each_subtask_that_it_served() -> None:
    records = [
        {"tries": [trial(0, 1, "success", [2, 0])]},
        {"tries": [trial(0, 0, "grasp_missed", [2]), trial(0, 1, "misplaced", [1, 0]), trial(1, 1, "success", [2])]},
        {"tries": [trial(0, 1, "unreachable", [1, None])]},
    ]
    pilot = Pilot.of(records, 2, 3)
    assert pilot == Pilot(3, ((0, 2, 2), (2, 0, 1)), ((0, 2, 1), (1, 0, 1)))
    assert Pilot.of(records[::-1], 2, 3) == pilot
    assert pilot_of({"pilot": pilot.to_plain()}) == pilot
    assert pilot_of({}) is None


@pytest.mark.parametrize("counts", [(0, 5, 30, 32), (3, 9, 40, 41), (9, 9, 10, 30), (0, 0, 5, 6), (7, 10, 7, 10)])
def test_the_test_is_fishers(counts: tuple[int, int, int, int]) -> None:
    successes, trials, other, others = counts
    table = [[successes, trials - successes], [other, others - other]]
    assert less_often(*counts) == pytest.approx(fisher_exact(table, alternative="less").pvalue)


def test_only_what_fails_by_more_than_chance_serves_badly() -> None:
    bad, dead = told((20, 20), (19, 20), (9, 20), (0, 5), (0, 1), (0, 0)).judge(0, range(6))
    assert bad.tolist() == [False, False, True, True, False, False]
    assert dead.tolist() == [False, False, False, True, False, False]


def test_one_bad_demo_does_not_hide_another() -> None:
    bad, dead = told((20, 20), (20, 20), (20, 20), (14, 20), (0, 20)).judge(0, range(5))
    assert bad.tolist() == [False, False, False, True, True]
    assert dead.tolist() == [False, False, False, False, True]
    assert less_often(14, 20, 60, 80) > 0.05 / 5  # as it is against all of them


def test_what_is_hard_for_all_is_no_demos_fault() -> None:
    bad, dead = told((0, 20), (0, 20), (1, 20)).judge(0, range(3))
    assert not bad.any()
    assert not dead.any()


def test_a_demo_is_held_against_those_that_serve_the_same() -> None:
    pilot = told((20, 20), (4, 20), (4, 20))
    assert pilot.judge(0, [0, 1, 2])[0].tolist() == [False, True, True]
    assert pilot.judge(0, [1, 2])[0].tolist() == [False, False]


def library(demos: list[Demo], pilot: Pilot | None) -> Library:
    return Library([segment(demo, LIFT) for demo in demos], LIFT, PANDA.chain, pilot)


def test_what_served_badly_comes_last_however_near_it_is(lift_demos: list[Demo]) -> None:
    roles = {"target": "cube_1"}
    judged = library(lift_demos, told((30, 30), (8, 30), (30, 30)))
    assert judged.judged() == [(0, 1, False)]
    assert judged.reserve(0, roles) is None
    where = situation(judged.of(0, roles).reference[1])
    for seed in range(5):
        queue = candidates(judged.of(0, roles), where, OPTIONS, np.random.default_rng(seed))
        served_by = [candidate.segment.demo.index for candidate in queue]
        assert served_by[-4:] == [1] * 4
        assert set(served_by[:-4]) == {0, 2}


def test_what_never_served_is_in_reserve_alone(lift_demos: list[Demo]) -> None:
    roles = {"target": "cube_1"}
    judged = library(lift_demos, told((30, 30), (0, 9), (30, 30)))
    assert judged.judged() == [(0, 1, True)]
    reserve = judged.reserve(0, roles)
    assert reserve is not None
    assert [s.demo.index for s in judged.of(0, roles).segments] == [0, 2]
    assert [s.demo.index for s in reserve.segments] == [1]
    rng = np.random.default_rng(0)
    assert len(candidates(reserve, situation(cube(0.5, 0.0)), OPTIONS, rng)) == 4


def test_a_pilot_that_finds_nothing_changes_no_choice(lift_demos: list[Demo]) -> None:
    where, roles = situation(cube(0.52, -0.05, 0.3)), {"target": "cube_1"}
    without, with_one = (
        candidates(library(lift_demos, pilot).of(0, roles), where, OPTIONS, np.random.default_rng(7))
        for pilot in (None, told((30, 30), (29, 30), (30, 30)))
    )
    assert [(c.segment.demo.index, c.cost) for c in without] == [(c.segment.demo.index, c.cost) for c in with_one]


def spoilt(demo: Demo) -> Demo:
    """A demo whose arm is told to grasp 4 cm above where it did, so that what follows it closes on nothing."""
    return replace(demo, target=demo.target + np.array([0.0, 0.0, 0.04, 0.0, 0.0, 0.0, 0.0]))


@pytest.fixture(scope="module")
def mixed(lift_demos: list[Demo]) -> list[Demo]:
    """Three demos, of which the second is spoilt."""
    return [lift_demos[0], spoilt(lift_demos[1]), lift_demos[2]]


def engine(demos: list[Demo], pilot: Pilot | None = None) -> Engine:
    return Engine(build_workspace("lift"), demos, SIM, seed=0, options=Options(), pilot=pilot)


def first_tries(made: Engine, scenes: int) -> int:
    return sum(len(record["attempts"]) == 1 for record in made.simulate(list(range(scenes))).scenes)


def test_a_spoilt_demo_is_found_and_left_out_and_more_first_tries_succeed(mixed: list[Demo]) -> None:
    blind = engine(mixed)
    records = blind.simulate(list(range(FIRST_SCENE, FIRST_SCENE + 24))).scenes
    pilot = Pilot.of(records, 1, 3)
    informed = engine(mixed, pilot)
    assert informed.library.judged() == [(0, 1, True)]
    before, after = first_tries(blind, 32), first_tries(informed, 32)
    assert before <= 26
    assert after >= 31


def test_a_place_that_only_a_dropped_demo_reaches_is_not_lost(
    mixed: list[Demo], monkeypatch: pytest.MonkeyPatch
) -> None:
    informed = engine(mixed, told((30, 30), (0, 9), (30, 30)))
    real = Search.paths

    def paths(self: Search, situations: list[Situation], queues: list[list[Candidate]]) -> list[Path | None]:
        """The good demos lead nowhere."""
        dropped = [[candidate for candidate in queue if candidate.segment.demo.index == 1] for queue in queues]
        return real(self, situations, dropped)

    monkeypatch.setattr(Search, "paths", paths)
    records = informed.simulate([0, 1]).scenes
    assert all(trial["demos"] == [1] for record in records for trial in record["tries"])
    assert all(trial["outcome"] != "unreachable" for record in records for trial in record["tries"])
