"""One way to run many independent tasks: here, in local processes, or on a Ray cluster.

A task is an importable function of one picklable argument that leaves its results on disk or in a store and returns
something small; frames never travel through an executor. Results come back as tasks finish, in any order, so nothing
that a task writes may depend on where or when it ran.

    workers == 0      in this process, one after another; what hangs in native code or kills a process does so to this
    address given     Ray, at that address; "local" starts one here with `workers` CPUs
    otherwise         `workers` local processes

A task that is lost (`pipelines.faults`) is tried again, up to a limit, and then handed back as a `Failure`. Closing the
iterator stops what is still running.
"""

import traceback
from collections.abc import Callable, Generator
from typing import Any

from handful import InputError
from pipelines.alarm import HungError, alarm
from pipelines.faults import Limits, Loss, Queue, Strikes
from pipelines.processes import Refused, attempt, run_in_processes

Function = Callable[[Any], Any]


def run_tasks(
    function: Function,
    queue: Queue,
    workers: int,
    address: str | None = None,
    limits: Limits | None = None,
    cpus: int = 1,
) -> Generator[tuple[Any, Any], None, None]:
    """Call `function` once for each argument in the queue, and yield (key, result or `Failure`) as calls finish.

    Args:
        function: importable by name in a fresh interpreter.
        queue: one (key, picklable argument) per task; tasks are taken from its left. Whoever consumes the results may
            add to it, and the run ends once it is empty and all is done.
        workers: 0 for this process, else how many tasks run at once, and no more are under way.
        address: a Ray address ("local", "auto", "ray://host:port" or "host:port"), or None for no Ray.
        limits: when a task is lost, when given up, and when a worker makes room for a fresh one.
        cpus: how many CPUs of Ray's a task takes.

    Returns:
        A generator; closing it early stops the tasks that are running and forgets those that wait.

    Raises:
        InputError: at once, for a negative number of workers, or Ray without workers.
        HandfulError: as a task raised it. Any other error of a task is a `Failure`.
    """
    check_workers(workers, address)
    limits = limits or Limits()
    if address is not None:
        from pipelines.cluster import run_on_ray

        return run_on_ray(function, queue, workers, address, limits, cpus)
    if workers == 0:
        return _run_here(function, queue, limits)
    return run_in_processes(function, queue, workers, limits)


def check_workers(workers: int, address: str | None) -> None:
    """Refuse what no executor can do, before anything is made for it.

    Raises:
        InputError: a negative number of workers, or Ray without any.
    """
    if workers < 0:
        raise InputError(f"workers must be >= 0, got {workers}; 0 runs in this process")
    if address is not None and workers == 0:
        raise InputError(f"Ray at '{address}' needs workers >= 1, got 0; leave the address out to run in this process")


def _run_here(function: Function, queue: Queue, limits: Limits) -> Generator[tuple[Any, Any], None, None]:
    strikes = Strikes(limits)
    while queue:
        key, argument = queue.popleft()
        try:
            with alarm(strikes.patience(key)):
                answer = attempt(function, argument)
        except HungError:
            answer = Loss("hung", trace=traceback.format_exc())
        if isinstance(answer, Refused):
            raise answer.error
        if not isinstance(answer, Loss):
            strikes.done(key, answer.seconds)
            yield key, answer.value
        elif (failure := strikes.lost(key, answer)) is not None:
            yield key, failure
        else:
            queue.appendleft((key, argument))
