"""What the content of a recording must be like to be worth learning from: a table of rules, one row each.

Files can be whole and still hold nonsense: a pose that was never measured, a camera that froze, an arm that waits.
Every rule looks at one episode at a time, all its steps at once, and says where it is broken and by how much.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trajectories.recording import Breach, Recording

Severity = Literal["error", "warning"]

Check = Callable[[Recording, str], Breach | None]


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    name: str
    severity: Severity
    # Keys that it looks at, each on its own; a name ending in "/" is a family; "" is the episode as a whole.
    keys: tuple[str, ...]
    # What must hold.
    sentence: str
    check: Check
    # Whether it can be checked only where the embodiment's limits are known.
    needs_limits: bool = False

    def matches(self, recording: Recording) -> Iterator[str]:
        """The keys of a recording that the rule looks at."""
        if self.needs_limits and recording.limits is None:
            return
        for name in self.keys:
            if name == "":
                yield name
            for key in (*recording.arrays, *recording.frames):
                if key == name or (name.endswith("/") and key.startswith(name)):
                    yield key


def _where(mask: np.ndarray, detail: str) -> Breach | None:
    """The breach of the steps that are marked."""
    steps = np.flatnonzero(mask)
    return Breach(int(steps[0]), len(steps), detail) if len(steps) else None


def _stretches(mask: np.ndarray, least: int) -> np.ndarray:
    """First step, and step after the last, of each run of at least `least` marked steps: (runs, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))).reshape(-1, 2)
    return edges[edges[:, 1] - edges[:, 0] >= least]


def _longest(stretches: np.ndarray) -> tuple[int, int]:
    return tuple(stretches[np.argmax(stretches[:, 1] - stretches[:, 0])].tolist())


def _speeds(recording: Recording, values: np.ndarray) -> np.ndarray:
    """Change per second from each step to the next, (T - 1, ...)."""
    return np.abs(np.diff(values.astype(np.float64), axis=0)) * recording.meta.control_rate


def _finite(recording: Recording, key: str) -> Breach | None:
    values = recording.arrays[key]
    if not np.issubdtype(values.dtype, np.floating):
        return None
    bad = ~np.isfinite(values.reshape(len(values), -1))
    return _where(bad.any(axis=1), f"{bad.sum():,} of {bad.size:,} numbers are not finite")


def _unit_quaternion(recording: Recording, key: str) -> Breach | None:
    norms = np.linalg.norm(recording.arrays[key][:, 3:].astype(np.float64), axis=1)
    off = np.abs(norms - 1)
    return _where(off > recording.thresholds.quaternion, f"the norm is {norms[np.nanargmax(_known(off))]:.4g}")


def _known(values: np.ndarray) -> np.ndarray:
    """The same with -1 where there is no number, for looking up the worst of them."""
    return np.where(np.isfinite(values), values, -1.0)


def _quaternion_sign(recording: Recording, key: str) -> Breach | None:
    q = recording.arrays[key][:, 3:].astype(np.float64)
    flips = np.concatenate([[False], np.sum(q[1:] * q[:-1], axis=1) < 0])
    return _where(flips, f"the sign changes {flips.sum():,} times")


def _placeholder_pose(recording: Recording, key: str) -> Breach | None:
    poses = recording.arrays[key]
    found = (np.abs(poses) == [0, 0, 0, 1, 0, 0, 0]).all(axis=1)
    return _where(found, f"{found.mean():.0%} of the poses are the base's own")


def _clock(recording: Recording, key: str) -> Breach | None:
    # The first number of mjSTATE_INTEGRATION is the time [s].
    spans = np.diff(recording.arrays[key][:, 0]) * recording.meta.control_rate
    off = np.abs(spans - 1)
    worst = spans[np.argmax(_known(off))] / recording.meta.control_rate
    return _where(
        off > recording.thresholds.clock, f"a step of {1 / recording.meta.control_rate:g} s took {worst:.4g} s"
    )


def _source_steps(recording: Recording, key: str) -> Breach | None:
    steps, demos = recording.arrays[key].astype(np.int64), recording.arrays["source/demo"]
    subtask = recording.arrays["subtask"]
    same = (demos[1:] == demos[:-1]) & (demos[1:] >= 0) & (subtask[1:] == subtask[:-1])
    back = np.concatenate([[False], same & (np.diff(steps) < 1)])
    half = (steps < 0) != (demos < 0)
    return _where(back | half, f"{back.sum():,} steps do not go on; {half.sum():,} have a demo or a step alone")


