"""What `handful inspect` tells a person about a store."""

import io

from rich.console import Console

from pipelines.inspection import inspect, size
from tests.pipelines import run_folder


def shown(path, verify=False) -> str:
    buffer = io.StringIO()
    Console(file=buffer, width=120).print(inspect(path, verify)[1])
    return buffer.getvalue()


def test_says_what_is_in_a_store(tmp_path):
    store = run_folder.make_store(tmp_path / "s[1]", episodes=6)
    text = shown(store.path)
    assert "s[1]" in text
    assert "6 in 2 parts" in text
    assert "72, 12 to 12 each; 0.00 h at 20 Hz" in text
    assert "front 84x84, wrist 84x84" in text
    assert "augmentation 6" in text
    assert "sim 6" in text


def test_says_how_the_scenes_went_with_intervals(tmp_path):
    text = shown(run_folder.make_store(tmp_path / "s", episodes=6).path)
    assert "7 scenes tried" in text
    rows = {line[:31].strip(): line[31:].split() for line in text.splitlines()}
    assert rows["success"][:2] == ["6", "85.7%"]
    assert rows["collided"][:2] == ["1", "14.3%"]
    assert rows["success at the first attempt"][:2] == ["4", "57.1%"]


def test_a_store_without_images_or_episodes_can_be_inspected(tmp_path):
    from trajectories import Store

    bare = run_folder.make_store(tmp_path / "bare", cameras=())
    assert "none: states and actions only" in shown(bare.path)
    empty = Store.create(tmp_path / "empty", {"kind": "test"})
    record, _ = inspect(empty.path, verify=True)
    assert record == {"episodes": 0, "frames": 0, "parts": 0, "bytes": 0, "ok": True, "problems": []}
    assert "0 in 0 parts" in shown(empty.path)


def test_sizes_read_as_people_say_them():
    assert [size(n) for n in (0, 999, 1500, 2.5e6, 3.2e12)] == ["0 B", "999 B", "1.5 kB", "2.5 MB", "3.2 TB"]
