"""Where the `handful` command starts: ready for Ctrl-C before anything slow is imported."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run the command line. Until it takes over the signals itself, being stopped is one line and no traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from pipelines.cli import main as run

    run()


def _leave(number: int, frame: FrameType | None) -> None:
    # Nothing has begun, so nothing is to be tidied up; raising could surface anywhere inside a half-made import.
    os.write(2, b"error: stopped\n")
    os._exit(1)
