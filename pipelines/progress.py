"""What a long job says while it runs: count, rate, time left, outcomes by cause.

On a terminal one line is redrawn in place; elsewhere (a batch job's log) a plain line is added every few seconds; a log
file gets one JSON object per line. All of it goes to stderr or the file, so stdout stays free for results.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

# Seconds between two plain lines, and between two lines of the log file.
_PLAIN_EVERY = 5.0
_LOG_EVERY = 1.0


class Progress:
    """The progress of one job. Also a context manager that closes itself.

    Args:
        label: what the job does, e.g. "generate".
        total: how many units it has; None: not known.
        quiet: show nothing; the log file is still written.
        log: file to append JSON lines to.
        resumed: how many units were done before this run; they do not count in the rate.
        stream: where to show it; stderr unless a test looks.
        clock: seconds from any origin; monotonic.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        quiet: bool = False,
        log: Path | None = None,
        *,
        resumed: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self.total = total
        self.done = resumed
        self.outcomes: dict[str, int] = {}
        self.note = ""
        self.counts: dict[str, Any] = {}
        self._clock = clock
        self._start = clock()
        self._resumed = resumed
        self._last_plain = self._last_log = -math.inf
        self._shown = ""
        self._stream = sys.stderr if stream is None else stream
        self._log = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log = log.open("a", encoding="utf-8")
        self._quiet = quiet
        self._live: Live | None = None
        if not quiet and self._stream.isatty():
            self._live = Live(console=Console(file=self._stream), get_renderable=self._render, refresh_per_second=4)
            self._live.start()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A job that failed before its first unit has no progress to show: its error says it all.
        if kind is not None and self.done == self._resumed and self._live is None:
            self._quiet = True
        self.close()

    def update(
        self,
        done: int,
        outcomes: Mapping[str, int] | None = None,
        note: str = "",
        counts: Mapping[str, Any] | None = None,
    ) -> None:
        """Say how far the job is.

        Args:
            done: units done in all, of `total`, resumed ones included.
            outcomes: count by cause so far.
            note: a few words about now, e.g. "loss 0.031".
            counts: whatever else the log file is to hold, as JSON types.
        """
        if counts is not None:
            self.counts = dict(counts)
        self.done = done
        if outcomes is not None:
            self.outcomes = dict(outcomes)
        self.note = note
        now = self._clock()
        if self._log is not None and now - self._last_log >= _LOG_EVERY:
            self._write_log(now)
        if self._live is None and not self._quiet and now - self._last_plain >= _PLAIN_EVERY:
            self._write_plain(now)

    def say(self, sentence: str) -> None:
        """Tell of something that happened, above the line of progress and in the log file."""
        if self._live is not None:
            self._live.console.print(Text(sentence))
        elif not self._quiet:
            self._stream.write(f"{self.label}  {sentence}\n")
            self._stream.flush()
        if self._log is not None:
            record = {"label": self.label, "seconds": round(self._clock() - self._start, 3), "event": sentence}
            self._log.write(json.dumps(record) + "\n")
            self._log.flush()

    def close(self) -> None:
        """Show and log the final state; calling it again does nothing."""
        now = self._clock()
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._quiet = True
        elif not self._quiet:
            self._write_plain(now)
            self._quiet = True
        if self._log is not None:
            self._write_log(now)
            self._log.close()
            self._log = None

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def rate(self) -> float | None:
        """Units per second since the start, or None while there is nothing to divide."""
        elapsed = self.elapsed()
        gained = self.done - self._resumed
        return gained / elapsed if elapsed > 0 and gained > 0 else None

    def seconds_left(self) -> float | None:
        """Time to the end at the rate so far [s]; None where the total or the rate is unknown."""
        rate = self.rate()
        if self.total is None or rate is None:
            return None
        return max(0, self.total - self.done) / rate

    def line(self) -> str:
        """The state as one line of text."""
        count = f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"
        parts = [f"{self.label}  {count}"]
        rate = self.rate()
        if rate is not None:
            parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{rate * 3600:,.0f}/h")
        left = self.seconds_left()
        if left is not None and left > 0:
            parts.append(f"{duration(left)} left")
        elif self.total is not None and self.done >= self.total:
            parts.append(f"in {duration(self._clock() - self._start)}")
        causes = sorted(self.outcomes.items(), key=lambda item: (-item[1], item[0]))
        if causes:
            parts.append(", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in causes))
        if self.note:
            parts.append(self.note)
        return "  ·  ".join(parts)

    def _render(self) -> Text:
        return Text(self.line(), overflow="ellipsis", no_wrap=True)

    def _write_plain(self, now: float) -> None:
        line = self.line()
        if line != self._shown:
            self._stream.write(line + "\n")
            self._stream.flush()
            self._shown = line
        self._last_plain = now

    def _write_log(self, now: float) -> None:
        assert self._log is not None  # callers check
        record = {
            "label": self.label,
            "seconds": round(now - self._start, 3),
            "done": self.done,
            "total": self.total,
            "rate": self.rate(),
            "seconds_left": self.seconds_left(),
            "outcomes": self.outcomes,
            "note": self.note,
            **self.counts,
        }
        self._log.write(json.dumps(record) + "\n")
        self._log.flush()
        self._last_log = now


class Reporter:
    """What a verb hands to its job: opens a `Progress` for each stage and prints the odd sentence between them."""

    def __init__(self, quiet: bool = False, log: Path | None = None, stream: TextIO | None = None) -> None:
        self.quiet = quiet
        self.log = log
        self._stream = stream

    def __call__(self, label: str, total: int | None = None, resumed: int = 0) -> Progress:
        """Start showing a stage of `total` units, `resumed` of which were done before."""
        return Progress(label, total, self.quiet, self.log, resumed=resumed, stream=self._stream)

    def say(self, sentence: str) -> None:
        """Print one line, unless quiet."""
        if not self.quiet:
            print(sentence, file=self._stream or sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time span as people say it: "8 s", "3 min 20 s", "5 h 02 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"
