import itertools
import threading
import time

import pytest

from trajectories import prefetch


def _threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def _gone():
    deadline = time.monotonic() + 5
    while _threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    return _threads() == []


def _square(step):
    # The later ones of a few are quicker, so threads finish out of order.
    time.sleep(0.002 * (3 - step % 4))
    return step * step


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("depth", [1, 2, 10])
def test_results_come_in_order_whatever_the_number_of_threads(threads, depth):
    assert list(prefetch(_square, range(40), threads, depth)) == [step * step for step in range(40)]
    assert _gone()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_exception_comes_in_its_place_and_ends_it(threads):
    def make(step):
        time.sleep(0.002 * (3 - step % 4))
        if step == 5:
            raise ValueError("broken item")
        return step

    made = prefetch(make, itertools.count(), threads)
    assert [next(made) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="broken item"):
        next(made)
    with pytest.raises(StopIteration):
        next(made)
    assert _gone()


def test_an_exception_of_the_steps_themselves_comes_after_those_before_it():
    def steps():
        yield 1
        raise ValueError("broken steps")

    made = prefetch(str, steps(), threads=2)
    assert next(made) == "1"
    with pytest.raises(ValueError, match="broken steps"):
        next(made)
    assert _gone()


@pytest.mark.parametrize(("threads", "depth", "most"), [(1, 2, 3), (3, 2, 4), (2, 6, 7)])
def test_no_more_than_depth_are_made_ahead(threads, depth, most):
    made = []
    ahead = prefetch(lambda step: made.append(step) or step, itertools.count(), threads, depth)
    next(ahead)
    time.sleep(0.3)
    # One handed out, and as many waiting as may be.
    assert len(made) <= most
    ahead.close()


def test_threads_work_at_the_same_time():
    barrier = threading.Barrier(3, timeout=10)
    # Each step waits for two others, so one thread alone would never finish.
    assert list(prefetch(lambda step: barrier.wait() * 0 + step, range(9), threads=3)) == list(range(9))


def test_leaving_the_loop_ends_the_threads():
    for item in prefetch(_square, range(1000), threads=3):
        if item == 9:
            break
    assert _gone()


def test_closing_before_the_first_item_starts_nothing():
    prefetch(_square, range(3)).close()
    assert _threads() == []
