"""`handful browse`: opens a data set and serves the page to look at it."""

from collections.abc import Callable
from pathlib import Path

from handful import InputError
from pipelines.web.browser import Browser, Demos, browse
from pipelines.web.server import Access
from trajectories import open_dataset

PORT = 8766
BUNDLED = Path(__file__).resolve().parent.parent / "demos"


def run(
    store: Path,
    host: str,
    port: int,
    token: str | None,
    demos: list[Path],
    views: Path | None,
    ready: Callable[[str], None],
) -> None:
    """Serve until a Ctrl-C.

    Args:
        store: a store, or a view.
        host: address to bind to.
        port: its port; 0 takes a free one.
        token: what visitors must bring; None: a fresh one where the address is not loopback.
        demos: where source demos are looked for; empty: among the bundled ones.
        views: the folder that views are saved into; None: the one that holds the store.
        ready: is given the address to open.

    Raises:
        InputError: no data set there, an empty one, or an address that cannot be bound.
        JobError: the data set is damaged beyond its episodes.
    """
    access = Access.of(host, port, token)
    dataset = open_dataset(store)
    if not len(dataset):
        raise InputError(f"'{store}' holds no episodes yet")
    folder = views if views is not None else Path(store).resolve().parent
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--views '{folder}' is a file; give a folder")
    if (folder / "zarr.json").exists():
        raise InputError(f"--views '{folder}' is a store or a view; give another folder")
    bundled = sorted(path.parent for path in BUNDLED.glob("*/zarr.json"))
    found = Demos(demos or bundled, required=bool(demos))
    browse(Browser(dataset, found, folder), access, ready)
