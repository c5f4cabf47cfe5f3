"""What all tests share: nothing of the caller's environment may change a result, and no test may reach the network."""

import os
import sys
from collections.abc import Iterator

import hypothesis
import pytest

# The same examples in every run, so that a change is judged by what it changed; `pytest -m trial` looks for new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("searching", deadline=None)
# Read when the libraries are first imported, so set before any test module is.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def pytest_configure(config: pytest.Config) -> None:
    trial = config.getoption("markexpr") == "trial"
    hypothesis.settings.load_profile("searching" if trial else "repeatable")


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is laid out the same on every terminal."""
    for name in ("FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(autouse=True)
def _hand_on_the_context() -> Iterator[None]:
    """The process's OpenGL context is current in one thread alone; a test that has drawn leaves it to the next."""
    yield
    if "sim.opengl" in sys.modules:
        sys.modules["sim.opengl"].release_context()
