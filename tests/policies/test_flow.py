import numpy as np
import pytest
import torch
from scipy import stats

from policies.flow import draw_times, integrate, interpolate, masked_mean


@pytest.mark.parametrize("steps", [1, 5])
def test_euler_steps_along_the_exact_velocity_recover_the_data(steps):
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(3, 6, 4, generator=generator)
    noise = torch.randn(3, 1, 6, 4, generator=generator)
    _, velocity = interpolate(data, noise, torch.full((3, 1), 0.5))
    result = integrate(lambda x, t: velocity[:, 0], noise[:, 0], steps)
    torch.testing.assert_close(result, data)


def test_path_starts_at_noise_and_ends_at_data():
    data, noise = torch.randn(2, 6, 4), torch.randn(2, 2, 6, 4)
    points, _ = interpolate(data, noise, torch.tensor([[0.0, 1.0], [0.0, 1.0]]))
    torch.testing.assert_close(points[:, 0], noise[:, 0])
    torch.testing.assert_close(points[:, 1], data)


def test_velocity_is_the_derivative_of_the_path():
    data, noise = torch.randn(2, 6, 4, dtype=torch.float64), torch.randn(2, 1, 6, 4, dtype=torch.float64)
    early, velocity = interpolate(data, noise, torch.full((2, 1), 0.3, dtype=torch.float64))
    late, _ = interpolate(data, noise, torch.full((2, 1), 0.3 + 1e-6, dtype=torch.float64))
    torch.testing.assert_close((late - early) / 1e-6, velocity, rtol=1e-6, atol=1e-6)


def test_masked_mean_is_over_what_is_valid():
    error = torch.tensor([[1.0, 2.0, 100.0], [3.0, 100.0, 100.0]])
    valid = torch.tensor([[True, True, False], [True, False, False]])
    assert masked_mean(error, valid) == 2.0


def test_beta_times_follow_their_law():
    times = draw_times("beta", (4000,), torch.Generator().manual_seed(0)).numpy()
    assert stats.kstest((1 - times) / 0.999, stats.beta(1.5, 1).cdf).pvalue > 0.01
    assert times.min() > 0
    assert times.mean() == pytest.approx(1 - 0.999 * 0.6, abs=0.02)


def test_uniform_times_follow_their_law():
    times = draw_times("uniform", (4000,), torch.Generator().manual_seed(0)).numpy()
    assert np.abs(np.sort(times) - np.linspace(0, 1, 4000)).max() < 0.03
