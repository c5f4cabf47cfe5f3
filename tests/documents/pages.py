"""The documents as tests read them: their commands, blocks and tables."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import click
from typer.main import get_command

from pipelines.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
VERBS: Mapping[str, click.Command] = get_command(app).commands  # type: ignore[attr-defined]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", read(name), re.DOTALL)


def commands(name: str) -> list[list[str]]:
    """The words after `handful` in every shell line of a page that starts with it, or hands it to Ray as a job."""
    text = "".join(blocks(name, "bash")).replace("\\\n", " ")
    lines = [re.sub(r"^ray job submit .* -- +", "", line) for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("handful ")]


def rows(name: str, heading: str) -> list[list[str]]:
    """The cells below the header of the table whose header begins with `heading`."""
    lines = read(name).splitlines()
    (start,) = (i for i, line in enumerate(lines) if re.match(rf"\| {re.escape(heading)} \|", line))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip().strip("`") for cell in line.strip("|").split(" |")])
    return found


def columns(name: str, heading: str, count: int) -> list[tuple[str, ...]]:
    return [tuple(row[:count]) for row in rows(name, heading)]


def promised_keys() -> dict[str, set[str]]:
    return {row[0]: set(re.findall(r"\w+", row[2])) for row in rows("docs/contracts.md", "verb")}


def subcommands(command: click.Command) -> Mapping[str, click.Command]:
    """The commands below a group, such as `data`; of another command none."""
    return getattr(command, "commands", {})
