"""Processes that work for us and may die of it.

`concurrent.futures` gives up a whole pool when one worker dies. Here each worker has its own pipe, so a death costs one
task one try and the pool one respawn. Workers are spawned, never forked (Zarr and GL do not survive a fork), ignore
Ctrl-C (the parent decides), and leave when the parent is gone, however it went.

A worker carries its own watchdog: a thread outside of Python that ends the process when a task takes too long, whatever
it hangs in, and leaves a trace of where that was.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from handful import HandfulError, JobError
from pipelines.faults import Limits, Loss, Queue, Strikes

_SPAWN = multiprocessing.get_context("spawn")
# How long a worker may take to leave when asked [s].
_FAREWELL = 2.0
# A worker whose own watchdog does not bark (it was stopped, or never came up) is killed this much later [s].
_BACKSTOP = 300.0
# A worker's first sign of life, by the pipe that its watchdog writes to.
_UP = b"+"
# The kernel, out of memory, takes processes of a high score first: a worker, not the run.
_OOM_SCORE = 1000


@dataclass(frozen=True)
class Done:
    """What a task returned, and how long it took [s]."""

    value: Any
    seconds: float


@dataclass(frozen=True)
class Refused:
    """The error by which a task says that the run cannot go on: a full disk, a wrong setting."""

    error: HandfulError


Answer = Done | Refused | Loss

_GUARD = (
    'they import the script that runs: what it does must stand under `if __name__ == "__main__":`, '
    "and it must import nothing that they lack"
)


def attempt(function: Callable[[Any], Any], argument: Any) -> Answer:
    """Do a task here and now; what it raises is an answer, too."""
    started = time.monotonic()
    try:
        value = function(argument)
    except HandfulError as error:
        return Refused(error)
    except MemoryError:
        return Loss("memory", trace=traceback.format_exc())
    except Exception as error:
        return raised(error)
    return Done(value, time.monotonic() - started)


def raised(error: Exception) -> Loss:
    """The loss of a task that ended with an error of its own."""
    text = " ".join(str(error).split())
    return Loss("raised", f"{type(error).__name__}: {text}", "".join(traceback.format_exception(error)))


class Worker:
    """A process that does one task after another.

    Args:
        share: how many workers share this machine's cores.

    Raises:
        JobError: no process can be started from the script that is running.
    """

    def __init__(self, share: int) -> None:
        _require_script()
        self.pipe, theirs = _SPAWN.Pipe()
        # By this one the watchdog says where the task was.
        self._trace, their_trace = _SPAWN.Pipe(duplex=False)
        self._process = _SPAWN.Process(target=_serve, args=(theirs, their_trace), daemon=True)
        # Libraries read their thread counts when they are first imported, which is before `_serve` runs.
        with _environment(worker_environment(share)), _deaf():
            self._process.start()
        theirs.close()
        their_trace.close()
        self.task: Hashable | None = None
        self.gone = False
        self._latest: float | None = None
        self._served = self._held = 0

    @property
    def sentinel(self) -> int:
        """What `multiprocessing.connection.wait` sees the process's end by."""
        return self._process.sentinel

    def give(self, task: Hashable, function: Callable[[Any], Any], argument: Any, patience: float | None) -> None:
        """Set to work on a task that may take `patience` seconds. A worker that died while idle answers a loss."""
        self.task = task
        self._latest = None if patience is None else time.monotonic() + patience + _BACKSTOP
        self._served += 1
        with suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send((function, argument, patience))

    def overdue(self) -> bool:
        """Whether the task's time is over and its own watchdog has not barked."""
        return self._latest is not None and time.monotonic() > self._latest

    def answer(self) -> Answer:
        """What became of the task; waits for it. After a loss the process is gone."""
        while not wait([self.pipe, self.sentinel], None if self._latest is None else 1.0):
            if self.overdue():
                self._process.kill()
        try:
            answer: Answer | None = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            answer = None
        died = answer is None
        if answer is None:
            self._process.join()
            answer = self._obituary()
        self.task, self._latest = None, None
        if died or (isinstance(answer, Loss) and answer.cause != "raised"):
            self.stop()
        return answer

    def worn(self, limits: Limits) -> bool:
        """Whether a fresh process should take this one's place."""
        if limits.tasks is not None and self._served >= limits.tasks:
            return True
        if limits.growth is None:
            return False
        held = _resident(self._process.pid)
        if self._served == 1:
            self._held = held
        return held > self._held + limits.growth

    def stop(self) -> None:
        """End the process, if there is one: an idle one sees its pipe close, a busy one is terminated, then killed."""
        self.leave()
        self.see_off()

    def leave(self) -> None:
        """Ask the process to end, without waiting for it."""
        self.gone = True
        self.pipe.close()
        if self.task is not None:
            self._process.terminate()

    def see_off(self) -> None:
        """Wait for the end of a process that was asked to leave, and insist if it does not."""
        self._process.join(_FAREWELL)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._trace.close()

    def _obituary(self) -> Loss | Refused:
        trace = b""
        while part := os.read(self._trace.fileno(), 65536):
            trace += part
        code = self._process.exitcode
        if not trace.startswith(_UP) and code is not None and code > 0:
            # Every other would end alike, and each with a traceback.
            return Refused(JobError(f"workers end before they can work, with exit code {code}; {_GUARD}"))
        trace = trace.removeprefix(_UP)
        if trace or self.overdue():
            return Loss("hung", trace=trace.decode(errors="replace"))
        if code is not None and code < 0:
            return Loss("died", f"by signal {signal.Signals(-code).name}")
        return Loss("died", f"with exit code {code}")


