"""Domains: the distributions that scenes are drawn from.

`sim` is what training data is drawn from. `none` is the same world without randomisation. A `twin/<name>` is a
surrogate of reality: a world whose dynamics, cameras, light and noise lie outside what `sim` draws. Nothing measured in
a twin is a measurement of the real world, and everything that prints it says "surrogate reality".
"""

from dataclasses import dataclass

from handful import unknown_name
from scenes import appearance, physics


@dataclass(frozen=True)
class SensorNoise:
    """What a domain's cameras do to a rendered frame; each a range (low, high)."""

    # Standard deviation of pixel noise, as a share of full scale.
    noise_std: tuple[float, float] = (0.0, 0.0)
    # Standard deviation of Gaussian blur [pixels].
    blur_sigma: tuple[float, float] = (0.0, 0.0)
    # Exposure error [EV].
    exposure_ev: tuple[float, float] = (0.0, 0.0)
    # Gain error of the red and of the blue channel, each drawn on its own, as a share.
    white_balance: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Domain:
    """A named distribution of worlds."""

    name: str
    physics: physics.PhysicsRanges
    appearance: appearance.AppearanceRanges
    sensor: SensorNoise = SensorNoise()


SIM = Domain("sim", physics.DEFAULT, appearance.DEFAULT)
NONE = Domain("none", physics.NONE, appearance.NONE)

# A robot that is slower to react, softer and a little miscalibrated, with slippery fingers and heavy objects, seen by a
# camera that was bumped, under dim warm light, through a noisy sensor.
TWIN_DEV_0 = Domain(
    "twin/dev-0",
    physics.PhysicsRanges(
        object_friction=(0.30, 0.38),
        pad_friction=(0.30, 0.38),
        table_friction=(0.30, 0.38),
        mass_factor=(2.1, 2.4),
        servo_gain_factor=(0.60, 0.75),
        latency=(0.055, 0.070),
        table_height=(0.0105, 0.0125),
        joint_offset=(-0.008, 0.008),
        proprioceptive_noise=(0.002, 0.004),
    ),
    appearance.TWIN_DEV_0,
    SensorNoise(noise_std=(0.015, 0.03), blur_sigma=(0.4, 0.7), exposure_ev=(-0.6, -0.3), white_balance=(0.05, 0.15)),
)

DOMAINS = {domain.name: domain for domain in (SIM, NONE, TWIN_DEV_0)}


def get_domain(name: str) -> Domain:
    """Look a domain up by name.

    Raises:
        InputError: no such domain; the message lists them.
    """
    if name not in DOMAINS:
        raise unknown_name("domain", name, DOMAINS)
    return DOMAINS[name]
