"""The command line's contract: verbs, options, JSON keys, exit codes, and one line for every expected failure."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from handful import InputError, JobError
from pipelines import cli
from pipelines.doctor import cores
from pipelines.inspection import Remaking
from pipelines.rerender import RenderConfig
from pipelines.terminal import Output, plain
from tests.pipelines import run_folder

VERBS = [
    "doctor",
    "quickstart",
    "record",
    "import",
    "export",
    "scenes",
    "generate",
    "render",
    "inspect",
    "view",
    "train",
    "evaluate",
    "compare",
    "agreement",
    "report",
    "bench",
]


class Job:
    """Stands in for a job's module: notes what it was called with and answers with a fixed result, or raises."""

    def __init__(self, result: dict[str, Any] | BaseException) -> None:
        self.result = result
        self.called: dict[str, Any] = {}

    def run(self, **arguments: Any) -> dict[str, Any]:
        self.called = arguments
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def handful(monkeypatch, capsys):
    """Run the command in this process; returns (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["handful", *words])
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with pytest.raises(SystemExit) as left:
            cli.main()
        for number, handler in before.items():
            signal.signal(number, handler)
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.fixture
def install(monkeypatch):
    """Put a job's module in place of the real one."""

    def put(name: str, result: dict[str, Any] | BaseException) -> Job:
        import pipelines

        job, module = Job(result), ModuleType(f"pipelines.{name}")
        module.run = job.run
        monkeypatch.setitem(sys.modules, f"pipelines.{name}", module)
        monkeypatch.setattr(pipelines, name, module, raising=False)
        return job

    return put


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_json_and_quiet(handful, verb):
    code, out, err = handful(verb, "--help")
    assert (code, err) == (0, "")
    assert f"handful {verb} " in out.split("Example:")[1]
    assert "--json" in out
    assert "--quiet" in out


def test_help_lists_every_verb_and_bare_command_is_bad_usage(handful):
    code, out, _ = handful("--help")
    assert code == 0
    assert all(f"  {verb} " in out for verb in VERBS)
    code, out, err = handful()
    assert code == 2
    assert out == ""
    assert "Commands:" in err


def test_version(handful):
    assert handful("--version")[:2] == (0, "handful 0.1.0\n")


GENERATE = ("generate", "--task", "lift", "--out", "data.zarr")
RESULT = run_folder.GENERATION
FORECAST = {
    "task": "lift",
    "seed": 7,
    "algorithm": "plain",
    "demos": 10,
    "workers": 2,
    "sample": 8,
    "sample_kept": 7,
    "scenes": 6,
    "kept": 5,
    "chunks": 1,
    "seconds": 125.0,
    "bytes": 3_100_000,
    "store": "data.zarr",
}


def test_render_passes_every_option(handful, install):
    job = install("rerender", {"episodes": 12, "frames": 984, "seconds": 3.0, "store": "b.zarr"})
    sys.modules["pipelines.rerender"].RenderConfig = RenderConfig
    options = "--cameras front,side --resolution 96 --appearances 3 --workers 2 --address local depth=true chunk=8"
    code, out, _ = handful("render", "a.zarr", "--out", "b.zarr", *options.split())
    assert (code, out) == (0, "12 episodes, 984 frames in b.zarr\n")
    assert job.called.pop("progress")
    assert job.called == {
        "source": Path("a.zarr"),
        "out": Path("b.zarr"),
        "cameras": ("front", "side"),
        "resolution": 96,
        "appearances": 3,
        "workers": 2,
        "address": "local",
        "config": RenderConfig(depth=True, chunk=8),
    }
    code, _, err = handful("render", "a.zarr", "--cameras", "front", "--out", "b.zarr", "dept=true")
    assert code == 2
    assert "unknown configuration key 'dept'" in err


def test_generate_passes_every_option(handful, install):
    job = install("generate", FORECAST)
    options = "--demos d.zarr --count 5 --cameras front,wrist --resolution 96 --workers 2 --seed 7 --address local"
    options += " --algorithm plain --dry-run --patience 60 motion.noise=0.1 a.b=[1]"
    code, out, _ = handful(*GENERATE, *options.split())
    assert code == 0
    assert "plan: 6 scenes in 1 chunks, about 5 kept\ntime: about 2 min 05 s with 2 workers\nsize: about 3.1 MB" in out
    job.called.pop("progress")
    assert job.called == {
        "task": "lift",
        "demos": Path("d.zarr"),
        "out": Path("data.zarr"),
        "scenes": None,
        "count": 5,
        "cameras": ("front", "wrist"),
        "resolution": 96,
        "workers": 2,
        "seed": 7,
        "address": "local",
        "algorithm": "plain",
        "dry_run": True,
        "patience": 60.0,
        "embodiment": "panda",
        "overrides": ["motion.noise=0.1", "a.b=[1]"],
    }


