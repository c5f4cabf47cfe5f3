"""How far a surrogate reality lies from what training draws, axis by axis, in three severities.

Every band lies outside the range of the preset `default`: what a policy was trained on, it does not meet here. A band
with two ranges has one on each side of it. The bands of `actuation` are set by what they do to motion, measured by
`handful bench twins`: the same commands lead the tool about 4 mm apart within a second (mild), 9 mm (medium) or 18 mm
(severe); what `default` draws does so by 2 mm. Severe ones end where the scripted operator begins to fail.
"""

from collections.abc import Mapping
from typing import Literal

Severity = Literal["mild", "medium", "severe"]
SEVERITIES: tuple[Severity, ...] = ("mild", "medium", "severe")

Range = tuple[float, float]
# What a value may lie in: ranges, or names, of which a twin takes one. None: such twins are as training is.
Band = tuple[Range | str, ...]


def _both(mild: Range, medium: Range, severe: Range) -> tuple[Band, Band, Band]:
    """Each range and its mirror image."""
    mirrored = [((low, high), (-high, -low)) for low, high in (mild, medium, severe)]
    return mirrored[0], mirrored[1], mirrored[2]


def _one(mild: Range | str | None, medium: Range | str | None, severe: Range | str) -> tuple[Band, Band, Band]:
    mildly, mediumly = ((), ()) if medium is None else ((), (medium,)) if mild is None else ((mild,), (medium,))
    return mildly, mediumly, (severe,)


def _camera(
    kind: str, shift: tuple[Range, Range, Range], turn: tuple[Range, Range, Range]
) -> dict[str, tuple[Band, ...]]:
    # Pitch least: it is what loses objects from sight. And never a narrower view.
    mild, medium, _ = ((low, low + (high - low) / 2) for low, high in turn)
    pitch = _both(mild, medium, (medium[1], medium[1] + 0.5))
    return {
        **{f"{kind}_{axis}": _both(*shift) for axis in "xyz"},
        f"{kind}_pitch": tuple(tuple(reversed(band)) for band in pitch),
        f"{kind}_yaw": _both(*turn),
        f"{kind}_roll": _both(*turn),
        f"{kind}_fovy": _one((2.2, 2.8), (3.0, 4.0), (5.0, 6.0)),
    }


_FRICTIONS = ("object_friction", "pad_friction", "table_friction")
# Axes on which a twin takes the same side: whoever moves a camera aside or up aims it at the table again.
TOGETHER: Mapping[str, str] = {
    "camera_y": "camera aside",
    "camera_yaw": "camera aside",
    "camera_z": "camera up",
    "camera_pitch": "camera up",
}

