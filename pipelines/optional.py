"""Libraries that not everybody has: what to install when one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from handful import InputError


@contextmanager
def extra(name: str, *libraries: str) -> Iterator[None]:
    """Around an import that needs the libraries of one of the project's extras.

    Raises:
        InputError: one of them is not installed; says what installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in libraries:
            raise
        raise InputError(f"this needs {missing}, which is not installed: pip install 'handful[{name}]'") from error
