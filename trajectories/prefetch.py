"""Prepare the next steps in background threads while the current one is being learnt from."""

import threading
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")


def prefetch(make: Callable[[S], T], steps: Iterable[S], threads: int = 1, depth: int = 2) -> Generator[T, None, None]:
    """Yield `make(step)` for each step, in order, some of them made ahead.

    The steps are handed out one by one, so `make` must give the same whatever it made before; then the result does not
    depend on the number of threads. An exception raised for a step is raised here in its place, and nothing after it is
    made. Closing the iterator, or breaking out of a loop over it, ends the threads.

    Args:
        make: called from several threads at once where `threads` is more than 1.
        steps: may be endless.
        threads: how many are made at the same time.
        depth: how many are made ahead, at least `threads`.
    """
    shared = _Shared(make, iter(steps), max(depth, threads, 1))
    workers = [threading.Thread(target=shared.work, name="prefetch", daemon=True) for _ in range(max(threads, 1))]
    for worker in workers:
        worker.start()
    try:
        yield from shared.results()
    finally:
        shared.stop()
        for worker in workers:
            worker.join()


class _Shared(Generic[S, T]):
    """What the threads of one `prefetch` share, all of it behind one lock."""

    def __init__(self, make: Callable[[S], T], steps: Iterable[S], depth: int) -> None:
        self._make, self._steps, self._depth = make, iter(steps), depth
        self._changed = threading.Condition()
        # Numbers of the next step to hand out and of the next result to give.
        self._taken = self._given = 0
        self._made: dict[int, tuple[T | None, BaseException | None]] = {}
        # No more steps are handed out.
        self._over = False

    def work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._taken < self._given + self._depth)
                if self._over:
                    return
                number = self._taken
                try:
                    step = next(self._steps)
                except StopIteration:
                    self._over = True
                    self._changed.notify_all()
                    return
                except BaseException as error:  # handed to the consumer, whatever it is
                    self._taken += 1
                    self._finish(number, None, error)
                    return
                self._taken += 1
            made: T | None = None
            failure: BaseException | None = None
            try:
                made = self._make(step)
            except BaseException as error:  # handed to the consumer, whatever it is
                failure = error
            with self._changed:
                self._finish(number, made, failure)

    def _finish(self, number: int, made: T | None, failure: BaseException | None) -> None:
        self._made[number] = (made, failure)
        self._over = self._over or failure is not None
        self._changed.notify_all()

    def results(self) -> Generator[T, None, None]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._given in self._made or (self._over and self._given >= self._taken))
                if self._given not in self._made:
                    return
                made, failure = self._made.pop(self._given)
                self._given += 1
                self._changed.notify_all()
            if failure is not None:
                raise failure
            yield made  # type: ignore[misc]

    def stop(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
