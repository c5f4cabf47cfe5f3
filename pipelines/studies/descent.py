"""Many small least-squares problems at once: Levenberg's and Marquardt's method, in a box, over a batch.

A profile likelihood solves one problem per value of a quantity, per law and per start; one by one they would take the
time of a study's analysis a hundred times over.
"""

from collections.abc import Callable, Sequence

import numpy as np

# Residuals (..., B', R) of parameters (..., B', P) of the problems numbered (B',).
Residuals = Callable[[np.ndarray, np.ndarray], np.ndarray]
_STEP = 1e-6


def descend(
    residuals: Residuals,
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    held: Sequence[int] = (),
    most: int = 60,
    tolerance: float = 1e-4,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise sums of squares.

    Args:
        residuals: of parameters, for the problems numbered; leading axes are for derivatives.
        start: (B, P) where each problem starts.
        low: (P,) least parameters.
        high: (P,) greatest ones.
        held: parameters that stay as they start.
        most: iterations.
        tolerance: a problem is done once a step changes its sum by less.

    Returns:
        Parameters (B, P) and sums of squares (B,).
    """
    theta = np.clip(start, low, high)
    open_ = np.arange(len(theta))
    value = residuals(theta, open_)
    cost = (value**2).sum(axis=-1)
    damping = np.full(len(theta), 1e-2)
    moving = np.setdiff1d(np.arange(theta.shape[1]), held)
    eye = np.eye(len(moving))
    for _ in range(most):
        if not len(open_):
            break
        at, r = theta[open_], value[open_]
        jacobian = _derivatives(residuals, at, r, open_, moving, high)
        gradient = np.einsum("brp,br->bp", jacobian, r)
        inside = at[:, moving]
        # A parameter at an end of its range that would leave it stays where it is.
        stuck = ((inside <= low[moving]) & (gradient > 0)) | ((inside >= high[moving]) & (gradient < 0))
        jacobian = np.where(stuck[:, None, :], 0.0, jacobian)
        normal = np.einsum("brp,brq->bpq", jacobian, jacobian)
        scale = np.einsum("bpp->bp", normal)
        scale = np.where(scale > 0, scale, 1.0)
        normal = normal + eye * (damping[open_, None] * scale + 1e-12)[:, None, :]
        step = -np.linalg.solve(normal, np.where(stuck, 0.0, gradient)[..., None])[..., 0]
        tried = at.copy()
        tried[:, moving] = np.clip(inside + step, low[moving], high[moving])
        r_tried = residuals(tried, open_)
        c_tried = (r_tried**2).sum(axis=-1)
        gain = cost[open_] - c_tried
        better = gain > 0
        kept = open_[better]
        theta[kept], value[kept], cost[kept] = tried[better], r_tried[better], c_tried[better]
        damping[open_] = np.where(better, damping[open_] / 5, damping[open_] * 4)
        done = (np.abs(gain) < tolerance) | (damping[open_] > 1e6)
        open_ = open_[~done]
    return theta, cost


def _derivatives(
    residuals: Residuals, at: np.ndarray, value: np.ndarray, which: np.ndarray, moving: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """(B, R, P') of the moving parameters, by one-sided differences that stay in the box."""
    steps = np.where(at[:, moving] + _STEP > high[moving], -_STEP, _STEP)
    moved = np.repeat(at[None], len(moving), axis=0)
    for row, parameter in enumerate(moving):
        moved[row, :, parameter] += steps[:, row]
    change = residuals(moved, which) - value
    return np.asarray(change.transpose(1, 2, 0) / steps[:, None, :])
