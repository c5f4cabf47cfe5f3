import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from handful import InputError, JobError
from trajectories import Episode, Store, commits, shards, staging
from trajectories.staging import staging_path

PLAN = {"task": "lift", "seed": 0}

# Commits part 1 of a store and dies, as by `kill -9`, at a named moment.
_VICTIM = """
import os, signal, sys
import numpy as np
sys.path.insert(0, sys.argv[3])
from conftest import _episode, _scene_records
from trajectories import Store

path, moment = sys.argv[1], sys.argv[2]
store = Store.create(path, {"task": "lift", "seed": 0})

def dying(name, when, after):
    real = getattr(os, name)
    def call(*args, **kwargs):
        if when(*args) and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if when(*args) and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(os, name, call)

calls = []
into = lambda folder: lambda source, target, *rest: os.path.basename(os.path.dirname(str(target))) == folder
if moment == "first sync":
    dying("fsync", lambda *a: True, False)
if moment == "tenth sync":
    dying("fsync", lambda *a: calls.append(1) or len(calls) > 10, False)
if moment == "before the rename":
    dying("rename", into("parts"), False)
if moment == "after the rename":
    dying("rename", into("parts"), True)
if moment == "before the manifest":
    dying("replace", into("manifest"), False)
if moment == "after the manifest":
    dying("replace", into("manifest"), True)
store.commit(1, [_episode(2), _episode(3)], _scene_records(range(2, 4)))
"""

_MOMENTS = [
    "first sync",
    "tenth sync",
    "before the rename",
    "after the rename",
    "before the manifest",
    "after the manifest",
]


@pytest.fixture
def chunks(make_episode):
    return [[make_episode(0), make_episode(1)], [make_episode(2), make_episode(3)]]


def _commit_all(path, chunks, scene_records):
    store = Store.create(path, PLAN)
    for part, episodes in enumerate(chunks):
        store.commit(part, episodes, scene_records(range(2 * part, 2 * part + 2)))
    store.seal(None)
    return store


@pytest.mark.parametrize("moment", _MOMENTS)
def test_a_killed_writer_loses_nothing_and_the_resumed_job_gives_the_same_bytes(
    tmp_path, chunks, scene_records, tree, moment
):
    _commit_all(tmp_path / "whole", chunks, scene_records)
    store = Store.create(tmp_path / "s", PLAN)
    store.commit(0, chunks[0], scene_records(range(2)))
    folder = os.path.dirname(__file__)
    arguments = [sys.executable, "-c", textwrap.dedent(_VICTIM), str(tmp_path / "s"), moment, folder]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL

    survivor = Store.open(tmp_path / "s")
    assert survivor.committed() == ([0, 1] if moment == "after the manifest" else [0])
    np.testing.assert_array_equal(survivor.read(1, "images/front"), chunks[0][1].arrays["images/front"])
    _commit_all(tmp_path / "s", chunks, scene_records)
    assert tree(tmp_path / "s") == tree(tmp_path / "whole")


def _fail(error):
    def call(*args, **kwargs):
        raise error

    return call


@pytest.mark.parametrize("name", ["rename", "replace", "fsync"])
def test_an_error_while_committing_leaves_nothing_half_written(tmp_path, chunks, scene_records, monkeypatch, name):
    store = Store.create(tmp_path / "s", PLAN)
    store.commit(0, chunks[0], scene_records(range(2)))
    monkeypatch.setattr(os, name, _fail(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(JobError, match=r"cannot write part 00000001 of store .*: Permission denied"):
        store.commit(1, chunks[1], scene_records(range(2, 4)))
    monkeypatch.undo()
    assert store.committed() == [0]
    assert list((tmp_path / "s").rglob(".tmp-*")) == []
    store.commit(1, chunks[1], scene_records(range(2, 4)))
    assert store.verify() == []
    assert len(store) == 4


@pytest.mark.parametrize("place", ["array", "metadata", "sync"])
def test_a_full_disk_is_one_sentence_and_leaves_no_rubbish(tmp_path, chunks, scene_records, monkeypatch, place):
    store = Store.create(tmp_path / "s", PLAN)
    store.commit(0, chunks[0], scene_records(range(2)))
    full = _fail(OSError(errno.ENOSPC, "No space left on device"))
    target, name = {
        "array": (shards, "_write_shard"),
        "metadata": (type(tmp_path), "write_bytes"),
        "sync": (os, "fsync"),
    }[place]
    monkeypatch.setattr(target, name, full)
    with pytest.raises(JobError, match=r"disk full while writing part 00000001 of store .*; free some space"):
        store.commit(1, chunks[1], scene_records(range(2, 4)))
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path / "s/parts")) == ["00000000"]
    assert store.verify() == []
    np.testing.assert_array_equal(store.read(0, "state"), chunks[0][0].arrays["state"])


