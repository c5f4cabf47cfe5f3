"""Domains: the distributions that scenes are drawn from.

`sim` is what training data is drawn from. `none` is the same world without randomisation, `wide` the same with as much
as the tasks bear. A `twin/<name>` is a surrogate of reality: a world whose dynamics, cameras, light and noise lie
outside what `sim` draws; `scenes.twins` has a population of them. Nothing measured in a twin is a measurement of the
real world, and everything that prints it says "surrogate reality".
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from handful import unknown_name
from scenes import twins
from scenes.randomization import Randomization, presets

Range = tuple[float, float]


@dataclass(frozen=True)
class SensorNoise:
    """What a domain's cameras do to a rendered frame; each a range (low, high)."""

    # Standard deviation of pixel noise, as a share of full scale.
    noise_std: Range = (0.0, 0.0)
    # Standard deviation of Gaussian blur [pixels].
    blur_sigma: Range = (0.0, 0.0)
    # Exposure error [EV].
    exposure_ev: Range = (0.0, 0.0)
    # Gain error of the red and of the blue channel, each drawn on its own, as a share.
    white_balance: Range = (0.0, 0.0)
    # JPEG quality; None: not compressed.
    jpeg_quality: tuple[int, int] | None = None


@dataclass(frozen=True)
class Domain:
    """A named distribution of worlds."""

    name: str
    randomization: Randomization

    @property
    def world(self) -> str:
        """Digest of what its scenes are drawn from: the same name may come to mean another world."""
        plain = json.dumps(self.randomization.to_plain(), sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:16]

    @property
    def sensor(self) -> SensorNoise:
        """What its cameras do to a frame."""

        def ends(axis: str) -> Range:
            support = self.randomization[axis].support
            return float(support[0]), float(support[-1])

        low, high = ends("jpeg_quality")
        # Above 95 the encoder only makes larger files, and 100 stands for none.
        quality = (int(low), min(int(high), 95)) if low <= 95 else None
        return SensorNoise(ends("noise_std"), ends("blur_sigma"), ends("exposure_ev"), ends("white_balance"), quality)


SIM = Domain("sim", presets.DEFAULT)
NONE = Domain("none", presets.NONE)
WIDE = Domain("wide", presets.WIDE)
TWIN_DEV_0 = Domain("twin/dev-0", presets.TWIN_DEV_0)

DOMAINS = {domain.name: domain for domain in (SIM, NONE, WIDE, TWIN_DEV_0)}


def domain_names() -> tuple[str, ...]:
    """Every domain there is."""
    return (*DOMAINS, *twins.NAMES)


def get_domain(name: str, changes: Mapping[str, Any] | None = None) -> Domain:
    """Look a domain up by name.

    Args:
        name: the domain.
        changes: axis -> what to draw it from instead, as people write it.

    Raises:
        InputError: no such domain, axis or distribution; the message says what there is.
    """
    if name in twins.NAMES:
        domain = Domain(name, twins.twin(name))
    elif name in DOMAINS:
        domain = DOMAINS[name]
    else:
        raise unknown_name("domain", name, domain_names())
    return replace(domain, randomization=domain.randomization.with_(changes)) if changes else domain
