import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from handful import InputError, JobError
from trajectories import Store, migrations
from trajectories.canonical import canonical_json
from trajectories.migrations import migrate

OLD = Path(__file__).resolve().parents[1] / "data" / "format_1"


@pytest.fixture
def old(tmp_path):
    """A store of format 1: a demonstration of lift with a camera, and a part without an episode but with a dump."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_opening_an_old_store_says_how_to_migrate_it():
    with pytest.raises(InputError, match=r"has format 1; .* handful data migrate .*format_1 --out NEW"):
        Store.open(OLD)


def test_everything_is_taken_over(old, tmp_path, tree):
    before = tree(old)
    migrate(old, tmp_path / "new")
    assert tree(old) == before
    store = Store.open(tmp_path / "new")
    assert store.verify() == []
    assert store.plan == json.loads((old / "plan.json").read_bytes())
    assert store.sealed_episodes == len(store) == 1
    assert [record["outcome"] for record in store.scene_records()] == ["success", "diverged"]
    assert store.dumps() == [(1, "scene_1")]
    assert store.dump(1, "scene_1")["states"].shape == (3, 4)
    assert canonical_json(store.meta(0).to_json()) + b"\n" == (old / "parts/00000000/episodes.jsonl").read_bytes()
    assert store.chunk_rows("images/front") == 16
    group = zarr.open_group(old / "parts/00000000", mode="r")
    keys = store.keys()
    assert len(keys) == 32
    for key in keys:
        np.testing.assert_array_equal(store.read(0, key), group[key][:], err_msg=key)
    assert store.index().length.tolist() == [group["subtask"].shape[0]]
    assert store.index().categories["task"].of(0) == "lift"


def test_an_unfinished_store_stays_unfinished(old, tmp_path):
    (old / "seal.json").unlink()
    migrate(old, tmp_path / "new")
    assert Store.open(tmp_path / "new").sealed_episodes is None
    assert Store.open(tmp_path / "new").committed() == [0, 1]


@pytest.mark.parametrize("moment", ["copytree", "rename", "write_whole"])
def test_an_interrupted_migration_is_continued(old, tmp_path, tree, monkeypatch, moment):
    migrate(old, tmp_path / "whole")

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    target = {"copytree": migrations.shutil, "rename": migrations.os, "write_whole": migrations}[moment]
    with monkeypatch.context() as patch:
        patch.setattr(target, moment, fail)
        # The root is written by other means; only parts are interrupted here.
        with pytest.raises(KeyboardInterrupt):
            migrate(old, tmp_path / "new")
    migrate(old, tmp_path / "new")
    assert tree(tmp_path / "new") == tree(tmp_path / "whole")


def test_any_damage_is_named_and_nothing_is_made(old, tmp_path):
    files = [p for p in old.rglob("*") if p.is_file()]
    rng = np.random.default_rng(0)
    for file in files:
        data = file.read_bytes()
        damaged = bytearray(data or b"\0")
        if data:
            bit = int(rng.integers(8 * len(data)))
            damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises((JobError, InputError)) as caught:
            migrate(old, tmp_path / "new")
        file.write_bytes(data)
        assert not (tmp_path / "new").exists(), file
        if file.parent != old:
            assert "is damaged, so it is not migrated" in str(caught.value)
    (old / "parts/00000000/subtask/c/0").unlink()
    (old / "parts/00000001/zarr.json").unlink()
    with pytest.raises(JobError, match=r"part 00000000: 'subtask/c/0' is missing \(1 more\)"):
        migrate(old, tmp_path / "new")
    shutil.rmtree(old / "parts/00000000")
    (old / "manifest/00000000.json").unlink()
    with pytest.raises(JobError, match=r"part 00000001: 'zarr\.json' is missing"):
        migrate(old, tmp_path / "new")


def test_what_is_no_old_store_is_refused(old, tmp_path):
    with pytest.raises(InputError, match=r"is not a trajectory store \(it has no zarr\.json\)"):
        migrate(tmp_path, tmp_path / "new")
    Store.create(tmp_path / "now", {})
    with pytest.raises(InputError, match="has format 2 already; there is nothing to migrate"):
        migrate(tmp_path / "now", tmp_path / "new")
    with pytest.raises(InputError, match="is the store to migrate itself"):
        migrate(old, old)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/a.tex").write_text("x")
    with pytest.raises(InputError, match="exists and is not a store"):
        migrate(old, tmp_path / "thesis")
    with pytest.raises(InputError, match="made by another plan"):
        migrate(old, tmp_path / "now")
