"""Many scenes of one model in lock-step, under joint position control.

`BatchSim` wraps `mujoco.batch` with what a robot needs around it: per-scene model values, an interpolating controller
with latency, divergence that is noticed, and snapshots that restore a scene exactly. A single environment is a batch of
one. Rows are independent: the same scene gives the same bits in any batch, at any thread count.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch

from handful import InputError, keyed_uniform
from sim.embodiment import Embodiment
from sim.gears import friction_torque, through_play
from sim.transforms import Array
from sim.trimming import Trimmed

# They are counted per scene and read after each step. The engine would also write each to the error stream, and to a
# file in whatever folder is the current one.
mujoco.set_mju_user_warning(lambda text: None)

# Warnings after which a scene's state means nothing any more.
_FATAL = [
    warning.value
    for warning in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
        mujoco.mjtWarning.mjWARN_BADCTRL,
        mujoco.mjtWarning.mjWARN_INERTIA,
        mujoco.mjtWarning.mjWARN_CONTACTFULL,
        mujoco.mjtWarning.mjWARN_CNSTRFULL,
    )
]


@dataclass(frozen=True)
class ControlTiming:
    """How control time maps to physics time."""

    # Control steps per second [Hz].
    rate: float = 20.0
    # Times per control step that the servos get a new setpoint.
    setpoints: int = 5
    # Longest latency that the controller can be asked for [s].
    max_latency: float = 0.15

    def substeps(self, timestep: float) -> int:
        """Physics steps of `timestep` [s] per setpoint.

        Raises:
            InputError: the control period is no multiple of setpoints times timestep.
        """
        steps = 1.0 / (self.rate * self.setpoints * timestep)
        if abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
            raise InputError(
                f"a timestep of {timestep} s does not divide the control period of {1 / self.rate} s into "
                f"{self.setpoints} setpoints; use e.g. {1 / (self.rate * self.setpoints * 5)} s"
            )
        return round(steps)


@dataclass(frozen=True)
class Actuation:
    """How n scenes' commands become motion.

    Attributes:
        latency: (n,) delay between a command and the servos' setpoint [s].
        jitter: (n,) each control step is late by up to this much more [s]; None: none is.
        jitter_key: (n,) uint64; by how much follows from it and the step's number.
        joint_offset: (n, J) error of each encoder's zero [rad]: commands and measurements are in the encoder's angles,
            which the true angles exceed by this much; None: none.
        finger_speed: (n,) factor on how fast the fingers move; None: 1.
        backlash: (n, J) play between each motor and its joint [rad]; None: none.
        friction: (n, J) dry friction of each joint as it moves, on top of the model's [N m]; None: none.
        breakaway: (n,) factor by which that friction is larger at rest; None: 1.
    """

    latency: Array
    jitter: Array | None = None
    jitter_key: np.ndarray | None = None
    joint_offset: Array | None = None
    finger_speed: Array | None = None
    backlash: Array | None = None
    friction: Array | None = None
    breakaway: Array | None = None


@dataclass(frozen=True)
class Snapshot:
    """Everything needed to continue a scene exactly: integrator state and the controller's memory."""

    state: Array
    targets: Array
    finger: Array
    led: Array
    steps: np.ndarray


