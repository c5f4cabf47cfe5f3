"""The three executors behave alike: unordered results, errors, dying workers, closing early."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handful import InputError, JobError
from pipelines.executors import MAX_TRIES, _start_ray, run_tasks, worker_environment
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
        _start_ray("local", 2)
        yield
        ray.shutdown()


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
    assert list(run_tasks(tasks.square, [1, 2, 3], workers=0)) == [(0, 1), (1, 4), (2, 9)]
    assert list(run_tasks(tasks.process_id, [None], workers=0)) == [(0, os.getpid())]


def test_processes_return_every_result_once_from_elsewhere():
    assert dict(run_tasks(tasks.square, list(range(20)), workers=2)) == {i: i * i for i in range(20)}
    pids = {pid for _, pid in run_tasks(tasks.process_id, [None] * 4, workers=2)}
    assert os.getpid() not in pids
    assert len(pids) <= 2


@pytest.mark.parametrize("workers", [0, 2])
def test_no_tasks_is_no_results(workers):
    assert list(run_tasks(tasks.square, [], workers=workers)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_tasks_own_error_names_the_task_and_keeps_its_cause(workers):
    with pytest.raises(JobError, match=r"task 0 failed: ValueError: the wrist is upside down") as caught:
        list(run_tasks(tasks.fail, ["the wrist is\nupside down"], workers=workers))
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_explained_error_passes_unchanged(workers):
    with pytest.raises(InputError, match=r"^no such camera$"):
        list(run_tasks(tasks.fail_politely, ["no such camera"], workers=workers))


def test_a_result_that_cannot_travel_is_an_error():
    with pytest.raises(JobError, match="function cannot be sent back"):
        list(run_tasks(tasks.unpicklable, [None], workers=1))


def test_a_killed_worker_costs_one_try(tmp_path):
    arguments = [str(tmp_path / f"marker{i}") for i in range(3)]
    assert dict(run_tasks(tasks.die_once, arguments, workers=2)) == dict.fromkeys(range(3), "survived")


def test_a_task_that_always_kills_its_worker_is_named_after_three_tries(tmp_path):
    counter = tmp_path / "starts"
    with pytest.raises(
        JobError, match="task 0 was started 3 times and its process died each time, last with exit code 3"
    ):
        list(run_tasks(tasks.die_always, [str(counter)], workers=1))
    assert len(counter.read_text()) == MAX_TRIES == 3


def test_closing_early_stops_the_workers(tmp_path):
    first = tmp_path / "marker"
    first.touch()
    pid_file = tmp_path / "pid"
    results = run_tasks(tasks.either, [("die_once", str(first)), ("write_then_sleep", str(pid_file))], workers=2)
    assert next(results) == (0, "survived")
    assert _wait_for(lambda: pid_file.exists() and pid_file.read_text())
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 5
    assert not _alive(int(pid_file.read_text()))


def test_workers_get_one_linear_algebra_thread(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [value for _, value in run_tasks(tasks.threads, [None], workers=1)] == ["1"]
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
        "from tests.pipelines import executor_tasks as tasks\nfrom pipelines.executors import run_tasks\n"
        # A job started in the background of a script inherits an ignored SIGINT.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"if __name__ == '__main__':\n    list(run_tasks(tasks.write_then_sleep, [{str(pid_file)!r}], workers=1))\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, cwd=ROOT)
    assert _wait_for(lambda: pid_file.exists() and pid_file.read_text(), 30)
    parent.send_signal(how)
    _, errors = parent.communicate(timeout=10)
    assert (b"KeyboardInterrupt" in errors) == (how == signal.SIGINT)
    assert _wait_for(lambda: not _alive(int(pid_file.read_text())))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers must be >= 0, got -1"),
        ({"workers": 0, "address": "auto"}, "Ray at 'auto' needs workers >= 1, got 0"),
        ({"workers": 2, "in_flight": 0}, "in_flight must be >= 1, got 0"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(options, message):
    with pytest.raises(InputError, match=message):
        run_tasks(tasks.square, [1], **options)


@pytest.mark.usefixtures("ray_local")
def test_ray_returns_every_result_once_with_few_in_flight():
    assert dict(run_tasks(tasks.square, list(range(6)), 2, "local", in_flight=2)) == {i: i * i for i in range(6)}


@pytest.mark.usefixtures("ray_local")
def test_ray_workers_get_the_thread_counts():
    assert [value for _, value in run_tasks(tasks.threads, [None], 2, "local")] == ["1"]


@pytest.mark.usefixtures("ray_local")
def test_ray_retries_a_killed_worker_and_reports_errors(tmp_path):
    assert list(run_tasks(tasks.die_once, [str(tmp_path / "marker")], 2, "local")) == [(0, "survived")]
    with pytest.raises(JobError, match="task 0 failed: ValueError: boom"):
        list(run_tasks(tasks.fail, ["boom"], 2, "local"))
    with pytest.raises(InputError, match="no such camera"):
        list(run_tasks(tasks.fail_politely, ["no such camera"], 2, "local"))


@pytest.mark.usefixtures("ray_local")
def test_ray_names_a_task_whose_worker_always_dies(tmp_path):
    with pytest.raises(JobError, match="task 0 was started 3 times and its worker died each time"):
        list(run_tasks(tasks.die_always, [str(tmp_path / "starts")], 2, "local"))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_unreachable_ray_is_one_line_at_once(address):
    with pytest.raises(JobError, match=rf"^cannot reach Ray at '{re.escape(address)}': .*refused"):
        _start_ray(address, 1)