def _first_correction(recording: Recording) -> int:
    """The step from which on an episode may go back to mend what failed: where its second try begins, or its end."""
    tries = recording.meta.extra.get("tries")
    if isinstance(tries, list) and len(tries) > 1 and isinstance(tries[1], list) and len(tries[1]) == 2:
        return int(tries[1][1])
    return len(recording.arrays["subtask"])


def _subtask_order(recording: Recording, key: str) -> Breach | None:
    subtask = recording.arrays[key].astype(np.int64)
    back = np.diff(subtask) < 0
    back[max(0, _first_correction(recording) - 1) :] = False
    wrong = np.concatenate([subtask[:1] < 0, back | (subtask[1:] < 0)])
    first = int(np.argmax(wrong))
    detail = f"it goes from {subtask[first - 1]} to {subtask[first]}" if first else f"it begins with {subtask[0]}"
    return _where(wrong, detail)


def _gripper_range(recording: Recording, key: str) -> Breach | None:
    opening = recording.arrays[key][:, -1]
    outside = (opening < 0) | (opening > 1)
    return _where(outside, f"it is {np.nanmin(_nan(opening)):.4g} to {np.nanmax(_nan(opening)):.4g}")


def _nan(values: np.ndarray) -> np.ndarray:
    """The same with what is infinite taken out; at least one number remains."""
    known = values[np.isfinite(values)]
    return known if len(known) else np.zeros(1)


def _joints(recording: Recording, key: str) -> np.ndarray:
    values = recording.arrays[key].astype(np.float64)
    return values[:, :-1] if key.startswith("action/") else values


def _joint_limits(recording: Recording, key: str) -> Breach | None:
    limits, joints = recording.limits, _joints(recording, key)
    assert limits is not None  # Rule.matches
    if joints.shape[1] != len(limits.lower):
        has, known = joints.shape[1], len(limits.lower)
        return Breach(0, len(joints), f"it has {has} joints; {recording.meta.embodiment} has {known}")
    beyond = np.maximum(limits.lower - joints, joints - limits.upper)
    joint = int(np.argmax(_known(beyond).max(axis=0)))
    detail = f"joint {joint + 1} is {_known(beyond)[:, joint].max():.3g} rad beyond its limit"
    return _where((beyond > recording.thresholds.joint).any(axis=1), detail)


def _joint_speed(recording: Recording, key: str) -> Breach | None:
    limits, joints = recording.limits, _joints(recording, key)
    assert limits is not None  # Rule.matches
    if joints.shape[1] != len(limits.speed) or len(joints) < 2:
        return None
    share = _known(_speeds(recording, joints) / limits.speed)
    joint = int(np.argmax(share.max(axis=0)))
    detail = (
        f"joint {joint + 1} moves at {share[:, joint].max():.3g} times its limit of {limits.speed[joint]:.3g} rad/s"
    )
    return _where(_later(np.any(share > recording.thresholds.joint_speed, axis=1)), detail)


def _later(mask: np.ndarray) -> np.ndarray:
    """Marks of the T - 1 changes as marks of the T steps that they lead to."""
    return np.concatenate([[False], mask])


def _jump(recording: Recording, key: str) -> Breach | None:
    position = recording.arrays[key][:, :3].astype(np.float64)
    if len(position) < 2:
        return None
    speed = _known(np.linalg.norm(np.diff(position, axis=0), axis=1) * recording.meta.control_rate)
    far = speed.max() / recording.meta.control_rate
    return _where(_later(speed > recording.thresholds.speed), f"it moves by {far:.3g} m in one step")


