"""Cameras that every workspace has beside those compiled into its model, by name.

`front` and `wrist` are in the model and are what policies look through. The others take no place in it: they can be
drawn live or later from stored states, and are randomised as `front` is.
"""

from collections.abc import Mapping, Sequence

import mujoco
import numpy as np

from handful import InputError, unknown_name
from scenes.placement import radius
from scenes.workspace import TABLE_TOP, Workspace
from sim.cameras import Mount, View, camera_names, check_outside, mount_of
from sim.embodiment import CameraView

_UP = (0.0, 0.0, 1.0)

# Name -> where it is and what it sees.
VIEWS: dict[str, View] = {
    "side": View(CameraView("world", (0.45, -0.80, 0.42), (0.47, 0.0, 0.06), _UP, 42.0), follows="front"),
    "overhead": View(CameraView("world", (0.48, 0.0, 1.05), (0.48, 0.0, 0.0), (1.0, 0.0, 0.0), 42.0), follows="front"),
    "corner": View(CameraView("world", (1.05, 0.75, 0.75), (0.38, 0.0, 0.12), _UP, 45.0), follows="front"),
    "shoulder": View(CameraView("world", (-0.25, 0.55, 0.75), (0.50, -0.05, 0.0), _UP, 50.0), follows="front"),
}


def views_for(workspace: Workspace) -> Mapping[str, View]:
    """The further views of a workspace, each known to be in the open."""
    views = {name: view for name, view in VIEWS.items() if name not in camera_names(workspace.model)}
    check_views(workspace, views)
    return views


def check_names(workspace: Workspace, names: Sequence[str]) -> None:
    """Refuse cameras that a workspace does not have.

    Raises:
        InputError: naming the camera and those there are.
    """
    known = [*camera_names(workspace.model), *views_for(workspace)]
    for name in names:
        if name not in known:
            raise unknown_name("camera", name, known)


def check_views(workspace: Workspace, views: Mapping[str, View]) -> None:
    """Refuse views from inside of something: the table, the robot as it starts, or where objects may stand.

    Raises:
        InputError: naming the view and what it is inside of.
    """
    model = workspace.model
    data = mujoco.MjData(model)
    joints, _ = workspace.embodiment.joint_addresses(model)
    data.qpos[joints] = workspace.embodiment.home
    data.qpos[workspace.embodiment.finger_addresses(model)] = workspace.embodiment.finger_open
    # Objects have no place before a scene gives them one; where they may come to stand is looked at below.
    for column in workspace.object_qpos.values():
        data.qpos[column : column + 3] = 0.0, 0.0, -100.0
    mujoco.mj_kinematics(model, data)
    for body in workspace.fixed.values():
        data.geom_xpos[model.geom_bodyid == body] += (0.0, 0.0, -100.0)
    for name, view in views.items():
        mount = mount_of(model, name, {name: view}, model)
        check_outside(model, data, name, mount)
        if mount.body == 0:
            _check_regions(workspace, name, mount)


def _check_regions(workspace: Workspace, name: str, mount: Mount) -> None:
    x, y, z = mount.pose[:3]
    for prop in workspace.task.props:
        region, wide = workspace.task.regions()[prop.name], radius(prop)
        inside = region.x[0] - wide <= x <= region.x[1] + wide and region.y[0] - wide <= y <= region.y[1] + wide
        if inside and TABLE_TOP <= z <= TABLE_TOP + 2 * prop.half[2]:
            raise InputError(
                f"camera '{name}' is inside '{prop.name}' in some scenes, at "
                f"({', '.join(f'{v:.3f}' for v in np.array([x, y, z]))}); move it out of where that may stand"
            )
