"""A batch of rollouts: scenes that advance together under one policy, each bit for bit what it would be alone."""

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful import InputError, random_stream
from pipelines.arms import Arms
from pipelines.deciding import Decider, joint_limits
from pipelines.measures import Measures, asked_role
from policies.execution import Mode, Pace
from policies.policy import Policy
from scenes.domains import Domain
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.sensing import measure_joints, seen_steps
from scenes.task import Sentences, Task
from scenes.workspace import Workspace
from sim.batch import BatchSim
from sim.rendering import FrameRenderer
from trajectories.photometric import Photometric


@dataclass(frozen=True)
class RolloutConfig:
    """How a policy is evaluated."""

    # Scenes that advance together; results do not depend on it.
    batch: int = 32
    # Actions of a chunk to carry out before looking again; 0: as many as the policy was trained for.
    execute: int = 0
    # Whether the arm waits for decisions (synchronous), or goes on with the chunk it has (asynchronous).
    execution: Mode = "synchronous"
    # What a decision takes [control steps].
    delay: int = 0
    # Asynchronous: over so many actions after a switch, motion passes from the old chunk to the new one.
    blend: int = 0
    # A chunk is not carried out further than so many steps after its look, and the arm held; 0: as far as it reaches.
    stale: int = 0
    # Whether commands are kept within the robot's limits of position and speed.
    limits: bool = True
    # Largest acceleration of each joint [rad/s^2]; 0: any.
    acceleration: float = 0.0
    # A chunk that leads less far than this from the last command, on average, is not carried out [m]: an arm at rest
    # stays at rest. The gripper obeys all the same.
    rest: float = 0.012
    # Whether the policy is told the domain it is in; a domain it never saw is never told.
    tell_domain: bool = True
    # How strongly that domain is meant: 1 as trained, more exaggerates what it changes, 0 leaves it open.
    guidance: float = 1.0
    # Example videos per domain and outcome.
    videos: int = 1
    # Threads that step the physics.
    threads: int = 2
    # Which of the task's sentences ask for it: those of training; "held_out", other sentences of the same words; or
    # "unseen", sentences with words besides.
    sentences: Sentences = "sentences"

    def __post_init__(self) -> None:
        for name in ("batch", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("execute", "delay", "acceleration"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.acceleration and not self.limits:
            raise InputError("acceleration is one of the limits; it needs limits=true")

    def pace(self, policy: Policy) -> Pace:
        """How a policy's chunks follow each other.

        Raises:
            InputError: they cannot: its chunks are too short.
        """
        execute = self.execute or policy.execute
        pace = Pace(self.execution, policy.horizon, execute, self.blend, self.stale)
        pace.require(self.delay)
        return pace


@dataclass(frozen=True)
class Condition:
    """What a policy is measured in.

    Attributes:
        workspace: the task's world.
        domain: what scenes are drawn from.
        told: name of the domain that the policy is told, if it knows it.
        sentences: which of the task's sentences ask for it; "sentences" are those of training.
        asked_in: the same task with fewer objects, in whose scene the sentence is drawn; None: in `workspace`. A scene
            draws its sentence after the places of its objects, so that one object more would ask for another.
        swapped: whether the sentence asks for another object than in the other conditions, in the same words. The
            judge asks for that one too.
    """

    workspace: Workspace
    domain: Domain
    told: str
    sentences: Sentences = "sentences"
    asked_in: Workspace | None = None
    swapped: bool = False

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.domain.name

    def draw(self, seed: int, index: int) -> Scene:
        """A scene of it. Scene i is the same world in all conditions, but for what they change."""
        scene = draw_scene(self.workspace, self.domain, "evaluation", seed, index)
        if self.swapped:
            return swap(scene, self.workspace.task)
        if self.sentences == "sentences":
            if self.asked_in is None:
                return scene
            asked = draw_scene(self.asked_in, self.domain, "evaluation", seed, index)
            return dataclasses.replace(scene, instruction=asked.instruction)
        others = self.workspace.task.instructions(scene.roles, self.sentences)
        return dataclasses.replace(scene, instruction=others[index % len(others)], paraphrases=others)


def swap(scene: Scene, task: Task) -> Scene:
    """The same world, in which another object is asked for: all others in turn, scene by scene.

    Args:
        scene: as drawn; its sentence is one of training.
        task: one that can ask for more than one object.
    """
    role = asked_role(task)
    others = [roles for roles in task.casts() if roles[role] != scene.roles[role]]
    roles = others[scene.index % len(others)]
    sentences = task.instructions(roles)
    asked = sentences[task.instructions(scene.roles).index(scene.instruction)]
    return dataclasses.replace(scene, roles=roles, instruction=asked, paraphrases=sentences)


class Rollout:
    """A batch of scenes under a policy.

    Args:
        condition: what the scenes are drawn from.
        policy: what decides.
        indices: of the scenes.
        seed: of the evaluation.
        config: how it is carried out.

    Attributes:
        scenes: the scenes as drawn.
        states: per scene, its state before each control step.
    """

    def __init__(
        self, condition: Condition, policy: Policy, indices: list[int], seed: int, config: RolloutConfig
    ) -> None:
        self.condition, self.policy, self.config = condition, policy, config
        self.workspace = workspace = condition.workspace
        self.scenes = scenes = [condition.draw(seed, index) for index in indices]
        self.sim = BatchSim(workspace.model, workspace.embodiment, len(scenes), config.threads)
        self.monitor = Monitor(workspace, self.sim)
        self.measures = Measures(workspace, self.sim, self.monitor.roles)
        self.lanes = np.arange(len(scenes))
        task = workspace.task.name
        self.noise = [random_stream("evaluation", seed, task, scene.index, "policy") for scene in scenes]
        self.sensor = [random_stream("evaluation", seed, task, scene.index, "sensor_noise") for scene in scenes]
        self.camera = Photometric(**dataclasses.asdict(condition.domain.sensor))
        self.drawn = [self.camera.draw(stream) for stream in self.sensor]
        self.has_noise = self.camera != Photometric()
        known = policy.preparer.domains
        if config.guidance != 1 and (not config.tell_domain or condition.told not in known):
            raise InputError(
                f"guidance goes towards a domain that the policy is told, and it is not told '{condition.told}'; "
                f"it knows: {', '.join(known)}"
            )
        told = condition.told if config.tell_domain and condition.told in known else None
        self.decider = Decider(policy, workspace.embodiment, told, config.rest)
        self.states: list[list[np.ndarray]] = [[] for _ in scenes]
        # Joints and opening (J + 1,) measured in each control step, for policies that look back.
        self._measured: list[list[np.ndarray]] = [[] for _ in scenes]

    def run(self) -> list[dict[str, Any]]:
        """Roll out to success, failure or the horizon; one record per scene."""
        load_scenes(self.sim, self.workspace, self.lanes, self.scenes)
        self.monitor.begin(self.lanes, self.scenes)
        self.measures.begin(self.lanes)
        start = np.concatenate([self.sim.joint_position(self.lanes), np.ones((len(self.lanes), 1))], axis=1)
        limits = joint_limits(self.workspace.embodiment, self.config.acceleration) if self.config.limits else None
        pace = self.config.pace(self.policy)
        self.arms = Arms(pace, self.config.delay, start, limits, 1 / self.sim.timing.rate)
        height, width = next(iter(self.policy.resolution.values()))
        models = [self.sim.batch.get_model(lane) for lane in self.lanes]
        with FrameRenderer(self.workspace.model, height, width) as renderer:
            for now in range(self.workspace.task.horizon):
                ids = self._undecided()
                if len(ids) == 0:
                    break
                if self.policy.history > 1:
                    self._remember(ids)
                action = self.arms.step(ids, now, lambda looking: self._decide(looking, renderer, models))
                for i in ids:
                    self.states[i].append(self.sim.state[i].copy())
                self.sim.step(ids, action)
                self.measures.update(ids, self.monitor.update(ids))
        self.monitor.give_up(self._undecided())
        return [self._record(int(lane)) for lane in self.lanes]

    def _undecided(self) -> np.ndarray:
        return self.lanes[[outcome is None for outcome in self.monitor.outcome]]

    def _decide(self, ids: np.ndarray, renderer: FrameRenderer, models: list[Any]) -> np.ndarray:
        """Look, and decide the next chunk of joint targets (n, horizon, J + 1)."""
        back = np.arange(self.policy.history - 1, -1, -1) * self.policy.history_stride
        images: dict[str, list[np.ndarray]] = {camera: [] for camera in self.policy.cameras}
        for i in ids:
            for step in np.maximum(len(self.states[i]) - back, 0):
                seen = renderer.render(models[i], self._looked_at(int(i), int(step)), self.policy.cameras)
                if self.has_noise:
                    seen = {c: self.camera.apply(f[None], self.drawn[i], self.sensor[i])[0] for c, f in seen.items()}
                for camera, frame in seen.items():
                    images[camera].append(frame)
        mask = None
        shape: tuple[int, ...] = (len(ids),)
        if len(back) == 1:
            joints, opening = self._measure(ids), self.sim.gripper_opening(ids)
        else:
            shape = (len(ids), len(back))
            now = np.array([len(self.states[i]) for i in ids])
            mask = back <= now[:, None]
            past = np.stack([[self._measured[i][max(t - b, 0)] for b in back] for i, t in zip(ids, now, strict=True)])
            joints, opening = past[..., :-1], past[..., -1]
        return self.decider(
            {camera: np.stack(frames).reshape(*shape, *frames[0].shape) for camera, frames in images.items()},
            joints,
            opening,
            [self.scenes[i].instruction for i in ids],
            self.arms.command[ids, :-1],
            np.stack([self.noise[i].standard_normal(self.decider.noise_shape, dtype=np.float32) for i in ids]),
            mask,
        )

    def _measure(self, ids: np.ndarray) -> np.ndarray:
        return measure_joints(self.sim, ids, [self.scenes[i] for i in ids], [self.sensor[i] for i in ids])

    def _remember(self, ids: np.ndarray) -> None:
        measured = np.concatenate([self._measure(ids), self.sim.gripper_opening(ids)[:, None]], axis=1)
        for i, row in zip(ids, measured, strict=True):
            self._measured[i].append(row)

    def _looked_at(self, lane: int, step: int) -> np.ndarray:
        """The state that a lane's cameras show in a step so far: that step's, unless they are late."""
        seen = int(seen_steps(self.scenes[lane].ledger, np.array([step]), self.sim.timing.rate)[0])
        return self.sim.state[lane] if seen == len(self.states[lane]) else self.states[lane][seen]

    def _record(self, lane: int) -> dict[str, Any]:
        outcome, scene = self.monitor.outcome[lane], self.scenes[lane]
        states = [state.tobytes() for state in self.states[lane]]
        assert outcome is not None  # give_up settles it
        return {
            "domain": self.condition.name,
            "world": self.condition.domain.world,
            "task": self.workspace.task.name,
            # Of these three all its random streams follow.
            "namespace": scene.namespace,
            "seed": scene.seed,
            "scene": scene.index,
            "instruction": scene.instruction,
            "asked": scene.roles[asked_role(self.workspace.task)],
            "outcome": outcome.label,
            "steps": len(self.states[lane]),
            **self.measures.row(lane, outcome is Outcome.SUCCESS),
            "goal_ever_met": bool(self.monitor.met[lane]),
            **self.arms.row(lane),
            # Two rollouts with the same one are one rollout, however often it was run.
            "digest": hashlib.sha256(b"".join(states)).hexdigest()[:16] if states else "",
        }
