"""`handful import`: demonstrations that people have in other formats, into a store."""

from pathlib import Path
from typing import Any

from handful import InputError, unknown_name
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
    roles = wanted.fixed_roles()
    if roles is None:
        raise InputError(
            f"'{task}' asks for another object in each scene, and {format} files do not say which one a demo meant; "
            "import demos of a task with fixed roles, such as stack_three"
        )
    sentences = wanted.instructions(roles)
    names = [subtask.name for subtask in wanted.subtasks]
    return dict(import_isaaclab_mimic(path, task, out, sentences[0], sentences, names))
