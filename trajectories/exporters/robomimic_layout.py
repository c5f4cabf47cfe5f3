"""Where the keys of an episode lie in a demo of a robomimic file: drawn once, for writing and for reading back.

What robomimic itself reads has the names that it expects; all that it has no place for is kept in the group `handful`,
so nothing of an episode is lost. HDF5 does not notice a flipped bit in what is not compressed, so every demo carries a
digest of its content.
"""

import hashlib

import numpy as np

from trajectories.canonical import canonical_json
from trajectories.schema import Episode

# Version of this page, stored in the file.
LAYOUT = 1
# The attribute of `data` that says that we wrote the file, and that of a demo with its digest.
MARK = "handful"
DIGEST = "handful_sha256"
# EpisodeMeta as JSON; UTF-8 bytes as an array, because attributes end at 64 kB.
META = "handful/meta"
# robomimic's states are those before each action; the one after the last is kept aside.
STATES = "states"
FINAL_STATE = "handful/final_state"


def place(key: str) -> str:
    """Path of a key's array within a demo; for `state`, of all rows but the last."""
    family, _, name = key.partition("/")
    if family == "observation":
        return f"obs/{name}"
    if family == "images":
        return f"obs/{name}_image"
    if family == "objects":
        return f"obs/{name}_pose"
    return STATES if key == "state" else f"handful/{key}"


def digest(episode: Episode) -> str:
    """SHA-256 of an episode's arrays and metadata, in hexadecimal."""
    total = hashlib.sha256(canonical_json(episode.meta.to_json(), "episode metadata"))
    for key, value in sorted(episode.arrays.items()):
        total.update(canonical_json([key, value.dtype.str, list(value.shape)]))
        total.update(np.ascontiguousarray(value).data)
    return total.hexdigest()
