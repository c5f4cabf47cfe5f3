"""The manners that every verb shares: where text goes, what an error looks like, which exit code it gets."""

import errno
import json
import logging
import math
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, ClassVar, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from typer.core import TyperCommand

from handful import HandfulError, InputError, JobError
from pipelines.progress import Reporter

Json = Annotated[bool, typer.Option("--json", help="Last line of stdout is one JSON object; the rest goes to stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[a.b=c]...", help="Configuration overrides.")]
Task = Annotated[str, typer.Option("--task", help="Task name, e.g. lift or stack_three.")]
Robot = Annotated[
    str, typer.Option("--embodiment", metavar="ROBOT", help="panda, ur5e, ..., or a YAML file that describes one.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random stream.")]

_FULL = (errno.ENOSPC, errno.EDQUOT)
# What the command line's parser makes of a KeyboardInterrupt that no verb has dealt with.
_INTERRUPTED = 130


class Output:
    """Where one verb's text goes: results to stdout, progress to stderr; with `--json` all but the JSON to stderr."""

    def __init__(self, as_json: bool, quiet: bool) -> None:
        self._json = as_json
        self.progress = Reporter(quiet)

    @staticmethod
    def overrides(given: Sequence[str] | None) -> list[str]:
        """The verb's `a.b=c` arguments, checked.

        Raises:
            InputError: one of them is something else.
        """
        from pipelines.configuration import check_overrides

        check_overrides(given or ())
        return list(given or ())

    def finish(
        self, result: Mapping[str, Any], human: RenderableType | Mapping[str, Any], failed: bool = False
    ) -> None:
        """Print a verb's result, and end with exit code 1 if the job ran and its answer is bad news."""
        if isinstance(human, Mapping):
            human = "\n".join(f"{name}: {value}" for name, value in human.items())
        file = sys.stderr if self._json else sys.stdout
        wide = None if file.isatty() else 160  # a log's reader scrolls; a wrapped table cannot be searched
        shown = Text(human) if isinstance(human, str) else human
        Console(file=file, width=wide, soft_wrap=isinstance(human, str)).print(shown, highlight=False)
        file.flush()
        if self._json:
            print(json.dumps(plain(result), allow_nan=False), flush=True)
        if failed:
            raise typer.Exit(1)


def plain(value: Any) -> Any:
    """A value as JSON types: NumPy scalars become numbers, paths become text, what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Verb(TyperCommand):
    """A command whose repeatable options also take several values at once: `--data a.zarr b.zarr lr=1e-4`.

    Values follow the option until the next option, an override (`a.b=c`), or anything its pattern does not know.
    """

    lists: ClassVar[Mapping[str, str]] = {}

    @staticmethod
    def of(**lists: str) -> type["Verb"]:
        """The class for a command with these repeatable options: name -> pattern of what a value looks like."""
        return type("Verb", (Verb,), {"lists": {f"--{name}": pattern for name, pattern in lists.items()}})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        option = None
        for position, word in enumerate(args):
            if word.startswith("-"):
                option = word if word in self.lists else None
            elif option is not None and position and args[position - 1] != option:
                if "=" not in word and re.fullmatch(self.lists[option], word):
                    spread.append(option)
                else:
                    option = None
            spread.append(word)
        return super().parse_args(ctx, spread)


def names_of(what: str, text: str) -> tuple[str, ...]:
    """The names in "a,b".

    Raises:
        InputError: one of them is there twice.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{what} '{repeated[0]}' is named twice in '{text}'")
    return names


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Around a job that commits as it goes: a Ctrl-C says what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise JobError(
            f"stopped; everything committed to '{out}' so far is kept and the same command resumes"
        ) from None


def run_verbs(app: typer.Typer) -> NoReturn:
    """Run the command line and leave with its exit code; every expected failure is one line on stderr."""
    # A batch system's SIGTERM is a Ctrl-C; and a shell script starts its background jobs deaf to Ctrl-C.
    stopped = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        code = app(standalone_mode=False)
        # A library may also have swallowed the interrupt, and the work gone on to its end.
        if stopped or code == _INTERRUPTED:
            _fail("stopped", 1)
        sys.exit(code if isinstance(code, int) else 0)
    except HandfulError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped", 1)
    except BrokenPipeError:
        # Whoever read our output has left: nothing to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if stopped:  # an interrupted import or library call may answer with any error of its own
            _fail("stopped", 1)
        if isinstance(error, OSError):
            _fail_system(error)
        # Usage errors of the command line's own parser explain themselves, whichever class this version gives them.
        explain = getattr(error, "format_message", None)
        if explain is not None:
            _fail_usage(explain(), getattr(error, "ctx", None))
        if type(error).__name__ == "Abort":
            _fail("stopped", 1)
        if _is_of_gl(error):
            chosen = os.environ.get("MUJOCO_GL")
            _fail(f"MUJOCO_GL={chosen} does not work here ({error}); leave it unset, and see: handful doctor", 2)
        traceback.print_exc()
        sys.exit(1)
    finally:
        if stopped:
            # All is said and tidied up. Libraries stopped in the middle of something (Ray's core) crash in their own
            # farewells, and would take the exit code with them.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)
        # A Ctrl-C while the interpreter winds down ends it without a traceback.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


def _fail_usage(message: str, context: Any) -> NoReturn:
    if message.startswith("Usage:"):  # no verb given: the help is the message
        print(message, file=sys.stderr)
        sys.exit(2)
    hint = f"; see '{context.command_path} --help'" if context is not None else ""
    _fail(message.strip().rstrip(".") + hint, 2)


def _is_of_gl(error: Exception) -> bool:
    """Whether the engine did not load because of MUJOCO_GL, which it follows the moment it is imported."""
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    return any(file.name == "gl_context.py" and "mujoco" in file.parts for file in files)


def _fail_system(error: OSError) -> NoReturn:
    where = f" at '{error.filename}'" if error.filename else ""
    if error.errno in _FULL:
        _fail(
            f"no space left on the disk{where}; free some and run the same command again: what is committed is kept", 1
        )
    # The system's answer about a file explains itself; without one it may be a bug, whose place matters.
    if error.filename or isinstance(error, PermissionError):
        _fail(f"{error.strerror or error}{where}", 1)
    traceback.print_exc()
    sys.exit(1)


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    # From here on the process only tidies up: what its libraries say about reads and writes cut short is no news.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore")
    sys.exit(code)
