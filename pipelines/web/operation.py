"""The robot in real time: a thread that steps an attempt at the control rate and does what the operator asks.

Nothing here knows of browsers or sockets: whoever listens to the operator calls `ask`, `steer` and `assist`, and is
told what is going on 20 times a second. Without an operator, or without a word from them, the robot stands still and
the attempt waits.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from generators.assistance import Assistance
from generators.demos import demo_of
from generators.hand import Hand
from generators.segmentation import segment
from generators.teleoperation import Limits
from handful import HandfulError, InputError, unknown_name
from pipelines.web.attempts import Attempt
from pipelines.web.drawing import View
from scenes.domains import Domain
from scenes.outcome import Outcome
from scenes.scene import draw_scene
from scenes.workspace import Workspace
from trajectories import EpisodeMeta, Store

# The last thing heard from the operator's page steers for this long [s], and keeps the robot running for this long.
STEERS, ALIVE = 0.3, 1.0
# No attempt is longer than this [control steps]: five minutes.
LONGEST = 6000
# With nobody to move, one picture in so many steps is enough.
_SLOW = 10

ACTS = (
    *("start", "pause", "resume", "gripper", "checkpoint", "back"),
    *("keep", "discard", "redo", "undo", "finish"),
)


@dataclass(frozen=True)
class Listing:
    """A kept episode, as the page lists it."""

    episode: int
    scene: int
    instruction: str
    outcome: str
    seconds: float
    attempts: int

    @classmethod
    def of(cls, episode: int, meta: EpisodeMeta, steps: int) -> "Listing":
        """The listing of a stored episode."""
        return cls(episode, meta.scene, meta.instruction, meta.outcome, steps / meta.control_rate, meta.attempts)


@dataclass(frozen=True)
class Moment:
    """What is told after each tick: everything that changes while driving, and what has changed beside it.

    Attributes:
        status: for the page, as JSON types.
        scene: for the page, where another attempt has begun; else None.
        episodes: the list of kept episodes, where it has changed; else None.
    """

    status: dict[str, Any]
    scene: dict[str, Any] | None
    episodes: list[Listing] | None


@dataclass(frozen=True)
class Plan:
    """What is recorded."""

    workspace: Workspace
    domain: Domain
    seed: int
    limits: Limits
    wanted: int
    device: str = "browser"


class Operation:
    """Runs attempts until it is stopped. A context manager; all methods may be called from any thread.

    Args:
        plan: what is recorded.
        store: where what is kept goes; nobody else may write to it.
        show: is given each state to be drawn, in this thread.
        tell: is given each moment, in this thread.
        end: is called in this thread when the operator has said that they are done, or with what it failed of.
        clock: seconds, for tests.

    Attributes:
        listings: the kept episodes; only the thread changes them.
        outcomes: how the scenes that are in the store ended, outcome -> count.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        show: Callable[[View], None],
        tell: Callable[[Moment], None],
        end: Callable[[BaseException | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self._clock = plan, clock
        self._store, self._show, self._tell, self._end = store, show, tell, end
        self._lock = threading.Lock()
        self._asked: deque[str] = deque(maxlen=64)
        self._axes, self._clutch, self._echo, self._heard = np.zeros(6), False, 0.0, -np.inf
        self._neutral = True
        self._assistance = Assistance()
        self._operator = self._held = False
        self._note = ""
        self._stop = threading.Event()
        self.listings = [Listing.of(i, store.meta(i), int(steps)) for i, steps in enumerate(store.episode_lengths())]
        records = store.scene_records()
        self.outcomes: dict[str, int] = {}
        for record in records:
            self.outcomes[record["outcome"]] = self.outcomes.get(record["outcome"], 0) + 1
        self._scene = 1 + max((int(record["scene"]) for record in records), default=-1)
        self._history: list[str] = []
        self._dropped: tuple[Attempt, int, list[str]] | None = None
        self._new = self._changed = True
        self._attempt = self._begin(0)
        self._rate = self._attempt.session.rate
        self._paces: deque[float] = deque(maxlen=41)
        self._ticks = 0
        self._thread = threading.Thread(target=self._run, name="operation", daemon=True)

    def __enter__(self) -> "Operation":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def steer(self, axes: list[float], clutch: bool, echo: float) -> None:
        """What the operator's hand does now.

        Args:
            axes: 6 deflections in [-1, 1]; see `Hand`.
            clutch: whether the clutch is held.
            echo: when, on the page's clock [ms]; comes back with the pictures.
        """
        with self._lock:
            self._axes, self._clutch, self._echo = np.array(axes, float), clutch, echo
            self._heard = self._clock()

    def assist(self, assistance: Assistance) -> None:
        """Change what helps the operator."""
        with self._lock:
            self._assistance = assistance

    def ask(self, act: str) -> None:
        """Ask for one of `ACTS`; it is done before the next control step.

        Raises:
            InputError: there is no such act.
        """
        if act not in ACTS:
            raise unknown_name("act", act, ACTS)
        with self._lock:
            self._asked.append(act)

    def operated(self, there: bool) -> None:
        """Say whether there is an operator; without one the robot stands still."""
        with self._lock:
            self._operator = there
            self._axes, self._clutch = np.zeros(6), False
            if there:
                self._asked.append("resume")  # a pause is over with whoever asked for it
            else:
                self._heard = -np.inf

    def waits(self) -> bool:
        """Whether an attempt has succeeded that was neither kept nor discarded; asked when the thread has ended."""
        return self._attempt.session.outcome is Outcome.SUCCESS

    def _begin(self, number: int) -> Attempt:
        plan = self.plan
        scene = draw_scene(plan.workspace, plan.domain, "recording", plan.seed, self._scene)
        self._new, self._neutral = True, False
        return Attempt(plan.workspace, scene, Hand(plan.device, plan.limits), number)

    def _run(self) -> None:
        try:
            due = self._clock()
            while not self._stop.is_set():
                self.tick()
                due, now = due + 1.0 / self._rate, self._clock()
                if now > due + 1.0 / self._rate:
                    due = now  # what a hold-up cost is not made up for: the robot would jump
                self._stop.wait(max(0.0, due - now))
        except BaseException as error:
            self._end(error)

    def tick(self) -> None:
        """Do what was asked for, take a control step if there is one to take, and tell; called by the thread."""
        self._paces.append(self._clock())
        pause = self._obey()
        if self._runs(pause):
            self._step()
        self._report(pause)

    def _obey(self) -> str:
        """Do what was asked since the last tick; returns why the robot must stand still, "" if it need not."""
        with self._lock:
            acts, self._asked = list(self._asked), deque(maxlen=64)
            silence = self._clock() - self._heard
            axes = self._axes if silence < STEERS else np.zeros(6)
            clutch, assistance, operator = self._clutch, self._assistance, self._operator
        for act in acts:
            try:
                self._note = getattr(self, f"_do_{act}")() or ""
            except HandfulError as error:
                self._note = str(error)
        hand = self._attempt.hand  # perhaps another than before
        hand.axes, hand.clutch, hand.assistance = axes, clutch, assistance
        if not operator:
            return "nobody is at the controls"
        if silence > ALIVE:
            return "no word from the page"
        return "paused by the operator" if self._held else ""

    def _runs(self, pause: str) -> bool:
        attempt = self._attempt
        moves = attempt.hand.moves()
        # A key still held from before a new beginning does not start it.
        self._neutral |= not moves
        if pause or attempt.session.outcome is not None:
            return False
        if moves and self._neutral:
            attempt.asked()
        if not attempt.begun or not self._neutral:
            return False
        return not (attempt.hand.assistance.skip_pauses and attempt.rests())

    def _step(self) -> None:
        attempt = self._attempt
        attempt.step()
        if attempt.hand.moves():
            self._note = ""
        if len(attempt.session) >= LONGEST and attempt.session.outcome is None:
            attempt.session.give_up()

    def _report(self, pause: str) -> None:
        attempt, session = self._attempt, self._attempt.session
        self._ticks += 1
        with self._lock:
            echo = self._echo
        if not pause or self._ticks % _SLOW == 0 or self._new:
            self._show(View(attempt.model, session.sim.state[0].copy(), len(session), echo))
        scene, self._new = (self._describe() if self._new else None), False
        listed, self._changed = (list(self.listings) if self._changed else None), False
        self._tell(Moment(self._status(pause), scene, listed))

    def _state(self, pause: str) -> str:
        attempt = self._attempt
        if attempt.session.outcome is not None:
            return "ended"
        if pause:
            return "paused"
        if not attempt.begun:
            return "ready"
        return "waiting" if attempt.hand.assistance.skip_pauses and attempt.rests() else "recording"

    def _status(self, pause: str) -> dict[str, Any]:
        attempt, session = self._attempt, self._attempt.session
        world, outcome, way = session.world, session.outcome, attempt.hand.way(session.world)
        speed, turn_speed = attempt.hand.assistance.speeds(self.plan.limits)
        pace = self._paces[-1] - self._paces[0] if len(self._paces) > 1 else 0.0
        return {
            "type": "status",
            "state": self._state(pause),
            "pause": pause,
            "note": self._note,
            "steps": len(session),
            "seconds": len(session) / session.rate,
            "rate": (len(self._paces) - 1) / pace if pace else 0.0,
            "subtask": attempt.hand.subtask,
            "done": attempt.hand.done,
            "hold": session.hold,
            "outcome": outcome.label if outcome else None,
            "sentence": outcome.value if outcome else "",
            "blocked": session.blocked,
            "edge": self._edge(session.target),
            "closed": attempt.hand.closed,
            "opening": float(world.opening[0]),
            "tool": [round(float(v), 5) for v in world.tool[0]],
            "objects": {name: [round(float(v), 5) for v in pose[0]] for name, pose in world.objects.items()},
            "way": {"to": way.to, "position": way.position.round(5).tolist(), "turn": way.turn},
            "marks": [mark.checkpoint.steps for mark in attempt.marks],
            "assistance": {**attempt.hand.settings(), "metres": speed, "radians": turn_speed},
            "undo": self._dropped is not None and len(session) == 0,
            "kept": len(self.listings),
            "wanted": self.plan.wanted,
        }

    def _edge(self, target: np.ndarray) -> list[str]:
        """Sides of the workspace's box that the tool stands at, such as "+x"."""
        limits = self.plan.limits
        low = [f"-{axis}" for axis, at, end in zip("xyz", target, limits.low, strict=False) if at <= end + 1e-6]
        high = [f"+{axis}" for axis, at, end in zip("xyz", target, limits.high, strict=False) if at >= end - 1e-6]
        return low + high

    def _describe(self) -> dict[str, Any]:
        """What stays as it is during an attempt."""
        scene, workspace = self._attempt.scene, self.plan.workspace
        model = self._attempt.model
        cameras = {model.camera(i).name: model.camera(i) for i in range(model.ncam)}
        return {
            "type": "scene",
            "task": workspace.task.name,
            "domain": scene.domain,
            "embodiment": workspace.embodiment.name,
            "seed": scene.seed,
            "index": scene.index,
            "attempt": self._attempt.number + 1,
            "instruction": scene.instruction,
            "roles": scene.roles,
            "colours": workspace.task.colours,
            "subtasks": [
                {"name": subtask.name, "kind": subtask.kind, "reference": subtask.reference}
                for subtask in workspace.task.subtasks
            ],
            # Orientations in the bodies that carry them: the world, the hand.
            "cameras": {
                name: {"quat": camera.quat.tolist(), "fovy": float(camera.fovy[0])} for name, camera in cameras.items()
            },
            "rate": self._rate,
        }

    # What can be asked for. Each returns a note for the operator, if any.

    def _do_start(self) -> None:
        self._held = False
        self._attempt.asked()

    def _do_pause(self) -> None:
        self._held = True

    def _do_resume(self) -> None:
        self._held = False

    def _do_gripper(self) -> None:
        if self._attempt.session.outcome is not None:
            raise InputError("the attempt has ended; go back to a checkpoint, or redo it")
        self._held = False
        self._attempt.hand.closed = not self._attempt.hand.closed
        self._attempt.asked()

    def _do_checkpoint(self) -> str:
        self._attempt.mark("by hand")
        return f"checkpoint at {len(self._attempt.session) / self._rate:.1f} s"

    def _do_back(self) -> str:
        mark = self._attempt.back()
        self._neutral = False
        return f"back at {mark.checkpoint.steps / self._rate:.1f} s ({mark.why})"

    def _do_redo(self) -> str:
        self._drop()
        self._history.append(self._label())
        self._attempt = self._begin(self._attempt.number + 1)
        return "the same scene again; U brings the last attempt back"

    def _do_discard(self) -> str:
        self._drop()
        self._next()
        return "discarded, and on to the next scene; U brings the last attempt back"

    def _do_undo(self) -> str:
        if self._dropped is None or len(self._attempt.session):
            raise InputError("nothing to bring back; only before a new attempt has begun can the last one be had again")
        self._attempt, self._scene, self._history = self._dropped
        self._attempt.begun = False
        self._dropped, self._new, self._neutral = None, True, False
        return "the last attempt is back as it was"

    def _do_keep(self) -> str:
        session = self._attempt.session
        if session.outcome is None:
            raise InputError("the attempt is still under way; it can be kept once it has ended")
        episode, outcome = self._attempt.finish()
        plan, good = self.plan, outcome is Outcome.SUCCESS
        if good:
            # What cannot be cut into subtasks would make the whole store useless as demonstrations.
            segment(
                demo_of(episode, plan.workspace.task, len(self.listings), self._store.path, ""), plan.workspace.task
            )
        account = {
            "scene": self._scene,
            "outcome": outcome.label,
            "attempts": [*self._history, outcome.label],
            "steps": len(episode),
        }
        # Parts are numbered as they come: scenes that were passed over leave no gap.
        self._store.commit(len(self._store.committed()), [episode] if good else [], [account])
        self.outcomes[outcome.label] = self.outcomes.get(outcome.label, 0) + 1
        if good:
            self.listings.append(Listing.of(len(self.listings), episode.meta, len(episode)))
        self._changed, self._dropped = True, None
        self._next()
        if not good:
            return "kept as a failure, without its motion"
        complete = len(self.listings) >= plan.wanted
        return "kept; that is all that were wanted: finish the recording, or go on" if complete else "kept"

    def _do_finish(self) -> None:
        self._end(None)

    def _drop(self) -> None:
        if len(self._attempt.session) == 0:
            raise InputError("nothing was recorded yet")
        self._dropped = self._attempt, self._scene, list(self._history)

    def _label(self) -> str:
        """How the present attempt ended, or would if it ended now; it is left as it is."""
        session = self._attempt.session
        here = session.checkpoint()
        label = session.give_up().label
        session.rewind(here)
        return label

    def _next(self) -> None:
        self._scene, self._history = self._scene + 1, []
        self._attempt = self._begin(0)
