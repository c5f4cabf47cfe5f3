"""Every command that a document shows is taken by the command line."""

import re
from pathlib import Path
from typing import Any

import click
import pytest

from pipelines.chunks import GenerationConfig
from pipelines.configuration import resolve
from pipelines.quickstart import QuickstartConfig
from pipelines.rerender import RenderConfig
from pipelines.runner import RolloutConfig
from pipelines.studies.spec import load_spec
from policies.config import load_config
from tests.documents.pages import PAGES, ROOT, VERBS, commands, subcommands


def overrides_fit(verb: str, parsed: dict[str, Any]) -> None:
    given = list(parsed.get("overrides") or ())
    if verb == "train":
        load_config(parsed["preset"] or "tiny", given)
        return
    if verb == "study" and not str(parsed["spec"]).endswith(".yaml"):
        load_spec(str(parsed["spec"]), given)
        return
    kinds = {
        "generate": GenerationConfig,
        "render": RenderConfig,
        "evaluate": RolloutConfig,
        "quickstart": QuickstartConfig,
    }
    if verb in kinds:
        resolve(kinds[verb], None, given)
    else:
        assert not given


def command_of(words: list[str]) -> tuple[str, click.Command, list[str]]:
    """The verb, what carries it out, and the words after it; of a group the command below it."""
    verb, *rest = words
    assert verb in VERBS, words
    command = VERBS[verb]
    below = subcommands(command)
    if below:
        name, *rest = rest
        assert name in below, words
        command = below[name]
    return verb, command, rest


def parse(words: list[str]) -> None:
    verb, command, rest = command_of(words)
    overrides_fit(verb, command.make_context(verb, rest).params)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_taken_by_the_command_line(page: Path) -> None:
    for words in commands(str(page.relative_to(ROOT))):
        if words[-1] == "--help":
            assert words == ["--help"] or words[0] in VERBS
        else:
            parse(words)


def test_commands_inside_sentences_and_tables_exist() -> None:
    spans = [span for page in PAGES for span in re.findall(r"`(handful [^`\n]+)`", page.read_text(encoding="utf-8"))]
    assert len(spans) > 10
    for span in spans:
        _, *words = span.split()
        if words == ["data"]:  # a group of verbs, named as such
            continue
        _, command, rest = command_of(words)
        if "--out" in rest:
            parse(words)
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= known, span
