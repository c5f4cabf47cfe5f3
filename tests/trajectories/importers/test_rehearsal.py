import os
import signal
import time
from pathlib import Path

import pytest

from handful import InputError
from trajectories.importers.rehearsal import rehearse


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of readers that the child process can import."""
    (tmp_path / "readers.py").write_text(
        "import os, signal, time\n"
        "from handful import InputError\n"
        "def fine(path, word): path.with_suffix('.seen').write_text(word)\n"
        "def refusing(path): raise InputError('wrong')\n"
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


def test_a_refusal_is_left_to_the_caller(module):
    rehearse("readers:refusing", module)


def test_a_reader_that_does_not_end_is_killed(module):
    start = time.monotonic()
    with pytest.raises(InputError, match=r"file' is damaged: reading it did not end within 2 s"):
        rehearse("readers:endless", module, limit=2)
    assert time.monotonic() - start < 30


def test_a_crash_is_one_sentence(module):
    with pytest.raises(InputError, match=rf"reading it crashed the HDF5 library \(signal {int(signal.SIGSEGV)}\)"):
        rehearse("readers:crashing", module)


def test_anything_else_is_reported_with_its_reason(module):
    with pytest.raises(InputError, match="cannot be read: ArithmeticError: one line of reason"):
        rehearse("readers:broken", module)
