import json

import numpy as np
import pytest

from handful import InputError
from trajectories import Photometric

PLAIN = Photometric().draw(np.random.default_rng(0))


def _images(value=128, size=64):
    return np.full((2, size, size, 3), value, np.uint8)


def _apply(images, seed=0, **changes):
    return Photometric().apply(images, {**PLAIN, **changes}, np.random.default_rng(seed))


def test_nothing_drawn_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(_apply(images), images)


def test_noise_has_the_drawn_spread():
    noisy = _apply(_images(), noise_std=0.04).astype(float)
    assert noisy.std() == pytest.approx(0.04 * 255, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.5)
    assert not np.array_equal(noisy[0], noisy[1])


def test_exposure_is_in_stops_and_clips():
    assert (_apply(_images(50), exposure_ev=1.0) == 100).all()
    assert (_apply(_images(200), exposure_ev=1.0) == 255).all()
    assert (_apply(_images(100), exposure_ev=-1.0) == 50).all()


def test_white_balance_scales_red_and_blue():
    assert _apply(_images(100), white_balance=[0.1, -0.2])[0, 0, 0].tolist() == [110, 100, 80]


def test_blur_spreads_a_point_within_its_image_and_channel():
    images = _images(0)
    images[0, 32, 32, 1] = 255
    blurred = _apply(images, blur_sigma=1.5)
    assert blurred[0, 32, 33, 1] > 0
    assert not blurred[1].any()
    assert not blurred[0, :, :, 0].any()


def test_compression_damages_more_at_lower_quality():
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    errors = [np.abs(_apply(images, jpeg_quality=q).astype(int) - images).mean() for q in (95, 50, 10)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_draws_lie_in_their_ranges_and_are_json():
    ranges = Photometric((0.01, 0.05), (0.5, 2.0), (-1.0, 1.0), (-0.1, 0.1), (40, 42))
    rng = np.random.default_rng(0)
    draws = [ranges.draw(rng) for _ in range(300)]
    for name, low, high in (("noise_std", 0.01, 0.05), ("blur_sigma", 0.5, 2.0), ("exposure_ev", -1.0, 1.0)):
        values = [d[name] for d in draws]
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high
    assert {d["jpeg_quality"] for d in draws} == {40, 41, 42}
    assert json.loads(json.dumps(draws)) == draws


def test_a_draw_takes_the_same_from_the_stream_whatever_the_ranges():
    a, b = np.random.default_rng(3), np.random.default_rng(3)
    Photometric().draw(a)
    Photometric(noise_std=(0.0, 0.1), jpeg_quality=(10, 90)).draw(b)
    assert a.random() == b.random()


@pytest.mark.parametrize(
    "ranges",
    [{"noise_std": (-0.1, 0.1)}, {"blur_sigma": (2.0, 1.0)}, {"jpeg_quality": (0, 50)}, {"exposure_ev": (0.0,)}],
)
def test_wrong_ranges_are_refused(ranges):
    with pytest.raises(InputError, match=rf"{next(iter(ranges))} must be \(low, high\) within"):
        Photometric(**ranges)


def test_other_images_are_refused():
    with pytest.raises(InputError, match=r"images must be \(N, H, W, 3\) uint8, got \(4, 4, 3\) float64"):
        _apply(np.zeros((4, 4, 3)))
