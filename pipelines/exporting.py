"""`handful export`: a store, or a view of episodes, in a format that other people's tools read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful import InputError, unknown_name
from pipelines.optional import extra
from pipelines.progress import Reporter
from trajectories.dataset import Dataset, open_dataset


@dataclass(frozen=True)
class Request:
    """What is to be exported, and how; None: as the format does it by default."""

    dataset: Dataset
    out: Path
    # png, video or none.
    images: str | None
    # executed or intended.
    action: str | None
    # Whether each step also holds the observation after it.
    next_obs: bool | None
    progress: Callable[[int, int], None]


def run(
    format: str,
    store: str | Path,
    out: str | Path,
    images: str | None = None,
    action: str | None = None,
    next_obs: bool | None = None,
    progress: Reporter | None = None,
) -> dict[str, Any]:
    """Export a data set.

    Args:
        format: one of FORMATS.
        store: a store or a view.
        out: the file or folder to make; must not exist.
        images: how images are written: png, video or none.
        action: which action is the format's: executed or intended.
        next_obs: whether each step also holds the observation after it.
        progress: shows how far it is.

    Returns:
        {"episodes", "frames"}

    Raises:
        InputError: an unknown format, an option that it does not have, a data set that does not fit it.
        JobError: the data is damaged, or the disk is full.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    dataset = open_dataset(store)
    with (progress or Reporter(True))("export", len(dataset)) as shown:
        request = Request(dataset, Path(out), images, action, next_obs, lambda done, total: shown.update(done))
        return FORMATS[format](request)


def _lerobot(request: Request) -> dict[str, Any]:
    if request.next_obs is not None:
        raise InputError("LeRobot's format has no next_obs: it is the observation of the next row")
    with extra("lerobot", "pyarrow", "av"):
        from trajectories.exporters.lerobot import LerobotOptions, export_lerobot
    given = {"images": request.images, "action": request.action}
    options = LerobotOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    return dict(export_lerobot(request.dataset, request.out, options, request.progress))


def _robomimic(request: Request) -> dict[str, Any]:
    from trajectories.exporters.robomimic import export_robomimic

    for name, value in (("--images", request.images), ("--action", request.action)):
        if value is not None:
            raise InputError(f"{name} is for lerobot; a robomimic file has every array, images lossless")
    given = {} if request.next_obs is None else {"next_obs": request.next_obs}
    return dict(export_robomimic(request.dataset, request.out, progress=request.progress, **given))


FORMATS: dict[str, Callable[[Request], dict[str, Any]]] = {"lerobot": _lerobot, "robomimic": _robomimic}
