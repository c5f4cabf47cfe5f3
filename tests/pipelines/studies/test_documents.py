"""The commands of the page on studies, at a size of seconds, and its tables."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pipelines.cli import app
from pipelines.studies.spec import StudySpec
from tests.documents.pages import blocks, commands, rows
from tests.pipelines.studies import small

PAGE = "docs/studies.md"


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (written,) = blocks(PAGE, "yaml")
    Path("imported.yaml").write_text(written)
    small.store(Path("lab.zarr"), range(6), domain="real/lab", operator="human")
    small.store(Path("generated.zarr"), range(100, 104))
    # The presets' own sources are made in test_study.
    stores = ["real.record=null", "real.store=lab.zarr", "sim.generate=null", "sim.store=generated.zarr"]
    stores += ["cameras=[front]"]
    least = ["grid.n_real=[1]", "grid.n_sim=[1]", "grid.seeds=[0]", "training.preset=tiny"]
    least += ["training.overrides=[batch_size=4,checkpoints=1]", "training.budget.amount=2"]
    least += ["evaluation.domains=[]", "evaluation.held_out=2"]
    done = []
    for words in commands(PAGE):
        assert words[0] == "study"
        given = [word for word in words if not re.match(r"(grid|evaluation)\.", word)]
        overrides = least if "imported.yaml" in words else [*stores, *least]
        capsys.readouterr()
        code = get_command(app)([*given, *overrides, "--workers", "1", "--json", "--quiet"], standalone_mode=False)
        printed = capsys.readouterr()
        assert not code, printed.err
        answer: dict[str, Any] = json.loads(printed.out.splitlines()[-1])
        assert set(answer) >= ({"cells", "seconds"} if "--dry-run" in words else {"report", "cells"})
        done.append(words[1])
    assert done == ["tiny", "tiny", "laptop", "imported.yaml"]


def test_every_key_of_a_specification_is_explained() -> None:
    told = {name for row in rows(PAGE, "key") for name in re.findall(r"`([\w.]+)`", f"`{row[0]}`")}

    def known(kind: Any, prefix: str = "") -> set[str]:
        return {prefix + field.name for field in dataclasses.fields(kind)}

    spec = StudySpec
    groups = {"grid", "training", "evaluation", "cost"}
    hints = {field.name: field.type for field in dataclasses.fields(spec)}
    wanted = known(spec) - groups
    for group in groups:
        wanted |= known(hints[group], f"{group}.")
    wanted -= {"training.budget", "evaluation.stopping"}
    wanted |= {"training.budget.rule", "evaluation.stopping.half_width"}
    assert wanted <= told