def test_generate_defaults(handful, install):
    job = install("generate", RESULT)
    assert handful(*GENERATE, "--scenes", "9")[0] == 0
    called = {
        name: job.called[name] for name in ("demos", "count", "scenes", "cameras", "resolution", "workers", "address")
    }
    assert called == {
        "demos": None,
        "count": None,
        "scenes": 9,
        "cameras": (),
        "resolution": 84,
        "workers": cores(),
        "address": None,
    }


def test_json_is_the_last_line_of_stdout_and_text_goes_to_stderr(handful, install):
    install("generate", RESULT)
    code, out, err = handful(*GENERATE, "--scenes", "1000", "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1]) == RESULT
    assert len(out.splitlines()) == 1
    assert "kept 87.2 % (872 of 1,000; 95 % interval 85.0 to 89.1 %) of scenes" in err


def test_without_json_the_result_is_text_on_stdout(handful, install):
    install("generate", RESULT)
    code, out, err = handful(*GENERATE, "--scenes", "1000")
    assert (code, err) == (0, "")
    assert "15,063 kept/h" in out
    assert "grasp missed 171" in out


def test_quiet_reaches_the_jobs_progress(handful, install):
    job = install("generate", RESULT)
    handful(*GENERATE, "--scenes", "1", "--quiet")
    assert job.called["progress"].quiet is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (GENERATE, "give either --count (episodes to keep) or --scenes (scenes to try)"),
        ((*GENERATE, "--count", "1", "--scenes", "2"), "give either --count (episodes to keep) or --scenes"),
        ((*GENERATE, "--count", "0"), "Invalid value for '--count'"),
        ((*GENERATE, "--count", "few"), "Invalid value for '--count'"),
        ((*GENERATE, "--count", "1", "--cameras", "front,front"), "camera 'front' is named twice in 'front,front'"),
        (
            (*GENERATE, "--count", "1", "front"),
            "unexpected argument 'front'; a configuration override looks like a.b=c",
        ),
        ((*GENERATE, "--cuont", "1"), "No such option: --cuont"),
        (("generate", "--count", "1"), "Missing option '--task'; see 'handful generate --help'"),
        (("genrate",), "No such command 'genrate'"),
        (("import", "isaaclab-mimic"), "Missing argument 'PATH'; see 'handful import --help'"),
        (("inspect", "no.zarr"), "no.zarr"),
        (("report", "nowhere"), "no run folder at 'nowhere'"),
        (
            ("view", "no.zarr", "--out", "a.gif"),
            "cannot write 'a.gif'; --out must end in .png (contact sheet) or .mp4 (video)",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(handful, install, words, message):
    install("generate", RESULT)
    code, out, err = handful(*words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert message in err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("unknown task 'lfit'"), 2, "error: unknown task 'lfit'\n"),
        (JobError("worker died\n3 times"), 1, "error: worker died 3 times\n"),
        (
            OSError(28, "No space left on device", "data.zarr/parts"),
            1,
            "error: no space left on the disk at 'data.zarr/parts'; free some and run the same command again: "
            "what is committed is kept\n",
        ),
        (PermissionError(13, "Permission denied", "data.zarr"), 1, "error: Permission denied at 'data.zarr'\n"),
        (
            KeyboardInterrupt(),
            1,
            "error: stopped; everything committed to 'data.zarr' so far is kept and the same command resumes\n",
        ),
    ],
)
def test_failures_are_one_line_with_their_exit_code(handful, install, error, code, message):
    install("generate", error)
    assert handful(*GENERATE, "--count", "1", "--json") == (code, "", message)


def test_a_bug_shows_its_traceback(handful, install):
    install("generate", ZeroDivisionError("oh"))
    code, out, err = handful(*GENERATE, "--count", "1")
    assert (code, out) == (1, "")
    assert "Traceback" in err
    assert "ZeroDivisionError: oh" in err


TRAINED = {"steps": 10, "seconds": 1.5, "loss": 0.5, "validation": {"a": float("nan")}, "checkpoint": "runs/x/last"}


@pytest.mark.parametrize(
    "words",
    [
        ("--data", "a.zarr", "--data", "b.zarr:2", "--out", "runs/x", "lr=1"),
        ("--data", "a.zarr", "b.zarr:2", "--out", "runs/x", "lr=1"),
        ("lr=1", "--out", "runs/x", "--data", "a.zarr", "b.zarr:2"),
        ("--out", "runs/x", "--data", "a.zarr", "b.zarr:2", "lr=1"),
    ],
)
def test_train_takes_several_stores_and_overrides_in_any_order(handful, install, words):
    job = install("training", TRAINED)
    code, out, _ = handful("train", *words, "--json")
    assert code == 0
    assert job.called["data"] == ["a.zarr", "b.zarr:2"]
    assert job.called["overrides"] == ["lr=1"]
    assert (job.called["preset"], job.called["minutes"]) == (None, None)
    assert json.loads(out) == {**TRAINED, "validation": {"a": None}}


