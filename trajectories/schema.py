"""The episode record, drawn once: every key with its rows, shape, dtype, unit and range.

Writer, loader, importers and policy all read this table, so a key means the same everywhere. One episode of T control
steps holds

    observation[t] taken -> action[t] applied -> observation[t+1] taken ...        t = 0 .. T-1

and the integrator state once more after the last action (T + 1 rows).

    key                              rows   shape        dtype    unit, range
    observation/joint_position       T      (J,)         float32  rad, arm joints only
    observation/joint_velocity       T      (J,)         float32  rad/s
    observation/gripper_opening      T      (1,)         float32  [0, 1], 1 = fully open
    observation/tool_pose_in_base    T      (7,)         float32  m, unit quaternion (w, x, y, z)
    images/<camera>                  T      (H, W, 3)    uint8    sRGB, as rendered: no sensor noise
    depth/<camera>                   T      (H, W)       uint16   mm along the viewing axis
    segmentation/<camera>            T      (H, W)       uint8    number of what is seen, see extra["instances"]
    action/executed                  T      (J + 1,)     float32  absolute joint targets [rad], gripper opening [0, 1]
    action/intended                  T      (J + 1,)     float32  the same before motion noise was added
    action/tool_pose_in_base         T      (7,)         float32  the tool pose that action/intended aims at
    action/executed_tool_pose_in_base T    (7,)         float32  the tool pose that action/executed aims at, if known
    objects/<name>                   T      (7,)         float32  object_pose_in_base: m, quaternion
    signals/<name>                   T      ()           bool     a subtask's "done" signal, where the source gives one
    subtask                          T      ()           int8     index of the subtask under way
    source/demo                      T      ()           int32    which seed demo this step replays; -1: a bridge
    source/step                      T      ()           int32    which step of that demo; -1: a bridge
    state                            T + 1  (S,)         float64  full integrator state (mjSTATE_INTEGRATION)
    model/<field>                    1      as in MjModel float/int  the scene's own value of a model field

Which keys an episode must have depends on where it comes from: `REQUIRED` for all; imported data has no `state` and no
`model/`. The rest of an episode is one JSON object, `EpisodeMeta`.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np

from handful import InputError

FORMAT_VERSION = 2

Rows = Literal["step", "state", "episode"]


@dataclass(frozen=True)
class Key:
    """One row of the table: a key, or a family of keys that share a prefix."""

    # Exact name, or a prefix ending in "/" for a family.
    name: str
    # How many rows an episode of T steps has: T, T + 1 or 1.
    rows: Rows
    # dtype; None: whatever the model's field has.
    dtype: str | None
    # Number of dimensions of one row; None: whatever the model's field has.
    ndim: int | None
    # What the numbers are.
    unit: str


SCHEMA: tuple[Key, ...] = (
    Key("observation/joint_position", "step", "float32", 1, "rad"),
    Key("observation/joint_velocity", "step", "float32", 1, "rad/s"),
    Key("observation/gripper_opening", "step", "float32", 1, "[0, 1], 1 = open"),
    Key("observation/tool_pose_in_base", "step", "float32", 1, "m, quaternion wxyz"),
    Key("images/", "step", "uint8", 3, "sRGB"),
    Key("depth/", "step", "uint16", 2, "mm along the viewing axis"),
    Key("segmentation/", "step", "uint8", 2, "number of what is seen"),
    Key("action/executed", "step", "float32", 1, "rad, then gripper opening [0, 1]"),
    Key("action/intended", "step", "float32", 1, "rad, then gripper opening [0, 1]"),
    Key("action/tool_pose_in_base", "step", "float32", 1, "m, quaternion wxyz"),
    Key("action/executed_tool_pose_in_base", "step", "float32", 1, "m, quaternion wxyz"),
    Key("objects/", "step", "float32", 1, "m, quaternion wxyz, in the robot's base frame"),
    Key("signals/", "step", "bool", 0, "true once the subtask is done"),
    Key("subtask", "step", "int8", 0, "index"),
    Key("source/demo", "step", "int32", 0, "index of the seed demo, -1 = bridge"),
    Key("source/step", "step", "int32", 0, "step of the seed demo, -1 = bridge"),
    Key("state", "state", "float64", 1, "mjSTATE_INTEGRATION"),
    Key("model/", "episode", None, None, "as in MjModel"),
)

REQUIRED: tuple[str, ...] = (
    "observation/joint_position",
    "observation/joint_velocity",
    "observation/gripper_opening",
    "observation/tool_pose_in_base",
    "action/executed",
    "action/intended",
    "action/tool_pose_in_base",
    "subtask",
)

_EXACT = {k.name: k for k in SCHEMA if not k.name.endswith("/")}
_FAMILIES = tuple(k for k in SCHEMA if k.name.endswith("/"))


def lookup(key: str) -> Key:
    """Find the table row of a key.

    Raises:
        InputError: the schema has no such key.
    """
    if key in _EXACT:
        return _EXACT[key]
    for family in _FAMILIES:
        if key.startswith(family.name) and len(key) > len(family.name) and "/" not in key[len(family.name) :]:
            return family
    names = ", ".join(k.name + ("<name>" if k.name.endswith("/") else "") for k in SCHEMA)
    raise InputError(f"the episode schema has no key '{key}'; it has: {names}")


@dataclass(frozen=True)
class EpisodeMeta:
    """Everything about an episode that is not an array: what it is, and where every bit of it came from."""

    # Task name, e.g. "stack_three".
    task: str
    # Embodiment name, e.g. "panda".
    embodiment: str
    # "sim", "twin/<name>" or "real/<source>".
    domain: str
    # Control rate [Hz].
    control_rate: float
    # The sentence shown for this episode, and others that mean the same.
    instruction: str
    paraphrases: tuple[str, ...]
    # Name of the Outcome the episode ended in, e.g. "success".
    outcome: str
    # Who moved the robot: "human", "script", "augmentation" or "policy".
    operator: str
    # How action/executed was obtained: "commanded", or "achieved_next" (achieved joints of the next step).
    action_source: Literal["commanded", "achieved_next"]
    # Scene index in the plan, and the random streams: {"namespace", "seed", "attempt", "keys": {stream: spawn key}}.
    scene: int = 0
    seeds: dict[str, Any] = field(default_factory=dict)
    # Every randomised value by axis name: the ledger.
    ledger: dict[str, Any] = field(default_factory=dict)
    # Attempts spent on this scene up to and including this one.
    attempts: int = 1
    # SHA-256 of the compiled model's XML; None for imported data.
    model_hash: str | None = None
    # {"mujoco": ..., "handful": ...}
    versions: dict[str, str] = field(default_factory=dict)
    # The GL renderer's own name where images were rendered.
    gl_renderer: str | None = None
    # camera -> {"height", "width", "fovy" [deg], "intrinsics" (3, 3) [pixels], "body" that carries it, "pose_in_body"
    # (7,), "pose_in_base" (7,) or null when it moves}; it looks along its -z, its y points up. Imported data may know
    # less.
    cameras: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Seed demos by index, as named in source/demo: [{"store", "episode", "operator"}].
    sources: tuple[dict[str, Any], ...] = ()
    # Anything that only one kind of source has.
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def look(self) -> int:
        """Which of its scene's looks it shows: the attempt at the stream `appearance`; 0 where none is recorded."""
        key = self.seeds.get("keys", {}).get("appearance")
        return int(key[-1]) if key else 0

    def to_json(self) -> dict[str, Any]:
        """A plain dict of JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "EpisodeMeta":
        """The inverse of `to_json`; unknown fields are refused by name."""
        names = {f.name for f in fields(cls)}
        unknown = sorted(set(record) - names)
        if unknown:
            raise InputError(f"episode metadata has unknown fields {', '.join(unknown)}; known: {', '.join(names)}")
        return cls(
            **{**record, "paraphrases": tuple(record["paraphrases"]), "sources": tuple(record.get("sources", ()))}
        )


@dataclass(frozen=True)
class Episode:
    """One trajectory in memory: arrays by schema key (each with its rows first) and its metadata."""

    arrays: dict[str, np.ndarray]
    meta: EpisodeMeta

    def __len__(self) -> int:
        """Number of control steps T."""
        return len(self.arrays["subtask"])


def validate(episode: Episode) -> None:
    """Check an episode against the table: keys, row counts, dtypes, finiteness, unit quaternions, gripper range.

    Raises:
        InputError: naming the key, what it has and what it should have.
    """
    arrays = episode.arrays
    missing = [key for key in REQUIRED if key not in arrays]
    if missing:
        raise InputError(f"episode lacks {', '.join(missing)}")
    steps = len(episode)
    if steps == 0:
        raise InputError("episode has no steps")
    for key, value in arrays.items():
        row = lookup(key)
        expected = {"step": steps, "state": steps + 1, "episode": None}[row.rows]
        if expected is not None and len(value) != expected:
            raise InputError(f"'{key}' has {len(value)} rows; an episode of {steps} steps needs {expected}")
        if row.dtype is not None and value.dtype != np.dtype(row.dtype):
            raise InputError(f"'{key}' is {value.dtype}; it must be {row.dtype}")
        if row.ndim is not None and value.ndim != row.ndim + 1:
            raise InputError(f"'{key}' has shape {value.shape}; one row of it must have {row.ndim} dimensions")
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise InputError(f"'{key}' holds values that are not finite")
        if key.endswith("pose_in_base") or key.startswith("objects/"):
            if value.shape[1] != 7:
                raise InputError(f"'{key}' has {value.shape[1]} columns; a pose has 7: x y z, then w x y z")
            norm = np.linalg.norm(value[:, 3:], axis=1)
            if np.abs(norm - 1).max() > 1e-3:
                raise InputError(f"'{key}' holds quaternions of norm {norm.min():.4f} to {norm.max():.4f}; need 1")
    joints = arrays["observation/joint_position"].shape[1]
    for key in ("action/executed", "action/intended"):
        if arrays[key].shape[1] != joints + 1:
            raise InputError(
                f"'{key}' has {arrays[key].shape[1]} columns; {joints} joints and a gripper need {joints + 1}"
            )
    for key in ("action/executed", "action/intended"):
        gripper = arrays[key][:, -1]
        if gripper.min() < 0 or gripper.max() > 1:
            raise InputError(f"'{key}' has gripper openings {gripper.min():.3f} to {gripper.max():.3f}; need [0, 1]")
