"""One way to run many independent tasks: here, in local processes, or on a Ray cluster.

A task is an importable function of one picklable argument that leaves its results on disk or in a store and returns
something small; frames never travel through an executor. Results come back as tasks finish, in any order, so nothing
that a task writes may depend on where or when it ran.

    workers == 0      in this process, one after another
    address given     Ray, at that address; "local" starts one here with `workers` CPUs
    otherwise         `workers` local processes

A task whose process dies (killed for memory, a crash in native code) is tried again, at most `MAX_TRIES` times in all;
a task that raises is not: its error ends the run. Closing the iterator stops what is still running.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

from handful import HandfulError, InputError, JobError
from pipelines.processes import run_in_processes

# How often a task is started before the machine, not the task's luck, is blamed.
MAX_TRIES = 3

Function = Callable[[Any], Any]


def run_tasks(
    function: Function,
    arguments: Sequence[Any],
    workers: int,
    address: str | None = None,
    in_flight: int | None = None,
) -> Generator[tuple[int, Any], None, None]:
    """Call `function` once for each argument and yield (index of the argument, result) as calls finish.

    Args:
        function: importable by name in a fresh interpreter.
        arguments: one picklable value per task.
        workers: 0 for this process, else how many run at once.
        address: a Ray address ("local", "auto", "ray://host:port" or "host:port"), or None for no Ray.
        in_flight: how many tasks Ray may hold at once; twice the workers unless told otherwise.

    Returns:
        A generator; closing it early stops the tasks that are running and forgets those that wait.

    Raises:
        InputError: at once, for a negative number of workers or of tasks in flight, or Ray without workers.
        HandfulError: as a task raised it.
        JobError: a task raised anything else, or its process died `MAX_TRIES` times.
    """
    check_workers(workers, address)
    if in_flight is not None and in_flight < 1:
        raise InputError(f"in_flight must be >= 1, got {in_flight}")
    if address is not None:
        return _run_on_ray(function, arguments, workers, address, in_flight or 2 * workers)
    if workers == 0:
        return _run_here(function, arguments)
    return run_in_processes(function, arguments, min(workers, max(1, len(arguments))), MAX_TRIES)


def check_workers(workers: int, address: str | None) -> None:
    """Refuse what no executor can do, before anything is made for it.

    Raises:
        InputError: a negative number of workers, or Ray without any.
    """
    if workers < 0:
        raise InputError(f"workers must be >= 0, got {workers}; 0 runs in this process")
    if address is not None and workers == 0:
        raise InputError(f"Ray at '{address}' needs workers >= 1, got 0; leave the address out to run in this process")


def explain(index: int, error: BaseException) -> HandfulError:
    """The error a run ends with when task `index` raised `error`: itself if it explains itself, else a JobError."""
    if isinstance(error, HandfulError):
        return error
    text = " ".join(str(error).split())
    failure = JobError(f"task {index} failed: {type(error).__name__}: {text}")
    failure.__cause__ = error
    return failure


def _run_here(function: Function, arguments: Sequence[Any]) -> Generator[tuple[int, Any], None, None]:
    for index, argument in enumerate(arguments):
        try:
            result = function(argument)
        except Exception as error:
            raise explain(index, error) from error
        yield index, result


def _call(function: Function, argument: Any) -> Any:
    return function(argument)


def _run_on_ray(
    function: Function, arguments: Sequence[Any], workers: int, address: str, in_flight: int
) -> Generator[tuple[int, Any], None, None]:
    import ray  # heavy, and absent where nothing needs it

    started = not ray.is_initialized()
    if started:
        _start_ray(address, workers)
    try:
        task = ray.remote(_call).options(num_cpus=1, max_retries=MAX_TRIES - 1, retry_exceptions=False)
        indices = iter(range(len(arguments)))
        running: dict[Any, int] = {}
        try:
            while True:
                while len(running) < in_flight and (index := next(indices, None)) is not None:
                    running[task.remote(function, arguments[index])] = index
                if not running:
                    return
                finished, _ = ray.wait(list(running), num_returns=1)
                for reference in finished:
                    index = running.pop(reference)
                    yield index, _ray_result(reference, index)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
    finally:
        if started:
            ray.shutdown()


def _ray_result(reference: Any, index: int) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise explain(index, error.cause if isinstance(error.cause, Exception) else error) from error
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as error:
        raise JobError(f"task {index} was started {MAX_TRIES} times and its worker died each time") from error


def _start_ray(address: str, workers: int) -> None:
    import ray

    # The project must be installed where the workers run; only the thread counts travel there.
    quiet: dict[str, Any] = {
        "logging_level": "ERROR",
        "log_to_driver": False,
        "runtime_env": {"env_vars": worker_environment(1)},
    }
    # Ray puts its own handler in place, which leaves at once and without a word.
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        if address == "local":
            # Nothing large goes through the object store: keep it at its smallest.
            small = 100 * 1024**2
            ray.init("local", num_cpus=workers, include_dashboard=False, object_store_memory=small, **quiet)
        else:
            _knock(address)
            ray.init(address, **quiet)
    except SystemExit:  # Ray's own answer to SIGTERM
        raise KeyboardInterrupt from None
    except ValueError as error:  # Ray's word for an address that is none
        raise InputError(
            f"'{address}' is no address of Ray's ({error}); give 'local', 'auto', 'HOST:PORT' or 'ray://HOST:PORT'"
        ) from error
    except (OSError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise JobError(f"cannot reach Ray at '{address}': {text[:200]}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)


def _knock(address: str) -> None:
    """Open and close a connection to the address's port: Ray itself tries a dead one for minutes before it says so."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def worker_environment(workers: int) -> dict[str, str]:
    """Thread counts for each of `workers` processes on this machine, unless the caller's environment sets them.

    One thread for linear algebra everywhere, so that a product's last bits depend on nothing but its operands; what is
    left of the cores goes to software rendering, whose frames are the same at any thread count.
    """
    share = max(1, (os.cpu_count() or 1) // max(1, workers))
    chosen = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    chosen["LP_NUM_THREADS"] = str(share)
    return {name: os.environ.get(name, value) for name, value in chosen.items()}
