"""The benchmark of heads: whose successes a rate and a gain speak of."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import heads

# Head and training seed -> scenes of 100 in which it succeeds.
SUCCEEDS = {
    ("flow", 0): range(80),
    ("flow", 1): range(76),
    ("mip", 0): range(40),
    ("mip", 1): range(44),
    ("l1", 0): range(80),
    ("l1", 1): range(76),
}


def _read(folder: Path) -> SimpleNamespace:
    head, seed = folder.name.split("-")
    won = SUCCEEDS[head, int(seed)]
    return SimpleNamespace(successes=lambda domain: {scene: domain == "sim" and scene in won for scene in range(100)})


@pytest.fixture(autouse=True)
def _evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "read_evaluation", _read)


def test_rates_are_over_seeds_and_gains_are_on_flow_matching() -> None:
    done = {(head, seed): Path(f"{head}-{seed}") for head, seed in SUCCEEDS}
    found = heads._analysed(done, "sim", 512, "lift")
    assert {name: row["success"] for name, row in found.items()} == pytest.approx(
        {"flow": 0.78, "mip": 0.42, "l1": 0.78}
    )
    assert all((row["seeds"], row["scenes"]) == (2, 100) for row in found.values())
    assert all(row["ci"][0] < row["success"] < row["ci"][1] for row in found.values())
    assert "beside_flow" not in found["flow"]
    worse = found["mip"]["beside_flow"]
    assert worse["difference"] == pytest.approx(-0.36)
    assert worse["low"] < -0.36 < worse["high"] < 0
    assert worse["p_adjusted"] < 0.05
    alike = found["l1"]["beside_flow"]
    assert (alike["difference"], alike["p_adjusted"]) == pytest.approx((0, 1))


def test_each_domain_is_its_own_and_a_head_alone_is_beside_none() -> None:
    done = {("mip", seed): Path(f"mip-{seed}") for seed in (0, 1)}
    (row,) = heads._analysed(done, "twin/dev-0", 512, "lift").values()
    assert row["success"] == 0
    assert "beside_flow" not in row
