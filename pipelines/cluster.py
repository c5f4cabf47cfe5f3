"""Tasks on a Ray cluster, started here or running already.

Plain tasks, bounded in flight. Ray's workers stay small: each keeps a process at its side that does the work
(`pipelines.processes`), so that a task is guarded, timed and explained as on a single machine, and a fresh process
costs no Ray worker. What is lost with a worker or a node is started again from here, and counted per task.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Hashable
from heapq import heappop, heappush
from typing import Any

from handful import InputError, JobError
from pipelines.faults import Limits, Loss, Queue, Strikes
from pipelines.processes import Answer, Refused, Worker

# Where tasks are so quick that handing them out takes longer, one of Ray's does as many of ours as take so long [s],
# and no more than so many.
_BRIEFLY, _MOST = 0.1, 16
# Tasks that one of Ray's does, each with its key.
Bundle = list[tuple[Hashable, Any]]
# Of a Ray worker: the process at its side, while it is idle.
_AT_HAND: list[Worker] = []


def run_on_ray(
    function: Callable[[Any], Any], queue: Queue, workers: int, address: str, limits: Limits, cpus: int
) -> Generator[tuple[Any, Any], None, None]:
    """Yield (key, result or `Failure`) as tasks finish on a cluster; see `pipelines.executors.run_tasks`."""
    import ray  # heavy, and absent where nothing needs it

    started = not ray.is_initialized()
    if started:
        start_ray(address, workers * cpus)
    strikes = Strikes(limits)
    running: dict[Any, Bundle] = {}
    # What was lost with a node, by when to start it again: until Ray has noticed, it sends tasks there.
    later: list[tuple[float, int, Hashable, Any]] = []
    # What was lost in company, so that nobody knows to whom: it is tried again alone.
    alone: set[Hashable] = set()
    lost = 0
    try:
        # Ray's own retries are as blind as they are many: what was lost is started again below, and counted.
        task = ray.remote(_beside).options(num_cpus=cpus, max_retries=0)
        while queue or running or later:
            while later and later[0][0] <= time.monotonic():
                queue.appendleft(heappop(later)[2:])
            while queue and len(running) < workers:
                bundle = _next(queue, min(strikes.within(_BRIEFLY), -(-len(queue) // workers), _MOST), alone)
                work = [(argument, strikes.patience(key)) for key, argument in bundle]
                running[task.remote(function, work, limits, cpus)] = bundle
            pause = max(0.0, later[0][0] - time.monotonic()) if later else None
            if not running:
                time.sleep(pause or 0.0)
                continue
            finished, _ = ray.wait(list(running), num_returns=1, timeout=pause)
            for reference in finished:
                bundle = running.pop(reference)
                for (key, argument), answer in zip(bundle, _answers(reference, len(bundle)), strict=True):
                    if isinstance(answer, Refused):
                        raise answer.error
                    if not isinstance(answer, Loss):
                        strikes.done(key, answer.seconds)
                        yield key, answer.value
                    elif (failure := strikes.lost(key, answer)) is not None:
                        yield key, failure
                    elif answer.cause == "node":
                        lost += 1
                        alone.add(key)
                        heappush(later, (time.monotonic() + strikes.pause(key), lost, key, argument))
                    else:
                        queue.appendleft((key, argument))
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if started:
            ray.shutdown()


def _next(queue: Queue, most: int, alone: set[Hashable]) -> Bundle:
    """Take what is to be done by one task of Ray's from the left of the queue: 1 to `most` of ours."""
    bundle = [queue.popleft()]
    while queue and len(bundle) < most and bundle[0][0] not in alone and queue[0][0] not in alone:
        bundle.append(queue.popleft())
    return bundle


def _beside(
    function: Callable[[Any], Any], work: list[tuple[Any, float | None]], limits: Limits, cpus: int
) -> list[Answer]:
    """On a Ray worker: do tasks, each an argument and its patience [s], in the process at its side."""
    answers = []
    for argument, patience in work:
        worker = _AT_HAND.pop() if _AT_HAND else Worker((os.cpu_count() or 1) // cpus)
        worker.give("task", function, argument, patience)
        answers.append(worker.answer())
        if not worker.gone and worker.worn(limits):
            worker.stop()
        if not worker.gone:
            _AT_HAND.append(worker)
    return answers


def _answers(reference: Any, count: int) -> list[Answer]:
    """What became of a bundle of so many tasks."""
    import ray

    try:
        answers: list[Answer] = ray.get(reference)
    except ray.exceptions.OutOfMemoryError:
        loss = Loss("memory", "and Ray stopped its worker")
        return [loss] if count == 1 else [Loss("node")] * count
    except (ray.exceptions.NodeDiedError, ray.exceptions.LocalRayletDiedError, ray.exceptions.ObjectLostError):
        return [Loss("node")] * count
    except ray.exceptions.WorkerCrashedError:
        # What the task itself does befalls the process at the worker's side.
        return [Loss("node")] * count
    except ray.exceptions.RayError as error:
        text = " ".join(str(error).split())
        raise JobError(f"Ray cannot run tasks: {type(error).__name__}: {text[:400]}") from error
    return answers


def start_ray(address: str, cpus: int) -> None:
    """Start Ray here, or join a cluster.

    Args:
        address: "local", "auto", "host:port" or "ray://host:port".
        cpus: of a cluster started here.

    Raises:
        InputError: that is no address.
        JobError: nothing answers there.
    """
    import ray

    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    # Ray puts its own handler in place, which leaves at once and without a word.
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        if address == "local":
            # Nothing large goes through the object store: keep it at its smallest.
            small = 100 * 1024**2
            ray.init("local", num_cpus=cpus, include_dashboard=False, object_store_memory=small, **quiet)
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
