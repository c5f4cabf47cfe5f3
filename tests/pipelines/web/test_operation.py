"""The robot in real time, a tick at a time: what is asked for, what is kept, and that nothing is lost."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generators.assistance import Assistance
from generators.demos import load_demos
from generators.segmentation import segment
from generators.teleoperation import Limits
from handful import InputError, JobError
from pipelines.web import operation as module
from pipelines.web.drawing import View
from pipelines.web.operation import ALIVE, Moment, Operation, Plan
from scenes.domains import get_domain
from scenes.workspace import build_workspace
from tests.pipelines.web.pilot import Pilot
from trajectories import Store, validate

FAST = Assistance(speed=4, deadband=0.0)
REST = [0.0] * 6
DOWN, UP, LEFT = [0, 0, -1.0, 0, 0, 0], [0, 0, 1.0, 0, 0, 0], [0, -1.0, 0, 0, 0, 0]


@dataclass
class Desk:
    """An operation without its thread: time goes on by ticks, and what it tells is written down."""

    store: Store
    task: str = "lift"
    domain: str = "none"
    robot: str = "panda"
    now: float = 0.0
    status: dict[str, Any] = field(default_factory=dict)
    scene: dict[str, Any] = field(default_factory=dict)
    views: list[View] = field(default_factory=list)
    ends: list[BaseException | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = Plan(build_workspace(self.task, self.robot), get_domain(self.domain), 0, Limits(), 2)
        self.operation = Operation(plan, self.store, self.views.append, self.hear, self.ends.append, lambda: self.now)
        self.operation.operated(True)
        self.operation.assist(FAST)
        self.ticks(1)

    def hear(self, moment: Moment) -> None:
        self.status, self.scene = moment.status, moment.scene or self.scene

    def ticks(self, count: int, axes: list[float] | None = None, act: str | None = None) -> dict[str, Any]:
        """So many ticks of steering, with an act before the first."""
        if act is not None:
            self.operation.ask(act)
        for _ in range(count):
            self.operation.steer(axes or REST, False, self.now)
            self.operation.tick()
            self.now += 0.05
        return self.status

    def act(self, name: str) -> dict[str, Any]:
        """Ask for something, with the hand at rest."""
        return self.ticks(1, act=name)

    def lift(self) -> dict[str, Any]:
        """Lift the cube, up to the judge's word."""
        pilot = Pilot()
        for _ in range(600):
            act = pilot.look(self.status, self.scene)
            self.ticks(1, pilot.axes(self.status), act)
            if self.status["outcome"] is not None:
                return self.status
        raise AssertionError(f"not lifted in 600 steps: {self.status}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "s", {"kind": "recording"})


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


def test_recording_begins_with_the_first_movement(desk: Desk) -> None:
    assert desk.ticks(30)["state"] == "ready"
    assert desk.status["steps"] == 0
    assert desk.ticks(3, UP)["state"] == "recording"
    assert desk.status["steps"] == 3


def test_or_with_start_and_a_pause_is_not_recorded_unless_that_is_wanted(desk: Desk) -> None:
    assert desk.act("start")["steps"] == 1
    assert desk.ticks(60)["state"] == "waiting"
    assert desk.status["steps"] == 10
    desk.operation.assist(Assistance(skip_pauses=False))
    assert desk.ticks(50)["steps"] == 60


def test_what_was_driven_is_kept_as_a_human_demo_that_can_be_multiplied(desk: Desk, store: Store) -> None:
    instruction = desk.scene["instruction"]
    status = desk.lift()
    assert (status["outcome"], status["state"], status["done"]) == ("success", "ended", 1)
    kept = desk.act("keep")
    assert (kept["note"], kept["kept"], kept["state"], kept["steps"]) == ("kept", 1, "ready", 0)
    assert desk.scene["index"] == 1
    episode = store.episode(0)
    validate(episode)
    meta = episode.meta
    assert (meta.operator, meta.domain, meta.outcome, meta.instruction) == ("human", "none", "success", instruction)
    assert meta.extra["device"] == "browser"
    assert meta.extra["assistance"] == [{"step": 0, **vars(FAST)}]
    assert meta.extra["rewinds"] == 0
    assert len(meta.extra["checkpoints"]) == 1
    task = build_workspace("lift").task
    (demo,) = load_demos(store.path, task, 20.0)
    assert len(segment(demo, task)) == 1
    assert store.scene_records() == [{"scene": 0, "outcome": "success", "attempts": ["success"], "steps": len(episode)}]


def test_a_detour_and_the_way_back_are_not_in_what_is_kept(store: Store, tmp_path: Path) -> None:
    plain = Desk(Store.create(tmp_path / "plain", {"kind": "recording"}))
    detour = Desk(store)
    for desk in (plain, detour):
        desk.ticks(20, LEFT)
    detour.act("checkpoint")
    assert detour.status["marks"] == [0, 20]
    detour.ticks(60, DOWN)
    assert detour.status["outcome"] == "collided"
    back = detour.act("back")
    assert (back["steps"], back["state"], back["outcome"]) == (20, "ready", None)
    for desk in (plain, detour):
        # Both go on from the same moment: the hand's rest before that was not recorded.
        desk.lift()
        desk.act("keep")
    one, other = plain.operation._store.episode(0), store.episode(0)
    for key, value in one.arrays.items():
        np.testing.assert_array_equal(other.arrays[key], value, err_msg=key)
    assert (one.meta.extra["rewinds"], other.meta.extra["rewinds"]) == (0, 1)


def test_back_goes_to_the_subtask_just_done_and_on_to_the_start(desk: Desk) -> None:
    desk.lift()
    lifted = desk.status["marks"]
    assert len(lifted) == 2
    assert desk.act("back")["steps"] == lifted[1]
    assert desk.status["closed"]
    assert desk.status["done"] == 1
    assert desk.act("back")["steps"] == 0
    assert not desk.status["closed"]
    assert (desk.status["done"], desk.status["marks"]) == (0, [0])
    assert "this is the start" in desk.act("back")["note"]


def test_a_key_held_since_before_does_not_start_the_next(desk: Desk) -> None:
    desk.ticks(80, DOWN)
    assert desk.status["outcome"] == "collided"
    assert desk.ticks(20, DOWN, "redo")["steps"] == 0
    desk.ticks(1)
    assert desk.ticks(5, UP)["steps"] == 5


def test_redo_is_the_same_scene_and_is_counted(desk: Desk, store: Store) -> None:
    before = desk.scene
    desk.ticks(80, DOWN)
    desk.act("redo")
    assert desk.scene == {**before, "attempt": 2}
    desk.ticks(2, UP)
    desk.act("redo")
    desk.lift()
    desk.act("keep")
    assert store.meta(0).attempts == 3
    assert store.meta(0).seeds["attempt"] == 2
    assert store.scene_records()[0]["attempts"] == ["collided", "timed_out", "success"]


def test_discard_goes_on_and_undo_brings_it_back(desk: Desk, store: Store) -> None:
    desk.lift()
    steps = desk.status["steps"]
    assert desk.operation.waits()
    gone = desk.act("discard")
    assert not desk.operation.waits()
    assert (gone["steps"], gone["undo"], desk.scene["index"]) == (0, True, 1)
    again = desk.act("undo")
    assert (again["steps"], again["outcome"], desk.scene["index"]) == (steps, "success", 0)
    desk.act("discard")
    desk.ticks(3, UP)
    assert "nothing to bring back" in desk.act("undo")["note"]
    assert len(store) == 0
    assert store.scene_records() == []


def test_an_unfinished_attempt_cannot_be_kept(desk: Desk, store: Store) -> None:
    desk.ticks(5, UP)
    assert "still under way" in desk.act("keep")["note"]
    assert desk.status["state"] == "recording"
    assert store.committed() == []


def test_a_failure_is_kept_as_a_record_alone(desk: Desk, store: Store) -> None:
    desk.ticks(80, DOWN)
    assert "without its motion" in desk.act("keep")["note"]
    assert (desk.status["kept"], desk.scene["index"]) == (0, 1)
    assert len(store) == 0
    assert [record["outcome"] for record in store.scene_records()] == ["collided"]


def test_recording_goes_on_with_the_next_scene_when_the_store_is_opened_again(desk: Desk, store: Store) -> None:
    desk.ticks(80, DOWN)
    desk.act("discard")
    desk.lift()
    desk.act("keep")
    again = Desk(Store.create(store.path, {"kind": "recording"}))
    assert again.scene["index"] == 2
    assert again.status["kept"] == 1
    assert [listing.scene for listing in again.operation.listings] == [1]
    again.lift()
    assert "that is all that were wanted" in again.act("keep")["note"]
    assert len(Store.open(store.path)) == 2


@pytest.mark.parametrize("loss", ["gone", "silent"])
def test_without_an_operator_the_attempt_waits_and_goes_on(desk: Desk, loss: str) -> None:
    desk.ticks(10, UP)
    if loss == "gone":
        desk.operation.operated(False)
        reason = "nobody is at the controls"
    else:
        desk.now += ALIVE + 0.1
        reason = "no word from the page"
    for _ in range(40):
        desk.operation.tick()
        desk.now += 0.05
    assert (desk.status["state"], desk.status["pause"], desk.status["steps"]) == ("paused", reason, 10)
    desk.operation.operated(True)
    assert desk.ticks(5, UP)["steps"] == 15


def test_a_hand_that_is_not_heard_of_does_not_go_on_moving_the_robot(desk: Desk) -> None:
    desk.operation.assist(Assistance(speed=4, skip_pauses=False))
    desk.ticks(2, UP)
    aimed = desk.operation._attempt.session.target[2]
    for _ in range(12):
        desk.now += 0.05
        desk.operation.tick()
    assert desk.operation._attempt.session.target[2] - aimed < 0.35 * module.STEERS + 1e-9
    still = desk.operation._attempt.session.target[2]
    desk.now += 0.05
    desk.operation.tick()
    assert desk.operation._attempt.session.target[2] == still


def test_the_clutch_moves_nothing(desk: Desk) -> None:
    desk.ticks(3, UP)
    for _ in range(3):
        desk.operation.steer(UP, True, desk.now)
        desk.operation.tick()
    assert desk.status["steps"] == 6
    aimed = desk.operation._attempt.session.target[2]
    desk.operation.steer(UP, True, desk.now)
    desk.operation.tick()
    assert desk.operation._attempt.session.target[2] == aimed


def test_the_operators_pause_holds_until_they_go_on(desk: Desk) -> None:
    desk.ticks(3, UP)
    assert desk.ticks(5, UP, "pause")["pause"] == "paused by the operator"
    assert desk.status["steps"] == 3
    assert desk.ticks(2, UP, "resume")["steps"] == 5
    desk.ticks(2, UP, "pause")
    desk.operation.operated(True)  # somebody else now
    assert desk.ticks(2, UP)["steps"] == 7


def test_a_full_disk_costs_nothing_but_a_second_try(desk: Desk, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.lift()
    with monkeypatch.context() as broken:
        broken.setattr(Store, "commit", lambda *_: (_ for _ in ()).throw(JobError("no space left on the disk")))
        failed = desk.act("keep")
    assert (failed["note"], failed["state"], failed["kept"]) == ("no space left on the disk", "ended", 0)
    assert desk.act("keep")["kept"] == 1
    assert store.verify() == []


def test_what_cannot_be_cut_into_subtasks_is_not_taken_for_a_demo(
    desk: Desk, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.lift()

    def uncut(*_: object) -> None:
        raise InputError("demo 0 does not show subtask 'lift'")

    monkeypatch.setattr(module, "segment", uncut)
    assert desk.act("keep")["note"] == "demo 0 does not show subtask 'lift'"
    assert len(store) == 0


def test_a_change_of_assistance_is_recorded_where_it_was_made(desk: Desk, store: Store) -> None:
    desk.ticks(4, LEFT)
    desk.operation.assist(Assistance(speed=4, deadband=0.0, guidance=True))
    desk.lift()
    desk.act("keep")
    used = store.meta(0).extra["assistance"]
    assert [(entry["step"], entry["guidance"]) for entry in used] == [(0, False), (4, True)]


def test_an_endless_attempt_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 12)
    status = desk.ticks(20, UP)
    assert (status["steps"], status["outcome"]) == (12, "timed_out")


@pytest.mark.parametrize(("task", "domain"), [("stack_three", "sim"), ("lift", "twin/dev-0"), ("pick_place", "none")])
def test_every_task_and_domain_can_be_driven(tmp_path: Path, task: str, domain: str) -> None:
    desk = Desk(Store.create(tmp_path / "s", {}), task, domain)
    assert desk.ticks(3, UP)["steps"] == 3
    assert (desk.scene["task"], desk.scene["domain"]) == (task, domain)
    assert [subtask["name"] for subtask in desk.scene["subtasks"]] == [
        subtask.name for subtask in build_workspace(task).task.subtasks
    ]


def test_another_robot_is_driven_and_recorded_alike(tmp_path: Path) -> None:
    desk = Desk(Store.create(tmp_path / "s", {}), robot="ur5e")
    assert desk.lift()["outcome"] == "success"
    desk.act("keep")
    episode = desk.operation._store.episode(0)
    validate(episode)
    assert (episode.meta.embodiment, desk.scene["embodiment"]) == ("ur5e", "ur5e")


def test_finish_and_a_crash_end_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.act("finish")
    assert desk.ends == [None]
    monkeypatch.setattr(desk.operation, "_report", lambda *_: 1 / 0)
    with desk.operation:
        desk.operation._thread.join(timeout=10)
    assert isinstance(desk.ends[-1], ZeroDivisionError)


def test_the_edge_of_the_workspace_is_told(desk: Desk) -> None:
    assert desk.ticks(60, [0, 0, 0, 0, 0, 0])["edge"] == []
    desk.ticks(100, UP)
    assert desk.status["edge"] == ["+z"] or desk.status["blocked"]


def test_views_echo_the_command_behind_them(desk: Desk) -> None:
    desk.ticks(3, UP)
    assert desk.views[-1].echo == pytest.approx(desk.now - 0.05)
    assert desk.views[-1].step == 3
    with pytest.raises(InputError, match=r"unknown act 'kep'.*Did you mean 'keep'"):
        desk.operation.ask("kep")
