"""What `handful inspect` tells a person about a store."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from handful import JobError
from pipelines.cli import app
from pipelines.inspection import inspect, size
from tests.pipelines import run_folder
from trajectories import Episode, Store
from trajectories.recipes import exclude
from trajectories.rules import RULES


def shown(path, verify=False, content=False, coverage=False) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=160).print(inspect(path, verify, content, coverage=coverage)[1])
    return buffer.getvalue()


def test_says_what_is_in_a_store(tmp_path):
    store = run_folder.make_store(tmp_path / "s[1]", episodes=6)
    text = shown(store.path)
    assert "s[1]" in text
    assert "6 in 2 parts" in text
    assert "72, 12 to 12 each; 0.00 h at 20 Hz" in text
    assert "front 84x84, lossless" in text
    assert "wrist 84x84, lossless" in text
    assert "augmentation 6" in text
    assert "sim 6" in text


def test_says_what_jpeg_has_cost_each_camera(tmp_path):
    source = run_folder.make_store(tmp_path / "raw", episodes=2)
    store = Store.create(tmp_path / "s", {"image_codec": "jpeg:95"})
    store.commit(0, [source.episode(0), source.episode(1)], [{"scene": 0, "outcome": "success", "attempts": []}])
    for camera in ("front", "wrist"):
        lost = np.concatenate(
            [source.read(i, f"images/{camera}") - 1.0 * store.read(i, f"images/{camera}") for i in (0, 1)]
        )
        assert f"{camera} 84x84, JPEG 95, {10 * np.log10(255**2 / np.mean(lost**2)):.1f} dB" in shown(store.path)


def test_says_how_the_scenes_went_with_intervals(tmp_path):
    text = shown(run_folder.make_store(tmp_path / "s", episodes=6).path)
    assert "7 scenes tried" in text
    rows = {line[:31].strip(): line[31:].split() for line in text.splitlines()}
    assert rows["success"][:2] == ["6", "85.7%"]
    assert rows["collided"][:2] == ["1", "14.3%"]
    assert rows["success at the first attempt"][:2] == ["4", "57.1%"]


def test_a_store_without_images_or_episodes_can_be_inspected(tmp_path):
    bare = run_folder.make_store(tmp_path / "bare", cameras=())
    assert "none: states and actions only" in shown(bare.path)
    empty = Store.create(tmp_path / "empty", {"kind": "test"})
    record, _ = inspect(empty.path, verify=True)
    want = {"episodes": 0, "frames": 0, "parts": 0, "bytes": 0, "ok": True, "problems": []}
    assert record == {**want, "findings": None, "coverage": None, "starts": None, "regenerated": None}
    assert "0 in 0 parts" in shown(empty.path)


def test_sizes_read_as_people_say_them():
    assert [size(n) for n in (0, 999, 1500, 2.5e6, 3.2e12)] == ["0 B", "999 B", "1.5 kB", "2.5 MB", "3.2 TB"]


BUNDLED = Path(__file__).resolve().parents[2] / "demos" / "lift"


def spoilt(path: Path) -> Store:
    """Two bundled demos: in one the subtask goes back, in the other the arm waits for three seconds."""
    first, second = (Store.open(BUNDLED).episode(i) for i in range(2))
    first.arrays["subtask"][10] = 1
    waiting = {
        key: np.insert(values, [30] * 60, values[30], axis=0) if len(values) > 1 else values
        for key, values in second.arrays.items()
    }
    waiting["state"][:, 0] = np.arange(1, len(waiting["state"]) + 1) / 20
    store = Store.create(path, {"kind": "test"})
    records = [{"scene": i, "outcome": "success", "attempts": ["success"]} for i in range(2)]
    store.commit(0, [first, Episode(waiting, second.meta)], records)
    return store


def test_sound_content_is_told_with_how_many_were_looked_at():
    record, _ = inspect(BUNDLED, verify=False, content=True)
    assert (record["ok"], record["findings"]) == (True, [])
    rows = [line.split() for line in shown(BUNDLED, content=True).splitlines()]
    assert ["clock", "error", "10", "0"] in [row[:4] for row in rows]
    assert ["blank", "images", "error", "0", "-"] in [row[:5] for row in rows]


def test_errors_of_content_make_a_store_unsound_and_warnings_do_not(tmp_path):
    store = spoilt(tmp_path / "s")
    record, _ = inspect(store.path, verify=True, content=True)
    assert (record["ok"], record["problems"]) == (False, [])
    assert {f["rule"]: f["episodes"] for f in record["findings"]} == {"subtask_order": [0], "idle": [1]}
    text = shown(store.path, content=True)
    assert "episode 0 'subtask' at step 11: it goes from 1 to 0" in text
    assert "episode 1 in 60 steps from step 30 on: nothing moves for 3.0 s" in text
    assert inspect(store.path, verify=True)[0]["ok"]


def test_limits_are_the_embodiments(tmp_path):
    episode = Store.open(BUNDLED).episode(0)
    for key in ("observation/joint_position", "action/intended", "action/executed"):
        episode.arrays[key][:, 3] += 3
    store = Store.create(tmp_path / "s", {"kind": "test"})
    store.commit(0, [episode], [{"scene": 0, "outcome": "success", "attempts": ["success"]}])
    (finding,) = inspect(store.path, verify=False, content=True)[0]["findings"]
    assert finding["rule"] == "joint_limits"
    assert {example["key"] for example in finding["examples"]} == {
        "observation/joint_position",
        "action/intended",
        "action/executed",
    }


def test_damage_hides_content_only_where_it_is_listed(tmp_path):
    store = spoilt(tmp_path / "s")
    shard = next((store.path / "parts").rglob("subtask/c*"))
    shard.write_bytes(b"")
    with pytest.raises(JobError, match="subtask"):
        inspect(store.path, verify=False, content=True)
    record, _ = inspect(store.path, verify=True, content=True)
    assert record["findings"] is None
    assert not record["ok"]
    assert "hidden by damage" in shown(store.path, verify=True, content=True)


def require_sound(path: Path) -> None:
    """Assert that a store is whole, and that its content breaks no rule, not even those that only warn."""
    record, _ = inspect(path, verify=True, content=True)
    assert (record["ok"], record["problems"], record["findings"]) == (True, [], [])


def test_what_is_generated_is_sound(tmp_path, capsys):
    out = tmp_path / "generated"
    words = f"generate --task lift --scenes 2 --cameras front,wrist --resolution 32 --workers 0 --out {out} --quiet"
    assert not app([*words.split(), "chunk=2"], standalone_mode=False)
    require_sound(out)
    looked = shown(out, content=True)
    for rule in RULES:
        (row,) = (line for line in looked.splitlines() if line.strip().startswith(rule.name.replace("_", " ") + "  "))
        assert row[len(rule.name) + 1 :].split()[1] == "2", row


def test_what_people_demonstrated_is_sound(tmp_path, capsys):
    path = Path(__file__).parents[3] / "shared/data/franka_cube_stack/human_demos.hdf5"
    if not path.exists():
        pytest.skip(f"the human demonstrations are not here ({path.name} in ../shared/data/franka_cube_stack)")
    out = tmp_path / "human"
    words = ["import", "isaaclab-mimic", str(path), "--task", "stack_three", "--out", str(out)]
    assert not app(words, standalone_mode=False)
    require_sound(out)


def test_coverage_is_held_against_what_the_store_was_drawn_from(tmp_path):
    """Ten scenes under an override of one axis, whose range is the plan's and not the domain's."""
    from pipelines.generate import run
    from pipelines.progress import Reporter

    overrides = ["chunk=5", "randomization.latency=[0.01,0.03]", "randomization.lamps=1"]
    out, quiet = tmp_path / "s.zarr", Reporter(quiet=True)
    run("lift", None, out, 10, None, (), 84, 0, 0, None, "handful", False, overrides, quiet)
    result, _ = inspect(out, False, coverage=True)
    axes = {axis["axis"]: axis for axis in result["coverage"]["sim"]}
    assert axes["latency"]["values"] == result["episodes"]
    assert axes["latency"]["outside"] == 0
    assert 0.3 <= axes["latency"]["share"] < 1.0
    assert axes["mass_factor"]["values"] == 3 * result["episodes"]
    assert "lamps" not in axes
    (target,) = result["starts"]["roles"].values()
    tried = {tuple(record["starts"]["target"]) for record in Store.open(out).scene_records()}
    assert (result["starts"]["unrecorded"], target["cells"]) == (0, 64)
    assert 1 < target["kept"] <= target["tried"] <= len(tried) == 10
    text = shown(out, coverage=True)
    assert "coverage of domain sim" in text
    assert f"started: target in {target['tried']} of 64 cells, episodes from {target['kept']}" in text
    # A selection of scenes that were kept tells of places, and of no rate.
    view = exclude(out, "0", tmp_path / "view")
    (part,) = inspect(view.path, False, coverage=True)[0]["starts"]["roles"].values()
    assert (part["tried"], part["lowest"]) == (part["kept"], None)
    assert target["kept"] - 1 <= part["kept"] <= len(view)
    assert inspect(out, False)[0]["coverage"] is None
