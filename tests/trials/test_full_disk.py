"""A disk that fills up while a store is written: one clear error, nothing lost, and the job resumes.

The disk is a small tmpfs, which only root may mount; limits on the size of a file work for everyone.
"""

import contextlib
import errno
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from handful import JobError
from tests.trials import writer
from trajectories import Store

_PAGE = os.sysconf("SC_PAGE_SIZE")
_DISK = 8 << 20
# Which write the disk was too small for, by what the error says.
_STAGE = re.compile(r"disk full while writing (part|seal|store|index)")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 8 MiB and few files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK},nr_inodes=2000", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("a small disk needs `mount`, which is not installed")
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount a tmpfs: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def _only(disk: Path, pages: int) -> Iterator[None]:
    """Fill the disk until so many pages are left."""
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as stream:
        with contextlib.suppress(OSError):
            while stream.write(b"x" * _PAGE):
                pass
        stream.truncate(stream.tell() - pages * _PAGE)
    free = os.statvfs(disk)
    assert free.f_bavail * free.f_frsize == pages * _PAGE
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def _few_names(disk: Path, names: int) -> Iterator[None]:
    """Use up the disk's inodes until so many are left."""
    crowd = disk / "crowd"
    crowd.mkdir()
    for number in range(os.statvfs(disk).f_ffree - names):
        (crowd / str(number)).touch()
    try:
        yield
    finally:
        for file in crowd.iterdir():
            file.unlink()
        crowd.rmdir()


def _check_intact(path: Path) -> None:
    """Every committed episode is there, and nothing half-written."""
    assert not [name for name in writer.tree(path) if ".tmp-" in name]
    if not (path / "zarr.json").exists():
        return
    store = Store.open(path)
    episodes = [episode for part in store.committed() for episode in writer.chunk(part)[0]]
    for index in range(len(store)):
        for key, value in episodes[index].arrays.items():
            np.testing.assert_array_equal(store.read(index, key), value)


def _starve(disk: Path, folder: Path, rounds: int, seed: int) -> Counter[str]:
    """Let the job meet a full disk at random points, and then finish; says which writes met it."""
    rng = np.random.default_rng(seed)
    writer.work(folder / "whole")
    whole = writer.tree(folder / "whole")
    blocks = sum(-(-len(data) // _PAGE) + 1 for data in whole.values())
    met: Counter[str] = Counter()
    for number in range(rounds):
        path = disk / "store"
        if number % 3 == 0:
            limit = _few_names(disk, int(rng.integers(1, len(whole))))
        else:
            limit = _only(disk, int(rng.integers(0, 3 if number % 3 == 1 else blocks)))
        met.update(_fails(path, limit))
        if (path / "zarr.json").exists():
            # Close to the end of the job the pieces are small: let the seal and what it writes meet their own limits.
            for part in writer.PARTS:
                Store.create(path, writer.plan()).commit(part, *writer.chunk(part))
            for pages in range(4):
                met.update(_fails(path, _only(disk, pages)))
        writer.work(path)
        assert writer.tree(path) == whole
        subprocess.run(["rm", "-rf", str(path)], check=True)
    return met


def _fails(path: Path, limit: contextlib.AbstractContextManager[None]) -> list[str]:
    """Work under a limit; returns the stage that met it, if one did."""
    refusals = []
    with limit:
        try:
            writer.work(path)
        except JobError as error:
            refusals.append(str(error))
        if path.exists():
            _check_intact(path)
    stages = [_STAGE.match(refusal) for refusal in refusals]
    assert all(stages), refusals
    assert "\n" not in "".join(refusals)
    return [stage[1] for stage in stages if stage]


def test_a_full_disk_costs_nothing_that_was_committed(disk: Path, tmp_path: Path) -> None:
    met = _starve(disk, tmp_path, 3, seed=0)
    assert {"part", "seal"} <= met.keys(), met


@pytest.mark.trial
def test_a_disk_full_at_a_hundred_points_costs_nothing(disk: Path, tmp_path: Path) -> None:
    met = _starve(disk, tmp_path, 100, seed=1)
    assert {"store", "part", "seal"} <= met.keys(), met


# Does the job with files limited to a size, as `ulimit -f` does.
_LIMITED = """
import resource, sys
from pathlib import Path
from handful import JobError
from tests.trials import writer
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    writer.work(Path(sys.argv[1]))
except JobError as error:
    print(error)
    raise SystemExit(1)
"""


@pytest.mark.parametrize("size", [100, 1500, 6000])
def test_files_that_may_not_grow_cost_nothing_that_was_committed(tmp_path: Path, size: int) -> None:
    command = [sys.executable, "-c", _LIMITED, str(tmp_path / "s"), str(size)]
    done = subprocess.run(command, cwd=writer.ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    assert re.match(rf"cannot write .*: {os.strerror(errno.EFBIG)}\n$", done.stdout), done.stdout
    if (tmp_path / "s").exists():
        _check_intact(tmp_path / "s")
    writer.work(tmp_path / "s")
    writer.work(tmp_path / "whole")
    assert writer.tree(tmp_path / "s") == writer.tree(tmp_path / "whole")
