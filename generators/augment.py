"""The engine: seed demonstrations in, verified episodes of new scenes out, a chunk of scenes at a time.

All scenes of a chunk advance in lock-step, subtask by subtask: plan every scene's path in one batch, execute until each
has done its subtask, check, go on. Scenes that failed are tried again from their beginning with other choices. Only
what the judge accepts is rendered and kept; everything random comes from the scene's own named streams, so a chunk is a
pure function of the plan and its index.
"""

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from generators.crossing import crossed, extra_wait, fitted, paced
from generators.demos import Demo
from generators.planning import (
    BRIDGE,
    Candidate,
    Layout,
    Library,
    Path,
    PlanOptions,
    Situation,
    candidates,
    follow,
    is_clear,
    lay_out,
)
from generators.rendering import with_images
from generators.rollout import StepRecord, Tape, build_episode
from generators.segmentation import segment
from handful import InputError, Stream, random_stream
from scenes.domains import Domain
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import Scene, draw_scene, load_scenes, restart_scenes
from scenes.sensing import measure_joints
from scenes.task import World
from scenes.views import views_for
from scenes.workspace import Workspace
from sim.batch import BatchSim
from sim.cameras import Channel, open_renderer
from sim.embodiment import Embodiment
from sim.transforms import Array
from trajectories import Episode

# After the last subtask the arm waits this much longer than the judge needs [control steps].
_PATIENCE = 15
# Candidates are screened in rounds of one per scene; after this many the subtask counts as unreachable.
_SCREENED = 16
_LET_GO = 4  # steps that the open gripper waits before it leaves
_RETREAT = 0.10  # straight up, after a release [m]


@dataclass(frozen=True)
class MotionNoise:
    """Noise added to the executed joint targets, so that data shows how to come back: an AR(1) process per joint."""

    # Standard deviation [rad].
    std: float = 0.02
    # Correlation from one control step to the next.
    persistence: float = 0.95
    # Factor on the noise within `quiet` control steps of a gripper event; it rises to 1 at `loud` steps from it.
    at_event: float = 0.05
    quiet: int = 8
    loud: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.std < 0.5:
            raise InputError(f"noise.std must be at least 0 and below 0.5 rad, got {self.std}")
        if not 0 <= self.persistence < 1:
            raise InputError(f"noise.persistence must be at least 0 and below 1, got {self.persistence}")
        if not 0 <= self.at_event <= 1:
            raise InputError(f"noise.at_event must be 0 to 1, got {self.at_event}")
        if not 0 <= self.quiet <= self.loud:
            raise InputError(f"noise.quiet must be 0 to noise.loud ({self.loud}), got {self.quiet}")

    def loudness(self, distance: int) -> float:
        """Factor on the noise at so many control steps from the nearest gripper event."""
        rise = (distance - self.quiet) / max(1, self.loud - self.quiet)
        return self.at_event + (1.0 - self.at_event) * min(1.0, max(0.0, rise))


@dataclass(frozen=True)
class Options:
    """Everything that shapes a data set besides its seed and demos."""

    plan: PlanOptions = field(default_factory=PlanOptions)
    noise: MotionNoise = field(default_factory=MotionNoise)
    cameras: tuple[str, ...] = ()
    resolution: int = 84
    # Beside the images of each camera: how far away everything is, and what it is.
    depth: bool = False
    segmentation: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise InputError(f"threads must be at least 1, got {self.threads}")


@dataclass
class ChunkResult:
    """What a chunk of scenes gave.

    Attributes:
        episodes: the kept ones, in scene order.
        scenes: per scene a record: scene, outcome, attempts (outcome labels in order), steps, latched (whether an
            attempt that was refused met the goal for a moment: what an "any step" rule would have kept).
        dumps: scene index -> arrays of the states before a divergence.
        physics_steps: engine steps taken.
    """

    episodes: list[Episode] = field(default_factory=list)
    scenes: list[dict[str, Any]] = field(default_factory=list)
    dumps: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    physics_steps: int = 0


