import os
import signal
import sys
import time
from pathlib import Path

import pytest

from handful import InputError, JobError
from trajectories.importers.rehearsal import rehearse


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of readers that the child process can import."""
    (tmp_path / "readers.py").write_text(
        "import os, signal, time\n"
        "from handful import InputError, JobError\n"
        "def fine(path, word): path.with_suffix('.seen').write_text(word)\n"
        "def counting(path): print('noise'); os.write(1, b'more'); return {'letters': len(path.read_text())}\n"
        "def refusing(path, kind): raise {'input': InputError, 'job': JobError}[kind]('wrong')\n"
        "def greedy(path): return len(bytearray(1 << 30))\n"
        "def greedy_inside(path):\n"
        "    try: bytearray(1 << 30)\n"
        "    except MemoryError as error: raise InputError('damaged') from error\n"
        "def broken(path): raise ArithmeticError('one line of reason')\n"
        "def endless(path): time.sleep(3600)\n"
        "def crashing(path): os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "file").write_text("x")
    return tmp_path / "file"


def test_the_reader_runs_in_another_process(module: Path):
    rehearse("readers:fine", module, "hello")
    assert module.with_suffix(".seen").read_text() == "hello"


def test_what_the_reader_returned_comes_back(module):
    assert rehearse("readers:counting", module) == {"letters": 1}


def test_size_counts_a_folder_whole(module):
    with pytest.raises(InputError, match="cannot be read: IsADirectoryError"):
        rehearse("readers:counting", module.parent)


@pytest.mark.parametrize(("kind", "error"), [("input", InputError), ("job", JobError)])
def test_a_refusal_comes_back_as_it_was(module, kind, error):
    with pytest.raises(error, match=r"^wrong$"):
        rehearse("readers:refusing", module, kind)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no such limit")
@pytest.mark.parametrize("reader", ["greedy", "greedy_inside"])
def test_a_reader_that_wants_all_memory_is_stopped(module, reader):
    with pytest.raises(InputError, match=r"is damaged or too large: reading it needs more than 0\.5 GB of memory"):
        rehearse(f"readers:{reader}", module, memory=500_000_000)
    if reader == "greedy":
        assert rehearse("readers:greedy", module) == 1 << 30


def test_a_reader_that_does_not_end_is_killed(module):
    start = time.monotonic()
    with pytest.raises(InputError, match=r"file' is damaged: reading it did not end within 2 s"):
        rehearse("readers:endless", module, limit=2)
    assert time.monotonic() - start < 30


def test_a_crash_is_one_sentence(module):
    with pytest.raises(InputError, match=rf"reading it crashed \(signal {int(signal.SIGSEGV)}\)"):
        rehearse("readers:crashing", module)


def test_anything_else_is_reported_with_its_reason(module):
    with pytest.raises(InputError, match="cannot be read: ArithmeticError: one line of reason"):
        rehearse("readers:broken", module)
