"""The tape of attempts under way: what each lane of a batch did at each control step, and the episode it becomes."""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from handful import __version__
from scenes.outcome import Outcome
from scenes.scene import Scene
from scenes.workspace import TIMESTEP, Workspace
from sim.batch import BatchSim
from sim.transforms import Array
from trajectories import Episode, EpisodeMeta
from trajectories.poses import sign_continuous


@dataclass(frozen=True)
class StepRecord:
    """What n lanes do in one control step."""

    intended: np.ndarray  # (n, J + 1) float32
    executed: np.ndarray  # (n, J + 1) float32
    tool: Array  # (n, 7) tool pose aimed at
    subtask: np.ndarray  # (n,)
    demo: np.ndarray  # (n,)
    step: np.ndarray  # (n,)


class Tape:
    """Records lanes of a batch, from preallocated memory that grows as needed.

    Args:
        sim: the batch.
        capacity: control steps to make room for.
    """

    def __init__(self, sim: BatchSim, capacity: int = 320) -> None:
        self.sim = sim
        n, actions = len(sim), sim.embodiment.action_size()
        self.length = np.zeros(n, int)
        self._shapes = {
            "state": ((sim.state.shape[1],), np.float64),
            "measured": ((actions - 1,), np.float32),
            "intended": ((actions,), np.float32),
            "executed": ((actions,), np.float32),
            "tool": ((7,), np.float32),
            "subtask": ((), np.int8),
            "demo": ((), np.int32),
            "step": ((), np.int32),
        }
        self._rows = {k: np.zeros((n, capacity + 1, *shape), dtype) for k, (shape, dtype) in self._shapes.items()}

    def rewind(self, ids: np.ndarray) -> None:
        """Forget what lanes did."""
        self.length[ids] = 0

    def cut(self, ids: np.ndarray, steps: np.ndarray) -> None:
        """Forget what lanes (n,) did from step (n,) on."""
        self.length[ids] = np.minimum(self.length[ids], steps)

    def before(self, ids: np.ndarray, record: StepRecord, measured: Array) -> None:
        """Note the state that lanes are in and what they are about to do.

        Args:
            ids: lanes (n,).
            record: what they do.
            measured: (n, J) joint angles as observed, with sensor noise [rad].
        """
        at = self.length[ids]
        if at.max() + 1 >= self._rows["state"].shape[1]:
            self._rows = {k: np.concatenate([v, np.zeros_like(v)], axis=1) for k, v in self._rows.items()}
        self._rows["state"][ids, at] = self.sim.state[ids]
        self._rows["measured"][ids, at] = measured
        for key in ("intended", "executed", "tool", "subtask", "demo", "step"):
            self._rows[key][ids, at] = getattr(record, key)
        self.length[ids] += 1

    def states(self, lane: int) -> Array:
        """States before each action and the present one, (T + 1, S)."""
        return np.concatenate([self._rows["state"][lane, : self.length[lane]], self.sim.state[lane : lane + 1]])

    def rows(self, lane: int, key: str) -> np.ndarray:
        """What a lane did, (T, ...)."""
        return self._rows[key][lane, : self.length[lane]]


def build_episode(
    workspace: Workspace,
    tape: Tape,
    lane: int,
    scene: Scene,
    outcome: Outcome,
    images: dict[str, np.ndarray],
    meta: dict[str, Any],
) -> Episode:
    """Turn a lane's tape into an episode by the schema.

    Args:
        workspace: the task's world.
        tape: what was done.
        lane: whose.
        scene: the lane's scene.
        outcome: how it ended.
        images: camera -> (T, H, W, 3) uint8 frames; may be empty.
        meta: further EpisodeMeta fields: operator, attempts, seeds, gl_renderer, cameras, sources, extra.
    """
    sim, robot = tape.sim, workspace.embodiment
    states = tape.states(lane)
    qpos = _component(sim, states, "qpos")[:-1]
    qvel = _component(sim, states, "qvel")[:-1]
    _, speeds = robot.joint_addresses(sim.model)
    measured = tape.rows(lane, "measured")
    # Where a demo's stretch meets a bridge, the same rotation may come with the other sign.
    aim = tape.rows(lane, "tool").copy()
    aim[:, 3:] = sign_continuous(aim[:, 3:])
    executed = tape.rows(lane, "executed").copy()
    opening = robot.opening(qpos[:, robot.finger_addresses(sim.model)]).clip(0, 1)
    arrays: dict[str, np.ndarray] = {
        "observation/joint_position": measured,
        "observation/joint_velocity": qvel[:, speeds].astype(np.float32),
        "observation/gripper_opening": opening[:, None].astype(np.float32),
        "observation/tool_pose_in_base": robot.chain.forward(measured.astype(float)).astype(np.float32),
        "action/intended": tape.rows(lane, "intended").copy(),
        "action/executed": executed,
        "action/tool_pose_in_base": aim,
        "action/executed_tool_pose_in_base": robot.chain.forward(executed[:, :-1].astype(float)).astype(np.float32),
        "subtask": tape.rows(lane, "subtask").copy(),
        "source/demo": tape.rows(lane, "demo").copy(),
        "source/step": tape.rows(lane, "step").copy(),
        "state": states,
    }
    for name, column in workspace.object_qpos.items():
        arrays[f"objects/{name}"] = qpos[:, column : column + 7].astype(np.float32)
    for name, pose in workspace.fixed_poses(sim, np.array([lane])).items():
        arrays[f"objects/{name}"] = np.tile(pose.astype(np.float32), (len(qpos), 1))
    for camera, frames in images.items():
        arrays[f"images/{camera}"] = frames
    for field, values in sim.completed(lane, scene.fields(workspace)).items():
        arrays[f"model/{field}"] = values[None]
    task = workspace.task
    steps = list(task.steps(scene.roles))
    extra = {"roles": scene.roles, "level": task.level, "subtasks": steps, **meta.pop("extra", {})}
    if sim.model.opt.timestep != TIMESTEP:
        extra["physics_step"] = sim.model.opt.timestep
    return Episode(
        arrays,
        EpisodeMeta(
            task=task.name,
            embodiment=robot.name,
            domain=scene.domain,
            control_rate=sim.timing.rate,
            instruction=scene.instruction,
            paraphrases=scene.paraphrases,
            outcome=outcome.label,
            action_source="commanded",
            scene=scene.index,
            ledger=scene.ledger,
            model_hash=workspace.model_hash,
            versions={"mujoco": mujoco.__version__, "handful": __version__},
            extra=extra,
            **meta,
        ),
    )


def _component(sim: BatchSim, states: Array, name: str) -> Array:
    """The columns of a state component ("qpos", "qvel") in stored rows (T, S)."""
    template = getattr(sim, name)
    offset = (template.__array_interface__["data"][0] - sim.state.__array_interface__["data"][0]) // 8
    return states[:, offset : offset + template.shape[1]]
