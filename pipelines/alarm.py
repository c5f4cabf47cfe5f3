"""A watchdog over work that is done in this very process.

It can stop what Python code does, not what hangs inside native code: for that a process of its own is needed.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class HungError(BaseException):
    """Raised inside of work whose time is over; no `except Exception` on the way takes it for an error of its own."""


@contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Raise `HungError` in what is done within this context once it has taken so long [s]; None: never.

    Only a process's main thread can be watched; elsewhere this does nothing.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(signum: int, frame: FrameType | None) -> None:
        raise HungError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
