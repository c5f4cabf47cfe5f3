"""Which scenes are kept apart for validation: chosen by what they are, not by where they lie or who trains on them.

Episodes of one scene look alike, so all of them are on one side; and the choice must not change when episodes are
added, merged or reordered more than it has to.
"""

import hashlib

import numpy as np

from trajectories.index import Index


def hold_out(index: Index, share: float, seed: int = 0) -> np.ndarray:
    """Choose scenes to hold out: (episodes,) bool; none if there is only one scene, else at least one and not all.

    Scenes are ranked by a hash of their task, number and data set's seed.

    Args:
        index: of the episodes.
        share: of the scenes; 0: none.
        seed: gives another choice.
    """
    task = index.categories["task"]
    names = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") for name in task.values]
    rank = np.array(names, np.uint64)[task.codes] ^ _mixed(np.array([seed], np.uint64))
    for column in (index.scene, index.seed):
        rank = _mixed(rank ^ _mixed(column.astype(np.uint64)))
    scenes = np.unique(rank)
    if share == 0 or len(scenes) < 2:
        return np.zeros(len(index), bool)
    count = min(max(1, round(share * len(scenes))), len(scenes) - 1)
    return np.asarray(rank <= scenes[count - 1])


def _mixed(x: np.ndarray) -> np.ndarray:
    """A bijection of 64-bit numbers without visible structure (splitmix64: Steele, Lea and Flood, 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
