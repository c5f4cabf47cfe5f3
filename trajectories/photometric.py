"""What a real camera does to an image: exposure, white balance, blur, noise, compression.

Renders are stored clean, because noise in the pixels would destroy lossless compression and could never be taken out
again. The loader and the rollouts on a twin add it instead, from a recorded random stream: one draw per episode for
what a camera keeps (exposure, white balance, focus, compression), fresh noise per image.
"""

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful import InputError

Range = tuple[float, float]


@dataclass(frozen=True)
class Photometric:
    """Ranges that a camera's properties are drawn from, uniformly; each (low, high)."""

    # Standard deviation of the pixel noise, as a fraction of full scale.
    noise_std: Range = (0.0, 0.0)
    # Standard deviation of the defocus blur [pixels].
    blur_sigma: Range = (0.0, 0.0)
    # Exposure error [stops]: +1 doubles the values.
    exposure_ev: Range = (0.0, 0.0)
    # Gain error of the red and of the blue channel, as a fraction: 0.1 is up to 10 % more.
    white_balance: Range = (0.0, 0.0)
    # JPEG quality, 1 to 95; None: not compressed.
    jpeg_quality: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        limits = {
            "noise_std": (0.0, 1.0),
            "blur_sigma": (0.0, 100.0),
            "exposure_ev": (-10.0, 10.0),
            "white_balance": (-0.99, 10.0),
            "jpeg_quality": (1, 95),
        }
        for name, (lowest, highest) in limits.items():
            value = getattr(self, name)
            if value is None and name == "jpeg_quality":
                continue
            if len(value) != 2 or not lowest <= value[0] <= value[1] <= highest:
                raise InputError(f"{name} must be (low, high) within {lowest} to {highest}, got {value}")

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw one camera: JSON types, so that it can go into a ledger.

        The same number of values is taken from the stream whatever the ranges are.
        """
        noise, blur, exposure, red, blue, quality = rng.random(6).tolist()

        def pick(limits: Range, share: float) -> float:
            return limits[0] + share * (limits[1] - limits[0])

        drawn: dict[str, Any] = {
            "noise_std": pick(self.noise_std, noise),
            "blur_sigma": pick(self.blur_sigma, blur),
            "exposure_ev": pick(self.exposure_ev, exposure),
            "white_balance": [pick(self.white_balance, red), pick(self.white_balance, blue)],
            "jpeg_quality": None,
        }
        if self.jpeg_quality is not None:
            low, high = self.jpeg_quality
            drawn["jpeg_quality"] = low + min(math.floor(quality * (high - low + 1)), high - low)
        return drawn

    def apply(self, images: np.ndarray, drawn: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
        """See images as the drawn camera would.

        Args:
            images: (N, H, W, 3) uint8.
            drawn: what `draw` returned.
            rng: where the pixel noise comes from.

        Returns:
            (N, H, W, 3) uint8, a new array.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise InputError(f"images must be (N, H, W, 3) uint8, got {images.shape} {images.dtype}")
        # Here, because training without camera errors must not need SciPy.
        from scipy import ndimage

        red, blue = drawn["white_balance"]
        gains = np.float32(2.0 ** drawn["exposure_ev"]) * np.array([1 + red, 1, 1 + blue], np.float32)
        values = images.astype(np.float32)
        if drawn["blur_sigma"] > 0:
            values = ndimage.gaussian_filter(values, (0, drawn["blur_sigma"], drawn["blur_sigma"], 0), mode="nearest")
        values = np.minimum(values * gains, 255)
        if drawn["noise_std"] > 0:
            noise = rng.standard_normal(values.shape, dtype=np.float32)
            values = values + np.float32(255 * drawn["noise_std"]) * noise
        result = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        if drawn["jpeg_quality"] is not None:
            result = np.stack([_compress(image, drawn["jpeg_quality"]) for image in result]) if len(result) else result
        return result


def _compress(image: np.ndarray, quality: int) -> np.ndarray:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
