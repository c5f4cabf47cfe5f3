"""An arm's kinematics, measured on a compiled model and held against the engine's own."""

import mujoco
import numpy as np

from handful import InputError
from sim.kinematics import Chain
from sim.transforms import Array, angle_between, compose, inverse, quat_from_matrix

# Most that the measured kinematics may differ from the engine's [m], [rad].
_FRAME_ERROR = 1e-6


def measure_chain(
    model: mujoco.MjModel, joints: tuple[str, ...], tool: str, lower: Array, upper: Array, max_speed: Array
) -> Chain:
    """The kinematics of hinges in a compiled model, whatever their axes, offsets and reference angles.

    Args:
        model: a model whose base stands where it will.
        joints: names of the hinges, base to tip.
        tool: name of a site.
        lower, upper: joint limits (J,) [rad].
        max_speed: (J,) [rad/s].

    Raises:
        InputError: the engine's kinematics differ, so something else moves the tool.
    """
    data, ids = mujoco.MjData(model), [int(model.joint(name).id) for name in joints]
    columns, site = model.jnt_qposadr[ids], int(model.site(tool).id)
    data.qpos[columns] = 0.0
    mujoco.mj_kinematics(model, data)
    before, frames = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]), []
    for i in ids:
        # Any frame at the joint whose z is its axis; x as near to the body's as can be.
        axis, body = data.xaxis[i], data.xmat[model.jnt_bodyid[i]].reshape(3, 3)
        x = body[:, int(np.argmin(np.abs(body.T @ axis)))]
        x = x - axis * (axis @ x)
        x /= np.linalg.norm(x)
        here = np.concatenate([data.xanchor[i], quat_from_matrix(np.column_stack([x, np.cross(axis, x), axis]))])
        frames.append(compose(inverse(before), here))
        before = here
    chain = Chain(np.stack(frames), compose(inverse(before), _site_pose(data, site)), lower, upper, max_speed)
    for q in np.random.default_rng(0).uniform(lower, upper, (8, len(ids))):
        data.qpos[columns] = q
        mujoco.mj_kinematics(model, data)
        ours, engine = chain.forward(q), _site_pose(data, site)
        off = float(np.linalg.norm(ours[:3] - engine[:3])), float(angle_between(ours[3:], engine[3:]))
        if max(off) > _FRAME_ERROR:
            raise InputError(
                f"arm.joints alone do not say where the tool is: at {q.round(3).tolist()} it is {1000 * off[0]:.3f} mm "
                f"and {np.degrees(off[1]):.3f} degrees from where the engine has it"
            )
    return chain


def _site_pose(data: mujoco.MjData, site: int) -> Array:
    return np.concatenate([data.site_xpos[site], quat_from_matrix(data.site_xmat[site].reshape(3, 3))])
