"""Progress says how much, how fast, how long and why, to whoever looks."""

import io
import json

import pytest

from pipelines.progress import Progress, Reporter, duration


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_line_has_count_rate_time_left_outcomes_and_note(clock, stream):
    progress = Progress("generate", 1000, stream=stream, clock=clock)
    clock.now += 10
    progress.update(200, {"grasp_missed": 30, "success": 170}, note="chunk 3")
    assert (
        progress.line() == "generate  200/1,000  ·  20.0/s  ·  40 s left  ·  success 170, grasp missed 30  ·  chunk 3"
    )


def test_slow_jobs_are_counted_by_the_hour(clock, stream):
    progress = Progress("train", 10, stream=stream, clock=clock)
    clock.now += 60
    progress.update(1)
    assert "60/h" in progress.line()
    assert "9 min 00 s left" in progress.line()


def test_unknown_total_gives_no_time_left(clock, stream):
    progress = Progress("import", None, stream=stream, clock=clock)
    clock.now += 1
    progress.update(5)
    assert progress.seconds_left() is None
    assert progress.line() == "import  5  ·  5.0/s"


def test_what_was_done_before_a_resume_is_not_speed(clock, stream):
    progress = Progress("generate", 1000, resumed=900, stream=stream, clock=clock)
    assert progress.rate() is None
    clock.now += 10
    progress.update(910)
    assert progress.rate() == pytest.approx(1.0)
    assert progress.seconds_left() == pytest.approx(90.0)


def test_a_log_gets_a_plain_line_every_few_seconds_and_a_last_one(clock, stream):
    progress = Progress("generate", 100, stream=stream, clock=clock)
    for done in range(1, 101):
        clock.now += 0.1
        progress.update(done)
    progress.close()
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("generate  1/100")
    assert lines[-1] == "generate  100/100  ·  10.0/s  ·  in 10 s"
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_one_live_line():
    terminal = Terminal()
    with Progress("generate", 10, stream=terminal) as progress:
        progress.update(10, note="[not markup]")
    assert "generate  10/10" in terminal.getvalue()
    assert "[not markup]" in terminal.getvalue()


def test_quiet_shows_nothing_but_still_logs(tmp_path, clock, stream):
    log = tmp_path / "logs" / "progress.jsonl"
    progress = Progress("generate", 4, quiet=True, log=log, stream=stream, clock=clock)
    clock.now += 2
    progress.update(2, {"success": 2}, counts={"kept": 2})
    progress.say("scene 3 is left out")
    progress.close()
    assert stream.getvalue() == ""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert records[-1] == {
        "label": "generate",
        "seconds": 2.0,
        "done": 2,
        "total": 4,
        "rate": 1.0,
        "seconds_left": 2.0,
        "outcomes": {"success": 2},
        "note": "",
        "kept": 2,
    }
    assert records[1] == {"label": "generate", "seconds": 2.0, "event": "scene 3 is left out"}


def test_what_happens_is_told_in_a_line_of_its_own(clock, stream):
    progress = Progress("generate", 4, stream=stream, clock=clock)
    progress.say("scene 3 is left out")
    assert stream.getvalue() == "generate  scene 3 is left out\n"


def test_reporter_opens_stages_and_says_sentences(stream):
    reporter = Reporter(stream=stream)
    reporter.say("recording 10 demos")
    reporter("record", 10).close()
    assert stream.getvalue().splitlines() == ["recording 10 demos", "record  0/10"]


def test_a_job_that_fails_before_it_starts_shows_no_progress(stream):
    with pytest.raises(ValueError, match="no store"), Progress("train", 10, stream=stream):
        raise ValueError("no store")
    assert stream.getvalue() == ""


def test_a_job_that_fails_later_shows_how_far_it_came(stream):
    progress = Progress("train", 10, stream=stream, clock=Clock())
    progress.update(4)
    with pytest.raises(ValueError, match="disk"), progress:
        raise ValueError("disk")
    assert stream.getvalue().splitlines()[-1].startswith("train  4/10")


def test_quiet_reporter_says_nothing(stream):
    reporter = Reporter(quiet=True, stream=stream)
    reporter.say("recording")
    reporter("record", 10).close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (18120, "5 h 02 min")]
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text
