"""Feeds importers with damaged and hostile files, by the thousand, and sorts what came of each.

Workers stay alive between inputs, so an input costs milliseconds: each mutates a copy of a good file as its number
says, imports it in process under a memory limit, and reports. The parent is the watchdog: a worker that answers too
late, or dies, is replaced, and its input is counted as a hang or a crash. In a real import that happens to the child
process of `rehearse`, which makes an `InputError` of it.
"""

import importlib
import multiprocessing
import shutil
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from handful import InputError, JobError
from trajectories import Store
from trajectories.importers.rehearsal import limit_memory

# What a worker may allocate [bytes], and how long one input may take [s].
MEMORY = 2 << 30
LIMIT = 4.0
# A worker makes place for a new one after so many inputs, so that what libraries leak does not add up.
RETIREMENT = 1000

Describe = str


@dataclass(frozen=True)
class Subject:
    """An importer under test. Its parts are named "module:function", so that workers can be told them."""

    name: str
    # (folder) -> path: a good file or folder to start from.
    seed: str
    # (path, rng) -> what was done to the file at the path.
    mutate: str
    # (path, store): imports as the command line would.
    run: str
    # (seed, store): what must hold of a store that came of a mutated file; raises AssertionError.
    judge: str
    # Modules whose `rehearse` is to read in this process.
    rehearsing: tuple[str, ...]


@dataclass
class Account:
    """What came of the inputs."""

    # The good file.
    seed: Path
    outcomes: Counter[str] = field(default_factory=Counter)
    # Number of the input, what was done, what came of it.
    failures: list[tuple[int, Describe, str]] = field(default_factory=list)
    # Inputs that ended their worker: number, what was done, hang or crash.
    ended: list[tuple[int, Describe, str]] = field(default_factory=list)
    seconds: float = 0.0


def resolve(name: str) -> Callable:
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)