def test_an_interrupt_cleans_up(tmp_path, chunks, scene_records, monkeypatch):
    store = Store.create(tmp_path / "s", PLAN)
    monkeypatch.setattr(os, "rename", _fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        store.commit(0, chunks[0], scene_records(range(2)))
    assert os.listdir(tmp_path / "s/parts") == []


def test_a_committed_part_is_never_redone(tmp_path, chunks, scene_records, tree):
    store = Store.create(tmp_path / "s", PLAN)
    store.commit(0, chunks[0], scene_records(range(2)))
    before = tree(tmp_path / "s")
    store.commit(0, chunks[1], scene_records(range(2)))
    assert tree(tmp_path / "s") == before


def _overtaken(monkeypatch, rival):
    """Let another writer do something between our writing and our renaming."""
    real = commits.write_part

    def write_part(*args):
        monkeypatch.setattr(commits, "write_part", real)
        written = real(*args)
        rival()
        return written

    monkeypatch.setattr(commits, "write_part", write_part)


def test_two_writers_of_one_chunk_are_harmless(tmp_path, chunks, scene_records, tree, monkeypatch):
    _commit_all(tmp_path / "whole", chunks, scene_records)
    store, rival = Store.create(tmp_path / "s", PLAN), Store.create(tmp_path / "s", PLAN)
    _overtaken(monkeypatch, lambda: rival.commit(0, chunks[0], scene_records(range(2))))
    store.commit(0, chunks[0], scene_records(range(2)))
    _commit_all(tmp_path / "s", chunks, scene_records)
    assert tree(tmp_path / "s") == tree(tmp_path / "whole")


def test_a_rival_with_other_bytes_keeps_what_it_committed(tmp_path, chunks, scene_records, monkeypatch, caplog):
    store, rival = Store.create(tmp_path / "s", PLAN), Store.create(tmp_path / "s", PLAN)
    _overtaken(monkeypatch, lambda: rival.commit(0, chunks[1], scene_records(range(2))))
    store.commit(0, chunks[0], scene_records(range(2)))
    assert "committed by another writer with other bytes" in caplog.text
    assert store.verify() == []
    np.testing.assert_array_equal(store.read(0, "state"), chunks[1][0].arrays["state"])


def test_an_uncommitted_part_of_other_bytes_is_replaced(tmp_path, chunks, scene_records):
    store = Store.create(tmp_path / "s", PLAN)
    store.commit(0, chunks[1], scene_records(range(2)))
    (tmp_path / "s/manifest/00000000.json").unlink()
    store.commit(0, chunks[0], scene_records(range(2)))
    assert store.verify() == []
    np.testing.assert_array_equal(store.read(0, "state"), chunks[0][0].arrays["state"])


def test_many_threads_committing_the_same_chunks_end_in_one_store(tmp_path, chunks, scene_records, tree):
    _commit_all(tmp_path / "whole", chunks, scene_records)
    failures = []

    def work():
        try:
            store = Store.create(tmp_path / "s", PLAN)
            for part in (0, 1):
                store.commit(part, chunks[part], scene_records(range(2 * part, 2 * part + 2)))
        except Exception as error:
            failures.append(error)

    Store.create(tmp_path / "s", PLAN)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    Store.create(tmp_path / "s", PLAN).seal(None)
    assert tree(tmp_path / "s") == tree(tmp_path / "whole")


def test_bytes_do_not_depend_on_order_of_parts_or_place(tmp_path, chunks, scene_records, tree):
    dumps = {"scene_1": {"b": np.ones(3), "a": np.zeros(2)}}
    for name, order in (("x", (0, 1)), ("elsewhere", (1, 0))):
        store = Store.create(tmp_path / name, PLAN)
        for part in order:
            store.commit(part, chunks[part], scene_records(range(2)), dumps)
    assert tree(tmp_path / "x") == tree(tmp_path / "elsewhere")


def test_what_is_wrong_with_an_episode_is_said_before_anything_is_written(tmp_path, chunks, scene_records):
    store = Store.create(tmp_path / "s", PLAN)
    good = chunks[0][0]
    broken = Episode({**good.arrays, "state": good.arrays["state"][:-1]}, good.meta)
    with pytest.raises(InputError, match="episode 1 of part 0: 'state' has 23 rows"):
        store.commit(0, [good, broken], scene_records(range(2)))
    fewer = Episode({key: value for key, value in good.arrays.items() if key != "state"}, good.meta)
    with pytest.raises(InputError, match="episode 1 differs in: state"):
        store.commit(0, [good, fewer], scene_records(range(2)))
    smaller = Episode({**good.arrays, "images/front": good.arrays["images/front"][:, :5]}, good.meta)
    with pytest.raises(InputError, match=r"episode 1 has 'images/front' as uint8 \[5, 12, 3\]"):
        store.commit(0, [good, smaller], scene_records(range(2)))
    assert os.listdir(tmp_path / "s/parts") == []


def test_wrong_records_and_dumps_are_refused(tmp_path, chunks, scene_records):
    store = Store.create(tmp_path / "s", PLAN)
    with pytest.raises(InputError, match="part index must be 0 to 99999999, got -1"):
        store.commit(-1, [], [])
    with pytest.raises(InputError, match="need an integer 'scene' each, in order"):
        store.commit(0, [], [{"scene": 1}, {"scene": 0}])
    with pytest.raises(InputError, match="need an integer 'scene' each"):
        store.commit(0, [], [{"outcome": "success"}])
    with pytest.raises(InputError, match="scene records of part 0 cannot be written as JSON"):
        store.commit(0, [], [{"scene": 0, "x": float("inf")}])
    with pytest.raises(InputError, match=r"a dump's name has letters.*got '\.\./x'"):
        store.commit(0, [], scene_records(range(1)), {"../x": {}})
    with pytest.raises(InputError, match="dump 'x' holds Python objects in a"):
        store.commit(0, [], scene_records(range(1)), {"x": {"a": np.array([object()])}})


def test_opening_for_writing_sweeps_away_what_dead_writers_left(tmp_path):
    Store.create(tmp_path / "s", PLAN)
    mine = staging_path(tmp_path / "s/parts", "00000003")
    mine.mkdir()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{child.pid}-"))
    dead.mkdir()
    (dead / "zarr.json").write_text("x")
    elsewhere = mine.with_name(".tmp-00000003-otherhost.1-7-0")
    elsewhere.mkdir()
    Store.create(tmp_path / "s", PLAN)
    assert mine.exists()
    assert elsewhere.exists()
    assert not dead.exists()
    os.utime(elsewhere, (0, 0))
    Store.create(tmp_path / "s", PLAN)
    assert not elsewhere.exists()


def test_a_killed_writer_that_nobody_has_waited_for_counts_as_dead(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert staging._is_alive(process.pid)
        process.kill()
        deadline = time.monotonic() + 10
        while staging._is_alive(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not staging._is_alive(process.pid)
    finally:
        process.wait()
