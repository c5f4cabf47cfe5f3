"""`handful agreement`: from two CSV files to figures and a page."""

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from handful import InputError
from pipelines.agreement import agreement_table, run
from pipelines.metrics.uncertainty import METRICS

TABLE = json.loads((Path(__file__).parents[1] / "data" / "simpler_table_iv.json").read_text())
EPISODES = {"real": 75, "sim": 300}


def write(path: Path, kind: str, columns=("coke_avg",), policies=None, episodes=None) -> Path:
    """Counts behind SIMPLER's Table IV: coke cans, 75 real episodes per policy."""
    rows = TABLE["real"] if kind == "real" else TABLE["sim_vm"]
    n = episodes or EPISODES[kind]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["policy", "successes", "episodes", *(["condition"] if len(columns) > 1 else [])])
        for name, rates in zip(policies or TABLE["policies"], rows, strict=False):
            for column in columns:
                rate = rates[TABLE["columns"].index(column)]
                writer.writerow([name, round(rate * n), n, *([column] if len(columns) > 1 else [])])
    return path


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "real.csv", "real"), write(tmp_path / "sim.csv", "sim")


def test_simplers_coke_cans_with_their_error_bars(files):
    found = run(*files, samples=1500)
    assert found["mmrv"]["value"] == pytest.approx(0.031, abs=0.0015)
    assert found["pearson"]["value"] == pytest.approx(0.976, abs=0.0015)
    # The published 0.031 cannot be told from a perfect simulator at these n.
    assert found["mmrv"]["ci"][0] == found["mmrv"]["ci_these"][0] == 0
    assert found["mmrv"]["value"] <= found["mmrv"]["noise_range"][1]
    assert 0.03 < found["mmrv"]["ci_these"][1] < found["mmrv"]["ci"][1] < 0.3
    assert found["pearson"]["ci"][0] < 0.9 < found["pearson"]["ci_these"][0]
    assert [row["policy"] for row in found["policies"]] == TABLE["policies"]
    assert found["gap"]["mean_absolute"] == pytest.approx(0.126, abs=0.01)
    assert (found["conditions"], found["flags"], found["page"]) == ([], [], None)


def test_swapped_files_give_another_figure(files):
    real, sim = files
    assert run(sim, real, samples=200)["mmrv"]["value"] == pytest.approx(0.0618, abs=0.0015)


def test_conditions_count_alike_and_are_told_apart(tmp_path):
    columns = ("coke_h", "coke_v", "coke_s")
    found = run(write(tmp_path / "real.csv", "real", columns), write(tmp_path / "sim.csv", "sim", columns), samples=200)
    assert [row["condition"] for row in found["conditions"]] == list(columns)
    assert [row["mmrv"] for row in found["conditions"]] == pytest.approx([0.027, 0.027, 0.053], abs=0.01)
    means = [np.mean([row[TABLE["columns"].index(c)] for c in columns]) for row in TABLE["real"]]
    assert [row["real"] for row in found["policies"]] == pytest.approx(means, abs=0.01)


def test_few_policies_and_few_episodes_are_flagged(tmp_path):
    real = write(tmp_path / "real.csv", "real", episodes=10, policies=["a", "b", "c"])
    sim = write(tmp_path / "sim.csv", "sim", policies=["a", "b", "c"])
    flags = run(real, sim, samples=200)["flags"]
    assert flags[0].startswith("only 3 policies: a correlation of fewer than 6")
    assert "only 10 real episodes" in flags[1]


def test_the_page_says_what_was_printed_and_loads_nothing(files, tmp_path):
    out = tmp_path / "new" / "page.html"
    found = run(*files, out=out, samples=300)
    page = out.read_text()
    assert found["page"] == str(out)
    assert not re.search(r"(src|href)=|https?://", page.replace("http://www.w3.org/2000/svg", ""))
    for figure in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(figure)
    assert page.count("<svg") == 2
    for name in METRICS:
        assert f"{found[name]['value']:.3f}" in page
    for name in TABLE["policies"]:
        assert page.count(name) >= 4


def test_a_name_cannot_break_the_page(tmp_path):
    names = ["<script>", '"&', "c"]
    real = write(tmp_path / "real.csv", "real", policies=names)
    run(real, write(tmp_path / "sim.csv", "sim", policies=names), out=tmp_path / "p.html", samples=50)
    assert "<script>" not in (tmp_path / "p.html").read_text()


def test_the_table_has_every_metric_with_n(files, capsys):
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as shown:
        console.print(agreement_table(run(*files, samples=200)))
    text = shown.get()
    assert "n = 6 policies" in text
    assert "(64 of 75; 95 % interval" in text
    for name in ("MMRV", "Pearson r", "Spearman rho", "Kendall tau"):
        assert re.search(rf"{name} +\d\.\d{{3}} +\S+ to \S+ +\S+ to \S+ +\S+ \(\S+ to \S+\)", text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:3], "2 policies are too few; agreement needs at least 3"),
        (lambda rows: [rows[0], *(f"{name},5,10" for name in "abc")], "all real scores are the same"),
    ],
)
def test_what_says_nothing_is_refused(files, change, message):
    for path in files:
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(InputError, match=message):
        run(*files, samples=50)


def test_other_policies_in_simulation_are_refused(files):
    files[1].write_text(files[1].read_text().replace("octo_base", "octo_small"))
    with pytest.raises(InputError, match="policy 'octo_base' has real results and none in simulation"):
        run(*files, samples=50)


def test_a_folder_is_no_page(files, tmp_path):
    with pytest.raises(InputError, match=r"is a folder; --out must be a file"):
        run(*files, out=tmp_path)


def test_the_example_of_the_page_is_taken(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    (example,) = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    for name in ("real.csv", "sim.csv"):
        (tmp_path / name).write_text(example)
    found = run(tmp_path / "real.csv", tmp_path / "sim.csv", samples=50)
    assert found["mmrv"]["value"] == 0
    assert len(found["policies"]) == 6
