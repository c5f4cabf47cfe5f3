"""The page of tasks says what the code draws."""

import math

import pytest

import scenes
from scenes.bins import TrayReset
from scenes.placement import Range
from scenes.task import Task, get_task
from tests.documents.pages import rows

PAGE = "docs/tasks.md"
TASKS = ("lift", "stack", "stack_three", "square", "pick_place")


def span(values: Range, digits: int = 2) -> str:
    low, high = values
    if low == high:
        return f"{low:.{digits}f}"
    return f"{low:.{digits}f} to {high:.{digits}f}"


def angle(values: Range) -> str:
    return "any" if math.isclose(values[1] - values[0], 2 * math.pi) else span(values, 1)


def levels_of(task: Task) -> list[list[str]]:
    """Rows of a task's table: level, what, x, y, yaw, table."""
    found = []
    for level, reset in task.levels.items():
        others = {name: region for name, region in reset.elsewhere.items() if not name.startswith("distractor")}
        if isinstance(reset, TrayReset):
            others["tray"] = reset.tray
        for name, region in {"objects": reset.region, **others}.items():
            height = span(reset.table_height) if name == "objects" else ""
            found.append([level, name.replace("_", " "), span(region.x), span(region.y), angle(region.yaw), height])
    return found


def summary(task: Task) -> list[str]:
    """The task's row of the page's first table."""
    names = {task: name for name, task in scenes.TASKS.items()}
    ids = f"`handful/{names[task.name]}-v0`"
    subtasks = ", ".join(subtask.name for subtask in task.subtasks)
    return [task.name, ids, subtasks, "yes" if task.ends_in_release else "no", str(task.horizon)]


@pytest.mark.parametrize("name", TASKS)
def test_the_reset_ranges_are_the_tasks(name: str) -> None:
    assert rows(PAGE, f"`{name}`: level") == levels_of(get_task(name))


def test_the_tasks_are_those_that_there_are() -> None:
    shown = {row[0]: row for row in rows(PAGE, "task")}
    for name in TASKS:
        row = summary(get_task(name))
        assert shown[name] == [cell.strip("`") for cell in row]
    assert set(TASKS) <= set(shown)
