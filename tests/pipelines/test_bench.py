"""`handful bench` runs what lies in `benchmarks/`, and every script there can be run by it."""

import ast
import importlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from handful import InputError, JobError
from pipelines import bench, cli
from policies.config import load_config
from trajectories import Store

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if not path.name.startswith("_"))

TOY = """
def measure(long, loops=3):
    return {"benchmark": "toy", "value": 1234.5, "limit": 2469.0, "ratio": 0.5, "n": 100 if long else loops,
            "others": {"slow": 0.25}, "cameras": ["front", "wrist"]}
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A folder of benchmarks with one of them; returns a function that puts another text in it."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.setattr(bench, "FOLDER", folder)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)

    def put(text: str) -> None:
        (folder / "toy.py").write_text(text)

    put(TOY)
    yield put
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]


def test_the_figures_come_first_and_the_rest_after(toy):
    result = bench.run("toy", long=False)
    assert list(result)[:3] == ["value", "limit", "ratio"]
    assert (result["ratio"], result["n"]) == (0.5, 3)
    assert bench.run("toy", long=True)["n"] == 100


def test_the_verb_prints_a_table_and_json(toy, capsys):
    assert not cli.app(["bench", "toy", "--json"], standalone_mode=False)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["value"] == 1234.5
    rows = [line.split() for line in printed.err.splitlines()]
    assert ["value", "1,234"] in rows or ["value", "1,235"] in rows
    assert ["others:", "slow", "0.25"] in rows
    assert ["cameras", "front,", "wrist"] in rows


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(InputError, match=r"unknown benchmark 'generatoin'; there is: .*generation.* Did you mean 'gen"):
        bench.run("generatoin", long=False)


def test_a_missing_package_is_named(toy):
    toy("import no_such_codec\n")
    with pytest.raises(InputError, match="benchmark 'toy' needs the package 'no_such_codec'"):
        bench.run("toy", long=False)


def test_a_benchmark_without_its_limit_is_no_benchmark(toy):
    toy("def measure(long):\n    return {'value': 1.0, 'ratio': None}\n")
    with pytest.raises(JobError, match="benchmark 'toy' gave no limit and no ratio"):
        bench.run("toy", long=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_has_one_shape_and_a_row_in_the_table(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    functions = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {"measure", "main"} <= set(functions)
    arguments = functions["measure"]
    assert arguments.args[0].arg == "long"
    assert len(arguments.args) - len(arguments.defaults) <= 1
    assert f"| `{script.name}` |" in (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert script.stem in bench.names()


def test_what_is_installed_has_the_benchmarks_too():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert "benchmarks*" in packages["find"]["include"]
    assert bench.FOLDER == ROOT / "benchmarks"


def test_benchmarks_are_found_from_any_folder(tmp_path):
    program = "from pipelines import bench; import sys; bench.run('generation', False)"
    blocked = f"import sys; sys.modules['mujoco'] = None; {program}"
    done = subprocess.run(
        [sys.executable, "-c", blocked], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    # It was found: what it needs is what this Python was told not to have.
    assert "benchmark 'generation' needs the package 'mujoco'" in done.stderr


def test_the_index_benchmark_opens_what_it_wrote(tmp_path, monkeypatch):
    """At a thousandth of its size; the store that it leaves is a real one."""
    monkeypatch.syspath_prepend(ROOT)
    module = importlib.import_module("benchmarks.index")
    found = module.measure(False, episodes=1500, keep=tmp_path)
    assert found["episodes"] == 1500
    assert found["ratio"] == found["value"] / found["limit"]
    assert found["memory_mb"]["open"] < 300
    store = Store.open(tmp_path / "1500.zarr")
    assert (len(store), store.parts, store.verify()) == (1500, 2, [])
    assert len(set(store.index().scene.tolist())) == 1500


def test_the_plain_code_of_the_training_benchmark_is_the_same_model(tmp_path):
    module = importlib.import_module("benchmarks.training")
    module.make_store(tmp_path / "data.zarr")
    config = load_config("tiny", ["batch_size=3", "threads=1", "device=cpu"])
    module.require_same_loss(tmp_path / "data.zarr", config)
    assert module.operations(tmp_path / "data.zarr", config) > 1e6
