"""`handful import`: demonstrations that people have in other formats, into a store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful import InputError, unknown_name
from pipelines.configuration import preset, presets, resolve
from pipelines.optional import extra
from pipelines.progress import Reporter
from scenes.outcome import Outcome
from scenes.task import get_task
from trajectories.importers.mapping import Forward, Mapping


@dataclass(frozen=True)
class Request:
    """What is to be imported, and what was said about it."""

    path: Path
    out: Path
    # Name of the task that it shows, where that is not in the data or the mapping.
    task: str | None
    # What the numbers mean; None: the format or the data set itself says so.
    mapping: Mapping | None
    # The domain is real/<source>; None: the format's name.
    source: str | None
    # A named selection of the file's demos, where the format has such.
    selection: str | None
    progress: Reporter


def run(
    format: str,
    path: str | Path,
    task: str | None,
    out: str | Path,
    mapping: str | None = None,
    source: str | None = None,
    selection: str | None = None,
    progress: Reporter | None = None,
) -> dict[str, Any]:
    """Import demonstrations.

    Args:
        format: one of FORMATS.
        path: the file or folder.
        task: name of the task that it shows.
        out: the store to make.
        mapping: YAML file, or name of a bundled mapping.
        source: the domain is called real/<source>.
        selection: a named selection of the file's demos.
        progress: shows how far it is.

    Returns:
        {"episodes", "frames"}

    Raises:
        InputError: an unknown format, task or mapping, an option that the format does not have, damaged data.
        JobError: the store cannot be written.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    if source is not None and (not source or "/" in source):
        raise InputError(f"--source is a name without '/', got '{source}'")
    said = None if mapping is None else load_mapping(mapping)
    return FORMATS[format](Request(Path(path), Path(out), task, said, source, selection, progress or Reporter(True)))


def load_mapping(name: str) -> Mapping:
    """Read a mapping from a file, or a bundled one by its name.

    Raises:
        InputError: there is none, an unknown or missing key, or a value that cannot be.
    """
    file = Path(name)
    if not file.is_file():
        if file.suffix in (".yaml", ".yml"):
            bundled = ", ".join(str(path) for path in presets("mapping").values())
            raise InputError(f"there is no mapping '{name}'; to copy and change there is: {bundled}")
        file = preset("mapping", name)
    said = resolve(Mapping, file)
    if said.outcome not in {outcome.label for outcome in Outcome}:
        raise unknown_name(f"outcome in mapping '{name}'", said.outcome, [outcome.label for outcome in Outcome])
    return said


def _forward(mapping: Mapping | None) -> Forward | None:
    """Kinematics of the mapping's robot, where it is one of ours."""
    from sim.robots import ROBOTS

    if mapping is None or not mapping.uses_kinematics() or mapping.embodiment not in ROBOTS:
        return None
    return ROBOTS[mapping.embodiment].chain.forward


def _isaaclab_mimic(request: Request) -> dict[str, Any]:
    from trajectories.importers.isaaclab_mimic import import_isaaclab_mimic

    if request.mapping is not None or request.selection is not None:
        option = "--mapping" if request.mapping is not None else "--filter"
        raise InputError(f"isaaclab-mimic files are all of one layout: {option} has no use for them")
    if request.task is None:
        raise InputError("isaaclab-mimic files do not name one of our tasks: give --task, such as --task stack_three")
    task = get_task(request.task)
    roles = task.fixed_roles()
    if roles is None:
        raise InputError(
            f"'{request.task}' asks for another object in each scene, and isaaclab-mimic files do not say which one a "
            "demo meant; import demos of a task with fixed roles, such as stack_three"
        )
    sentences = task.instructions(roles)
    names = [subtask.name for subtask in task.subtasks]
    given = {} if request.source is None else {"source_name": request.source}
    return dict(import_isaaclab_mimic(request.path, request.task, request.out, sentences[0], sentences, names, **given))


def _lerobot(request: Request) -> dict[str, Any]:
    if request.selection is not None:
        raise InputError("LeRobot data sets have no named selections: --filter has no use for them")
    with extra("lerobot", "pyarrow", "av"):
        from trajectories.importers.lerobot import import_lerobot
    with request.progress("import") as shown:

        def show(done: int, total: int) -> None:
            shown.total = total
            shown.update(done)

        return dict(
            import_lerobot(
                request.path,
                request.out,
                request.mapping,
                _forward(request.mapping),
                request.task,
                request.source or "lerobot",
                show,
            )
        )


def _subtasks(mapping: Mapping | None) -> list[str]:
    """Names of the subtasks of the mapping's task, if it is one of ours."""
    if mapping is None:
        return []
    try:
        return [subtask.name for subtask in get_task(mapping.task).subtasks]
    except InputError:
        return []


def _robomimic(request: Request) -> dict[str, Any]:
    from trajectories.importers.robomimic import import_robomimic

    return dict(
        import_robomimic(
            request.path,
            request.out,
            request.mapping,
            _forward(request.mapping),
            request.task,
            request.selection,
            request.source or "robomimic",
            _subtasks(request.mapping),
        )
    )


FORMATS: dict[str, Callable[[Request], dict[str, Any]]] = {
    "isaaclab-mimic": _isaaclab_mimic,
    "lerobot": _lerobot,
    "robomimic": _robomimic,
}
