"""The three executors behave alike: unordered results, errors, workers that die, hang or wear out, closing early."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from handful import InputError, JobError
from pipelines.cluster import start_ray
from pipelines.executors import run_tasks
from pipelines.faults import Failure, Limits, Loss, Strikes
from pipelines.processes import worker_environment
from tests.pipelines import executor_tasks as tasks

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable_in_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="module")
def ray_local():
    """One Ray for the module: starting it takes seconds. `run_tasks` uses a Ray that is already there."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        start_ray("local", 2)
        yield
        ray.shutdown()


@pytest.fixture(params=["process", "ray"])
def guarded(request: pytest.FixtureRequest) -> str | None:
    """The address of each executor whose tasks run in processes of their own."""
    if request.param == "process":
        return None
    request.getfixturevalue("ray_local")
    return "local"


def run(function, arguments, workers, address=None, limits=None):
    queue = deque(enumerate(arguments))
    return run_tasks(function, queue, workers, address, limits)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _wait_for(condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_in_process_runs_in_order_here():
    assert list(run(tasks.square, [1, 2, 3], workers=0)) == [(0, 1), (1, 4), (2, 9)]
    assert list(run(tasks.process_id, [None], workers=0)) == [(0, os.getpid())]


def test_processes_return_every_result_once_from_elsewhere(guarded):
    assert dict(run(tasks.square, list(range(20)), 2, guarded)) == {i: i * i for i in range(20)}
    pids = {pid for _, pid in run(tasks.process_id, [None] * 4, 2, guarded)}
    assert os.getpid() not in pids
    assert len(pids) <= 2


@pytest.mark.parametrize("workers", [0, 2])
def test_no_tasks_is_no_results(workers):
    assert list(run(tasks.square, [], workers=workers)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_tasks_may_be_added_while_others_run(workers):
    queue = deque([("first", 2)])
    found = {}
    for key, result in run_tasks(tasks.square, queue, workers):
        found[key] = result
        if key == "first":
            queue.append(("second", result))
    assert found == {"first": 4, "second": 16}


def test_what_a_task_raises_is_told_with_its_trace_and_not_tried_again(guarded):
    [(_, failure)] = run(tasks.fail, ["the wrist is\nupside down"], 1, guarded)
    assert isinstance(failure, Failure)
    assert str(failure) == "it failed: ValueError: the wrist is upside down"
    assert failure.tries == 1
    assert "executor_tasks.py" in failure.last.trace


def test_what_a_task_raises_here_is_told_alike():
    [(_, failure)] = run(tasks.fail, ["boom"], 0)
    assert str(failure) == "it failed: ValueError: boom"


def test_an_explained_error_ends_the_run(guarded):
    with pytest.raises(InputError, match=r"^no such camera$"):
        list(run(tasks.fail_politely, ["no such camera"], 1, guarded))
    with pytest.raises(InputError, match=r"^no such camera$"):
        list(run(tasks.fail_politely, ["no such camera"], 0))


def test_a_result_that_cannot_travel_is_a_failure(guarded):
    [(_, failure)] = run(tasks.unpicklable, [None], 1, guarded)
    assert "function cannot be sent back" in str(failure)


def test_a_killed_worker_costs_one_try(tmp_path, guarded):
    arguments = [str(tmp_path / f"marker{i}") for i in range(3)]
    assert dict(run(tasks.die_once, arguments, 2, guarded)) == dict.fromkeys(range(3), "survived")


def test_a_task_that_always_kills_its_worker_is_given_up_and_the_others_are_done(tmp_path, guarded):
    counter = tmp_path / "starts"
    calls = [("die_always", str(counter)), ("die_once", str(tmp_path / "marker"))]
    results = dict(run(tasks.either, calls, 1, guarded))
    assert str(results[0]) == "its process died with exit code 3, 3 times of 3"
    assert results[1] == "survived"
    assert len(counter.read_text()) == Limits().tries == 3


def test_a_task_that_hangs_is_stopped_by_its_watchdog_with_a_trace(tmp_path, guarded):
    pid_file = tmp_path / "pid"
    calls = [("write_then_sleep", str(pid_file)), ("square_of", "3")]
    results = dict(run(tasks.either, calls, 1, guarded, Limits(tries=2, patience=0.4)))
    assert str(results[0]) == "its process hung and was stopped, 2 times of 2"
    assert "in write_then_sleep" in results[0].last.trace
    assert results[1] == 9
    assert not _alive(int(pid_file.read_text()))


def test_a_task_that_hangs_here_is_stopped_as_well():
    before = signal.getsignal(signal.SIGALRM)
    calls = [("sleep", "60"), ("square_of", "3")]
    results = dict(run(tasks.either, calls, 0, None, Limits(tries=2, patience=0.2)))
    assert str(results[0]) == "its process hung and was stopped, 2 times of 2"
    assert "in sleep" in results[0].last.trace
    assert results[1] == 9
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_task_deaf_to_python_is_stopped_as_well():
    """As native code may, it holds the interpreter's lock, so that no other thread of Python's runs."""
    [(_, failure)] = run(tasks.hold_the_lock, [None], 1, None, Limits(tries=1, patience=0.4))
    assert failure.last.cause == "hung"


def test_a_task_without_memory_is_tried_again_in_a_fresh_process(tmp_path, guarded):
    [(_, pids)] = run(tasks.no_memory_once, [str(tmp_path / "pid")], 1, guarded)
    assert pids[0] != pids[1]


def test_a_second_hang_comes_after_twice_the_time():
    strikes = Strikes(Limits(tries=3, patience=10.0))
    assert strikes.patience("chunk") == 10.0
    assert strikes.lost("chunk", Loss("hung")) is None
    assert strikes.patience("chunk") == 20.0
    assert strikes.patience("another") == 10.0


def test_patience_follows_the_pace_of_what_is_done():
    strikes = Strikes(Limits(patience=10.0))
    for seconds in (1.0, 2.0, 100.0):
        strikes.done("chunk", seconds)
    assert strikes.patience("chunk") == 20 * 2.0


def test_the_time_is_not_doubled_once_the_pace_is_known():
    strikes = Strikes(Limits(tries=3, patience=10.0))
    for number in range(5):
        strikes.done(number, 1.0)
    strikes.lost("chunk", Loss("hung"))
    assert strikes.patience("chunk") == 20.0 * 1.0


def test_lost_machines_do_not_count_as_the_tasks_tries():
    strikes = Strikes(Limits(tries=2))
    pauses = []
    for _ in range(9):
        assert strikes.lost("chunk", Loss("node")) is None
        pauses.append(strikes.pause("chunk"))
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    failure = strikes.lost("chunk", Loss("node"))
    assert failure is not None
    assert str(failure) == "its Ray worker or node was lost, 10 times of 10"


def test_workers_make_room_for_fresh_ones_after_so_many_tasks(guarded):
    pids = [pid for _, pid in run(tasks.process_id, [None] * 6, 1, guarded, Limits(tasks=2))]
    # On Ray the first may be an older one, and the last stays at hand.
    assert max(pids.count(pid) for pid in pids) == 2
    assert len(set(pids)) in (3, 4)
    assert _wait_for(lambda: not any(_alive(pid) for pid in set(pids) - {pids[-1]}))


def test_workers_that_grow_make_room_for_fresh_ones(guarded):
    pids = [pid for _, pid in run(tasks.keep_megabytes, [1, 300, 1], 1, guarded, Limits(growth=250 * 2**20))]
    assert pids[0] == pids[1] != pids[2]


def test_closing_early_stops_the_workers(tmp_path, guarded):
    first = tmp_path / "marker"
    first.touch()
    pid_file = tmp_path / "pid"
    results = run(tasks.either, [("die_once", str(first)), ("write_then_sleep", str(pid_file))], 2, guarded)
    assert next(results) == (0, "survived")
    assert _wait_for(lambda: pid_file.exists() and pid_file.read_text())
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 5
    assert _wait_for(lambda: not _alive(int(pid_file.read_text())), 2)


def test_workers_get_one_linear_algebra_thread(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [value for _, value in run(tasks.threads, [None], workers=1)] == ["1"]
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_thread_count_of_the_callers_is_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert worker_environment(2)["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_leave_with_their_parent(tmp_path, how):
    pid_file = tmp_path / "pid"
    script = tmp_path / "parent.py"
    script.write_text(
        "import signal\n"
        "from collections import deque\n"
        "from tests.pipelines import executor_tasks as tasks\nfrom pipelines.executors import run_tasks\n"
        # A job started in the background of a script inherits an ignored SIGINT.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"if __name__ == '__main__':\n    list(run_tasks(tasks.write_then_sleep, deque([(0, {str(pid_file)!r})]), 1))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, cwd=ROOT)
    assert _wait_for(lambda: pid_file.exists() and pid_file.read_text(), 30)
    parent.send_signal(how)
    _, errors = parent.communicate(timeout=10)
    assert (b"KeyboardInterrupt" in errors) == (how == signal.SIGINT)
    assert _wait_for(lambda: not _alive(int(pid_file.read_text())))


@pytest.mark.parametrize(
    ("guard", "fed", "message"),
    [
        ("", False, "workers end before they can work, with exit code 1; they import the script that runs"),
        ("if __name__ == '__main__': ", True, "workers cannot start: each imports the script that runs, and '<stdin>'"),
        ("1 / (__name__ == '__main__'); ", False, "workers end before they can work, with exit code 1"),
    ],
)
def test_workers_that_cannot_start_are_told_once(tmp_path, guard, fed, message):
    script = tmp_path / "script.py"
    script.write_text(
        "from collections import deque\n"
        "from tests.pipelines import executor_tasks as tasks\nfrom pipelines.executors import run_tasks\n"
        f"{guard}list(run_tasks(tasks.square, deque((i, i) for i in range(20)), 1))\n"
    )
    command, given = ([sys.executable], script.read_bytes()) if fed else ([sys.executable, str(script)], None)
    environment = {**os.environ, "PYTHONPATH": "."}
    run = subprocess.run(command, input=given, capture_output=True, cwd=ROOT, env=environment, check=False)
    *_, last = run.stderr.decode().splitlines()
    assert run.returncode == 1
    assert last.startswith(f"handful.JobError: {message}")
    assert run.stderr.count(b"Traceback") == (2 if "/" in guard else 1)  # its own, and what the worker said if anything


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers must be >= 0, got -1"),
        ({"workers": 0, "address": "auto"}, "Ray at 'auto' needs workers >= 1, got 0"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(options, message):
    with pytest.raises(InputError, match=message):
        run(tasks.square, [1], **options)


@pytest.mark.parametrize(
    ("limits", "message"), [({"tries": 0}, "at least once, got tries=0"), ({"patience": 0.0}, "above 0 s, got 0")]
)
def test_limits_that_nothing_meets_are_refused(limits, message):
    with pytest.raises(InputError, match=message):
        Limits(**limits)


@pytest.mark.usefixtures("ray_local")
def test_ray_workers_get_the_thread_counts():
    assert [value for _, value in run(tasks.threads, [None], 2, "local")] == ["1"]


def test_quick_tasks_are_told_from_slow_ones():
    strikes = Strikes(Limits())
    assert strikes.within(1.0) == 1  # nothing is known yet
    for number in range(5):
        strikes.done(number, 0.1)
    assert (strikes.within(1.0), strikes.within(0.01)) == (10, 1)


@pytest.mark.usefixtures("ray_local")
def test_quick_tasks_share_one_of_rays_and_one_that_dies_costs_the_others_nothing(tmp_path):
    calls = [("square_of", str(i)) for i in range(40)]
    calls[20] = ("die_once", str(tmp_path / "marker"))
    calls[30] = ("die_always", str(tmp_path / "starts"))
    results = dict(run(tasks.either, calls, 1, "local"))
    assert results.pop(20) == "survived"
    assert str(results.pop(30)) == "its process died with exit code 3, 3 times of 3"
    assert results == {i: i * i for i in range(40) if i not in (20, 30)}


@pytest.mark.usefixtures("ray_local")
def test_a_worker_lost_with_a_bundle_costs_each_of_it_a_start(tmp_path):
    calls = [("square_of", str(i)) for i in range(20)]
    calls[15] = ("kill_parent_once", str(tmp_path / "pid"))
    results = dict(run(tasks.either, calls, 1, "local"))
    pids = results.pop(15)
    assert pids[0] != pids[1]
    assert results == {i: i * i for i in range(20) if i != 15}


@pytest.mark.usefixtures("ray_local")
def test_a_killed_ray_worker_costs_one_try(tmp_path):
    """The worker itself, that is, and with it the process at its side."""
    [(_, pids)] = run(tasks.kill_parent_once, [str(tmp_path / "pid")], 1, "local")
    assert pids[0] != pids[1]
    assert _wait_for(lambda: not _alive(pids[0]))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_unreachable_ray_is_one_line_at_once(address):
    with pytest.raises(JobError, match=rf"^cannot reach Ray at '{re.escape(address)}': .*refused"):
        start_ray(address, 1)
