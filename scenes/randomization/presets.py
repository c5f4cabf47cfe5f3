"""Named randomisations: `none`, `default`, `wide`, and the surrogate of reality `twin/dev-0`."""

from scenes.randomization.distributions import Choice, LogUniform, Uniform
from scenes.randomization.randomization import Randomization

NONE = Randomization()


def _centred(names: tuple[str, ...], reach: float) -> dict[str, Uniform]:
    return dict.fromkeys(names, Uniform(-reach, reach))


_OFFSETS = ("mass_offset_x", "mass_offset_y", "mass_offset_z")
_TILTS = ("gravity_tilt_x", "gravity_tilt_y")


def _cameras(kind: str, shift: float, turn: float, fovy: float) -> dict[str, Uniform]:
    return {
        **_centred(tuple(f"{kind}_{axis}" for axis in "xyz"), shift),
        **_centred((f"{kind}_pitch", f"{kind}_yaw", f"{kind}_roll"), turn),
        f"{kind}_fovy": Uniform(-fovy, fovy),
    }


DEFAULT = Randomization(
    {
        "object_friction": Uniform(0.4, 1.0),
        "pad_friction": Uniform(0.4, 1.0),
        "table_friction": Uniform(0.4, 1.0),
        "spin_friction": Uniform(0.003, 0.008),
        "mass_factor": LogUniform(0.5, 2.0),
        **_centred(_OFFSETS, 0.15),
        "object_damping": Uniform(0.0, 0.02),
        "object_size": Uniform(0.99, 1.01),
        "distractor_size": Uniform(0.75, 1.0),
        "table_height": Uniform(-0.010, 0.010),
        **_centred(_TILTS, 1.0),
        "servo_gain_factor": Uniform(0.8, 1.25),
        "joint_damping": LogUniform(0.5, 2.0),
        "torque_limit": Uniform(0.85, 1.0),
        "grip_force": Uniform(0.8, 1.0),
        "grip_speed": Uniform(0.8, 1.2),
        "latency": Uniform(0.0, 0.040),
        "control_jitter": Uniform(0.0, 0.002),
        "object_hue": Uniform(-0.015, 0.015),
        "object_saturation": Uniform(0.75, 1.0),
        "object_value": Uniform(0.7, 0.95),
        "object_material": Choice(("plain", "fine_speckle", "fine_checker"), (0.6, 0.2, 0.2)),
        "distractor_hue": Uniform(-0.5, 0.5),
        "distractor_saturation": Uniform(0.3, 1.0),
        "distractor_value": Uniform(0.4, 0.95),
        "distractor_material": Choice(("plain", "fine_speckle", "fine_checker")),
        "table_material": Choice(
            ("world_plain", "world_checker", "world_planks", "world_wood", "world_speckle", "world_grid")
        ),
        "table_hue": Uniform(0.12, 1.0),
        "table_saturation": Uniform(0.0, 0.35),
        "table_value": Uniform(0.45, 0.9),
        "room_material": Choice(("world_plain", "world_checker", "world_planks", "world_speckle")),
        "room_hue": Uniform(0.0, 1.0),
        "room_saturation": Uniform(0.0, 0.4),
        "room_value": Uniform(0.3, 0.9),
        "robot_value": Uniform(0.85, 1.05),
        "robot_warmth": Uniform(-0.3, 0.3),
        "light_azimuth": Uniform(-120.0, 120.0),
        "light_elevation": Uniform(40.0, 80.0),
        "light_distance": Uniform(1.5, 3.0),
        "light_diffuse": Uniform(0.4, 0.65),
        "light_ambient": Uniform(0.15, 0.3),
        "light_fill": Uniform(0.1, 0.3),
        "light_specular": Uniform(0.1, 0.5),
        "light_warmth": Uniform(-0.3, 0.3),
        "light_shadow": Choice((True, False), (0.75, 0.25)),
        "lamps": Choice((0, 1, 2), (0.6, 0.3, 0.1)),
        "lamp_azimuth": Uniform(-180.0, 180.0),
        "lamp_elevation": Uniform(30.0, 80.0),
        "lamp_diffuse": Uniform(0.05, 0.2),
        "lamp_warmth": Uniform(-0.3, 0.3),
        **_cameras("camera", 0.03, 3.0, 2.0),
        **_cameras("wrist", 0.005, 1.5, 2.0),
    }
)