@pytest.mark.parametrize(
    "words",
    [
        ("runs/x", "--domain", "sim", "--domain", "twin/dev-0"),
        ("runs/x", "--domain", "sim", "twin/dev-0"),
        ("--domain", "sim", "twin/dev-0", "runs/x"),
        ("--domain", "sim", "twin/dev-0", "runs/x", "chunk=8"),
    ],
)
def test_evaluate_takes_several_domains(handful, install, words):
    job = install("rollouts", {"results": run_folder.RESULTS})
    code, out, err = handful("evaluate", *words, "--task", "lift", "--out", "e", "--json")
    assert code == 0, err
    assert (job.called["run"], job.called["domains"]) == (Path("runs/x"), ["sim", "twin/dev-0"])
    assert job.called["episodes"] == 100
    assert json.loads(out)["results"] == run_folder.RESULTS
    assert "twin/dev-0 (surrogate reality)" in err
    assert "90.0 % (90 of 100; 95 % interval 82.6 to 94.5 %)" in err


def test_record_import_export_scenes_and_quickstart_pass_their_options(handful, install):
    record = install("record", {"episodes": 3})
    words = ["--device", "browser", "--port", "0", "--resolution", "128", "--domain", "twin/dev-0", "a=1"]
    assert handful("record", "--task", "lift", "--out", "d", "--episodes", "3", *words)[0] == 0
    assert {k: v for k, v in record.called.items() if k != "progress"} == {
        "task": "lift",
        "device": "browser",
        "out": Path("d"),
        "episodes": 3,
        "seed": 0,
        "domain": "twin/dev-0",
        "overrides": ["a=1"],
        "host": None,
        "port": 0,
        "resolution": 128,
        "embodiment": "panda",
    }
    importing = install("importing", {"episodes": 10, "frames": 2000})
    code, out, _ = handful("import", "isaaclab-mimic", "h.hdf5", "--task", "stack_three", "--out", "h.zarr", "--json")
    assert json.loads(out) == {"episodes": 10, "frames": 2000}
    assert {k: v for k, v in importing.called.items() if k != "progress"} == {
        "format": "isaaclab-mimic",
        "path": Path("h.hdf5"),
        "task": "stack_three",
        "out": Path("h.zarr"),
        "mapping": None,
        "source": None,
        "selection": None,
    }
    options = ("--mapping", "m.yaml", "--source", "lab", "--filter", "valid")
    assert handful("import", "robomimic", "h.hdf5", "--out", "h.zarr", *options)[0] == 0
    assert [importing.called[k] for k in ("task", "mapping", "source", "selection")] == [None, "m.yaml", "lab", "valid"]
    exporting = install("exporting", {"episodes": 10, "frames": 2000})
    options = ("--out", "l", "--images", "video", "--action", "intended", "--no-next-obs", "--json")
    code, out, _ = handful("export", "lerobot", "h.zarr", *options)
    assert (code, json.loads(out)) == (0, {"episodes": 10, "frames": 2000})
    assert {k: v for k, v in exporting.called.items() if k != "progress"} == {
        "format": "lerobot",
        "store": Path("h.zarr"),
        "out": Path("l"),
        "images": "video",
        "action": "intended",
        "next_obs": False,
    }
    scenes = install("scenes", {"scenes": [], "randomization": {}})
    code, out, _ = handful("scenes", "--task", "lift", "--grid", "2", "--out", "s.png", "--cameras", "side", "--json")
    assert (code, json.loads(out)) == (0, {"scenes": [], "randomization": {}})
    asked = {"domain": "sim", "embodiment": "panda", "cameras": ("side",)}
    assert scenes.called == {"task": "lift", "grid": 2, "out": Path("s.png"), "seed": 0, **asked}
    quickstart = install("quickstart", {"report": "q/report.html", "generation": {}, "training": {}, "evaluation": {}})
    code, out, _ = handful("quickstart", "--out", "q")
    assert (code, out) == (0, "report: q/report.html\n")
    assert (quickstart.called["out"], quickstart.called["overrides"]) == (Path("q"), [])


