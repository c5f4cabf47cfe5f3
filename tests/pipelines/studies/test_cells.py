"""The cells of a study: how many, how long, which are the same; and what is refused, naming the cell."""

from pathlib import Path
from typing import Any

import pytest

from handful import InputError
from pipelines.progress import Reporter
from pipelines.studies import cells, sources, study
from pipelines.studies.cells import CellPlan
from tests.pipelines.studies import small

QUIET = Reporter(quiet=True)


def planned(folder: Path, **changes: Any) -> list[CellPlan]:
    spec = small.spec(folder, **changes)
    found = sources.make(spec, folder / "out", 0, None, QUIET)
    sources.check(found, spec)
    return cells.plan(spec, found)


def test_a_weight_makes_cells_only_where_there_is_something_to_weigh(tmp_path: Path) -> None:
    grid = {"n_real": [0, 2], "n_sim": [0, 4], "weights": ["natural", "0.5"], "seeds": [0, 1]}
    assert [str(cell) for cell in planned(tmp_path, grid=grid)] == [
        "n_real=0 n_sim=4 seed=0",
        "n_real=0 n_sim=4 seed=1",
        "n_real=2 n_sim=0 seed=0",
        "n_real=2 n_sim=0 seed=1",
        "n_real=2 n_sim=4 weight=natural seed=0",
        "n_real=2 n_sim=4 weight=natural seed=1",
        "n_real=2 n_sim=4 weight=0.5 seed=0",
        "n_real=2 n_sim=4 weight=0.5 seed=1",
    ]


def test_cells_that_come_to_the_same_have_the_same_digest(tmp_path: Path) -> None:
    grid = {"n_real": [0, 2, 3], "n_sim": [4], "weights": ["natural", "0", "2 * n_real / (3 * n_sim)"]}
    found = {str(cell.point): cell.digest for cell in planned(tmp_path, grid=grid)}
    alone = found["n_real=0 n_sim=4 seed=0"]
    assert found["n_real=2 n_sim=4 weight=0 seed=0"] == found["n_real=3 n_sim=4 weight=0 seed=0"] == alone
    # Natural shares are by recorded steps, of which each episode here has as many.
    assert (
        found["n_real=2 n_sim=4 weight=natural seed=0"]
        == found["n_real=2 n_sim=4 weight=2 * n_real / (3 * n_sim) seed=0"]
    )
    assert len(set(found.values())) == 4


def test_subsets_are_nested_and_held_out_demos_are_in_none(tmp_path: Path) -> None:
    spec = small.spec(tmp_path, evaluation={"domains": [], "held_out": 2})
    real = sources.make(spec, tmp_path / "out", 0, None, QUIET)["real"]
    assert [set(real.subset(n)) < set(real.subset(n + 1)) for n in range(4)] == [True] * 4
    assert set(real.subset(4)) | set(real.held_out) == set(range(6))
    assert not set(real.subset(4)) & set(real.held_out)
    other = small.spec(tmp_path, grid={"n_real": [0], "n_sim": [1], "subset_seed": 3})
    assert list(sources.make(other, tmp_path / "out", 0, None, QUIET)["real"].order) != list(real.order)


