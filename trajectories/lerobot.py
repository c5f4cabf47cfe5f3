"""The layout of LeRobotDataset v3.0, as its writer and its reader here share it.

    meta/info.json                                features, rates, totals
    meta/stats.json                               statistics of every feature
    meta/tasks.parquet                            sentences, as a pandas index, and their numbers
    meta/episodes/chunk-000/file-000.parquet      one row per episode: where its rows and frames lie, its statistics
    data/chunk-000/file-000.parquet               one row per control step; images as PNG bytes
    videos/<feature>/chunk-000/file-000.mp4       or as videos, episodes one after another

What the format has no place for goes beside it, where LeRobot's own readers do not look:

    meta/handful.jsonl                            a header, then each episode's metadata and digests of its arrays
    meta/handful/chunk-000/file-000.parquet       arrays that have not one row per control step

With these two a data set comes back as it was, bit for bit; without them it is anybody's, and needs a mapping.
"""

import hashlib
from typing import Any, Literal

import numpy as np

from handful import InputError
from trajectories.schema import lookup

VERSION = "v3.0"

INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"
DATA_PATH = f"data/{_FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"

HEADER = "meta/handful.jsonl"
REST_PATH = f"meta/handful/{_FILE}.parquet"
# Version of these two.
HEADER_VERSION = 1

# Columns that every data set has, each of one number.
COUNTERS: dict[str, str] = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}

STATE = "observation.state"
ACTION = "action"
IMAGES = "observation.images."
# LeRobot takes every "observation..." for an input of the policy and every "action..." for an output: the rest of an
# episode is called otherwise.
_REST = "handful."
# Both together are the state: joint angles, then the gripper's opening.
STATE_KEYS = ("observation/joint_position", "observation/gripper_opening")

Action = Literal["executed", "intended"]


def feature_of(key: str, action: Action) -> str:
    """The feature that holds a key of the episode record; `action` says which of the two is LeRobot's."""
    if key in STATE_KEYS:
        return STATE
    if key == f"action/{action}":
        return ACTION
    if key.startswith("images/"):
        return IMAGES + key.removeprefix("images/")
    return _REST + key.replace("/", ".")


def is_column(key: str) -> bool:
    """Whether a key has rows for every control step, so that it can be a feature. `state` has one row more."""
    return lookup(key).rows in ("step", "state")


def digest(array: np.ndarray) -> str:
    """SHA-256 over dtype, shape and content of an array, in hexadecimal."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{little.dtype.name}{little.shape}".encode() + little.tobytes()).hexdigest()


def whole_rate(rate: float, where: str) -> int:
    """A control rate as the whole number that the format asks for.

    Raises:
        InputError: it is none.
    """
    if rate != round(rate):
        raise InputError(f"{where} has {rate:g} control steps per second; LeRobot's format needs a whole number")
    return round(rate)


def feature_record(dtype: str, shape: tuple[int, ...], names: list[str] | None) -> dict[str, Any]:
    """How info.json describes a feature."""
    return {"dtype": dtype, "shape": list(shape), "names": names}
