import threading
import time

import pytest

from trajectories import prefetch


def _threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.mark.parametrize("depth", [1, 2, 10])
def test_items_come_in_order(depth):
    assert list(prefetch(range(50), depth)) == list(range(50))


def test_an_exception_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("broken item")

    ahead = prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken item"):
        next(ahead)


def test_no_more_than_depth_items_are_made_ahead():
    made = []
    ahead = prefetch((made.append(i) or i for i in range(100)), depth=2)
    next(ahead)
    time.sleep(0.3)
    # One handed out, two waiting, one in hand.
    assert len(made) <= 4
    ahead.close()


def test_leaving_the_loop_ends_the_thread():
    for item in prefetch(iter(range(1000)), depth=2):
        if item == 3:
            break
    deadline = time.monotonic() + 5
    while _threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _threads() == []