class BatchSim:
    """N scenes of one model. Wherever methods take `ids`, these are scene numbers in rising order, each once.

    Args:
        model: the compiled model, or what is left of it for stepping; its timestep must divide the control period.
        embodiment: the robot in it.
        scenes: number of scenes N.
        threads: threads that step them; results do not depend on it.
        timing: control rate and setpoint interpolation.

    Attributes:
        state: (N, S) live integrator rows (mjSTATE_INTEGRATION), float64.
        diverged: (N,) whether the engine has warned of a broken state since the scene's last reset.
        sensor_peak: (N, sensordata) largest value of each sensor at the setpoints of the last control step, so that a
            touch shorter than the step is seen. As after `mj_step`, it is of the state one physics step before.
    """

    def __init__(
        self,
        model: mujoco.MjModel | Trimmed,
        embodiment: Embodiment,
        scenes: int,
        threads: int = 1,
        timing: ControlTiming | None = None,
    ) -> None:
        self.timing = timing or ControlTiming()
        self.embodiment = embodiment
        self._trimmed = model if isinstance(model, Trimmed) else None
        if isinstance(model, Trimmed):
            model = model.model
        self._substeps = self.timing.substeps(model.opt.timestep)
        # The engine would otherwise answer divergence by silently starting the scene anew.
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self.batch = Batch(model, nsim=scenes, nthread=threads)
        self.model = self.batch.model
        self.state: Array = self.batch.state
        self.qpos, self.qvel, self.ctrl = (self.batch.bind(name) for name in ("qpos", "qvel", "ctrl"))
        self._sensordata = self.batch.bind("sensordata")
        self.sensor_peak: Array = np.zeros(self._sensordata.shape)
        self.diverged = np.zeros(scenes, bool)
        self._warned = self.batch.warning[:, _FATAL, 1].copy()
        self._qpos_cols, self._qvel_cols = embodiment.joint_addresses(model)
        self._finger_cols = embodiment.finger_addresses(model)
        self._servos = np.array([model.actuator(name).id for name in embodiment.actuators])
        self._gripper = model.actuator(embodiment.gripper_actuator).id
        self._controls = np.array([*self._servos, self._gripper])
        # Seconds by which a servo trails a moving setpoint, made up by leading it: damping over stiffness.
        self._lead = -model.actuator_biasprm[self._servos, 2] / model.actuator_gainprm[self._servos, 0]
        memory = 2 + int(np.ceil(self.timing.max_latency * self.timing.rate))
        self._targets = np.zeros((scenes, memory, len(self._servos)))
        self._openings = np.zeros((scenes, memory))
        self._finger = np.zeros(scenes)
        self.latency = np.zeros(scenes)
        self.joint_offset = np.zeros((scenes, len(self._servos)))
        self._jitter, self._jitter_key = np.zeros(scenes), np.zeros(scenes, np.uint64)
        self._finger_speed = np.ones(scenes)
        # Where the gears have led the joints, which differs from where the motors are by no more than half their play.
        self._backlash, self._led = np.zeros_like(self.joint_offset), np.zeros_like(self.joint_offset)
        self._friction, self._breakaway = np.zeros_like(self.joint_offset), np.ones(scenes)
        # Rows of the model's dry friction, once a scene has some of its own; names of what scenes were ever given.
        self._dry: Array | None = None
        self._fields: set[str] = set()
        self._options: set[str] = set()
        # Control steps since each scene's reset.
        self._steps = np.zeros(scenes, np.int64)

    def __len__(self) -> int:
        return self.batch.nsim

    def set_fields(self, ids: np.ndarray, fields: list[dict[str, np.ndarray]]) -> None:
        """Give scenes their own model values, and update the constants that follow from them.

        Args:
            ids: scenes, (n,).
            fields: of each of them: model field -> array as in MjModel; what is not named is as compiled.
        """
        if self._trimmed is not None:
            fields = [self._trimmed.fields(own) for own in fields]
        self._fields.update(*fields)
        for name in sorted(self._fields):
            nominal, rows = model_field(self.model, name), self.batch.expand(name)
            values = np.stack([own.get(name, nominal) for own in fields])
            # Of bounding volumes the batch holds those of bodies, which come first, but not those within meshes.
            rows[ids] = values[:, : rows.shape[1]] if name == "bvh_aabb" else values
        self.batch.set_const(ids)

    def completed(self, lane: int, fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A scene's own model values as the engine completed them: what follows from others is worked out anew.

        Args:
            lane: the scene.
            fields: as they were given to `set_fields`.
        """
        given = fields if self._trimmed is None else self._trimmed.fields(fields)
        rows = {name: self.batch.expand(name)[lane].copy() for name in given}
        return rows if self._trimmed is None else self._trimmed.put_back(rows, fields)

    def set_options(self, ids: np.ndarray, options: list[dict[str, float]]) -> None:
        """Give scenes their own settings of the engine.

        Args:
            ids: scenes, (n,).
            options: of each of them: field of MjOption, such as "impratio" -> its value; what is not named is as
                compiled.
        """
        self._options.update(*options)
        for name in sorted(self._options):
            nominal = getattr(self.model.opt, name)
            self.batch.expand(f"opt.{name}")[ids] = [own.get(name, nominal) for own in options]

    def reset(self, ids: np.ndarray, qpos: Array, actuation: Actuation) -> None:
        """Start scenes anew, at rest.

        Args:
            ids: scenes, (n,).
            qpos: (n, nq) positions; the arm holds the joint angles in it, the gripper its opening.
            actuation: how their commands become motion.

        Raises:
            InputError: a command could be later than the controller's memory reaches.
        """
        ids = np.asarray(ids)
        latency = np.asarray(actuation.latency, float)
        jitter = np.zeros(len(ids)) if actuation.jitter is None else actuation.jitter
        longest = np.max(latency + jitter)
        if longest > self.timing.max_latency + 1e-12 or (latency < 0).any() or (jitter < 0).any():
            raise InputError(f"latency {longest:.3f} s is outside [0, {self.timing.max_latency}] s")
        self._jitter[ids] = jitter
        self._jitter_key[ids] = 0 if actuation.jitter_key is None else actuation.jitter_key
        self.joint_offset[ids] = 0.0 if actuation.joint_offset is None else actuation.joint_offset
        self._finger_speed[ids] = 1.0 if actuation.finger_speed is None else actuation.finger_speed
        self._backlash[ids] = 0.0 if actuation.backlash is None else actuation.backlash
        self._breakaway[ids] = 1.0 if actuation.breakaway is None else actuation.breakaway
        self._steps[ids] = 0
        self.batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self.qpos[ids] = qpos
        self._set_friction(ids, actuation.friction)
        self.latency[ids] = latency
        arm = qpos[:, self._qpos_cols]
        opening = self.embodiment.opening(qpos[:, self._finger_cols])
        self._targets[ids] = arm[:, None]
        self._led[ids] = arm
        self._openings[ids] = opening[:, None]
        self._finger[ids] = self.embodiment.finger_position(opening)
        rows = np.ix_(ids, self._servos)
        self.ctrl[rows] = arm
        self.ctrl[ids, self._gripper] = self._finger[ids]
        self.batch.forward(ids)
        self.sensor_peak[ids] = self._sensordata[ids]
        self._warned[ids] = self.batch.warning[ids][:, _FATAL, 1]
        self.diverged[ids] = False

    def step(self, ids: np.ndarray, action: Array) -> None:
        """Advance scenes by one control step.

        The setpoint moves in a straight line from the last target to this one, which it reaches at the end of the step,
        delayed by the scene's latency and the step's own lateness; servos lead it by its speed, so that they do not
        trail.

        Args:
            ids: scenes to advance, (n,).
            action: (n, J + 1) joint targets [rad], gripper opening [0, 1].
        """
        ids = np.asarray(ids)
        joints = self._targets.shape[2]
        true_target = action[:, :joints] + self.joint_offset[ids]
        targets = np.concatenate([self._targets[ids, 1:], true_target[:, None]], axis=1)
        openings = np.concatenate([self._openings[ids, 1:], action[:, None, joints]], axis=1)
        self._targets[ids], self._openings[ids] = targets, openings
        setpoints = self._setpoints(ids, targets, openings)
        rows, peak = ids[:, None], np.full((len(ids), self._sensordata.shape[1]), -np.inf)
        for setpoint in setpoints:
            self.ctrl[rows, self._controls] = setpoint
            self._rub(ids)
            self.batch.step(ids, nstep=self._substeps)
            np.maximum(peak, self._sensordata[ids], out=peak)
        self._steps[ids] += 1
        self.sensor_peak[ids] = peak
        self._note_divergence(ids)

    def _setpoints(self, ids: np.ndarray, targets: Array, openings: Array) -> Array:
        """What the servos and the gripper's are told in the course of a control step, (setpoints, n, J + 1).

        Args:
            ids: scenes, (n,).
            targets: (n, memory, J) joint targets up to this step's [rad].
            openings: (n, memory) the same of the gripper.
        """
        period, count, memory = 1.0 / self.timing.rate, self.timing.setpoints, targets.shape[1]
        lateness = self.latency[ids] + self._lateness(ids)
        # Where the delayed clock stands on the line through the last targets: whole steps back, and the fraction.
        # A setpoint is held for an interval, so it is the line's value in its middle; the end's value would lead.
        clock = ((np.arange(count) + 0.5) / count)[:, None] - lateness / period
        back = np.ceil(-clock - 1e-9).astype(int).clip(0)
        index, line = memory - 1 - back, np.arange(len(ids))
        before, after = targets[line, index - 1], targets[line, index]
        travel = after - before
        setpoints = np.empty((count, len(ids), targets.shape[2] + 1))
        led, lead = before + (clock + back)[..., None] * travel, self._lead * (travel / period)
        if self._backlash[ids].any():
            led, held = through_play(led, self._led[ids], self._backlash[ids])
            # A joint that its motor does not have hold of is not led anywhere.
            lead = np.where(held, lead, 0.0)
        self._led[ids] = led[-1]
        setpoints[..., :-1] = led + lead
        wanted = self.embodiment.finger_position(openings[line, index])
        reach = self.embodiment.finger_speed * self._finger_speed[ids] * period / count
        finger = self._finger[ids]
        for k in range(count):
            finger = finger + np.minimum(np.maximum(wanted[k] - finger, -reach), reach)
            setpoints[k, :, -1] = finger
        self._finger[ids] = finger
        return setpoints

    def _lateness(self, ids: np.ndarray) -> Array:
        """How much later than its latency each scene's present control step is, (n,) [s]."""
        jitter = self._jitter[ids]
        if not jitter.any():
            return jitter
        return jitter * keyed_uniform(self._jitter_key[ids], self._steps[ids].astype(np.uint64))

    def _set_friction(self, ids: np.ndarray, friction: Array | None) -> None:
        """Remember scenes' dry friction (n, J) [N m]; the model's rows are only touched once there is some."""
        self._friction[ids] = 0.0 if friction is None else friction
        if self._dry is None and self._friction[ids].any():
            self._dry = self.batch.expand("dof_frictionloss")
        if self._dry is not None:
            self._dry[ids[:, None], self._qvel_cols] = self.model.dof_frictionloss[self._qvel_cols]
        self._rub(ids)

    def _rub(self, ids: np.ndarray) -> None:
        """Set the joints' dry friction to what it is at their present speed."""
        ids = ids[self._friction[ids].any(axis=1)]
        if self._dry is None or len(ids) == 0:
            return
        torque = friction_torque(self.qvel[ids][:, self._qvel_cols], self._friction[ids], self._breakaway[ids])
        self._dry[ids[:, None], self._qvel_cols] = self.model.dof_frictionloss[self._qvel_cols] + torque

    def steps_per_control(self) -> int:
        """Physics steps per control step."""
        return self._substeps * self.timing.setpoints

    def _note_divergence(self, ids: np.ndarray) -> None:
        warned = (self.batch.warning[ids][:, _FATAL, 1] > self._warned[ids]).any(axis=1)
        finite = np.isfinite(self.qpos[ids]).all(axis=1) & np.isfinite(self.qvel[ids]).all(axis=1)
        self.diverged[ids] |= warned | ~finite

    def joint_position(self, ids: np.ndarray) -> Array:
        """Arm joint angles (n, J) as the encoders see them [rad]."""
        return self.qpos[ids][:, self._qpos_cols] - self.joint_offset[ids]

    def true_joint_position(self, ids: np.ndarray) -> Array:
        """Arm joint angles (n, J) as they are [rad]."""
        return self.qpos[ids][:, self._qpos_cols]

    def joint_velocity(self, ids: np.ndarray) -> Array:
        """Arm joint speeds (n, J) [rad/s]."""
        return self.qvel[ids][:, self._qvel_cols]

    def gripper_opening(self, ids: np.ndarray) -> Array:
        """Measured opening (n,), clipped to [0, 1]."""
        return self.embodiment.opening(self.qpos[ids][:, self._finger_cols]).clip(0.0, 1.0)

    def snapshot(self, ids: np.ndarray) -> Snapshot:
        """Save scenes exactly."""
        memory = np.concatenate([self._targets[ids], self._openings[ids][:, :, None]], axis=2)
        rest = (array[ids].copy() for array in (self._finger, self._led, self._steps))
        return Snapshot(self.state[ids].copy(), memory, *rest)

    def restore(self, ids: np.ndarray, snapshot: Snapshot) -> None:
        """Continue scenes from a snapshot, bit for bit; model values and actuation must be as they were."""
        self.state[ids] = snapshot.state
        self._targets[ids], self._openings[ids] = snapshot.targets[:, :, :-1], snapshot.targets[:, :, -1]
        self._finger[ids], self._led[ids], self._steps[ids] = snapshot.finger, snapshot.led, snapshot.steps
        self._warned[ids] = self.batch.warning[ids][:, _FATAL, 1]
        self.diverged[ids] = False


def model_field(model: mujoco.MjModel, name: str) -> np.ndarray:
    """A model field by the name that `mujoco.batch` has for it, such as "geom_size" or "opt.gravity"; a live view."""
    of, _, field = name.rpartition(".")
    found: np.ndarray = getattr(model.opt if of else model, field)
    return found
