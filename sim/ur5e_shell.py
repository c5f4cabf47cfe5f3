"""What the UR5e looks like: silver tubes between round joints, with flat blue caps.

Shapes are in the frame of the link that carries them: each joint turns about its link's z. The upper arm and the
forearm lie beside the plane of the joints' frames, as the robot's do.
"""

from sim.shell import Paint, Shape, capsule, cylinder

MATERIALS = {
    "ur5e_silver": Paint((0.78, 0.79, 0.80, 1.0), 0.45, 0.5),
    "ur5e_blue": Paint((0.35, 0.62, 0.80, 1.0), 0.3, 0.4),
    "ur5e_dark": Paint((0.24, 0.25, 0.27, 1.0), 0.3, 0.4),
}

_SILVER, _BLUE, _DARK = "ur5e_silver", "ur5e_blue", "ur5e_dark"

SHELL: dict[str, tuple[Shape, ...]] = {
    "link0": (
        cylinder((0, 0, 0), (0, 0, 0.018), 0.075, _DARK),
        cylinder((0, 0, 0.018), (0, 0, 0.094), 0.0605, _SILVER),
        cylinder((0, 0, 0.092), (0, 0, 0.100), 0.0615, _DARK),
    ),
    "link1": (
        cylinder((0, 0, 0.098), (0, 0, 0.1625), 0.0605, _SILVER),
        capsule((0, 0, 0.1625), (0, -0.005, 0.1625), 0.0605, _SILVER),
        cylinder((0, 0.056, 0.1625), (0, 0.068, 0.1625), 0.056, _BLUE),
        cylinder((0, 0.06, 0.1625), (0, -0.070, 0.1625), 0.0600, _SILVER),
    ),
    "link2": (
        cylinder((0, 0, 0.068), (0, 0, 0.076), 0.0605, _DARK),
        cylinder((0, 0, 0.074), (0, 0, 0.196), 0.0600, _SILVER),
        cylinder((0, 0, 0.194), (0, 0, 0.206), 0.0560, _BLUE),
        cylinder((0, 0, 0.138), (-0.425, 0, 0.138), 0.0480, _SILVER),
        cylinder((-0.425, 0, 0.076), (-0.425, 0, 0.190), 0.0560, _SILVER),
        cylinder((-0.425, 0, 0.188), (-0.425, 0, 0.200), 0.0520, _BLUE),
    ),
    "link3": (
        cylinder((0, 0, 0.066), (0, 0, 0.078), 0.0565, _DARK),
        cylinder((0, 0, -0.046), (0, 0, 0.068), 0.0550, _SILVER),
        cylinder((0, 0, -0.058), (0, 0, -0.044), 0.0510, _BLUE),
        cylinder((0, 0, 0.007), (-0.392, 0, 0.007), 0.0380, _SILVER),
        cylinder((-0.3922, 0, -0.038), (-0.3922, 0, 0.072), 0.0400, _SILVER),
        cylinder((-0.3922, 0, -0.048), (-0.3922, 0, -0.036), 0.0370, _BLUE),
    ),
    "link4": (
        cylinder((0, 0, 0.070), (0, 0, 0.080), 0.0405, _DARK),
        cylinder((0, 0, 0.078), (0, 0, 0.1333), 0.0400, _SILVER),
        cylinder((0, 0.046, 0.1333), (0, -0.046, 0.1333), 0.0400, _SILVER),
        cylinder((0, 0.058, 0.1333), (0, 0.044, 0.1333), 0.0370, _BLUE),
    ),
    "link5": (
        cylinder((0, 0, 0.044), (0, 0, 0.054), 0.0405, _DARK),
        cylinder((0, 0, 0.052), (0, 0, 0.0997), 0.0400, _SILVER),
        cylinder((0, -0.046, 0.0997), (0, 0.046, 0.0997), 0.0400, _SILVER),
        cylinder((0, -0.058, 0.0997), (0, -0.044, 0.0997), 0.0370, _BLUE),
    ),
    "link6": (
        cylinder((0, 0, 0.044), (0, 0, 0.054), 0.0405, _DARK),
        cylinder((0, 0, 0.052), (0, 0, 0.0996), 0.0370, _SILVER),
    ),
}
