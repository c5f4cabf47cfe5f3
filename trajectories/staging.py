"""Temporary names of writers: who owns one, and which may be swept away.

A part is written in a temporary folder beside its final place. A killed writer leaves its folder behind; a living
one, perhaps on another machine, must keep it. So the name says host, process-id namespace and process id, and only
folders of dead processes of this host, or very old ones of others, are removed.
"""

import itertools
import os
import shutil
import socket
import time
from pathlib import Path

PREFIX = ".tmp-"

# A writer on another host whose folder has not changed for this long is taken for dead [s].
_ABANDONED_AFTER = 24 * 3600.0

_count = itertools.count()


def _host() -> str:
    """This host, and its process-id namespace where the system has such."""
    namespace = Path("/proc/self/ns/pid")
    suffix = f".{namespace.stat().st_ino}" if namespace.exists() else ""
    return socket.gethostname().replace("-", "_") + suffix


def staging_path(parent: Path, what: str) -> Path:
    """A path in `parent` that no other writer uses; `what` holds no "-"."""
    return parent / f"{PREFIX}{what}-{_host()}-{os.getpid()}-{next(_count)}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A killed process that nobody has waited for yet still has its number; its state says that it is dead.
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return True
    return state not in "ZX"


def _is_abandoned(path: Path) -> bool:
    try:
        _, _, host, pid, _ = path.name.split("-")
        if host == _host():
            return not _is_alive(int(pid))
        return time.time() - path.stat().st_mtime > _ABANDONED_AFTER
    except (ValueError, FileNotFoundError):
        # Not a name of ours, or its owner has just finished.
        return False


def sweep(parent: Path) -> None:
    """Remove what dead writers left in `parent`."""
    for path in parent.glob(f"{PREFIX}*"):
        if _is_abandoned(path):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove a folder, whoever else is about to do the same: it leaves its name at once and is then taken apart."""
    aside = staging_path(folder.parent, f"{folder.name}.stale")
    try:
        os.rename(folder, aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)