def mutated(subject: Subject, seed: Path, path: Path, index: int) -> Describe:
    """Put input number `index` at the path; returns what was done to the good file."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if seed.is_dir():
        shutil.copytree(seed, path)
    else:
        shutil.copyfile(seed, path)
    return resolve(subject.mutate)(path, np.random.default_rng([index, *subject.name.encode()]))


def attempt(subject: Subject, seed: Path, path: Path, store: Path) -> tuple[str, str]:
    """Import the file at the path: an outcome, and what is wrong with it (empty: nothing)."""
    try:
        resolve(subject.run)(path, store)
    except (InputError, JobError) as error:
        if store.exists():
            return "refused", f"a store was left behind by: {error}"
        if "\n" in str(error) or not str(error):
            return "refused", f"the message is not one line: {error!r}"
        return "refused", ""
    except Exception as error:
        return "broken", f"{type(error).__name__}: {error}"
    try:
        opened = Store.open(store)
        assert opened.sealed_episodes == len(opened) > 0
        assert opened.verify() == []
        resolve(subject.judge)(seed, opened)
    except Exception as error:
        return "imported", f"the store is wrong: {type(error).__name__}: {error}"
    return "imported", ""


def here(reader: str, path: Path, *arguments: str, **limits: float) -> object:
    """Stands in for `rehearse`: reads in this process, within the limits of the harness."""
    return resolve(reader)(path, *arguments)


def work(connection: Connection, subject: Subject, seed: Path, scratch: Path) -> None:
    """What a worker does: inputs by number until it is told None."""
    for module in subject.rehearsing:
        importlib.import_module(module).rehearse = here
    # Nothing here needs to survive a power cut.
    for module in ("trajectories.canonical", "trajectories.commits"):
        importlib.import_module(module).sync_to_disk = lambda path: None
    # What numpy warns of would reach a person's terminal.
    warnings.simplefilter("error", RuntimeWarning)
    resolve(subject.run), resolve(subject.mutate)
    limit_memory(MEMORY)
    path, store = scratch / "input", scratch / "store"
    connection.send("ready")
    while (index := connection.recv()) is not None:
        shutil.rmtree(store, ignore_errors=True)
        try:
            done = mutated(subject, seed, path, index)
        except Exception as error:
            connection.send(("mutator", f"{type(error).__name__}: {error}", ""))
            continue
        connection.send(done)
        connection.send((*attempt(subject, seed, path, store), done))


class _Worker:
    def __init__(self, subject: Subject, seed: Path, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.connection, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["trajectories.importers.robomimic", "trajectories.importers.isaaclab_mimic"])
        self.process = context.Process(target=work, args=(theirs, subject, seed, scratch), daemon=True)
        self.process.start()
        theirs.close()
        self.given = 0
        self.index: int | None = None
        self.done: Describe = "nothing yet"
        self.since = time.monotonic()
        assert self.connection.poll(120)
        assert self.connection.recv() == "ready"

    def give(self, index: int) -> None:
        self.index, self.done, self.since = index, "the mutation itself", time.monotonic()
        self.given += 1
        self.connection.send(index)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def fuzz(subject: Subject, folder: Path, count: int, first: int = 0, workers: int = 1) -> Account:
    """Try inputs number `first` to `first + count - 1`.

    Args:
        subject: the importer.
        folder: an empty folder for the good file and the workers' files.
        count: how many inputs.
        first: where numbering starts.
        workers: processes at once.
    """
    start = time.monotonic()
    seed = resolve(subject.seed)(folder)
    account = Account(seed)
    waiting = iter(range(first, first + count))
    crew = [_Worker(subject, seed, folder / f"worker{i}") for i in range(workers)]
    try:
        busy = []
        for worker in crew:
            index = next(waiting, None)
            if index is not None:
                worker.give(index)
                busy.append(worker)
        while busy:
            multiprocessing.connection.wait([worker.connection for worker in busy], timeout=1.0)
            for worker in list(busy):
                if not _settled(worker, account):
                    continue
                index = next(waiting, None)
                if not worker.process.is_alive() or worker.given >= RETIREMENT:
                    worker.end()
                    place = crew.index(worker)
                    fresh = _Worker(subject, seed, folder / f"worker{place}") if index is not None else worker
                    busy[busy.index(worker)] = crew[place] = worker = fresh
                if index is None:
                    busy.remove(worker)
                else:
                    worker.give(index)
    finally:
        for worker in crew:
            worker.end()
    account.seconds = time.monotonic() - start
    return account


def _settled(worker: _Worker, account: Account) -> bool:
    """Take in what a worker has to say; whether its input is done with."""
    try:
        while worker.connection.poll():
            answer = worker.connection.recv()
            if isinstance(answer, str):
                worker.done = answer
                continue
            outcome, problem, done = answer
            account.outcomes[outcome] += 1
            if problem:
                account.failures.append((worker.index, done, problem))
            return True
    except (EOFError, OSError):
        worker.process.join(10)
        return _ended(worker, account, f"crash (exit status {worker.process.exitcode})")
    if time.monotonic() - worker.since > LIMIT:
        worker.process.kill()
        worker.process.join()
        return _ended(worker, account, "hang")
    return False


def _ended(worker: _Worker, account: Account, how: str) -> bool:
    account.outcomes[how.split()[0]] += 1
    account.ended.append((worker.index, worker.done, how))
    return True


if __name__ == "__main__":
    # python -m tests.trajectories.importers.fuzzing SUBJECT COUNT [FIRST]: for a person who looks into a failure.
    import tempfile

    from tests.trajectories.importers.fuzz_subjects import SUBJECTS

    name, count, first = sys.argv[1], int(sys.argv[2]), int((*sys.argv[3:], "0")[0])
    with tempfile.TemporaryDirectory() as folder:
        result = fuzz(SUBJECTS[name], Path(folder), count, first)
    print(dict(result.outcomes), f"{count / result.seconds:.0f} inputs/s")
    for index, done, problem in (*result.failures[:20], *result.ended[:20]):
        print(f"{index}: {done}: {problem}")
