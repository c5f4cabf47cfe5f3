"""Specifications: presets can be read, and what is wrong in one is said by its key."""

from pathlib import Path
from typing import Any

import pytest

from handful import InputError
from pipelines.configuration import presets
from pipelines.studies.spec import load_spec
from pipelines.studies.study import check
from tests.pipelines.studies import small


@pytest.mark.parametrize("name", sorted(presets("study")))
def test_every_preset_is_a_study_that_could_be_done(name: str) -> None:
    spec = load_spec(name, [])
    check(spec)
    assert spec.name == name
    assert spec.real.record is not None
    assert spec.real.record.domain in spec.evaluation.domains


def test_overrides_reach_it() -> None:
    spec = load_spec("tiny", ["grid.n_sim=[0,3]", "evaluation.episodes=1"])
    assert (spec.grid.n_sim, spec.evaluation.episodes) == ((0, 3), 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"real": {"record": {"domain": "twin/test-0"}}}, "'twin/test-0' is kept for evaluation alone"),
        ({"real": {"record": {"domain": "twin/stdy-0"}}}, "Did you mean 'twin/study-0'"),
        ({"real": {}}, "one of store, record and generate; got none of them"),
        ({"real": {"generate": {"count": 3}}}, "real.generate would make synthetic demos of the real source"),
        ({"sim": {"record": {}}}, "sim.record would make recordings of the synthetic source"),
        ({"grid": {"n_real": [1], "n_sim": [1], "weights": ["haf"]}}, "unknown weight rule 'haf'"),
        ({"grid": {"n_real": [1, 1], "n_sim": [1]}}, "grid.n_real has a value twice"),
        ({"grid": {"n_real": [0], "n_sim": [0]}}, "no cell with any demo"),
        ({"grid": {"n_real": [1], "n_sim": []}}, "grid.n_sim is empty"),
        ({"evaluation": {"domains": []}}, "nothing would be measured"),
        ({"evaluation": {"domains": ["sim"], "epsiodes": 2}}, "Did you mean 'evaluation.episodes'"),
        ({"training": {"overrides": ["seed=3"]}}, "'seed=3', which the specification says elsewhere"),
        ({"training": {"budget": {"rule": "step"}}}, "Did you mean 'steps'"),
        ({"training": {"budget": {"amount": 0}}}, "must be above 0, got 0"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small.spec(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"preset": "smal"}}, "Did you mean 'small'"),
        ({"training": {"overrides": ["model.widht=3"]}}, "Did you mean 'model.width'"),
        ({"evaluation": {"domains": ["sim"], "overrides": ["exceute=3"]}}, "Did you mean 'execute'"),
        ({"cameras": ["frnt"]}, "Did you mean 'front'"),
        ({"task": "lfit"}, "Did you mean 'lift'"),
    ],
)
def test_what_other_parts_refuse_is_refused_before_anything_is_made(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check(small.spec(tmp_path, **changes))


def test_a_file_that_is_not_there_lists_the_presets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"give a YAML file, or a preset: .*tiny"):
        load_spec(str(tmp_path / "none.yaml"), [])
    with pytest.raises(InputError, match="unknown study preset 'tny'"):
        load_spec("tny", [])
