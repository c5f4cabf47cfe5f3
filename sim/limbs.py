"""The outline of an arm as spheres that move with its joints: does it meet itself, or the table?

Taken from the robot's own geoms, what is only seen included: simulated arms collide with nothing but by their hands, so
what a real one could not do has to be found here.
"""

from dataclasses import dataclass, replace

import mujoco
import numpy as np

from sim.embodiment import Embodiment
from sim.kinematics import Chain
from sim.transforms import Array

# Links this many joints apart are never neighbours round one elbow.
_APART = 3
# Links that so many joints move could come down on the table; the last one and the hand are screened with the fingers.
_LIFTED = 2
# Spheres that stand out of others by no more than this are left out [m].
_PROUD = 0.02


@dataclass(frozen=True)
class Limbs:
    """An arm's outline.

    Attributes:
        chain: the arm.
        joint: (S,) how many joints move each sphere; rising.
        centre: (S, 3) in the frame of the last of these joints, or in the base's where there is none [m].
        radius: (S,) [m].
        pairs: (2, P) spheres that may meet.
        over_table: spheres that are to stay over the table.
    """

    chain: Chain
    joint: np.ndarray
    centre: Array
    radius: Array
    pairs: np.ndarray
    over_table: np.ndarray

    def at(self, q: Array) -> Array:
        """Where the spheres are at joint angles (N, J) [rad]: (S, 3, N) in the base frame [m]."""
        positions, axes = self.chain.links(q)
        found = positions[self.joint].copy()
        for axis in range(3):
            found += axes[self.joint, axis] * self.centre[:, axis, None, None]
        return found

    def room(self, q: Array, table_height: float) -> Array:
        """The least room between links, and over the table, at joint angles (N, J) [rad]: (N,); < 0: they meet [m]."""
        found = self.at(q)
        first, second = self.pairs
        way = np.sqrt(((found[first] - found[second]) ** 2).sum(axis=1))
        to_itself = (way - (self.radius[first] + self.radius[second])[:, None]).min(axis=0, initial=np.inf)
        low = found[self.over_table, 2] - self.radius[self.over_table, None]
        return np.asarray(np.minimum(to_itself, low.min(axis=0, initial=np.inf) - table_height))


def limbs_of(model: mujoco.MjModel, robot: Embodiment) -> Limbs:
    """The outline of the robot in a model. Spheres that meet with the arm at home only seem to: they are no pair."""
    data = mujoco.MjData(model)
    columns, _ = robot.joint_addresses(model)
    data.qpos[columns] = 0.0
    mujoco.mj_kinematics(model, data)
    positions, axes = robot.chain.links(np.zeros((1, len(robot.joints))))
    moved = [int(model.jnt_bodyid[model.joint(name).id]) for name in robot.joints]
    root = model.body(robot.moving_root).id
    foot = int(model.body_parentid[root])
    joint, centre, radius = [], [], []
    for geom in range(model.ngeom):
        line = _line(model, int(model.geom_bodyid[geom]))
        if root not in line and (foot == 0 or line[0] != foot):
            continue
        count = sum(body in line for body in moved)
        middles, size = _spheres(model.geom_aabb[geom])
        placed = data.geom_xpos[geom] + middles @ data.geom_xmat[geom].reshape(3, 3).T
        for point in placed:
            joint.append(count)
            centre.append(axes[count, :, :, 0] @ (point - positions[count, :, 0]))
            radius.append(size)
    kept = _outermost(np.array(joint), np.array(centre), np.array(radius))
    limbs = _limbs(robot, np.array(joint)[kept], np.array(centre)[kept], np.array(radius)[kept])
    first, second = limbs.pairs
    home = limbs.at(robot.home[None])[..., 0]
    apart = np.linalg.norm(home[first] - home[second], axis=1) > limbs.radius[first] + limbs.radius[second]
    return replace(limbs, pairs=limbs.pairs[:, apart])


def _limbs(robot: Embodiment, joint: np.ndarray, centre: Array, radius: Array) -> Limbs:
    pairs = np.array(np.nonzero(joint[None] - joint[:, None] >= _APART))
    over = np.flatnonzero((joint >= _LIFTED) & (joint < len(robot.joints)))
    return Limbs(robot.chain, joint, centre, radius, pairs, over)


def _outermost(joint: np.ndarray, centre: Array, radius: Array) -> np.ndarray:
    """Spheres that stand out by more than a little from larger ones that move with them, in rising order."""
    kept: list[int] = []
    for i in np.argsort(-radius, kind="stable"):
        others = [k for k in kept if joint[k] == joint[i]]
        out = np.linalg.norm(centre[others] - centre[i], axis=1) + radius[i] - radius[others]
        if (out > _PROUD).all():
            kept.append(int(i))
    return np.array(sorted(kept))


def _line(model: mujoco.MjModel, body: int) -> list[int]:
    """A body and all that it hangs on, up to the world."""
    line = [body]
    while line[-1]:
        line.append(int(model.body_parentid[line[-1]]))
    return line


def _spheres(box: Array) -> tuple[Array, float]:
    """A row of spheres (n, 3) along a geom's box (centre, then half edges); as thick as its second longest edge."""
    middle, half = box[:3], box[3:]
    longest = int(half.argmax())
    radius = float(np.sort(half)[1])
    reach = half[longest] - radius
    points = np.tile(middle, (int(np.ceil(reach / radius)) + 1, 1))
    points[:, longest] += np.linspace(-reach, reach, len(points)) if len(points) > 1 else 0.0
    return points, radius
