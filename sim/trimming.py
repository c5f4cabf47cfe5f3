"""A model without what is only seen: it gives the same states, to the last bit, in less time.

The engine places every geom in every step, and most of a robot's are paint on its outline. A trimmed model has those
alone that can touch something; it is for stepping, never for drawing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

# Fields that change what is seen and nothing that happens.
_SEEN = ("cam_", "light_", "mat_", "geom_rgba", "geom_matid")


@dataclass(frozen=True)
class Trimmed:
    """A model to step in place of another.

    Attributes:
        model: without the geoms that nothing can touch.
        geoms: (K,) which of the other's geoms it has, in rising order.
    """

    model: mujoco.MjModel
    geoms: np.ndarray

    def fields(self, fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Of a scene's own values for the other model (field -> array as in MjModel), those that this one needs."""
        return {
            name: values[self.geoms] if name.startswith("geom_") else values
            for name, values in fields.items()
            if not name.startswith(_SEEN)
        }

    def put_back(self, rows: Mapping[str, np.ndarray], fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Values for the other model: those of this one (`rows`), and where it has none, the other's own (`fields`)."""
        whole = {name: values.copy() for name, values in fields.items()}
        for name, values in rows.items():
            if name.startswith("geom_"):
                whole[name][self.geoms] = values
            else:
                whole[name] = values
        return whole


def trim(spec: mujoco.MjSpec, model: mujoco.MjModel) -> Trimmed:
    """The model that a specification compiles to, without geoms that nothing can touch.

    Where such a geom counts in something else (a body's inertia, a sensor, a tendon's way, a pair, the resistance of a
    medium), all are left in.

    Args:
        spec: stays as it is.
        model: compiled from it.
    """
    everything = Trimmed(model, np.arange(model.ngeom))
    touching = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    if touching.all() or not _is_paint(model, np.flatnonzero(~touching)):
        return everything
    bare = spec.copy()
    for geom in list(bare.geoms):
        if geom.contype == 0 and geom.conaffinity == 0:
            bare.delete(geom)
    trimmed = Trimmed(bare.compile(), np.flatnonzero(touching))
    return trimmed if _moves_alike(model, trimmed.model) else everything


def _is_paint(model: mujoco.MjModel, geoms: np.ndarray) -> bool:
    """Whether geoms (K,) that collide with nothing serve nothing else either."""
    geom = mujoco.mjtObj.mjOBJ_GEOM.value
    wrapped = np.isin(model.wrap_type, [mujoco.mjtWrap.mjWRAP_SPHERE.value, mujoco.mjtWrap.mjWRAP_CYLINDER.value])
    used = [
        model.sensor_objid[model.sensor_objtype == geom],
        model.sensor_refid[model.sensor_reftype == geom],
        model.wrap_objid[wrapped],
        model.pair_geom1,
        model.pair_geom2,
    ]
    still = model.opt.density == 0.0 and model.opt.viscosity == 0.0
    return still and not np.isin(geoms, np.concatenate(used)).any()


def _moves_alike(model: mujoco.MjModel, trimmed: mujoco.MjModel) -> bool:
    """Whether bodies, joints and all constants that follow from them are the same."""
    constants = (
        *("body_mass", "body_inertia", "body_ipos", "body_iquat", "body_pos", "body_quat", "body_subtreemass"),
        *("body_invweight0", "body_gravcomp", "dof_M0", "dof_invweight0", "dof_damping", "dof_armature"),
        *("actuator_acc0", "actuator_length0", "tendon_length0", "tendon_invweight0", "qpos0", "bvh_aabb"),
    )
    return trimmed.nq == model.nq and all(
        np.array_equal(getattr(model, name), getattr(trimmed, name)) for name in constants
    )
