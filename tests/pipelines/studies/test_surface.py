import numpy as np
import pytest
from scipy import stats

from pipelines.metrics.pairs import holm
from pipelines.studies.noise import means
from pipelines.studies.results import Cell, Mix, Table
from pipelines.studies.surface import gains, rates


def cells(rates_of: dict[Mix, list[float]], scenes: int = 200) -> Table:
    """Runs whose first so many scenes succeed: rates are exact, and scenes hang together."""
    return Table(
        tuple(
            Cell(
                *(mix.n_real, mix.n_sim, mix.weight),
                real_share=mix.n_real / (mix.n_real + mix.n_sim),
                seed=seed,
                task="t",
                domain="d",
                scenes=np.arange(scenes),
                successes=np.random.default_rng(seed + 100 * number).permutation(scenes) < round(rate * scenes),
            )
            for number, (mix, of_seeds) in enumerate(rates_of.items())
            for seed, rate in enumerate(of_seeds)
        )
    )


ALONE, BLEND = Mix(10, 0, ""), Mix(10, 200, "0.5")


def test_a_rate_has_its_interval_from_seeds() -> None:
    found = means(cells({ALONE: [0.4, 0.5, 0.6], BLEND: [0.6, 0.5, 0.4]}))
    row = rates(found)[0]
    assert (row.rate, row.seeds, row.scenes) == (0.5, 3, 200)
    # Students's t with 4 degrees of freedom on the pooled spread of arcs, which are half as far apart as rates at 0.5.
    spread = np.arcsin(np.sqrt([0.4, 0.5, 0.6]))
    error = np.sqrt(spread.var(ddof=1) / 3)
    half = stats.t.ppf(0.975, 4) * error
    assert row.high == pytest.approx(np.sin(np.pi / 4 + half) ** 2, abs=0.01)
    assert row.low == pytest.approx(1 - row.high, abs=0.005)


def test_gains_are_on_the_same_real_demos_alone() -> None:
    found = gains(
        means(
            cells(
                {
                    ALONE: [0.4, 0.42, 0.38],
                    BLEND: [0.7, 0.68, 0.72],
                    Mix(0, 200, ""): [0.3] * 3,
                    Mix(50, 0, ""): [0.8] * 3,
                }
            )
        )
    )
    assert [(row.mix, row.baseline) for row in found] == [(BLEND, ALONE)]
    row = found[0]
    assert row.difference == pytest.approx(0.3)
    assert row.low > 0.2
    assert row.high < 0.4
    assert row.relative == pytest.approx(0.75)
    assert 0.4 < row.relative_low < 0.75 < row.relative_high < 1.2
    assert row.p_value == row.p_adjusted < 0.001


def test_gains_on_synthetic_demos_alone_say_what_the_real_ones_add() -> None:
    sim = Mix(0, 200, "")
    found = gains(means(cells({ALONE: [0.1] * 3, BLEND: [0.6, 0.62, 0.58], sim: [0.7, 0.72, 0.68]})), alone="sim")
    assert [(row.mix, row.baseline) for row in found] == [(BLEND, sim)]
    assert found[0].difference == pytest.approx(-0.1)
    assert found[0].low < -0.1 < found[0].high


def test_gains_are_held_to_one_error_rate() -> None:
    more = {Mix(10, n, "0.5"): [0.4 + n / 5000, 0.42, 0.45] for n in (200, 400, 600)}
    found = gains(means(cells({ALONE: [0.4, 0.42, 0.38], **more})))
    assert [row.p_adjusted for row in found] == holm([row.p_value for row in found])


def test_a_gain_on_nothing_has_no_ratio() -> None:
    row = gains(means(cells({ALONE: [0.0, 0.0, 0.0], BLEND: [0.3, 0.31, 0.29]})))[0]
    assert np.isinf(row.relative)
    assert np.isinf(row.relative_high)
    assert row.relative_low > 0
    assert 0.2 < row.low < 0.3 < row.high < 0.4


def test_ratio_and_difference_agree_on_zero() -> None:
    for better in (0.42, 0.46, 0.5, 0.54, 0.6):
        row = gains(means(cells({ALONE: [0.38, 0.4, 0.42], BLEND: [better - 0.03, better, better + 0.03]})))[0]
        assert (row.low > 0) == (row.relative_low > 0)