def _require_script() -> None:
    """Refuse to start a process that could not start: a new one begins by importing the script of this one."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # This is a worker that does so, and the script would have it start workers in turn; who started it explains.
        raise SystemExit(1)
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is not None and not Path(script).exists():
        raise JobError(
            f"workers cannot start: each imports the script that runs, and '{script}' is no file; "
            "put it into a file, or work in this process (workers=0)"
        )


def run_in_processes(
    function: Callable[[Any], Any], queue: Queue, workers: int, limits: Limits
) -> Generator[tuple[Any, Any], None, None]:
    """Yield (key, result or `Failure`) as tasks finish in `workers` processes; see `pipelines.executors.run_tasks`."""
    strikes = Strikes(limits)
    pool: list[Worker] = []
    argument_of: dict[Hashable, Any] = {}
    try:
        while queue or argument_of:
            idle = [worker for worker in pool if worker.task is None]
            while queue and (idle or len(pool) < workers):
                if not idle:
                    pool.append(Worker(workers))
                    idle = pool[-1:]
                key, argument = queue.popleft()
                argument_of[key] = argument
                idle.pop().give(key, function, argument, strikes.patience(key))
            busy = [worker for worker in pool if worker.task is not None]
            ends = [end for worker in busy for end in (worker.pipe, worker.sentinel)]
            ready = set(wait(ends, None if limits.patience is None else 1.0))
            for worker in busy:
                if not ({worker.pipe, worker.sentinel} & ready or worker.overdue()):
                    continue
                key = worker.task
                assert key is not None  # busy ones have one
                answer = worker.answer()
                argument = argument_of.pop(key)
                if isinstance(answer, Loss):
                    if worker.gone:
                        pool.remove(worker)
                    failure = strikes.lost(key, answer)
                    if failure is None:
                        queue.appendleft((key, argument))
                    else:
                        yield key, failure
                elif isinstance(answer, Refused):
                    raise answer.error
                else:
                    if worker.worn(limits):
                        pool.remove(worker)
                        worker.stop()
                    strikes.done(key, answer.seconds)
                    yield key, answer.value
    finally:
        for worker in pool:
            worker.leave()
        for worker in pool:
            worker.see_off()


def worker_environment(share: int) -> dict[str, str]:
    """Thread counts for each of `share` processes on this machine, unless the caller's environment sets them.

    One thread for linear algebra everywhere, so that a product's last bits depend on nothing but its operands; what is
    left of the cores goes to software rendering, whose frames are the same at any thread count.
    """
    threads = max(1, (os.cpu_count() or 1) // max(1, share))
    chosen = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    chosen["LP_NUM_THREADS"] = str(threads)
    return {name: os.environ.get(name, value) for name, value in chosen.items()}


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


def _resident(pid: int | None) -> int:
    """Memory that a process holds [bytes]; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _serve(pipe: Connection, trace: Connection) -> None:
    """A worker's life: answer each (function, argument, patience) until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(trace.fileno(), _UP)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    while True:
        try:
            function, argument, patience = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        except Exception as error:  # the task itself does not unpickle
            answer: Answer = raised(error)
        else:
            if patience is not None:
                faulthandler.dump_traceback_later(patience, exit=True, file=trace.fileno())
            answer = attempt(function, argument)
            faulthandler.cancel_dump_traceback_later()
        try:
            pipe.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:  # the answer does not pickle
            kind = type(answer.value if isinstance(answer, Done) else answer).__name__
            pipe.send(raised(TypeError(f"{kind} cannot be sent back: {error}")))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # workers are always children
    parent.join()
    os._exit(1)
