"""What a person with bad luck gets from the real command: one line, the right exit code, and nothing lost."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from generators.execution import Execution
from handful import InputError, JobError
from pipelines import generate, processes, training
from pipelines.cluster import start_ray
from pipelines.inspection import inspect
from pipelines.progress import Reporter
from pipelines.rerender import RenderConfig
from policies import checkpoint
from scenes.outcome import Outcome
from tests.pipelines import run_folder
from tests.pipelines.test_inspection import shown
from trajectories import Store

HANDFUL = str(Path(sys.executable).with_name("handful"))
QUIET = Reporter(quiet=True)


def handful(*words: str, **environment: str) -> tuple[int, str]:
    """Exit code and stderr of the command in a process of its own."""
    done = subprocess.run(
        [HANDFUL, *words], capture_output=True, text=True, check=False, timeout=120, env=os.environ | environment
    )
    return done.returncode, done.stderr


def digest(store: Path) -> str:
    """One digest of a whole tree: names and bytes."""
    total = hashlib.sha256()
    for file in sorted(p for p in store.rglob("*") if p.is_file()):
        total.update(str(file.relative_to(store)).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def make(out: Path, *overrides: str, **changes: object) -> dict:
    arguments: dict = {"scenes": 1, "count": None, "cameras": (), "resolution": 84, "workers": 0, "seed": 0}
    arguments |= {"task": "lift", "demos": None, "address": None, "algorithm": "handful", "dry_run": False}
    return generate.run(out=out, overrides=list(overrides), progress=QUIET, **{**arguments, **changes})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engine.plan.max_attempts=0", r"plan\.max_attempts must be at least 1, got 0"),
        ("engine.plan.choices=-1", r"plan\.choices must be at least 1, got -1"),
        ("engine.plan.plain_steps=0", r"plan\.plain_steps must be at least 1, got 0"),
        ("engine.plan.speed=0", r"plan\.speed must be more than 0, got 0"),
        ("engine.plan.turn_speed=-1", r"plan\.turn_speed must be more than 0, got -1"),
        ("engine.plan.approach=-1", r"plan\.approach must be at least 0 m, got -1"),
        ("engine.plan.headroom=.nan", r"'engine\.plan\.headroom' is nan; it must be a finite number"),
        ("engine.plan.speed=.inf", r"'engine\.plan\.speed' is inf; it must be a finite number"),
        ("engine.cameras=[front]", r"'engine\.cameras=\[front\]' would be overruled by --cameras; give --cameras"),
        ("domain=twin/test-0", r"'twin/test-0' is kept for evaluation alone, so generation must not use it"),
        ("engine.resolution=64", r"'engine\.resolution=64' would be overruled by --resolution"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, override, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "s", override)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"workers": -1}, "workers must be >= 0, got -1"), ({"address": "local"}, "Ray at 'local' needs workers >= 1")],
)
def test_impossible_workers_are_refused_before_a_store_is_made(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "s", **changes)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("inf"), float("nan")])
def test_no_time_to_train_is_refused(tmp_path, minutes):
    with pytest.raises(InputError, match="--minutes must be more than 0, got"):
        training.run(["x.zarr"], tmp_path / "run", "tiny", minutes, [], QUIET)


def test_runs_go_into_folders_that_are_no_stores(tmp_path):
    store = run_folder.make_store(tmp_path / "s", cameras=())
    before = digest(store.path)
    (tmp_path / "file").touch()
    code, errors = handful("train", "--data", str(store.path), "--out", str(store.path))
    assert (code, errors) == (
        2,
        f"error: '{store.path}' is a store of trajectories; --out must be another folder\n",
    )
    code, errors = handful("train", "--data", str(store.path), "--out", str(tmp_path / "file"))
    assert code == 2
    assert "is a file; --out must be a folder" in errors
    assert digest(store.path) == before


def test_a_gl_backend_that_does_not_work_is_one_line():
    code, errors = handful("scenes", "--task", "lift", "--grid", "1", MUJOCO_GL="nonsense")
    assert (code, errors.count("\n")) == (2, 1)
    assert "MUJOCO_GL=nonsense does not work here" in errors
    assert "leave it unset, and see: handful doctor" in errors


def test_without_opengl_cameras_are_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr("sim.opengl.probe_backend", lambda backend: "no library")
    monkeypatch.setattr("sim.opengl._shared", None)
    with pytest.raises(JobError, match=r"no OpenGL backend can draw \(egl: no library.*install libegl1"):
        make(tmp_path / "s", cameras=("front",))
    assert not (tmp_path / "s").exists()


def test_demos_that_are_damaged_are_refused_before_a_store_is_made(tmp_path):
    demos = tmp_path / "demos"
    shutil.copytree(generate.BUNDLED / "lift", demos)
    file = max((p for p in demos.glob("parts/*/action/executed/**/*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(JobError, match=r"'action/executed/c\.0\.0' is missing or damaged"):
        make(tmp_path / "s", demos=demos)
    assert not (tmp_path / "s").exists()
    with pytest.raises(JobError, match=r"'action/executed/c\.0\.0' is missing or damaged"):
        make(tmp_path / "s", demos=demos, dry_run=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 500 kB; only an administrator can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("this process may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_what_is_committed_and_the_same_command_resumes(small_disk, tmp_path):
    with pytest.raises(JobError, match=r"disk full while writing part \d+ of store .* run the same command again"):
        make(small_disk / "s", "chunk=1", scenes=4)
    store = Store.open(small_disk / "s")
    assert store.committed()
    assert store.verify() == []
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    make(small_disk / "s", "chunk=1", scenes=4)
    make(tmp_path / "undisturbed", "chunk=1", scenes=4)
    assert digest(small_disk / "s") == digest(tmp_path / "undisturbed")


def test_a_diverging_scene_is_an_outcome_whose_states_inspect_points_to(tmp_path, monkeypatch):
    advance = Execution.advance

    def kick(execution, lanes):
        # As a bad contact would: one scene's arm gets an absurd speed in the middle of every try.
        if 0 in lanes and execution.tape.length[0] == 10:
            execution.sim.qvel[0] = 1e12
        return advance(execution, lanes)

    monkeypatch.setattr(Execution, "advance", kick)
    monkeypatch.chdir(tmp_path)
    account = make(tmp_path / "s", scenes=2)
    assert account["outcomes"][Outcome.DIVERGED.label] == 1
    store = Store.open(tmp_path / "s")
    assert store.verify() == []
    assert store.dumps() == [(0, "scene_0")]
    states = store.dump(0, "scene_0")["states"]
    assert len(states) >= 10
    assert np.isfinite(states[:10]).all()
    assert "parts/00000000/dumps/scene_0.npz" in shown(tmp_path / "s")
    assert inspect(tmp_path / "s", verify=True)[0]["ok"]
    assert not (tmp_path / "MUJOCO_LOG.TXT").exists()


def test_sigterm_while_ray_starts_is_a_stop_and_stays_ours_afterwards(monkeypatch):
    ray = ModuleType("ray")
    monkeypatch.setitem(sys.modules, "ray", ray)
    ours = signal.getsignal(signal.SIGTERM)

    def init(*_: object, **__: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        signal.raise_signal(signal.SIGTERM)

    ray.init = init
    with pytest.raises(KeyboardInterrupt):
        start_ray("local", 1)
    assert signal.getsignal(signal.SIGTERM) == ours


def test_an_address_that_is_none_of_rays_is_bad_input(monkeypatch):
    ray = ModuleType("ray")
    monkeypatch.setitem(sys.modules, "ray", ray)

    def init(address: str, **_: object) -> None:
        raise ValueError(f"Invalid address format: {address}")

    ray.init = init
    with pytest.raises(InputError, match=r"'nonsense' is no address of Ray's .* give 'local', 'auto', 'HOST:PORT'"):
        start_ray("nonsense", 1)


def test_workers_are_started_deaf_to_ctrl_c():
    with processes._deaf():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_checkpoint_that_finds_the_disk_full_is_an_error_and_is_swept_away_later(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    tensors = {"ema": {"weight": torch.zeros(2)}}
    checkpoint.save(tmp_path, 1, tensors, {})
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(JobError, match=r"cannot write .*No space left.* before it is kept"):
            checkpoint.save(tmp_path, 2, tensors, {})
    (left,) = tmp_path.glob(".tmp-*")
    left.rename(left.with_name(left.name.replace(f"-{os.getpid()}-", "-999999999-")))
    assert checkpoint.latest(tmp_path) == tmp_path / "checkpoint-00000001"
    checkpoint.save(tmp_path, 2, tensors, {})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000002"]


COMMAND = [HANDFUL, "generate", "--task", "lift", "--scenes", "9", "--quiet", "chunk=3"]


def test_a_stop_while_the_command_loads_is_one_line(tmp_path):
    words = [*COMMAND, "--workers", "2", "--out", str(tmp_path / "s")]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.startswith("error: stopped")
    assert errors.count("\n") == 1


@pytest.mark.trial
@pytest.mark.parametrize("workers", ["0", "2"])
def test_stopped_at_random_moments_it_ends_in_the_same_bytes(tmp_path, workers):
    """Ten moments each for 0 and 2 workers: interrupted, terminated or killed, then run again to the end."""
    undisturbed = tmp_path / "undisturbed"
    began = time.monotonic()
    subprocess.run([*COMMAND, "--workers", workers, "--out", str(undisturbed)], check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - began
    rng = random.Random(0)
    for trial in range(10):
        out = tmp_path / f"s{trial}"
        how = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[trial % 3]
        words = [*COMMAND, "--workers", workers, "--out", str(out)]
        process = subprocess.Popen(
            words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
        )
        # Before a tenth of a second Python itself is still starting, and answers in its own way.
        time.sleep(rng.uniform(0.2, whole))
        # Ctrl-C in a terminal reaches the workers too.
        os.killpg(process.pid, how)
        _, errors = process.communicate(timeout=60)
        if how != signal.SIGKILL and process.returncode != 0:
            assert (process.returncode, errors.count("\n")) == (1, 1), errors
            assert errors.startswith("error: stopped")
        if (out / "zarr.json").exists():
            assert not [problem for problem in Store.open(out).verify() if "stopped before its end" not in problem]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        assert digest(out) == digest(undisturbed), f"after {how.name}"


def test_training_data_gets_no_looks_of_a_sealed_twin():
    with pytest.raises(InputError, match="'twin/test-0' is kept for evaluation alone, so new looks for training data"):
        RenderConfig(domain="twin/test-0")
    assert RenderConfig(domain="twin/study-0").domain == "twin/study-0"