@pytest.mark.parametrize(
    ("rule", "amount", "steps"),
    [
        ("steps", 7, [7, 7, 7]),
        # 12 steps in each episode, 4 samples in a batch.
        ("epochs", 3, [3 * 4 * 12 // 4, 3 * 2 * 12 // 4, 3 * 6 * 12 // 4]),
    ],
)
def test_budgets_are_worked_out(tmp_path: Path, rule: str, amount: float, steps: list[int]) -> None:
    training = {"preset": "tiny", "overrides": ["batch_size=4"], "budget": {"rule": rule, "amount": amount}}
    assert [cell.config.steps for cell in planned(tmp_path, training=training)] == steps


def test_an_equal_exposure_of_real_demos_takes_more_steps_where_they_are_a_smaller_share(tmp_path: Path) -> None:
    training = {"preset": "tiny", "overrides": ["batch_size=4"], "budget": {"rule": "real_exposure", "amount": 10}}
    grid = {"n_real": [2], "n_sim": [0, 4], "weights": ["0.25"]}
    assert [cell.config.steps for cell in planned(tmp_path, training=training, grid=grid)] == [60, 240]
    with pytest.raises(InputError, match="cell n_real=0 n_sim=4 seed=0: it has no real demos, so their exposure"):
        planned(tmp_path, training=training)


def test_all_demos_of_a_cell_are_learnt_from_and_the_domain_token_can_be_off(tmp_path: Path) -> None:
    (cell, *_) = planned(tmp_path, training={"preset": "tiny", "domain_token": False})
    assert (cell.config.validation_fraction, cell.config.domain_dropout, cell.config.threads) == (0.0, 1.0, 1)


def test_more_demos_than_there_are_is_refused(tmp_path: Path) -> None:
    grid = {"n_real": [2, 7], "n_sim": [0]}
    with pytest.raises(
        InputError, match="cell n_real=7 n_sim=0 seed=0: it asks for 7 real demos, and the source has 6"
    ):
        planned(tmp_path, grid=grid)
    with pytest.raises(InputError, match="has 4, besides 2 held out"):
        planned(tmp_path, grid={"n_real": [5], "n_sim": [0]}, evaluation={"domains": [], "held_out": 2})


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"domain": "twin/test-3"}, "'twin/test-3' is kept for evaluation alone, so source 'real' of a study must not"),
        ({"control_rate": 10.0}, "their control rates are 10 and 20 Hz"),
        ({"action_source": "achieved_next"}, "actions cannot be reconciled: achieved_next and commanded"),
        ({"seeds": {"namespace": "evaluation", "seed": 0}}, "holds scene [01] of the evaluation with seed 0"),
        ({"task": "stack_three"}, "shows stack_three; the study is about lift"),
        ({"embodiment": "ur5e"}, "is of ur5e; the study is about panda"),
    ],
)
def test_sources_that_do_not_fit_are_refused(tmp_path: Path, meta: dict[str, Any], message: str) -> None:
    bad = small.store(tmp_path / "bad.zarr", range(2), **meta)
    small.plain(tmp_path)
    with pytest.raises(InputError, match=message) as refused:
        planned(tmp_path, real={"store": str(bad)}, grid={"n_real": [2], "n_sim": [4]})
    assert "n_real=2 n_sim=4 weight=natural seed=0" in str(refused.value) or "source 'real'" in str(refused.value)


def test_actions_that_do_not_go_together_are_refused_before_demos_are_made(tmp_path: Path) -> None:
    lab = small.store(tmp_path / "lab.zarr", range(3), action_source="achieved_next")
    spec = small.spec(tmp_path, real={"store": str(lab)}, sim={"generate": {"count": 4}})
    with pytest.raises(InputError, match="cell n_real=2 n_sim=4 weight=natural seed=0: its sources' actions cannot"):
        study.check(spec)
    apart = {"n_real": [0, 2], "n_sim": [0, 4], "weights": ["1", "0"]}
    study.check(small.spec(tmp_path, real={"store": str(lab)}, sim={"generate": {"count": 4}}, grid=apart))


def test_a_source_without_the_policys_camera_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"source 'real' .* has no images of camera 'wrist', .*; it has: front"):
        planned(tmp_path, cameras=["front", "wrist"])


def test_a_weight_that_is_no_share_is_refused_with_its_cell(tmp_path: Path) -> None:
    grid = {"n_real": [2], "n_sim": [4], "weights": ["n_sim / n_real"]}
    with pytest.raises(InputError, match=r"cell n_real=2 n_sim=4 weight=n_sim / n_real seed=0: .*gives 2 for 2 real"):
        planned(tmp_path, grid=grid)
