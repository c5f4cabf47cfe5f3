"""Tables of published studies follow from the rollouts that are kept beside them."""

import csv
import re

import pytest

from pipelines.studies.noise import means
from pipelines.studies.results import read_jsonl, select
from pipelines.studies.spec import load_spec
from pipelines.studies.surface import gains, rates
from tests.documents.pages import ROOT, rows

STUDIES = ROOT / "docs" / "studies"


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize(("study", "heading"), [("flagship", "real"), ("laptop", "synthetic")])
def test_the_table_of_a_study_follows_from_its_rollouts(study: str, heading: str) -> None:
    spec = load_spec(study, [])
    cells = read_jsonl(STUDIES / study / "rollouts.jsonl")
    pooled = means(select(cells, spec.task, spec.evaluation.domains[0]))
    on_real, on_sim = ({gain.mix: gain for gain in gains(pooled, alone=kind)} for kind in ("real", "sim"))  # type: ignore[arg-type]
    shown = rows("docs/results.md", heading)
    assert len(shown) == len(cells) / len(spec.grid.seeds) >= 8
    for row, rate in zip(shown, rates(pooled), strict=True):
        *numbers_of, weight, success, on_real_alone, on_sim_alone = row
        named = dict(
            zip(("real", "synthetic") if heading == "real" else ("synthetic", "real"), numbers_of, strict=True)
        )
        assert (int(named["real"]), int(named["synthetic"])) == (rate.mix.n_real, rate.mix.n_sim)
        assert weight.replace("-", "") == rate.mix.weight
        percent, successes, n, low, high = numbers(success.replace(" to ", " "))
        assert n == rate.seeds * rate.scenes
        assert successes == pytest.approx(rate.rate * n)
        assert [percent, low, high] == [pytest.approx(100 * x, abs=0.051) for x in (rate.rate, rate.low, rate.high)]
        for text, by_mix in zip((on_real_alone, on_sim_alone), (on_real, on_sim), strict=True):
            gain = by_mix.get(rate.mix)
            assert bool(text) == (gain is not None)
            if gain is not None:
                expected = [100 * x for x in (gain.difference, gain.low, gain.high)]
                assert numbers(text.replace(" to ", " ")) == [pytest.approx(x, abs=0.051) for x in expected]


@pytest.mark.parametrize("study", ["flagship", "laptop"])
def test_the_files_of_a_study_tell_the_same(study: str) -> None:
    with (STUDIES / study / "cells.csv").open() as file:
        runs = list(csv.DictReader(file))
    cells = read_jsonl(STUDIES / study / "rollouts.jsonl")
    assert [(int(run["successes"]), int(run["episodes"])) for run in runs] == [
        (int(cell.successes.sum()), len(cell.successes)) for cell in cells
    ]
    assert {run["state"] for run in runs} == {"done"}
