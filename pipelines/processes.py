"""Local worker processes that may die: the middle one of the three executors.

`concurrent.futures` gives up a whole pool when one worker dies. Here each worker has its own pipe, so a death costs one
task one try and the pool one respawn. Workers are spawned, never forked (Zarr and GL do not survive a fork), ignore
Ctrl-C (the parent decides), and leave when the parent is gone, however it went.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from handful import JobError

_SPAWN = multiprocessing.get_context("spawn")
# How long a worker may take to leave when asked [s].
_PATIENCE = 2.0


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    # Index of the task under way; None: idle.
    task: int | None = None


def run_in_processes(
    function: Callable[[Any], Any], arguments: Sequence[Any], workers: int, max_tries: int
) -> Generator[tuple[int, Any], None, None]:
    """Yield (index, result) as tasks finish in `workers` spawned processes; see `pipelines.executors.run_tasks`."""
    from pipelines.executors import explain

    waiting = deque(range(len(arguments)))
    tries = [0] * len(arguments)
    pool: list[_Worker] = []
    try:
        while waiting or any(worker.task is not None for worker in pool):
            while waiting and len(pool) < workers and len(pool) < _busy(pool) + len(waiting):
                pool.append(_start(workers))
            for worker in [worker for worker in pool if worker.task is None and waiting]:
                worker.task = waiting.popleft()
                tries[worker.task] += 1
                # A worker that died while idle is noticed below, by its sentinel.
                with suppress(BrokenPipeError, ConnectionResetError):
                    worker.pipe.send((function, arguments[worker.task]))
            ready = set(wait([end for worker in pool for end in (worker.pipe, worker.process.sentinel)]))
            for worker in list(pool):
                if worker.pipe in ready:
                    answer = _receive(worker)
                elif worker.process.sentinel in ready:
                    answer = None
                else:
                    continue
                index = worker.task
                if answer is None:
                    pool.remove(worker)
                    worker.process.join()
                    worker.pipe.close()
                    if index is not None:
                        _check_tries(index, tries[index], max_tries, worker.process.exitcode)
                        waiting.appendleft(index)
                    continue
                assert index is not None  # a worker speaks only when it was given a task
                worker.task = None
                succeeded, value = answer
                if not succeeded:
                    raise explain(index, value) from value
                yield index, value
    finally:
        _stop(pool)


def _busy(pool: list[_Worker]) -> int:
    return sum(worker.task is not None for worker in pool)


def _check_tries(index: int, tries: int, max_tries: int, exit_code: int | None) -> None:
    if tries < max_tries:
        return
    if exit_code is not None and exit_code < 0:
        how = f"by signal {signal.Signals(-exit_code).name}"
    else:
        how = f"with exit code {exit_code}"
    raise JobError(f"task {index} was started {tries} times and its process died each time, last {how}")


def _receive(worker: _Worker) -> tuple[bool, Any] | None:
    try:
        return worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        return None


def _start(workers: int) -> _Worker:
    from pipelines.executors import worker_environment

    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
    # Libraries read their thread counts when they are first imported, which is before `_serve` runs.
    with _environment(worker_environment(workers)), _deaf():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _deaf() -> Iterator[None]:
    """Hold Ctrl-C back, here and in a process started meanwhile; here it arrives when this ends.

    A worker ignores Ctrl-C, but only once its interpreter is up; until then it would answer with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(pool: list[_Worker]) -> None:
    """End every worker: idle ones see their pipe close, busy ones are terminated and, if deaf to that, killed."""
    for worker in pool:
        worker.pipe.close()
        if worker.task is not None:
            worker.process.terminate()
    for worker in pool:
        worker.process.join(_PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _serve(pipe: Connection) -> None:
    """A worker's life: answer (function, argument) with (True, result) or (False, error) until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    while True:
        try:
            function, argument = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        except Exception as error:  # the task itself does not unpickle
            answer: tuple[bool, Any] = (False, error)
        else:
            try:
                answer = (True, function(argument))
            except Exception as error:
                answer = (False, error)
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:  # the answer does not pickle
            pipe.send((False, TypeError(f"{type(answer[1]).__name__} cannot be sent back: {error}")))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # workers are always children
    parent.join()
    os._exit(1)
