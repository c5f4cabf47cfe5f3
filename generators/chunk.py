"""One chunk under way: a lane per scene, who is at which subtask, what is tried again, what is kept.

Lanes advance together but stand at different subtasks. One that has to plan waits until there are enough of them, so
that planning stays batched and stepping wide; since rows of a batch do not depend on each other, nothing that a scene
gives depends on the company it is in.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from generators.anchoring import LEVER, Anchor, shifts
from generators.coverage import start_of
from generators.demos import Demo
from generators.execution import Checkpoint, Execution
from generators.library import Candidate, Repertoire, candidates
from generators.planning import BRIDGE, Path, follow
from generators.recipe import ChunkResult, Recipe
from generators.rollout import build_episode
from generators.search import Search
from generators.situations import Situation
from generators.tries import Tries
from handful import Stream, random_stream
from scenes.outcome import Outcome
from scenes.scene import Scene, load_scenes
from scenes.task import World
from sim.embodiment import Embodiment
from sim.transforms import Array, compose, inverse
from trajectories import Episode

# After the last subtask the arm waits this much longer than the judge needs [control steps].
_PATIENCE = 15
_LET_GO = 4  # steps that the open gripper waits before it leaves
_RETREAT = 0.10  # straight up, after a release [m]
_RISE = 12  # in so many steps
# Every so many control steps of a path, a look at the objects; none within the last so many before the event.
_LOOK, _BLIND = 5, 3
# A grasped object stands at least this much above where it stood [m].
_LIFTED = 0.01
# Planning begins once this share of the lanes under way waits for it.
_GATHER = 0.25
# Failures that one can carry on from; after the others the judge accepts nothing any more.
_MENDABLE = (
    Outcome.GRASP_MISSED,
    Outcome.OBJECT_DROPPED,
    Outcome.MISPLACED,
    Outcome.NOT_SETTLED,
    Outcome.TIMED_OUT,
)


class Chunk:
    """The lanes of one chunk.

    Args:
        recipe: what is done to them.
        scenes: one per lane.
        keep_failed: keep failed tries as episodes too.
    """

    def __init__(self, recipe: Recipe, scenes: list[Scene], keep_failed: bool = False) -> None:
        self.recipe, self.scenes, self.keep_failed = recipe, scenes, keep_failed
        self.workspace, self.task, self.options = recipe.workspace, recipe.workspace.task, recipe.options
        self.robot = self.workspace.embodiment
        self.execution = Execution(self.workspace, scenes, self.options.noise, self.options.threads)
        self.sim, self.monitor, self.tape = self.execution.sim, self.execution.monitor, self.execution.tape
        plan, noise = self.options.plan, self.options.noise
        self.search = Search(self.robot, self.workspace.limbs, recipe.demos, plan, noise, self.sim.timing.rate)
        n = len(scenes)
        self.tries: list[Tries[Checkpoint]] = [Tries(self.options.plan) for _ in scenes]
        # The subtask that a lane is at; past the last, it waits for the judge.
        self.stage = np.zeros(n, int)
        # Whether a lane has to plan; whether it backs away from a failure, to carry on from there.
        self.waits, self.backs_away = np.zeros(n, bool), np.zeros(n, bool)
        self.anchors: list[Anchor | None] = [None] * n
        # (N, K) objects, by number: of each subtask the reference, and what is held; -1 where nothing is.
        self._reference = self._numbers([subtask.reference for subtask in self.task.subtasks])
        self._held = self._numbers([subtask.held for subtask in self.task.subtasks])
        self.stood = np.zeros(n)  # height of a subtask's reference object as it began [m]
        self.simulated = np.zeros(n, int)
        self.streams: list[np.random.Generator] = [np.random.default_rng(0)] * n
        self.failed: list[list[Episode]] = [[] for _ in scenes]
        self.result = ChunkResult()
        self.kept: dict[int, Episode] = {}

    def _numbers(self, roles: Sequence[str | None]) -> np.ndarray:
        number = {name: i for i, name in enumerate(self.task.objects)}
        return np.array([[number[scene.roles[role]] if role else -1 for role in roles] for scene in self.scenes])

    def run(self) -> ChunkResult:
        """All tries at all scenes."""
        lanes = np.arange(len(self.scenes))
        load_scenes(self.sim, self.workspace, lanes, self.scenes)
        self.execution.begin(lanes)
        for lane in range(len(self.scenes)):
            self._start(lane)
        while True:
            moving, waiting = self.execution.moving(), np.flatnonzero(self.waits)
            if len(waiting) and len(waiting) >= _GATHER * (len(moving) + len(waiting)):
                self._plan(waiting)
            elif len(moving):
                self._advance(moving)
            else:
                break
        self.result.physics_steps = self.execution.physics_steps
        self.result.episodes = [self.kept[lane] for lane in sorted(self.kept)]
        self.result.failed = [episode for episodes in self.failed for episode in episodes]
        self.result.scenes = [self._record(lane) for lane in range(len(self.scenes))]
        return self.result

    def _record(self, lane: int) -> dict[str, Any]:
        scene, tries = self.scenes[lane], [entry.record() for entry in self.tries[lane].tries]
        return {
            "scene": scene.index,
            "outcome": tries[-1]["outcome"],
            "attempts": [entry["outcome"] for entry in tries],
            "tries": tries,
            "steps": int(self.tape.length[lane]),
            "simulated": int(self.simulated[lane]),
            "latched": any(entry["latched"] for entry in tries),
            "starts": {role: start_of(scene.ledger["poses"][name]) for role, name in scene.roles.items()},
        }

    # Beginning and ending tries

    def _start(self, lane: int) -> None:
        self.tries[lane].save(0, self.execution.checkpoint(lane), 0)
        self._begin(lane, 0)
        if self.monitor.outcome[lane] is not None:  # it diverged while coming to rest, and would do so again
            self._fail(lane, self._outcome(lane), final=True)

    def _begin(self, lane: int, subtask: int) -> None:
        """Begin a try at a subtask, from the lane's present state, with streams of its own."""
        number = self.tries[lane].begin(subtask, int(self.tape.length[lane]))
        names: tuple[Stream, ...] = ("source", "motion_noise", "sensor_noise")
        seed, scene = self.recipe.seed, self.scenes[lane].index
        self.streams[lane], self.execution.jitter[lane], self.execution.sensor[lane] = (
            random_stream("generation", seed, self.task.name, scene, name, number) for name in names
        )
        self.stage[lane], self.waits[lane], self.backs_away[lane] = subtask, True, False

    def _outcome(self, lane: int) -> Outcome:
        outcome = self.monitor.outcome[lane]
        assert outcome is not None  # asked only once it is known
        return outcome

    def _fail(self, lane: int, outcome: Outcome, final: bool = False) -> None:
        """End a lane's try, and begin the next one unless this was the last."""
        tries = self.tries[lane]
        tries.end(outcome, bool(self.monitor.met[lane]))
        self.waits[lane] = False
        if self.keep_failed:
            self.failed[lane].append(self._episode(lane, outcome))
        if outcome is Outcome.DIVERGED:
            self.result.dumps[self.scenes[lane].index] = {
                "states": self.tape.states(lane),
                "executed": self.tape.rows(lane, "executed").copy(),
            }
        if final or tries.exhausted():
            self.monitor.outcome[lane] = outcome
        elif self.options.plan.on_failure == "recover" and outcome in _MENDABLE:
            self.monitor.carry_on(lane)
            self._begin(lane, int(self.stage[lane]))
            self.backs_away[lane] = True
        else:
            mark = tries.back()
            self.execution.restore(lane, mark.state)
            self._begin(lane, mark.subtask)

    def _succeed(self, lane: int) -> None:
        self.tries[lane].end(Outcome.SUCCESS, latched=False)
        self.kept[lane] = self._episode(lane, Outcome.SUCCESS)

    def _episode(self, lane: int, outcome: Outcome) -> Episode:
        scene, tries = self.scenes[lane], self.tries[lane]
        meta = {
            "operator": "augmentation",
            "attempts": len(tries.tries),
            "seeds": scene.seeds(self.task.name, len(tries.tries) - 1),
            "sources": tuple(_source(demo, self.robot) for demo in self.recipe.demos),
            "extra": {"tries": [list(part) for part in tries.parts]},
        }
        return build_episode(self.workspace, self.tape, lane, scene, outcome, {}, meta)

    # Planning

    def _plan(self, lanes: np.ndarray) -> None:
        """Give lanes a path each, or end their try."""
        self.waits[lanes] = False
        ending = self.backs_away[lanes] | (self.stage[lanes] == len(self.task.subtasks))
        self._plan_rest(lanes[ending])
        self._plan_subtasks(lanes[~ending])

    def _plan_subtasks(self, lanes: np.ndarray) -> None:
        if len(lanes) == 0:
            return
        world = self.workspace.observe(self.sim, lanes)
        seen = self.options.perception.look(world, [self.execution.sensor[i] for i in lanes])
        anchors = self._anchored(seen, lanes)
        done = [self.tape.rows(lane, "intended").astype(float) for lane in lanes]
        commands = self.execution.command[lanes]
        before = [rows[-2, :-1] if len(rows) > 1 else command for rows, command in zip(done, commands, strict=True)]
        aims = self.robot.chain.forward(np.stack([commands, np.array(before)], axis=1))
        situations, queues = [], []
        for row, lane in enumerate(lanes):
            k, roles = int(self.stage[lane]), self.scenes[lane].roles
            anchor = anchors[row]
            situation = self._situation(seen, row, lane, anchor, aims[row], _since(done[row][:, -1]))
            queue = self._queue(lane, self.recipe.library.of(k, roles), situation)
            situations.append(situation)
            queues.append(queue)
            self.anchors[lane] = anchor
            self.stood[lane] = world.objects[roles[self.task.subtasks[k].reference]][row, 2]
        paths = self.search.paths(situations, queues)
        self._search_reserves(lanes, situations, paths)
        for lane, path in zip(lanes, paths, strict=True):
            if path is None:
                self.tries[lane].follow(None)
                self._fail(lane, Outcome.UNREACHABLE)
            else:
                self.tries[lane].follow(int(path.demo.max()))
                self.execution.assign(lane, path, int(self.stage[lane]))

    def _queue(self, lane: int, repertoire: Repertoire, situation: Situation) -> list[Candidate]:
        """Candidates, best first; but what failed from here comes after what did not."""
        blamed = self.tries[lane].mark.blamed
        queue = candidates(repertoire, situation, self.options.plan, self.streams[lane])
        return sorted(queue, key=lambda candidate: blamed[candidate.segment.demo.index])

    def _search_reserves(self, lanes: np.ndarray, situations: list[Situation], paths: list[Path | None]) -> None:
        """Where no path was found, look among the demos that were dropped."""
        rows, queues = [], []
        for row, lane in enumerate(lanes):
            reserve = self.recipe.library.reserve(int(self.stage[lane]), self.scenes[lane].roles)
            if paths[row] is None and reserve is not None:
                rows.append(row)
                queues.append(self._queue(lane, reserve, situations[row]))
        if rows:
            found = self.search.paths([situations[row] for row in rows], queues)
            for row, path in zip(rows, found, strict=True):
                paths[row] = path

    def _situation(self, seen: World, row: int, lane: int, anchor: Anchor, aims: Array, since: int | None) -> Situation:
        subtask, roles = self.task.subtasks[self.stage[lane]], self.scenes[lane].roles
        used = {roles[role] for role in (subtask.reference, subtask.held) if role}
        tool, before = aims
        return Situation(
            tool=tool,
            before=before,
            command=self.execution.command[lane].copy(),
            gripper=float(self.execution.gripper[lane]),
            since=since,
            reference=anchor.reference,
            held=None if anchor.held is None else compose(tool, anchor.held),
            reference_prop=self.task.prop(roles[subtask.reference]),
            held_prop=self.task.prop(roles[subtask.held]) if subtask.held else None,
            obstacles=tuple(self.task.prop(name) for name in seen.objects if name not in used),
            poses=np.array([pose[row] for name, pose in seen.objects.items() if name not in used]).reshape(-1, 7),
            load=2 * self.task.prop(roles[subtask.held]).half[2] if subtask.held else 0.0,
            table_height=float(seen.table_height[row]),
            hand=self.robot.hand,
        )

    def _anchored(self, seen: World, lanes: np.ndarray) -> list[Anchor]:
        """What the paths of lanes are planned against, as it is seen now."""
        # Where the arms are, not where they were told to be: noise and latency lie between.
        tools = self.robot.chain.forward(self.sim.joint_position(lanes))
        poses = np.stack([seen.objects[name] for name in self.task.objects])
        rows, stage = np.arange(len(lanes)), self.stage[lanes]
        reference, in_hand = poses[self._reference[lanes, stage], rows], self._held[lanes, stage]
        held = compose(inverse(tools), poses[in_hand, rows])
        return [Anchor(reference[row], held[row] if in_hand[row] >= 0 else None) for row in rows]

    def _plan_rest(self, lanes: np.ndarray) -> None:
        """Back away after a release, then wait for the judge; or back away from a failure."""
        if len(lanes) == 0:
            return
        poses: list[Array] = []
        for lane in lanes:
            tool = self.robot.chain.forward(self.execution.command[lane])
            leaves = self.task.ends_in_release or self.backs_away[lane]
            rise = np.linspace(0.0, _RETREAT, _RISE + 1)[1:] if leaves else np.zeros(0)
            rise = np.concatenate([np.zeros(_LET_GO), rise])
            up = np.tile(tool, (len(rise), 1))
            up[:, 2] += rise
            wait = 0 if self.backs_away[lane] else self.monitor.need + _PATIENCE
            poses.append(np.concatenate([up, np.tile(up[-1], (wait, 1))]))
        guesses = [np.tile(self.execution.command[lane], (len(p), 1)) for lane, p in zip(lanes, poses, strict=True)]
        commands = self.execution.command[lanes]
        joints, _ = follow(self.robot.chain, poses, guesses, commands, self.sim.timing.rate)
        last = len(self.task.subtasks) - 1
        for lane, pose, path in zip(lanes, poses, joints, strict=True):
            mark = np.full(len(pose), BRIDGE)
            gripper = 1.0 if self.backs_away[lane] else self.execution.gripper[lane]
            rest = Path(path, pose, np.full(len(pose), gripper), mark, mark, None)
            self.execution.assign(lane, rest, min(int(self.stage[lane]), last))

    # Following

    def _advance(self, lanes: np.ndarray) -> None:
        """One control step, and what follows from it."""
        world = self.execution.advance(lanes)
        self.simulated[lanes] += 1
        on_the_way = np.zeros(len(self.scenes), bool)
        on_the_way[self.execution.moving()] = True
        looking = on_the_way[lanes] & (self.execution.progress(lanes) % _LOOK == 0)
        looking &= (self.stage[lanes] < len(self.task.subtasks)) & ~self.backs_away[lanes]
        looking &= self.execution.until_event(lanes) >= _BLIND
        for row in np.flatnonzero(~on_the_way[lanes]):
            self._settle(lanes[row], world.rows(np.array([row])))
        rows = np.flatnonzero(looking)
        if len(rows):
            self._look(lanes[rows], world.rows(rows))

    def _settle(self, lane: int, world: World) -> None:
        """A lane's path is at its end, or the judge has spoken.

        Args:
            lane: which.
            world: it alone, as it is.
        """
        outcome = self.monitor.outcome[lane]
        if outcome is Outcome.SUCCESS:
            self._succeed(lane)
        elif outcome is not None:
            self._fail(lane, outcome)
        elif self.backs_away[lane]:
            self._resume(lane, world)
        elif self.stage[lane] == len(self.task.subtasks):
            self.monitor.give_up(np.array([lane]))
            self._fail(lane, self._outcome(lane))
        else:
            shortfall = self._shortfall(lane, world)
            if shortfall is not None:
                self._fail(lane, shortfall)
                return
            self.stage[lane] += 1
            self.waits[lane] = True
            if self.stage[lane] < len(self.task.subtasks):
                length = int(self.tape.length[lane])
                self.tries[lane].save(int(self.stage[lane]), self.execution.checkpoint(lane), length)

    def _shortfall(self, lane: int, world: World) -> Outcome | None:
        """What the subtask that has just ended lacks; None if it is done."""
        k = int(self.stage[lane])
        subtask, roles = self.task.subtasks[k], self._roles(np.array([lane]))
        if subtask.kind == "grasp":
            name = self.scenes[lane].roles[subtask.reference]
            risen = world.objects[name][0, 2] - self.stood[lane] > _LIFTED
            if not (risen and self.task.held(world, roles[subtask.reference])[0]):
                return Outcome.GRASP_MISSED
            return None if self.task.done(k, world, roles)[0] else Outcome.DISTURBED
        if self._is_last_try(lane) or self.task.done(k, world, roles)[0]:
            return None
        return Outcome.MISPLACED if k == 0 or self.task.intact(k, world, roles)[0] else Outcome.DISTURBED

    def _is_last_try(self, lane: int) -> bool:
        """Whether no other try can follow: then a doubtful one is seen to its end, for the judge to decide."""
        return len(self.tries[lane].tries) >= self.options.plan.max_attempts

    def _roles(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        return {role: index[ids] for role, index in self.monitor.roles.items()}

    def _look(self, lanes: np.ndarray, world: World) -> None:
        """Notice what was lost, and keep paths with objects that have moved."""
        seen = self.options.perception.look(world, [self.execution.sensor[i] for i in lanes])
        losses = self._losses(lanes, world)
        if self.options.plan.reanchor > 0:
            self._keep_up(lanes, self._anchored(seen, lanes), losses)
        for lane, loss in zip(lanes, losses, strict=True):
            if loss is not None:
                self._fail(lane, loss)

    def _losses(self, lanes: np.ndarray, world: World) -> list[Outcome | None]:
        """What each lane has lost on the way, so that its subtask's end need not be waited for."""
        stage = self.stage[lanes]
        in_hand, intact = np.ones(len(lanes), bool), np.ones(len(lanes), bool)
        holding = np.flatnonzero(self._held[lanes, stage] >= 0)
        if len(holding):
            in_hand[holding] = self.task.held(world.rows(holding), self._held[lanes, stage][holding])
        for k, subtask in enumerate(self.task.subtasks):
            after = np.flatnonzero(stage > k)
            if subtask.kind == "place" and len(after):
                intact[after] &= self.task.placed(k, world.rows(after), self._roles(lanes[after]))
        losses: list[Outcome | None] = [None] * len(lanes)
        for row in np.flatnonzero(~(in_hand & intact)):
            if not self._is_last_try(lanes[row]):
                losses[row] = Outcome.DISTURBED if in_hand[row] else Outcome.OBJECT_DROPPED
        return losses

    def _keep_up(self, lanes: np.ndarray, anchors: list[Anchor], losses: list[Outcome | None]) -> None:
        """Follow objects that have moved, in lanes that have lost nothing."""
        planned = [self.anchors[lane] for lane in lanes]
        then = [anchor for anchor in planned if anchor is not None]  # every path of a subtask was planned against one
        tolerance = self.options.plan.reanchor + self.options.perception.slack(LEVER)
        moved: dict[int, tuple[Anchor, Array, Array]] = {}
        for row in np.flatnonzero(tolerance < shifts(then, anchors)):
            if losses[row] is None:
                joints, tool, event = self.execution.ahead(lanes[row])
                moved[lanes[row]] = anchors[row], then[row].moved(tool, event, anchors[row]), joints
        if moved:
            self._redirect(moved)

    def _redirect(self, moved: dict[int, tuple[Anchor, Array, Array]]) -> None:
        """Follow moved paths where the arm can; where it cannot, the path stays as it is."""
        poses, guesses = [tool for _, tool, _ in moved.values()], [joints for _, _, joints in moved.values()]
        commands = self.execution.command[list(moved)]
        paths, feasible = follow(self.robot.chain, poses, guesses, commands, self.sim.timing.rate)
        for (lane, (now, tool, _)), joints, ok in zip(moved.items(), paths, feasible, strict=True):
            if ok:
                self.execution.redirect(lane, joints, tool)
                self.anchors[lane] = now

    # After a failure

    def _resume(self, lane: int, world: World) -> None:
        """Carry on from where things stand: at the grasp of the first object that is not in its place."""
        k = self.task.resume(world, self._roles(np.array([lane])))
        self.stage[lane], self.backs_away[lane], self.waits[lane] = k, False, True
        self.tries[lane].tries[-1].start = k
        self.tries[lane].save(k, self.execution.checkpoint(lane), int(self.tape.length[lane]))

    # Keeping


def _since(opening: np.ndarray) -> int | None:
    """Control steps since the gripper's commands (T,) last went over to open or closed; None: never."""
    changes = np.flatnonzero(np.diff(opening > 0.5))
    return len(opening) - 1 - int(changes[-1]) if len(changes) else None


def _source(demo: Demo, robot: Embodiment) -> dict[str, Any]:
    """A demo's provenance; it names the demo's robot where that is another."""
    other = {} if demo.embodiment == robot.name else {"embodiment": demo.embodiment}
    return {"store": demo.store, "episode": demo.episode, "operator": demo.operator, **other}