def _stale_actions(recording: Recording, key: str) -> Breach | None:
    targets, least = _joints(recording, key), recording.steps(recording.thresholds.stale)
    for start, stop in _stretches((np.diff(targets, axis=0) == 0).all(axis=1), least).tolist():
        moved = recording.moved(start + least // 2, stop + 1)
        if moved > recording.thresholds.moved:
            seconds = (stop - start + 1) / recording.meta.control_rate
            return Breach(
                start, stop - start + 1, f"the targets stay for {seconds:.1f} s while joints move {moved:.2f} rad"
            )
    return None


def _unfollowed_actions(recording: Recording, key: str) -> Breach | None:
    reached = recording.arrays["observation/joint_position"][1:]
    targets = _joints(recording, key)[:-1]
    if targets.shape != reached.shape:
        return None
    lag = np.abs(targets - reached).max(axis=1)
    stretches = _stretches(lag > recording.thresholds.lag, recording.steps(recording.thresholds.unfollowed))
    if not len(stretches):
        return None
    start, stop = _longest(stretches)
    return Breach(start, stop - start, f"joints stay {lag[start:stop].max():.2f} rad away from their targets")


def _idle(recording: Recording, key: str) -> Breach | None:
    joints = _speeds(recording, recording.arrays["observation/joint_position"]).max(axis=1)
    gripper = _speeds(recording, recording.arrays["observation/gripper_opening"]).max(axis=1)
    still = (joints < recording.thresholds.still) & (gripper < recording.thresholds.still_gripper)
    stretches = _stretches(still, recording.steps(recording.thresholds.idle))
    if not len(stretches):
        return None
    start, stop = _longest(stretches)
    return Breach(start, stop - start, f"nothing moves for {(stop - start) / recording.meta.control_rate:.1f} s")


def _blank_images(recording: Recording, key: str) -> Breach | None:
    blank = recording.frames[key].blank
    least = min(len(blank), recording.steps(recording.thresholds.blank))
    stretches = _stretches(blank, least)
    if not len(stretches):
        return None
    start, stop = _longest(stretches)
    return Breach(start, stop - start, f"{blank.sum():,} of {len(blank):,} images are of one colour")


def _frozen_images(recording: Recording, key: str) -> Breach | None:
    repeated = recording.frames[key].repeated
    for start, stop in _stretches(repeated, recording.steps(recording.thresholds.frozen)).tolist():
        moved = recording.moved(start - 1, stop)
        if moved > recording.thresholds.moved:
            seconds = (stop - start) / recording.meta.control_rate
            return Breach(start, stop - start, f"one image for {seconds:.1f} s while joints move {moved:.2f} rad")
    return None


def _short(recording: Recording, key: str) -> Breach | None:
    steps = len(recording.arrays["subtask"])
    seconds = steps / recording.meta.control_rate
    if seconds >= recording.thresholds.shortest:
        return None
    return Breach(0, steps, f"it lasts {seconds:.2f} s")


def _instruction(recording: Recording, key: str) -> Breach | None:
    sentences = (recording.meta.instruction, *recording.meta.paraphrases)
    empty = sum(not sentence.strip() for sentence in sentences)
    return Breach(0, len(recording.arrays["subtask"]), f"{empty} of {len(sentences)} are empty") if empty else None


def _duplicate(recording: Recording, key: str) -> Breach | None:
    if recording.twin is None:
        return None
    return Breach(0, len(recording.arrays["subtask"]), f"it repeats episode {recording.twin}")


_POSES = ("observation/tool_pose_in_base", "action/tool_pose_in_base", "objects/")
_NUMBERS = ("observation/", "action/", "objects/", "state")
_TARGETS = ("action/intended", "action/executed")
_JOINTS = ("observation/joint_position", *_TARGETS)
_GRIPPER = ("observation/gripper_opening", *_TARGETS)
_IMAGES = ("images/",)
_WHOLE = ("",)

RULES: tuple[Rule, ...] = (
    Rule("finite", "error", _NUMBERS, "every number is finite", _finite),
    Rule("unit_quaternion", "error", _POSES, "quaternions have norm 1", _unit_quaternion),
    Rule("placeholder_pose", "error", _POSES, "no pose is exactly that of the robot's base", _placeholder_pose),
    Rule("clock", "error", ("state",), "time goes on by one control step at a time", _clock),
    Rule(
        "subtask_order",
        "error",
        ("subtask",),
        "subtasks are counted from 0 and never go back, but to mend a failure",
        _subtask_order,
    ),
    Rule("gripper_range", "error", _GRIPPER, "gripper openings are in [0, 1]", _gripper_range),
    Rule("joint_limits", "error", _JOINTS, "joints and targets are within the arm's limits", _joint_limits, True),
    Rule("blank_images", "error", _IMAGES, "no camera shows one colour for long", _blank_images),
    Rule("instruction", "error", _WHOLE, "no sentence is empty", _instruction),
    Rule("joint_speed", "warning", _JOINTS, "joints and targets move as fast as the arm can", _joint_speed, True),
    Rule("jump", "warning", _POSES, "tool and objects do not jump", _jump),
    Rule("quaternion_sign", "warning", _POSES, "quaternions do not jump between q and -q", _quaternion_sign),
    Rule("source_steps", "warning", ("source/step",), "a replayed demo goes forwards", _source_steps),
    Rule("stale_actions", "warning", _TARGETS, "targets change while the arm moves", _stale_actions),
    Rule("unfollowed_actions", "warning", _TARGETS, "the arm gets to its targets", _unfollowed_actions),
    Rule("idle", "warning", _WHOLE, "the robot does not stand still for long", _idle),
    Rule("frozen_images", "warning", _IMAGES, "images change while the arm moves", _frozen_images),
    Rule("short", "warning", _WHOLE, "an episode is long enough to hold a task", _short),
    Rule("duplicate", "warning", _WHOLE, "no two episodes have the same numbers", _duplicate),
)
