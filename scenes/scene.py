"""One drawn scene: everything random about an episode's world, kept as a ledger from which it can be built again."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from handful import InputError, Namespace, Stream, random_stream, stream_key, stream_word
from scenes import appearance, physics
from scenes.domains import Domain
from scenes.randomization import AXES, Randomization
from scenes.randomization.drawing import draw, value_of
from scenes.workspace import TABLE_TOP, Workspace
from sim.batch import Actuation, BatchSim
from sim.transforms import Array

# How far above its resting place an object starts, so that it never starts inside the table [m].
_DROP = 0.0002

# The groups of axes that a scene draws.
SCENE_GROUPS = ("physics", "appearance", "light", "camera")
# Those of them that change what is seen and nothing that happens.
LOOK_GROUPS = SCENE_GROUPS[1:]

# Streams that a scene is drawn from, and those that each attempt at it opens anew.
_DRAWN_ONCE: tuple[Stream, ...] = ("scene", "appearance")
_PER_ATTEMPT: dict[Namespace, tuple[Stream, ...]] = {
    "generation": ("source", "motion_noise", "sensor_noise"),
    "evaluation": ("policy", "sensor_noise"),
    "recording": ("operator", "sensor_noise"),
}


@dataclass(frozen=True)
class Scene:
    """A scene as drawn.

    Attributes:
        index: its place in the plan.
        namespace: who drew it.
        seed: the plan's seed.
        domain: the domain's name.
        roles: role -> object.
        instruction: the sentence of this episode.
        paraphrases: all sentences that mean the same.
        ledger: every drawn value: "poses" (object -> pose relative to the table's surface), then by group and axis, see
            `scenes.randomization`; "physics" also has the "jitter_seed" that the steps' timing follows from.
    """

    index: int
    namespace: Namespace
    seed: int
    domain: str
    roles: dict[str, str]
    instruction: str
    paraphrases: tuple[str, ...]
    ledger: dict[str, Any]

    def qpos(self, workspace: Workspace) -> Array:
        """Initial positions (nq,): the robot at home with its gripper open, objects where they were drawn."""
        robot, model = workspace.embodiment, workspace.model
        qpos = np.array(model.qpos0)
        columns, _ = robot.joint_addresses(model)
        qpos[columns] = robot.home + np.array(self.ledger["physics"]["joint_offset"])
        qpos[robot.finger_addresses(model)] = robot.finger_open
        surface = TABLE_TOP + self.ledger["physics"]["table_height"]
        for name, column in workspace.object_qpos.items():
            qpos[column : column + 7] = self.ledger["poses"][name]
            qpos[column + 2] += surface + _DROP
        return qpos

    def fields(self, workspace: Workspace) -> dict[str, np.ndarray]:
        """The scene's own model values: field -> array as in MjModel."""
        model, slots, task = workspace.model, workspace.slots, workspace.task
        fields = {
            **appearance.fields_from_ledger(self.ledger, model, slots, task, workspace.embodiment),
            **physics.fields_from_ledger(self.ledger["physics"], model, slots, task),
        }
        if workspace.fixed:
            fields["body_quat"] = workspace.model.body_quat.copy()
        for name, body in workspace.fixed.items():
            pose = np.array(self.ledger["poses"][name])
            pose[2] += TABLE_TOP + self.ledger["physics"]["table_height"]
            fields["body_pos"][body], fields["body_quat"][body] = pose[:3], pose[3:]
        return fields

    def seeds(self, task: str, attempt: int) -> dict[str, Any]:
        """The random streams behind an attempt, as stored in provenance.

        A scene is drawn once, so its own streams are those of attempt 0 whatever the attempt.
        """
        keys = {name: list(stream_key(self.namespace, task, self.index, name)) for name in _DRAWN_ONCE}
        for name in _PER_ATTEMPT[self.namespace]:
            keys[name] = list(stream_key(self.namespace, task, self.index, name, attempt))
        return {"namespace": self.namespace, "seed": self.seed, "attempt": attempt, "keys": keys}


def draw_scene(workspace: Workspace, domain: Domain, namespace: Namespace, seed: int, index: int) -> Scene:
    """Draw scene `index` of a plan.

    Args:
        workspace: the task's world.
        domain: what to draw from.
        namespace: who draws; evaluation never meets a scene of generation.
        seed: the plan's seed.
        index: the scene's index.
    """
    task = workspace.task
    rng = random_stream(namespace, seed, task.name, index, "scene")
    roles = task.draw_roles(rng)
    sentences = task.instructions(roles)
    poses = task.draw_poses(rng)
    instruction = sentences[rng.integers(len(sentences))]
    shift = float(rng.uniform(*task.reset.table_height)) if task.reset.table_height != (0.0, 0.0) else 0.0
    key = stream_word(namespace, seed, task.name, index, "scene")
    looks = stream_word(namespace, seed, task.name, index, "appearance")
    ledger: dict[str, Any] = draw(domain.randomization, workspace.slots.elements, key, looks)
    drawn = ledger["physics"]
    drawn["table_height"] += shift
    drawn["jitter_seed"] = key >> 11  # what a JSON number holds exactly
    # Objects stand on the table, whatever their size.
    for factors in (drawn["object_size"], drawn["distractor_size"]):
        for name, factor in factors.items():
            poses[name][2] *= factor
    ledger = {"poses": {name: [float(v) for v in pose] for name, pose in poses.items()}, **ledger}
    return Scene(index, namespace, seed, domain.name, roles, instruction, sentences, ledger)


def draw_look(
    workspace: Workspace, scene: Scene, randomization: Randomization, look: int, axes: Collection[str]
) -> Scene:
    """The same scene, with some of its looks drawn anew: look 0 is that of `draw_scene`.

    Args:
        workspace: the task's world.
        scene: as drawn; its poses and physics stay.
        randomization: what to draw from.
        look: which of the scene's looks, >= 0; the attempt at its stream `appearance`.
        axes: those to draw, of the groups `LOOK_GROUPS`; every other keeps its value.
    """
    name = workspace.task.name
    key = stream_word(scene.namespace, scene.seed, name, scene.index, "scene")
    looks = stream_word(scene.namespace, scene.seed, name, scene.index, "appearance", look)
    drawn = draw(randomization, workspace.slots.elements, key, looks)
    ledger = {group: dict(values) for group, values in scene.ledger.items()}
    for axis in axes:
        group = AXES[axis].group
        ledger[group].pop(axis, None)
        if axis in drawn[group]:
            ledger[group][axis] = drawn[group][axis]
    return replace(scene, ledger=ledger)


class Account(Protocol):
    """What an episode's metadata says of its scene."""

    @property
    def scene(self) -> int: ...

    @property
    def seeds(self) -> dict[str, Any]: ...

    @property
    def domain(self) -> str: ...

    @property
    def instruction(self) -> str: ...

    @property
    def paraphrases(self) -> tuple[str, ...]: ...

    @property
    def ledger(self) -> dict[str, Any]: ...

    @property
    def extra(self) -> dict[str, Any]: ...


def rebuild_scene(meta: Account) -> Scene:
    """The scene of a stored episode, from its ledger alone: nothing is drawn again.

    Args:
        meta: the episode's metadata.

    Raises:
        InputError: the episode was not made in one of our scenes, so it has no ledger of one.
    """
    missing = [name for name in ("poses", *SCENE_GROUPS) if name not in meta.ledger]
    if missing or "namespace" not in meta.seeds:
        raise InputError(f"an episode of domain '{meta.domain}' has no ledger of a scene (no {', '.join(missing)})")
    return Scene(
        index=meta.scene,
        namespace=meta.seeds["namespace"],
        seed=meta.seeds["seed"],
        domain=meta.domain,
        roles=dict(meta.extra["roles"]),
        instruction=meta.instruction,
        paraphrases=tuple(meta.paraphrases),
        ledger=meta.ledger,
    )


def load_scenes(sim: BatchSim, workspace: Workspace, ids: np.ndarray, scenes: list[Scene]) -> None:
    """Put drawn scenes into a batch: model values, initial state, latency; then let the objects come to rest.

    Args:
        sim: the batch.
        workspace: the task's world.
        ids: where to put them, (n,).
        scenes: n scenes.
    """
    sim.set_fields(ids, [scene.fields(workspace) for scene in scenes])
    sim.set_options(ids, [physics.options_from_ledger(scene.ledger["physics"]) for scene in scenes])
    restart_scenes(sim, workspace, ids, scenes)


def restart_scenes(sim: BatchSim, workspace: Workspace, ids: np.ndarray, scenes: list[Scene]) -> None:
    """Start scenes again whose model values are in the batch already."""
    qpos = np.stack([scene.qpos(workspace) for scene in scenes])
    drawn = [scene.ledger["physics"] for scene in scenes]
    slots, joints = workspace.slots, len(workspace.embodiment.joints)

    def per_joint(axis: str) -> Array:
        return np.array([np.broadcast_to(value_of(values, axis), joints) for values in drawn], float)

    limits = workspace.model.actuator_forcerange[slots.servos, 1]
    actuation = Actuation(
        latency=np.array([values["latency"] for values in drawn]),
        jitter=np.array([values["control_jitter"] for values in drawn]),
        jitter_key=np.array([values["jitter_seed"] for values in drawn], np.uint64),
        joint_offset=np.array([values["joint_offset"] for values in drawn]),
        finger_speed=np.array([values["grip_speed"] for values in drawn]),
        backlash=per_joint("backlash"),
        friction=per_joint("joint_friction") * limits,
        breakaway=np.array([value_of(values, "stiction") for values in drawn], float),
    )
    sim.reset(ids, qpos, actuation)
    still = np.concatenate([sim.joint_position(ids), np.ones((len(ids), 1))], axis=1)
    for _ in range(2):
        sim.step(ids, still)