# Group -> axis -> its bands, mild, medium and severe.
BANDS: Mapping[str, Mapping[str, tuple[Band, ...]]] = {
    "actuation": {
        "latency": _one((0.042, 0.048), (0.055, 0.065), (0.080, 0.095)),
        "control_jitter": _one((0.0025, 0.003), (0.005, 0.006), (0.010, 0.012)),
        "servo_gain_factor": (((0.76, 0.79), (1.27, 1.31)), ((0.66, 0.72), (1.4, 1.5)), ((0.5, 0.58), (1.75, 1.95))),
        "joint_damping": (((0.45, 0.49), (2.05, 2.2)), ((0.33, 0.40), (2.5, 3.0)), ((0.22, 0.28), (3.6, 4.4))),
        "torque_limit": _one((0.82, 0.845), (0.72, 0.78), (0.55, 0.62)),
        "joint_offset": _both((0.001, 0.002), (0.003, 0.006), (0.008, 0.014)),
        "grip_force": _one((0.76, 0.79), (0.66, 0.72), (0.5, 0.58)),
        "grip_speed": (((0.75, 0.79), (1.21, 1.25)), ((0.65, 0.72), (1.3, 1.4)), ((0.5, 0.6), (1.5, 1.7))),
        "backlash": _one((0.001, 0.002), (0.004, 0.006), (0.008, 0.011)),
        "joint_friction": _one((0.005, 0.01), (0.02, 0.03), (0.05, 0.07)),
        "stiction": _one((1.15, 1.25), (1.5, 1.7), (1.9, 2.2)),
    },
    "contact": {
        # A contact has the larger friction of its two surfaces: one slippery surface alone would change nothing.
        **dict.fromkeys(_FRICTIONS, _one((0.37, 0.39), (0.33, 0.36), (0.28, 0.32))),
        "spin_friction": (
            ((0.0025, 0.0029), (0.0082, 0.009)),
            ((0.0016, 0.002), (0.010, 0.012)),
            ((0.0008, 0.0012), (0.014, 0.018)),
        ),
        "mass_factor": (((0.45, 0.49), (2.05, 2.2)), ((0.38, 0.44), (2.3, 2.6)), ((0.28, 0.34), (3.0, 3.6))),
        "object_damping": _one((0.021, 0.024), (0.03, 0.036), (0.05, 0.06)),
        "table_height": _both((0.0105, 0.0115), (0.0125, 0.0145), (0.017, 0.02)),
    },
    "solver": {
        # Downwards alone: with pyramidal cones a large one lets go of what is held.
        "solver_impratio": _one((2.2, 2.5), (1.6, 1.9), (1.0, 1.2)),
        "contact_softness": _one((1.1, 1.25), (1.5, 1.8), (2.5, 3.0)),
        "solver_tolerance": _one((1e-7, 1e-6), (1e-5, 1e-4), (2e-4, 1e-3)),
        "solver_cone": _one(None, "pyramidal", "pyramidal"),
        "solver_iterations": _one(None, (15.0, 20.0), (8.0, 12.0)),
    },
    "proprioception": {"proprioceptive_noise": _one((0.001, 0.002), (0.003, 0.005), (0.008, 0.012))},
    "camera": {
        **_camera("camera", ((0.031, 0.035), (0.042, 0.05), (0.06, 0.07)), ((3.1, 3.6), (4.2, 5.0), (6.0, 7.5))),
        **_camera("wrist", ((0.0052, 0.006), (0.007, 0.009), (0.011, 0.013)), ((1.6, 1.9), (2.4, 3.0), (4.0, 5.0))),
        "camera_latency": _one((0.025, 0.035), (0.07, 0.09), (0.14, 0.16)),
        "frame_drops": _one((0.005, 0.01), (0.02, 0.04), (0.08, 0.12)),
    },
    "sensor": {
        "exposure_ev": _both((0.2, 0.3), (0.5, 0.7), (1.0, 1.3)),
        "white_balance": _both((0.03, 0.05), (0.08, 0.12), (0.18, 0.24)),
        "noise_std": _one((0.005, 0.01), (0.02, 0.03), (0.05, 0.08)),
        "blur_sigma": _one((0.2, 0.35), (0.5, 0.8), (1.0, 1.4)),
        "jpeg_quality": _one((90.0, 95.0), (70.0, 80.0), (35.0, 45.0)),
    },
    "light": {
        "light_azimuth": _both((124.0, 134.0), (140.0, 152.0), (160.0, 178.0)),
        "light_elevation": (((36.0, 39.0), (81.0, 83.0)), ((30.0, 34.0), (84.0, 86.0)), ((22.0, 27.0), (87.0, 89.0))),
        "light_diffuse": (((0.37, 0.39), (0.66, 0.69)), ((0.32, 0.36), (0.72, 0.78)), ((0.22, 0.28), (0.85, 0.95))),
        "light_ambient": (((0.13, 0.145), (0.31, 0.33)), ((0.1, 0.12), (0.35, 0.39)), ((0.05, 0.08), (0.43, 0.48))),
        "light_warmth": _both((0.32, 0.36), (0.42, 0.5), (0.65, 0.8)),
    },
    "appearance": {
        "object_saturation": _one((0.72, 0.745), (0.67, 0.71), (0.61, 0.64)),
        "object_value": (((0.67, 0.69), (0.955, 0.97)), ((0.62, 0.65), (0.975, 0.985)), ((0.55, 0.59), (0.99, 1.0))),
        "table_saturation": _one((0.37, 0.40), (0.44, 0.50), (0.58, 0.68)),
        "table_value": (((0.42, 0.44), (0.91, 0.93)), ((0.36, 0.40), (0.94, 0.96)), ((0.27, 0.32), (0.97, 0.99))),
        "room_saturation": _one((0.42, 0.45), (0.49, 0.55), (0.62, 0.72)),
        "room_value": (((0.27, 0.29), (0.91, 0.93)), ((0.21, 0.25), (0.94, 0.96)), ((0.12, 0.17), (0.97, 0.99))),
        "robot_value": (((0.82, 0.845), (1.06, 1.08)), ((0.76, 0.80), (1.1, 1.14)), ((0.62, 0.7), (1.2, 1.28))),
    },
}  # fmt: skip

GROUPS = tuple(BANDS)
