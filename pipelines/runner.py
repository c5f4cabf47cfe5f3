"""A batch of rollouts: scenes that advance together under one policy, each bit for bit what it would be alone."""

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful import InputError, random_stream
from pipelines.measures import Measures, asked_role
from policies.policy import Policy
from scenes.domains import Domain
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.sensing import measure_joints, seen_steps
from scenes.task import Sentences, Task
from scenes.workspace import Workspace
from sim.batch import BatchSim
from sim.kinematics import solve_inverse
from sim.rendering import FrameRenderer
from trajectories.photometric import Photometric
from trajectories.poses import pose_features


@dataclass(frozen=True)
class RolloutConfig:
    """How a policy is evaluated."""

    # Scenes that advance together; results do not depend on it.
    batch: int = 32
    # Actions of a chunk to carry out before looking again; 0: as many as the policy was trained for.
    execute: int = 0
    # A chunk that leads less far than this from the last command, on average, is not carried out [m]: an arm at rest
    # stays at rest. The gripper obeys all the same.
    rest: float = 0.012
    # Whether the policy is told the domain it is in; a domain it never saw is never told.
    tell_domain: bool = True
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
        self.domain = condition.told if config.tell_domain and condition.told in known else None
        self.states: list[list[np.ndarray]] = [[] for _ in scenes]

    def run(self) -> list[dict[str, Any]]:
        """Roll out to success, failure or the horizon; one record per scene."""
        load_scenes(self.sim, self.workspace, self.lanes, self.scenes)
        self.monitor.begin(self.lanes, self.scenes)
        self.measures.begin(self.lanes)
        self.command = self.sim.joint_position(self.lanes)
        execute = self.config.execute or self.policy.execute
        height, width = next(iter(self.policy.resolution.values()))
        models = [self.sim.batch.get_model(lane) for lane in self.lanes]
        with FrameRenderer(self.workspace.model, height, width) as renderer:
            for start in range(0, self.workspace.task.horizon, execute):
                ids = self._undecided()
                if len(ids) == 0:
                    break
                chunk = self._decide(ids, renderer, models)
                for t in range(min(execute, self.workspace.task.horizon - start)):
                    rows = [r for r, i in enumerate(ids) if self.monitor.outcome[i] is None]
                    if not rows:
                        break
                    now = ids[rows]
                    self.command[now] = chunk[rows, t, :-1]
                    for i in now:
                        self.states[i].append(self.sim.state[i].copy())
                    self.sim.step(now, chunk[rows, t])
                    self.measures.update(now, self.monitor.update(now))
        self.monitor.give_up(self._undecided())
        return [self._record(int(lane)) for lane in self.lanes]

    def _undecided(self) -> np.ndarray:
        return self.lanes[[outcome is None for outcome in self.monitor.outcome]]

    def _decide(self, ids: np.ndarray, renderer: FrameRenderer, models: list[Any]) -> np.ndarray:
        """Look, and decide the next chunk of joint targets (n, horizon, J + 1)."""
        images: dict[str, list[np.ndarray]] = {camera: [] for camera in self.policy.cameras}
        for i in ids:
            seen = renderer.render(models[i], self._looked_at(int(i)), self.policy.cameras)
            if self.has_noise:
                seen = {c: self.camera.apply(f[None], self.drawn[i], self.sensor[i])[0] for c, f in seen.items()}
            for camera, frame in seen.items():
                images[camera].append(frame)
        joints = measure_joints(self.sim, ids, [self.scenes[i] for i in ids], [self.sensor[i] for i in ids])
        tool = self.workspace.embodiment.chain.forward(joints)
        opening = self.sim.gripper_opening(ids)
        proprio = np.concatenate([joints, opening[:, None], pose_features(tool)], axis=1).astype(np.float32)
        size = (self.policy.horizon, self.policy.noise_size(self.workspace.embodiment.name))
        noise = np.stack([self.noise[i].standard_normal(size, dtype=np.float32) for i in ids])
        actions = self.policy.act(
            {camera: np.stack(frames) for camera, frames in images.items()},
            proprio,
            [self.scenes[i].instruction for i in ids],
            self.workspace.embodiment.name,
            self.domain,
            noise,
        )
        chunk = self._to_joints(joints, actions) if self.policy.action_space == "tool_delta" else actions.astype(float)
        return self._at_rest(ids, chunk)

    def _at_rest(self, ids: np.ndarray, chunk: np.ndarray) -> np.ndarray:
        """The chunk (n, horizon, J + 1), with the last command in place of motion that is not worth its while."""
        chain = self.workspace.embodiment.chain
        here = chain.forward(self.command[ids])[:, :3]
        way = chain.forward(chunk[..., :-1])[..., :3].mean(axis=1) - here
        still = np.linalg.norm(way, axis=1) < self.config.rest
        chunk[still, :, :-1] = self.command[ids[still], None]
        return chunk

    def _to_joints(self, joints: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Joint targets (n, horizon, J + 1) of tool-pose actions (n, horizon, 8), each solved from the one before."""
        robot = self.workspace.embodiment
        result = np.empty((*actions.shape[:2], len(robot.joints) + 1))
        current = joints
        for t in range(actions.shape[1]):
            current = solve_inverse(robot.chain, actions[:, t, :7].astype(float), current, current).q
            result[:, t, :-1], result[:, t, -1] = current, actions[:, t, 7]
        return result

    def _looked_at(self, lane: int) -> np.ndarray:
        """The state that a lane's cameras show now: the present one, unless they are late."""
        now = len(self.states[lane])
        seen = int(seen_steps(self.scenes[lane].ledger, np.array([now]), self.sim.timing.rate)[0])
        return self.sim.state[lane] if seen == now else self.states[lane][seen]

    def _record(self, lane: int) -> dict[str, Any]:
        outcome, scene = self.monitor.outcome[lane], self.scenes[lane]
        states = [state.tobytes() for state in self.states[lane]]
        assert outcome is not None  # give_up settles it
        return {
            "domain": self.condition.name,
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
            # Two rollouts with the same one are one rollout, however often it was run.
            "digest": hashlib.sha256(b"".join(states)).hexdigest()[:16] if states else "",
        }
