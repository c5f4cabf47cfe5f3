"""`handful import`: demonstrations that people have in other formats, into a store."""

from pathlib import Path
from typing import Any

from handful import unknown_name
from scenes.task import get_task
from trajectories.importers.isaaclab_mimic import import_isaaclab_mimic

FORMATS = ("isaaclab-mimic",)


def run(format: str, path: str | Path, task: str, out: str | Path) -> dict[str, Any]:
    """Import a file of demonstrations of a task.

    Args:
        format: one of FORMATS.
        path: the file.
        task: name of the task that it shows.
        out: the store to make.

    Returns:
        {"episodes", "frames"}

    Raises:
        InputError: an unknown format or task, a damaged file, demonstrations of another task.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    wanted = get_task(task)
    sentences = wanted.instructions(wanted.fixed_roles() or {})
    names = [subtask.name for subtask in wanted.subtasks]
    return dict(import_isaaclab_mimic(path, task, out, sentences[0], sentences, names))
