"""`handful view`: a contact sheet or a video of the episodes in a store."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful import InputError
from pipelines.pictures import LEAST_SIDE, captioned, enlarge, grid, side_by_side, write_png, write_video
from trajectories.dataset import Dataset, open_dataset
from trajectories.schema import Episode, EpisodeMeta

# Frames of one episode on its contact sheet, and tiles per row.
_MOMENTS = 20
_COLUMNS = 5
# Episodes on a store's contact sheet: as many as fit, evenly spread over it.
_EPISODES = 24
_SHEET_COLUMNS = 6
# Smallest side of a frame on a contact sheet [pixels].
_TILE_SIDE = 168
# Frames read at a time: a Zarr chunk costs its milliseconds once per read.
_RUN = 64


def view(path: Path, episode: int | None, out: Path) -> list[Path]:
    """Draw a store.

    Args:
        path: the store, or a view.
        episode: which episode; None: the first frames of many for a PNG, episode 0 for a video.
        out: an image (.png) or a video (.mp4).

    Returns:
        The files written.

    Raises:
        InputError: another kind of file, no such episode, or a store without images.
    """
    kind = _kind_of(out)
    store = open_dataset(path)
    if len(store) == 0:
        raise InputError(f"store '{path}' holds no episodes")
    if not store.cameras():
        raise InputError(f"store '{path}' holds no images; make it with: handful generate --cameras front,wrist ...")
    if episode is not None and not 0 <= episode < len(store):
        raise InputError(f"store '{path}' has episodes 0 to {len(store) - 1}, not {episode}")
    if kind == ".mp4":
        write_video(out, video_frames(store, episode or 0), store.meta(episode or 0).control_rate)
    elif episode is None:
        write_png(out, store_sheet(store))
    else:
        write_png(out, episode_sheet(store, episode))
    return [out]


def _kind_of(out: Path) -> str:
    kind = out.suffix.lower()
    if kind not in (".png", ".mp4"):
        raise InputError(f"cannot write '{out}'; --out must end in .png (contact sheet) or .mp4 (video)")
    return kind


def view_scene(path: Path, scene: int, demos: Path | None, out: Path) -> list[Path]:
    """Draw the last try at a scene that a store's generation tried, whether or not it was kept.

    What failed is in no store: it is simulated again, from the plan and the demos.

    Args:
        path: the store, or a view.
        scene: the scene's number.
        demos: the seed demos; None: the task's bundled ones.
        out: an image (.png) or a video (.mp4).

    Returns:
        The files written.

    Raises:
        InputError: another kind of file, no such scene, or it cannot be made again here.
    """
    # Only here, so that what is stored can be drawn where no simulator is installed.
    from pipelines.provenance import draw_try, tries_of

    kind = _kind_of(out)
    tries = tries_of(open_dataset(path), scene, demos)
    drawn = draw_try(tries[-1])
    if kind == ".mp4":
        write_video(out, try_frames(drawn), drawn.meta.control_rate)
    else:
        write_png(out, _sheet(_shown(drawn), f"scene {scene}, try {len(tries)}"))
    return [out]


def try_frames(drawn: Episode) -> Iterator[np.ndarray]:
    """The frames of a video of an episode that is in no store, like those of `video_frames`."""
    return _video(_shown(drawn))


@dataclass(frozen=True)
class _Shown:
    """An episode as it is drawn.

    Attributes:
        meta: its metadata.
        subtasks: index of the subtask at each step, (T,).
        cameras: names of the cameras.
        read: gives the rows [start, stop) of a key.
    """

    meta: EpisodeMeta
    subtasks: np.ndarray
    cameras: Sequence[str]
    read: Callable[[str, int, int], np.ndarray]


def _stored(store: Dataset, episode: int) -> _Shown:
    def read(key: str, start: int, stop: int) -> np.ndarray:
        return store.read(episode, key, start, stop)

    return _Shown(store.meta(episode), store.read(episode, "subtask"), store.cameras(), read)


def _shown(drawn: Episode) -> _Shown:
    return _Shown(drawn.meta, drawn.arrays["subtask"], _cameras_of(drawn), lambda key, i, j: drawn.arrays[key][i:j])


def _cameras_of(episode: Episode) -> list[str]:
    return [key.removeprefix("images/") for key in episode.arrays if key.startswith("images/")]


def video_frames(store: Dataset, episode: int) -> Iterator[np.ndarray]:
    """All cameras side by side at every step, with instruction, subtask and time above."""
    return _video(_stored(store, episode))


def _video(shown: _Shown) -> Iterator[np.ndarray]:
    names, steps = subtask_names(shown.meta.task), len(shown.subtasks)
    for start in range(0, steps, _RUN):
        for step, frame in enumerate(_frames(shown, start, min(start + _RUN, steps)), start):
            yield captioned(frame, _captions(shown.meta, step, int(shown.subtasks[step]), steps, names), above=True)


def subtask_names(task: str) -> tuple[str, ...]:
    """What a task calls its subtasks; none for a task that only its importer knows."""
    from scenes.task import get_task

    try:
        return tuple(subtask.name for subtask in get_task(task).subtasks)
    except InputError:
        return ()


def episode_sheet(store: Dataset, episode: int) -> np.ndarray:
    """Moments of one episode, evenly spaced from the first step to the last."""
    return _sheet(_stored(store, episode), f"episode {episode}")


def _sheet(shown: _Shown, what: str) -> np.ndarray:
    meta, steps = shown.meta, len(shown.subtasks)
    moments = np.unique(np.linspace(0, steps - 1, _MOMENTS).round().astype(int))
    names = subtask_names(meta.task)
    tiles = []
    for step in map(int, moments):
        frame = _frames(shown, step, step + 1, _TILE_SIDE)[0]
        tiles.append(captioned(frame, _captions(meta, step, int(shown.subtasks[step]), steps, names)[1:]))
    sheet = grid(tiles, _COLUMNS)
    return captioned(sheet, [f"{what}: {meta.instruction} - {meta.outcome.replace('_', ' ')}, {meta.domain}"])


def store_sheet(store: Dataset, limit: int = _EPISODES) -> np.ndarray:
    """The first frames of up to `limit` episodes, evenly spread over the store, seen by its first camera."""
    camera = store.cameras()[0]
    chosen = np.unique(np.linspace(0, len(store) - 1, limit).round().astype(int))
    tiles = []
    for episode in map(int, chosen):
        meta = store.meta(episode)
        frame = enlarge(store.read(episode, f"images/{camera}", 0, 1)[0], _TILE_SIDE)
        tiles.append(captioned(frame, [f"{episode}  scene {meta.scene}", meta.instruction]))
    return grid(tiles, _SHEET_COLUMNS)


def _frames(shown: _Shown, start: int, stop: int, side: int = LEAST_SIDE) -> list[np.ndarray]:
    """Steps [start, stop) as all cameras see them, side by side."""
    views = [shown.read(f"images/{camera}", start, stop) for camera in shown.cameras]
    return [side_by_side([enlarge(view, side) for view in moment]) for moment in zip(*views, strict=True)]


def _captions(meta: EpisodeMeta, step: int, subtask: int, steps: int, names: Sequence[str]) -> list[str]:
    """The instruction, then where in the episode this is."""
    seconds = step / meta.control_rate
    total = steps / meta.control_rate
    doing = names[subtask] if 0 <= subtask < len(names) else f"subtask {subtask}"
    return [meta.instruction, f"{doing} · {seconds:.1f} of {total:.1f} s · ends in {meta.outcome.replace('_', ' ')}"]