# As far as the tasks can still be done and seen: for training that is to meet what it never saw.
WIDE = DEFAULT.with_(
    {
        "object_friction": Uniform(0.3, 1.0),
        "pad_friction": Uniform(0.3, 1.0),
        "table_friction": Uniform(0.2, 1.0),
        "spin_friction": Uniform(0.001, 0.015),
        "mass_factor": LogUniform(1 / 3, 3.0),
        **_centred(_OFFSETS, 0.3),
        "object_damping": Uniform(0.0, 0.05),
        "object_size": Uniform(0.95, 1.05),
        "table_height": Uniform(-0.02, 0.02),
        **_centred(_TILTS, 2.5),
        "servo_gain_factor": LogUniform(0.6, 1.6),
        "joint_damping": LogUniform(0.25, 4.0),
        "torque_limit": Uniform(0.6, 1.0),
        "grip_force": Uniform(0.6, 1.0),
        "grip_speed": Uniform(0.6, 1.4),
        "latency": Uniform(0.0, 0.080),
        "control_jitter": Uniform(0.0, 0.012),
        "joint_offset": Uniform(-0.01, 0.01),
        "proprioceptive_noise": Uniform(0.0, 0.005),
        "object_hue": Uniform(-0.02, 0.02),
        "object_saturation": Uniform(0.65, 1.0),
        "object_value": Uniform(0.6, 1.0),
        "object_material": Choice(("plain", "fine_speckle", "fine_checker", "fine_stripes")),
        "table_material": Choice(
            (
                *("world_plain", "world_checker", "world_planks", "world_wood"),
                *("world_speckle", "world_grid", "world_terrazzo"),
            )
        ),
        "table_hue": Uniform(0.0, 1.0),
        "table_saturation": Uniform(0.0, 0.6),
        "table_value": Uniform(0.3, 1.0),
        "room_value": Uniform(0.15, 1.0),
        "room_saturation": Uniform(0.0, 0.6),
        "robot_value": Uniform(0.7, 1.1),
        "robot_warmth": Uniform(-0.6, 0.6),
        "light_azimuth": Uniform(-180.0, 180.0),
        "light_elevation": Uniform(30.0, 85.0),
        "light_diffuse": Uniform(0.3, 0.75),
        "light_ambient": Uniform(0.1, 0.4),
        "light_fill": Uniform(0.0, 0.4),
        "light_specular": Uniform(0.0, 0.7),
        "light_warmth": Uniform(-0.6, 0.6),
        "light_shadow": Choice((True, False)),
        "lamps": Choice((0, 1, 2)),
        "lamp_diffuse": Uniform(0.05, 0.3),
        "lamp_warmth": Uniform(-0.6, 0.6),
        **_cameras("camera", 0.03, 3.5, 4.0),
        # No further, no narrower, or objects could be out of sight.
        "camera_fovy": Uniform(-2.0, 6.0),
        **_cameras("wrist", 0.01, 3.0, 4.0),
    }
)

# A robot that is slower to react, softer and a little miscalibrated, with play and dry friction in its joints, slippery
# fingers and heavy objects, in another engine's world, seen late by a camera that was bumped, under dim warm light,
# through a noisy sensor. Wherever it differs from DEFAULT, the two do not meet.
TWIN_DEV_0 = DEFAULT.with_(
    {
        "object_friction": Uniform(0.30, 0.38),
        "pad_friction": Uniform(0.30, 0.38),
        "table_friction": Uniform(0.30, 0.38),
        "mass_factor": LogUniform(2.1, 2.4),
        "servo_gain_factor": Uniform(0.60, 0.75),
        "latency": Uniform(0.055, 0.070),
        "table_height": Uniform(0.0105, 0.0125),
        "joint_offset": Uniform(-0.008, 0.008),
        "proprioceptive_noise": Uniform(0.002, 0.004),
        "backlash": Uniform(0.003, 0.005),
        "joint_friction": Uniform(0.02, 0.03),
        "stiction": Uniform(1.4, 1.6),
        "solver_cone": "pyramidal",
        "solver_impratio": Uniform(1.7, 1.9),
        "contact_softness": Uniform(1.4, 1.6),
        "object_saturation": Uniform(0.66, 0.72),
        "table_material": "world_terrazzo",
        "table_hue": Uniform(0.07, 0.1),
        "table_saturation": Uniform(0.4, 0.5),
        "table_value": Uniform(0.38, 0.43),
        "room_value": Uniform(0.2, 0.27),
        "robot_value": Uniform(0.78, 0.82),
        "light_azimuth": Uniform(130.0, 150.0),
        "light_diffuse": Uniform(0.33, 0.38),
        "light_warmth": Uniform(0.4, 0.5),
        "camera_x": Uniform(0.05, 0.06),
        "camera_y": Uniform(0.075, 0.085),
        "camera_z": Uniform(0.05, 0.06),
        "camera_pitch": Uniform(-4.5, -4.0),
        "camera_yaw": Uniform(7.0, 8.0),
        "camera_roll": Uniform(4.0, 5.0),
        "camera_fovy": Uniform(3.0, 4.0),
        "wrist_x": Uniform(0.007, 0.009),
        "wrist_y": Uniform(-0.009, -0.007),
        "wrist_z": Uniform(-0.009, -0.007),
        "wrist_pitch": Uniform(2.5, 3.0),
        "wrist_yaw": Uniform(2.5, 3.0),
        "wrist_roll": Uniform(2.5, 3.0),
        "wrist_fovy": Uniform(3.0, 4.0),
        "camera_latency": Uniform(0.04, 0.05),
        "frame_drops": Uniform(0.01, 0.02),
        "noise_std": Uniform(0.015, 0.03),
        "blur_sigma": Uniform(0.4, 0.7),
        "exposure_ev": Uniform(-0.6, -0.3),
        "white_balance": Uniform(0.05, 0.15),
    }
)
