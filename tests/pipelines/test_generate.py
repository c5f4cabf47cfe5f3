"""The generation job: same bytes at any worker count, resuming, counting, and what bad input gets."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from handful import InputError, JobError
from pipelines import generate
from pipelines.progress import Reporter
from trajectories import Store
from trajectories.deletion import delete_episodes, plan_deletion
from trajectories.repair import repair_store

SMALL = ["chunk=3"]
HANDFUL = str(Path(sys.executable).with_name("handful"))


def run(out: Path, **changes: object) -> dict:
    arguments: dict = {
        "task": "lift",
        "demos": None,
        "scenes": 6,
        "count": None,
        "cameras": (),
        "resolution": 84,
        "workers": 0,
        "seed": 3,
        "address": None,
        "algorithm": "handful",
        "dry_run": False,
        "overrides": SMALL,
        "progress": Reporter(quiet=True),
    }
    return generate.run(out=out, **{**arguments, **changes})


def tree(path: Path) -> dict[str, str]:
    """Relative path -> digest of every file of a store."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Six lift scenes made in this process."""
    out = tmp_path_factory.mktemp("generate") / "reference"
    return out, run(out)


def test_the_account_adds_up(reference: tuple[Path, dict]) -> None:
    out, account = reference
    assert account["scenes"] == 6
    assert account["kept"] == len(Store.open(out)) == account["outcomes"]["success"]
    assert account["generation_rate"] == account["kept"] / 6
    assert account["attempts"] >= 6
    assert set(account) == {
        "attempts",
        "kept",
        "scenes",
        "generation_rate",
        "first_try_rate",
        "seconds",
        "kept_per_hour",
        "mean_duration",
        "outcomes",
        "latched",
        "quarantined",
        "coverage",
        "store",
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bytes(reference: tuple[Path, dict], tmp_path: Path, workers: int) -> None:
    run(tmp_path / "store", workers=workers)
    assert tree(tmp_path / "store") == tree(reference[0])


def test_ray_gives_the_same_bytes(reference: tuple[Path, dict], tmp_path: Path) -> None:
    run(tmp_path / "store", workers=2, address="local")
    assert tree(tmp_path / "store") == tree(reference[0])


def test_a_finished_run_is_not_redone(reference: tuple[Path, dict]) -> None:
    before = {p: p.stat().st_mtime_ns for p in (reference[0] / "parts").rglob("*") if p.is_file()}
    account = run(reference[0])
    assert account["kept_per_hour"] == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_count_keeps_the_first_successes_in_scene_order(reference: tuple[Path, dict], tmp_path: Path) -> None:
    account = run(tmp_path / "store", scenes=None, count=4, workers=2)
    counted, whole = Store.open(tmp_path / "store"), Store.open(reference[0])
    assert account["kept"] == len(counted) == 4
    assert [counted.meta(i).scene for i in range(4)] == [whole.meta(i).scene for i in range(4)]


def test_a_larger_count_extends_the_store(tmp_path: Path) -> None:
    run(tmp_path / "store", scenes=None, count=2)
    assert run(tmp_path / "store", scenes=None, count=5)["kept"] == 5


def test_a_killed_run_resumes_to_the_same_bytes(reference: tuple[Path, dict], tmp_path: Path) -> None:
    out = tmp_path / "store"
    command = [HANDFUL, "generate", "--task", "lift", "--scenes", "6", "--seed", "3"]
    process = subprocess.Popen(
        [*command, "--workers", "2", "--out", str(out), "--quiet", *SMALL], start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("manifest/*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # A part may be missing before one that was finished sooner; none may be damaged.
    assert all("the job stopped before its end" in problem for problem in Store.open(out).verify())
    run(out)
    assert tree(out) == tree(reference[0])


def test_a_finished_store_is_left_untouched(reference: tuple[Path, dict]) -> None:
    before = {path: path.stat().st_mtime_ns for path in reference[0].rglob("*") if path.is_file()}
    assert run(reference[0])["kept"] == reference[1]["kept"]
    assert {path: path.stat().st_mtime_ns for path in reference[0].rglob("*") if path.is_file()} == before


def test_deleted_episodes_are_not_made_again(reference: tuple[Path, dict], tmp_path: Path) -> None:
    out = tmp_path / "store"
    shutil.copytree(reference[0], out)
    whole = Store.open(out)
    first_part = np.flatnonzero(whole.index().part == whole.index().part[0])
    delete_episodes(out, plan_deletion(out, None, ",".join(map(str, first_part))))
    left = tree(out)
    account = run(out)
    assert account["kept"] == len(Store.open(out)) == len(whole) - len(first_part)
    assert account["scenes"] == reference[1]["scenes"]
    assert tree(out) == left


def test_what_a_finished_store_has_lost_is_made_again(reference: tuple[Path, dict], tmp_path: Path) -> None:
    out = tmp_path / "store"
    shutil.copytree(reference[0], out)
    shard = next((out / "parts/00000001/state").glob("c.*"))
    shard.write_bytes(shard.read_bytes()[:-9])
    (out / "manifest/00000000.json").unlink()
    (out / "seal.json").write_bytes(b"{")
    repair = repair_store(out)
    assert (repair.restored, repair.dropped) == (("seal.json",), (0, 1))
    assert run(out)["kept"] == reference[1]["kept"]
    assert tree(out) == tree(reference[0])


def test_an_interrupt_says_how_to_resume(tmp_path: Path) -> None:
    out = tmp_path / "store"
    command = [HANDFUL, "generate", "--task", "lift", "--scenes", "60", "--workers", "0"]
    process = subprocess.Popen([*command, "--out", str(out), "--quiet", *SMALL], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("manifest/*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the same command resumes" in errors.strip().splitlines()[-1]
    assert Store.open(out).verify() == []


def test_images_are_of_the_size_asked_for(tmp_path: Path) -> None:
    run(tmp_path / "store", scenes=2, cameras=("front", "wrist"), resolution=32, overrides=["chunk=2"])
    store = Store.open(tmp_path / "store")
    assert store.cameras() == ["front", "wrist"]
    frames = store.read(0, "images/wrist")
    assert frames.shape == (store.episode_lengths()[0], 32, 32, 3)
    assert frames.std() > 5
    assert store.meta(0).gl_renderer


def test_images_are_jpegs_where_that_is_asked_for(tmp_path: Path) -> None:
    small = {"scenes": 2, "cameras": ("front",), "resolution": 48}
    run(tmp_path / "raw", **small, overrides=["chunk=2"])
    run(tmp_path / "jpeg", **small, overrides=["chunk=2", "image_codec=jpeg:80"])
    raw, jpeg = Store.open(tmp_path / "raw"), Store.open(tmp_path / "jpeg")
    assert jpeg.plan["image_codec"] == "jpeg:80"
    assert "image_codec" not in raw.plan
    assert {k: v for k, v in jpeg.plan.items() if k not in ("image_codec", "versions")} == {
        k: v for k, v in raw.plan.items() if k != "versions"
    }
    for i in range(len(raw)):
        assert (jpeg.read(i, "state") == raw.read(i, "state")).all()
        difference = jpeg.read(i, "images/front").astype(int) - raw.read(i, "images/front")
        assert 0 < (difference**2).mean() < 100
    assert jpeg.bytes < raw.bytes


def test_the_plain_baseline_tries_once(tmp_path: Path) -> None:
    account = run(tmp_path / "store", scenes=3, algorithm="plain")
    assert account["attempts"] == account["scenes"] == 3


def test_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    forecast = run(tmp_path / "store", dry_run=True)
    assert forecast["chunks"] == 2
    assert not (tmp_path / "store").exists()


def test_a_dry_run_foretells_from_the_scenes_that_it_makes(reference: tuple[Path, dict], tmp_path: Path) -> None:
    forecast = run(tmp_path / "store", dry_run=True, scenes=300)
    first = [record["outcome"] == "success" for record in Store.open(reference[0]).scene_records()[:3]]
    assert (forecast["sample"], forecast["sample_kept"]) == (3, sum(first))
    assert (forecast["scenes"], forecast["chunks"]) == (300, 100)
    assert forecast["kept"] == 100 * sum(first)
    assert forecast["seconds"] > 0
    part = Store.open(reference[0]).catalogue().parts.bytes[0]
    assert forecast["bytes"] == pytest.approx(100 * part, rel=0.02)
    counted = run(tmp_path / "store", dry_run=True, scenes=None, count=50)
    assert (counted["kept"], counted["scenes"]) == (50, -(-150 // sum(first)))


def test_every_randomised_value_is_in_the_ledger(reference: tuple[Path, dict]) -> None:
    meta = Store.open(reference[0]).meta(0)
    assert set(meta.ledger) == {"poses", "physics", "appearance", "light", "camera"}
    assert 0.4 <= meta.ledger["physics"]["object_friction"] <= 1.0
    assert meta.seeds["seed"] == 3
    json.dumps(meta.to_json())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "lfit"}, "unknown task 'lfit'.*Did you mean 'lift'"),
        ({"cameras": ("frnt",)}, "unknown camera 'frnt'.*Did you mean 'front'"),
        ({"algorithm": "plan"}, "unknown algorithm 'plan'.*Did you mean 'plain'"),
        ({"overrides": ["engin.noise.std=0"]}, "unknown configuration key 'engin'"),
        ({"overrides": ["image_codec=png"], "cameras": ("front",)}, "unknown image_codec 'png'; there is 'jpeg:Q'"),
        ({"overrides": ["image_codec=jpeg:20"], "cameras": ("front",)}, "whole number from 50 to 100, got 20"),
        ({"overrides": ["image_codec=jpeg:95"]}, "has no images to encode; give --cameras as well"),
        ({"overrides": ["chunk=0"]}, "chunk must be at least 1 scene, got 0"),
        ({"overrides": ["domain=twin/dve-1"]}, "unknown domain 'twin/dve-1'.*twin/dev-0"),
        ({"task": "stack_three", "demos": generate.BUNDLED / "lift"}, "shows the task 'lift', not 'stack_three'"),
        ({"demos": "nowhere"}, "nowhere"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path / "store", **changes)
    assert not (tmp_path / "store").exists()


def test_a_store_of_another_plan_is_refused(reference: tuple[Path, dict]) -> None:
    with pytest.raises(InputError, match="was made by another plan; it differs in: seed"):
        run(reference[0], seed=4)


def test_a_hopeless_count_ends_with_its_outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "_WORST", 1)
    impossible = [*SMALL, "engine.plan.table_clearance=1.0", "engine.plan.max_attempts=1"]
    with pytest.raises(JobError, match="gave 0 of the 1 episodes wanted"):
        run(tmp_path / "store", scenes=None, count=1, overrides=impossible)
    assert {r["outcome"] for r in Store.open(tmp_path / "store").scene_records()} == {"unreachable"}
