"""Importers meet damaged and hostile files: a correct import or our own error, and nothing is left behind.

What hangs or crashes the library ends a worker here; the same files are then read as a person's would be, in the child
process of `rehearse`, which must make an error of them.
"""

import os
from pathlib import Path

import pytest

from handful import InputError
from tests.trajectories.importers.fuzz_subjects import SUBJECTS
from tests.trajectories.importers.fuzzing import Account, Subject, attempt, fuzz, mutated, resolve
from trajectories import Store

# Of the inputs that end a worker, so many are read again in the child process of `rehearse`; each may take the time
# limit of that process.
_REHEARSED = 5


def sound(subject: Subject, account: Account, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    report = "\n".join(f"{index}: {done}: {problem}" for index, done, problem in account.failures[:20])
    assert not account.failures, report
    outcomes = account.outcomes
    assert outcomes.total() == count
    assert set(outcomes) <= {"imported", "refused", "hang", "crash", "mutator"}, outcomes
    # The memory limit holds for making an input as well.
    assert outcomes["mutator"] <= 0.001 * count, outcomes
    # Mutations that always or never do harm would test nothing.
    assert outcomes["imported"] > 0.03 * count, outcomes
    assert outcomes["refused"] > 0.1 * count, outcomes
    assert outcomes["hang"] + outcomes["crash"] < 0.05 * count + 2, account.ended
    for index, _, _ in account.ended[:_REHEARSED]:
        path = folder / "input"
        mutated(subject, account.seed, path, index)
        with monkeypatch.context() as patch:
            patch.setattr("trajectories.importers.rehearsal._START", 5.0)
            with pytest.raises(
                InputError, match=r"is damaged: reading it (did not end|crashed)|cannot be read|too large"
            ):
                resolve(subject.run)(path, folder / "store")
        assert not (folder / "store").exists()


def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In memory where the system has that: files are many and short-lived."""
    folder = tmp_path_factory.mktemp("fuzz")
    if os.access("/dev/shm", os.W_OK):
        memory = Path("/dev/shm") / f"handful-fuzz-{os.getpid()}-{folder.name}"
        memory.mkdir()
        return memory
    return folder


@pytest.fixture
def folder(tmp_path_factory):
    import shutil

    place = scratch(tmp_path_factory)
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize("name", sorted(SUBJECTS))
def test_the_good_file_is_imported(name, folder):
    subject = SUBJECTS[name]
    seed = resolve(subject.seed)(folder)
    assert attempt(subject, seed, seed, folder / "store") == ("imported", "")
    resolve(subject.judge)(seed, Store.open(folder / "store"))


@pytest.mark.parametrize("name", sorted(SUBJECTS))
def test_tens_of_bad_files(name, folder, monkeypatch):
    account = fuzz(SUBJECTS[name], folder, count=30)
    sound(SUBJECTS[name], account, folder, monkeypatch, 30)


@pytest.mark.trial
@pytest.mark.parametrize("name", sorted(SUBJECTS))
def test_ten_thousand_bad_files(name, folder, monkeypatch):
    account = fuzz(SUBJECTS[name], folder, count=10_000, first=100_000, workers=os.cpu_count() or 1)
    print(f"{name}: {dict(account.outcomes)} in {account.seconds:.0f} s")
    sound(SUBJECTS[name], account, folder, monkeypatch, 10_000)
