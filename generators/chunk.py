"""One chunk under way: a lane per scene, who is at which subtask, what was tried, what is kept."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from generators.demos import Demo
from generators.execution import Execution, MotionNoise
from generators.library import Library, candidates
from generators.options import PlanOptions
from generators.planning import BRIDGE, Path, follow
from generators.rendering import with_images
from generators.rollout import build_episode
from generators.search import Search
from generators.situations import Situation
from handful import InputError, Stream, random_stream
from scenes.outcome import Outcome
from scenes.scene import Scene, load_scenes, restart_scenes
from scenes.task import World
from scenes.views import views_for
from scenes.workspace import Workspace
from sim.cameras import Channel, open_renderer
from sim.embodiment import Embodiment
from sim.transforms import Array
from trajectories import Episode

# After the last subtask the arm waits this much longer than the judge needs [control steps].
_PATIENCE = 15
_LET_GO = 4  # steps that the open gripper waits before it leaves
_RETREAT = 0.10  # straight up, after a release [m]


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


@dataclass(frozen=True)
class Recipe:
    """What makes scenes into episodes.

    Attributes:
        workspace: the task's world.
        demos: the seed demonstrations.
        library: their segments.
        seed: the plan's seed.
        options: how.
    """

    workspace: Workspace
    demos: list[Demo]
    library: Library
    seed: int
    options: Options


class Chunk:
    """The lanes of one chunk.

    Args:
        recipe: what is done to them.
        scenes: one per lane.
    """

    def __init__(self, recipe: Recipe, scenes: list[Scene]) -> None:
        self.recipe, self.scenes = recipe, scenes
        self.workspace, self.task, self.options = recipe.workspace, recipe.workspace.task, recipe.options
        self.robot = self.workspace.embodiment
        self.execution = Execution(self.workspace, scenes, self.options.noise, self.options.threads)
        self.sim, self.monitor, self.tape = self.execution.sim, self.execution.monitor, self.execution.tape
        self.search = Search(self.robot, recipe.demos, self.options.plan, self.sim.timing.rate)
        n = len(scenes)
        self.streams: list[np.random.Generator] = [np.random.default_rng(0)] * n
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
        self.result.physics_steps = self.execution.physics_steps
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
        self.execution.begin(lanes)
        for i in lanes:
            source, jitter, sensor = self._streams(self.scenes[i].index, attempt)
            self.streams[i], self.execution.jitter[i], self.execution.sensor[i] = source, jitter, sensor

    def _streams(self, scene: int, attempt: int) -> list[np.random.Generator]:
        """The streams of one attempt: choice of sources, motion noise, sensor noise."""
        names: tuple[Stream, ...] = ("source", "motion_noise", "sensor_noise")
        seed, task = self.recipe.seed, self.task.name
        return [random_stream("generation", seed, task, scene, name, attempt) for name in names]

    def _attempt(self, lanes: np.ndarray) -> None:
        """One try at every lane, subtask by subtask."""
        for k, subtask in enumerate(self.task.subtasks):
            lanes = self.execution.undecided(lanes)
            if len(lanes) == 0:
                return
            world = self.workspace.observe(self.sim, lanes)
            paths = self._plan(lanes, k, world)
            lanes = lanes[[path is not None for path in paths]]
            self._execute(lanes, [path for path in paths if path is not None], k)
            lanes = self.execution.undecided(lanes)
            if subtask.kind == "grasp" and len(lanes):
                self._check_grasp(lanes, k)
        lanes = self.execution.undecided(lanes)
        if len(lanes):
            self._finish(lanes)

    def _object(self, world: World, row: int, lane: int, role: str) -> Array:
        return world.objects[self.scenes[lane].roles[role]][row]

    def _situation(self, world: World, row: int, lane: int, k: int) -> Situation:
        subtask = self.task.subtasks[k]
        roles = self.scenes[lane].roles
        used = {roles[role] for role in (subtask.reference, subtask.held) if role}
        return Situation(
            tool=self.robot.chain.forward(self.execution.command[lane]),
            command=self.execution.command[lane].copy(),
            gripper=float(self.execution.gripper[lane]),
            reference=self._object(world, row, lane, subtask.reference).copy(),
            held=self._object(world, row, lane, subtask.held).copy() if subtask.held else None,
            obstacles=tuple(self.task.prop(name) for name in world.objects if name not in used),
            poses=np.array([pose[row] for name, pose in world.objects.items() if name not in used]).reshape(-1, 7),
            load=2 * self.task.prop(roles[subtask.held]).half[2] if subtask.held else 0.0,
            table_height=float(world.table_height[row]),
            hand=self.robot.hand,
        )

    def _plan(self, lanes: np.ndarray, k: int, world: World) -> list[Path | None]:
        """A path per lane for subtask k; None where no segment can be followed, which settles the lane's outcome."""
        situations = [self._situation(world, row, lane, k) for row, lane in enumerate(lanes)]
        queues = [
            candidates(self.recipe.library.of(k, self.scenes[lane].roles), s, self.options.plan, self.streams[lane])
            for s, lane in zip(situations, lanes, strict=True)
        ]
        paths = self.search.paths(situations, queues)
        for lane, path in zip(lanes, paths, strict=True):
            if path is None:
                self.monitor.outcome[lane] = Outcome.UNREACHABLE
        return paths

    def _execute(self, lanes: np.ndarray, paths: list[Path], k: int) -> None:
        """Follow each lane's path to its end, or until its outcome is known."""
        for lane, path in zip(lanes, paths, strict=True):
            self.execution.assign(lane, path, k)
        while len(moving := self.execution.moving()):
            self.execution.advance(moving)

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
            tool = self.robot.chain.forward(self.execution.command[lane])
            rise = np.linspace(0.0, _RETREAT, 13)[1:] if self.task.ends_in_release else np.zeros(0)
            rise = np.concatenate([np.zeros(_LET_GO), rise])
            up = np.tile(tool, (len(rise), 1))
            up[:, 2] += rise
            poses.append(np.concatenate([up, np.tile(up[-1] if len(up) else tool, (self.monitor.need + _PATIENCE, 1))]))
        guesses = [np.tile(self.execution.command[lane], (len(p), 1)) for lane, p in zip(lanes, poses, strict=True)]
        joints, _ = follow(self.robot.chain, poses, guesses, self.execution.command[lanes], self.sim.timing.rate)
        paths = []
        for lane, pose, path in zip(lanes, poses, joints, strict=True):
            mark = np.full(len(pose), BRIDGE)
            paths.append(Path(path, pose, np.full(len(pose), self.execution.gripper[lane]), mark, mark, None))
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
                    "sources": tuple(_source(demo, self.robot) for demo in self.recipe.demos),
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