class Engine:
    """Augments demonstrations of one task.

    Args:
        workspace: the task's world.
        demos: the seed demonstrations, of this robot or of others.
        domain: what scenes are drawn from.
        seed: the plan's seed.
        options: how.

    Raises:
        InputError: a demo does not show the task, or none shows what the task may ask for.
    """

    def __init__(
        self, workspace: Workspace, demos: list[Demo], domain: Domain, seed: int, options: Options | None = None
    ) -> None:
        self.workspace, self.demos, self.domain, self.seed = workspace, demos, domain, seed
        self.options = options or Options()
        self.task, self.robot = workspace.task, workspace.embodiment
        cut = [[replace(part, demo=fitted(demo, self.robot)) for part in segment(demo, self.task)] for demo in demos]
        self.library = Library(cut, self.task)

    def make(self, indices: list[int]) -> ChunkResult:
        """Generate scenes `indices` of the plan."""
        scenes = [draw_scene(self.workspace, self.domain, "generation", self.seed, i) for i in indices]
        return _Chunk(self, scenes).run()


class _Chunk:
    """One chunk under way: a lane per scene."""

    def __init__(self, engine: Engine, scenes: list[Scene]) -> None:
        self.engine, self.scenes = engine, scenes
        self.workspace, self.task, self.options = engine.workspace, engine.task, engine.options
        self.sim = BatchSim(engine.workspace.model, engine.robot, len(scenes), self.options.threads)
        self.monitor = Monitor(engine.workspace, self.sim)
        self.tape = Tape(self.sim)
        n, joints = len(scenes), len(engine.robot.joints)
        self.command = np.zeros((n, joints))
        self.gripper = np.ones(n)
        self.noise = np.zeros((n, joints))
        self.streams: list[np.random.Generator] = [np.random.default_rng(0)] * n
        self.jitter: list[np.random.Generator] = [np.random.default_rng(0)] * n
        self.sensor: list[np.random.Generator] = [np.random.default_rng(0)] * n
        self.history: list[list[str]] = [[] for _ in scenes]
        self.latched = np.zeros(n, bool)
        self.result = ChunkResult()
        self.kept: dict[int, Episode] = {}

    def run(self) -> ChunkResult:
        """All attempts of all scenes."""
        load_scenes(self.sim, self.workspace, np.arange(len(self.scenes)), self.scenes)
        lanes = np.arange(len(self.scenes))
        for attempt in range(self.options.plan.max_attempts):
            if attempt:
                restart_scenes(self.sim, self.workspace, lanes, [self.scenes[i] for i in lanes])
            self._begin(lanes, attempt)
            self._attempt(lanes)
            lanes = self._harvest(lanes, attempt)
            if len(lanes) == 0:
                break
        self._render()
        self.result.episodes = [self.kept[lane] for lane in sorted(self.kept)]
        for lane, scene in enumerate(self.scenes):
            self.result.scenes.append(
                {
                    "scene": scene.index,
                    "outcome": self.history[lane][-1],
                    "attempts": self.history[lane],
                    "steps": int(self.tape.length[lane]),
                    "latched": bool(self.latched[lane]),
                }
            )
        return self.result

    def _begin(self, lanes: np.ndarray, attempt: int) -> None:
        self.monitor.begin(lanes, [self.scenes[i] for i in lanes])
        self.tape.rewind(lanes)
        self.command[lanes], self.gripper[lanes], self.noise[lanes] = self.sim.joint_position(lanes), 1.0, 0.0
        for i in lanes:
            self.streams[i], self.jitter[i], self.sensor[i] = self._streams(self.scenes[i].index, attempt)

    def _streams(self, scene: int, attempt: int) -> list[np.random.Generator]:
        """The streams of one attempt: choice of sources, motion noise, sensor noise."""
        names: tuple[Stream, ...] = ("source", "motion_noise", "sensor_noise")
        seed, task = self.engine.seed, self.task.name
        return [random_stream("generation", seed, task, scene, name, attempt) for name in names]

    def _attempt(self, lanes: np.ndarray) -> None:
        """One try at every lane, subtask by subtask."""
        for k, subtask in enumerate(self.task.subtasks):
            lanes = self._undecided(lanes)
            if len(lanes) == 0:
                return
            world = self.workspace.observe(self.sim, lanes)
            paths = self._plan(lanes, k, world)
            lanes = lanes[[path is not None for path in paths]]
            self._execute(lanes, [path for path in paths if path is not None], k)
            lanes = self._undecided(lanes)
            if subtask.kind == "grasp" and len(lanes):
                self._check_grasp(lanes, k)
        lanes = self._undecided(lanes)
        if len(lanes):
            self._finish(lanes)

    def _undecided(self, lanes: np.ndarray) -> np.ndarray:
        return lanes[[self.monitor.outcome[i] is None for i in lanes]]

    def _object(self, world: World, row: int, lane: int, role: str) -> Array:
        return world.objects[self.scenes[lane].roles[role]][row]

    def _situation(self, world: World, row: int, lane: int, k: int) -> Situation:
        subtask = self.task.subtasks[k]
        roles = self.scenes[lane].roles
        used = {roles[role] for role in (subtask.reference, subtask.held) if role}
        return Situation(
            tool=self.engine.robot.chain.forward(self.command[lane]),
            command=self.command[lane].copy(),
            gripper=float(self.gripper[lane]),
            reference=self._object(world, row, lane, subtask.reference).copy(),
            held=self._object(world, row, lane, subtask.held).copy() if subtask.held else None,
            obstacles=tuple(self.task.prop(name) for name in world.objects if name not in used),
            poses=np.array([pose[row] for name, pose in world.objects.items() if name not in used]).reshape(-1, 7),
            load=2 * self.task.prop(roles[subtask.held]).half[2] if subtask.held else 0.0,
            table_height=float(world.table_height[row]),
            hand=self.engine.robot.hand,
        )

    def _plan(self, lanes: np.ndarray, k: int, world: World) -> list[Path | None]:
        """A path per lane for subtask k; None where no segment can be followed, which settles the lane's outcome."""
        plan = self.options.plan
        situations = [self._situation(world, row, lane, k) for row, lane in enumerate(lanes)]
        queues: list[list[Candidate]] = [
            candidates(self.engine.library.of(k, self.scenes[lane].roles), s, plan, self.streams[lane])
            for s, lane in zip(situations, lanes, strict=True)
        ]
        paths: list[Path | None] = [None] * len(lanes)
        # What the arm can follow at the demo's speed comes first, then what it can follow more slowly.
        turns = product((False, True), range(_SCREENED)) if plan.screening else [(False, 0)]
        for slowly, turn in turns:
            rows = [row for row, path in enumerate(paths) if path is None and turn < len(queues[row])]
            laid = {row: lay_out(queues[row][turn], situations[row], plan) for row in rows}
            if plan.screening:
                laid = {row: layout for row, layout in laid.items() if is_clear(layout, situations[row], plan)}
            if laid:
                self._follow(laid, situations, paths, slowly)
        for row, lane in enumerate(lanes):
            if paths[row] is None:
                self.monitor.outcome[lane] = Outcome.UNREACHABLE
        return paths

    def _follow(
        self, laid: dict[int, Layout], situations: list[Situation], paths: list[Path | None], slowly: bool
    ) -> None:
        """Turn layouts into paths where the arm can follow them, at their own speed or more slowly."""
        own = {row: layout.guess for row, layout in laid.items() if layout.guess is not None}
        if own:
            chain, rate, guesses = self.engine.robot.chain, self.sim.timing.rate, list(own.values())
            layouts, commands = [laid[row] for row in own], np.stack([situations[row].command for row in own])
            if slowly:
                starts = [situations[row].tool for row in own]
                layouts, joints, feasible = paced(chain, layouts, guesses, starts, commands, rate)
            else:
                joints, feasible = follow(chain, [layout.tool for layout in layouts], guesses, commands, rate)
            self._take(dict(zip(own, layouts, strict=True)), joints, feasible, paths)
        others = [row for row in laid if row not in own]
        if others and not slowly:  # crossing slows down by itself
            self._cross({row: laid[row] for row in others}, situations, paths)

    def _cross(self, laid: dict[int, Layout], situations: list[Situation], paths: list[Path | None]) -> None:
        """The same, for layouts of another robot's demos."""
        robot, rate = self.engine.robot, self.sim.timing.rate
        layouts, joints, feasible = crossed(
            robot,
            list(laid.values()),
            [situations[row].tool for row in laid],
            [extra_wait(self.engine.demos[layout.demo[-1]], robot, rate) for layout in laid.values()],
            np.stack([situations[row].command for row in laid]),
            rate,
        )
        self._take(dict(zip(laid, layouts, strict=True)), joints, feasible, paths)

    def _take(
        self, laid: dict[int, Layout], joints: list[Array], feasible: np.ndarray, paths: list[Path | None]
    ) -> None:
        for (row, layout), path, ok in zip(laid.items(), joints, feasible, strict=True):
            if ok or not self.options.plan.screening:
                paths[row] = Path(path, layout.tool, layout.gripper, layout.demo, layout.step, layout.away)

    def _execute(self, lanes: np.ndarray, paths: list[Path], k: int) -> None:
        """Follow each lane's path to its end, or until its outcome is known."""
        longest = max((len(p) for p in paths), default=0)
        for t in range(longest):
            rows = [r for r, p in enumerate(paths) if t < len(p) and self.monitor.outcome[lanes[r]] is None]
            if not rows:
                return
            ids = lanes[rows]
            loud = np.array([self._loudness(paths[r], t) for r in rows])
            self._step(
                ids,
                joints=np.stack([paths[r].joints[t] for r in rows]),
                gripper=np.array([paths[r].gripper[t] for r in rows]),
                tool=np.stack([paths[r].tool[t] for r in rows]),
                tags=(k, np.array([paths[r].demo[t] for r in rows]), np.array([paths[r].step[t] for r in rows])),
                loud=loud,
            )

    def _loudness(self, path: Path, t: int) -> float:
        """Factor on the motion noise at step t of a path: none while waiting."""
        return 0.0 if path.away is None else self.options.noise.loudness(int(path.away[t]))

    def _step(
        self,
        ids: np.ndarray,
        joints: Array,
        gripper: Array,
        tool: Array,
        tags: tuple[int, np.ndarray, np.ndarray],
        loud: np.ndarray,
    ) -> None:
        noise = self.options.noise
        fresh = np.stack([self.jitter[i].standard_normal(joints.shape[1]) for i in ids])
        blend = np.sqrt(1.0 - noise.persistence**2)
        self.noise[ids] = noise.persistence * self.noise[ids] + blend * noise.std * fresh
        # In float32, as stored: the stored action is exactly the one that was applied.
        intended = np.concatenate([joints, gripper[:, None]], axis=1).astype(np.float32)
        executed = intended.copy()
        executed[:, :-1] += (loud[:, None] * self.noise[ids]).astype(np.float32)
        record = StepRecord(intended, executed, tool, np.full(len(ids), tags[0]), tags[1], tags[2])
        measured = measure_joints(self.sim, ids, [self.scenes[i] for i in ids], [self.sensor[i] for i in ids])
        self.tape.before(ids, record, measured)
        self.sim.step(ids, executed.astype(float))
        self.result.physics_steps += len(ids) * self.sim.steps_per_control()
        self.command[ids], self.gripper[ids] = joints, gripper
        self.monitor.update(ids)

    def _check_grasp(self, lanes: np.ndarray, k: int) -> None:
        """Settle lanes whose object did not come up with the gripper."""
        world = self.workspace.observe(self.sim, lanes)
        for row, lane in enumerate(lanes):
            prop = self.task.prop(self.scenes[lane].roles[self.task.subtasks[k].reference])
            if prop.hold_distance(world.objects[prop.name][row], world.tool[row, :3]) > 0.04:
                self.monitor.outcome[lane] = Outcome.GRASP_MISSED

    def _finish(self, lanes: np.ndarray) -> None:
        """Back away after a release, then wait for the judge."""
        poses: list[Array] = []
        for lane in lanes:
            tool = self.engine.robot.chain.forward(self.command[lane])
            rise = np.linspace(0.0, _RETREAT, 13)[1:] if self.task.ends_in_release else np.zeros(0)
            rise = np.concatenate([np.zeros(_LET_GO), rise])
            up = np.tile(tool, (len(rise), 1))
            up[:, 2] += rise
            poses.append(np.concatenate([up, np.tile(up[-1] if len(up) else tool, (self.monitor.need + _PATIENCE, 1))]))
        guesses = [np.tile(self.command[lane], (len(p), 1)) for lane, p in zip(lanes, poses, strict=True)]
        joints, _ = follow(self.engine.robot.chain, poses, guesses, self.command[lanes], self.sim.timing.rate)
        paths = []
        for lane, pose, path in zip(lanes, poses, joints, strict=True):
            mark = np.full(len(pose), BRIDGE)
            paths.append(Path(path, pose, np.full(len(pose), self.gripper[lane]), mark, mark, None))
        self._execute(lanes, paths, len(self.task.subtasks) - 1)
        self.monitor.give_up(lanes)

    def _harvest(self, lanes: np.ndarray, attempt: int) -> np.ndarray:
        """Keep what succeeded; returns the lanes to try again."""
        again = []
        for lane in lanes:
            outcome = self.monitor.outcome[lane]
            assert outcome is not None  # _attempt settles every lane
            self.history[lane].append(outcome.label)
            scene = self.scenes[lane]
            if outcome is Outcome.SUCCESS:
                meta = {
                    "operator": "augmentation",
                    "attempts": attempt + 1,
                    "seeds": scene.seeds(self.task.name, attempt),
                    "sources": tuple(_source(demo, self.engine.robot) for demo in self.engine.demos),
                }
                self.kept[lane] = build_episode(self.workspace, self.tape, lane, scene, outcome, {}, meta)
                continue
            self.latched[lane] |= self.monitor.met[lane]
            if outcome is Outcome.DIVERGED:
                self.result.dumps[scene.index] = {
                    "states": self.tape.states(lane),
                    "executed": self.tape.rows(lane, "executed").copy(),
                }
            again.append(lane)
        return np.array(again, int)

    def _render(self) -> None:
        """Draw the kept episodes' frames from their states."""
        if not self.options.cameras or not self.kept:
            return
        size = self.options.resolution
        channels: list[Channel] = ["rgb"]
        channels += ["depth"] if self.options.depth else []
        channels += ["segmentation"] if self.options.segmentation else []
        with open_renderer(self.workspace.model, size, size, views=views_for(self.workspace)) as renderer:
            for lane, episode in self.kept.items():
                model = self.sim.batch.get_model(lane)
                self.kept[lane] = with_images(self.workspace, episode, model, renderer, self.options.cameras, channels)


def _source(demo: Demo, robot: Embodiment) -> dict[str, Any]:
    """A demo's provenance; it names the demo's robot where that is another."""
    other = {} if demo.embodiment == robot.name else {"embodiment": demo.embodiment}
    return {"store": demo.store, "episode": demo.episode, "operator": demo.operator, **other}
