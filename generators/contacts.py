"""What the fingers touch in a demonstration, read off its recorded states.

Contact says that an object is in the hand even while nothing moves. It can be had only where a demo stores the states
of the very model that is here; a demo without them is judged by motion alone.
"""

import mujoco
import numpy as np

from generators.rendering import model_of
from scenes.workspace import Workspace, workspace_of
from sim.robots import ROBOTS
from trajectories import Episode


def recorded_contacts(episode: Episode) -> dict[str, np.ndarray] | None:
    """Per object, whether a finger touches it before each action, (T,); None where the episode cannot tell.

    Args:
        episode: with `state` and the scene's values under `model/`.
    """
    meta = episode.meta
    if "state" not in episode.arrays or meta.embodiment not in ROBOTS:
        return None
    workspace = workspace_of(meta)
    if meta.model_hash != workspace.model_hash:
        return None
    return _touched(workspace, episode)


def _touched(workspace: Workspace, episode: Episode) -> dict[str, np.ndarray]:
    model = model_of(workspace, episode)
    data, states = mujoco.MjData(model), episode.arrays["state"][:-1]
    fingers = np.zeros(model.ngeom, bool)
    fingers[[model.geom(name).id for name in workspace.embodiment.finger_geoms]] = True
    body = {prop.name: model.body(prop.name).id for prop in workspace.task.props}
    touched = {name: np.zeros(len(states), bool) for name in body}
    for t, state in enumerate(states):
        mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_fwdPosition(model, data)
        pairs = data.contact.geom[data.contact.dist <= 0]
        by_finger = pairs[fingers[pairs].any(axis=1)]
        bodies = set(model.geom_bodyid[by_finger].ravel())
        for name, number in body.items():
            touched[name][t] = number in bodies
    return touched