def test_inspect_prints_the_contracts_keys(handful, tmp_path):
    run_folder.make_store(tmp_path / "s", cameras=("front",))
    code, out, err = handful("inspect", str(tmp_path / "s"), "--verify", "--json")
    assert code == 0
    record = json.loads(out)
    optional = ["findings", "coverage", "starts", "regenerated"]
    assert list(record) == ["episodes", "frames", "parts", "bytes", "ok", "problems", *optional]
    assert [record[name] for name in optional] == [None] * 4
    assert (record["episodes"], record["frames"], record["parts"], record["ok"]) == (6, 72, 2, True)
    assert "whole" in err


def test_inspect_and_view_pass_what_episodes_are_made_again_from(handful, tmp_path, monkeypatch):
    called = []
    answer = {"ok": False, "regenerated": {}}
    monkeypatch.setattr("pipelines.inspection.inspect", lambda *given: called.append(given[-1]) or (answer, "bad"))
    options = ("--regenerate", "5", "--demos", "d.zarr", "--seed", "3", "--workers", "0")
    assert handful("inspect", "s.zarr", *options)[0] == 1
    assert called == [Remaking(5, 3, Path("d.zarr"), 0)]
    monkeypatch.setattr("pipelines.viewing.view_scene", lambda *given: called.append(given) or [given[-1]])
    code, out, _ = handful("view", "s.zarr", "--scene", "4", "--demos", "d.zarr", "--out", "t.mp4")
    assert (code, out) == (0, "t.mp4\n")
    assert called[1:] == [(Path("s.zarr"), 4, Path("d.zarr"), Path("t.mp4"))]
    code, _, err = handful("view", "s.zarr", "--scene", "4", "--episode", "1", "--out", "t.mp4")
    assert (code, err) == (2, "error: give either --episode (one that was kept) or --scene (one that was tried)\n")


def test_inspect_of_a_damaged_store_fails_with_the_problems(handful, tmp_path):
    store = run_folder.make_store(tmp_path / "s", cameras=())
    file = max((p for p in store.path.glob("parts/*/**/*") if p.is_file()), key=lambda p: p.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    code, out, err = handful("inspect", str(store.path), "--verify", "--json")
    assert code == 1
    record = json.loads(out)
    assert not record["ok"]
    assert len(record["problems"]) >= 1
    assert "damaged" in err


def test_view_and_report_name_their_files(handful, tmp_path):
    run_folder.make_store(tmp_path / "store", episodes=2, cameras=("front",))
    picture = tmp_path / "sheet.png"
    code, out, _ = handful("view", str(tmp_path / "store"), "--out", str(picture), "--json")
    assert (code, json.loads(out)) == (0, {"files": [str(picture)]})
    code, out, _ = handful("report", str(tmp_path), "--json")
    assert (code, json.loads(out)) == (0, {"report": str(tmp_path / "report.html"), "cells": []})
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_plain_turns_what_jobs_return_into_json():
    import numpy as np

    value = {"a": np.float32(0.5), "b": np.arange(2), "c": Path("x"), "d": (np.int64(3), float("inf")), 4: None}
    assert json.loads(json.dumps(plain(value))) == {"a": 0.5, "b": [0, 1], "c": "x", "d": [3, None], "4": None}


def test_text_with_brackets_is_shown_as_it_is(capsys):
    Output(as_json=False, quiet=False).finish({}, "file [bold]x[/bold].zarr")
    assert capsys.readouterr().out == "file [bold]x[/bold].zarr\n"


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mujoco", "dm_control", "ray", "gymnasium"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
from pipelines.cli import app, main
"""


def run_blocked(program: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED + program, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_help_needs_no_simulator_and_no_ray(tmp_path):
    loop = "for verb in sys.argv[1:]:\n    app([verb, '--help'], standalone_mode=False)\n"
    done = run_blocked(loop, *VERBS, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Example:") == len(VERBS)


def test_train_needs_no_simulator_and_no_ray(tmp_path):
    done = run_blocked("main()", "train", "--data", "missing.zarr", "--out", "run", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert "missing.zarr" in done.stderr


SLEEPER = """
import sys, time
from types import ModuleType
import pipelines
module = ModuleType("pipelines.generate")
def run(**arguments):
    print("started", file=sys.stderr, flush=True)
    time.sleep(60)
module.run = run
sys.modules["pipelines.generate"] = pipelines.generate = module
from pipelines.cli import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_says_that_the_same_command_resumes(tmp_path, number):
    # As a shell script starts a background job: with SIGINT ignored.
    deaf = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-c", deaf, sys.executable, "-c", SLEEPER, *GENERATE, "--count", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "started\n"
    process.send_signal(number)
    start = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - start < 10
    assert (process.returncode, out) == (1, "")
    assert err == "error: stopped; everything committed to 'data.zarr' so far is kept and the same command resumes\n"


def test_a_reader_that_leaves_early_is_no_crash(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "--version"]
    done = subprocess.run(
        command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
