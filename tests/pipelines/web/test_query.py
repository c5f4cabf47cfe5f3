"""What stands in a page's address is one filter, in the language that commands take too."""

import pytest

from handful import InputError
from pipelines.web.query import Query
from trajectories.expressions import parse


def where(*pairs: tuple[str, str]) -> str:
    return Query.parse(pairs).where


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], ""),
        ([("outcome", "success")], 'outcome == "success"'),
        ([("outcome", "success"), ("outcome", "collided")], 'outcome in ("success", "collided")'),
        ([("domain", "twin/dev-0"), ("demo", "3")], '(domain == "twin/dev-0") and (demo == 3)'),
        ([("length", "3..10")], "3 <= length <= 10"),
        ([("length", "3..")], "length >= 3"),
        ([("duration", "..2.5")], "duration <= 2.5"),
        ([("ledger.physics.friction", "-0.5..1e-3")], "-0.5 <= ledger.physics.friction <= 0.001"),
        ([("ledger.physics.friction", ".5...75")], "0.5 <= ledger.physics.friction <= 0.75"),
        ([("ledger.poses.cube_1[0]", "..0.25")], "ledger.poses.cube_1[0] <= 0.25"),
        ([("ledger.physics.friction", ".."), ("scene", "4..")], "scene >= 4"),
        ([("ledger.look.colour", "red"), ("ledger.look.lit", "true")], None),
        ([("where", " length > 3 or scene == 1 "), ("task", "lift")], None),
        ([("instruction", 'say "stop"')], "instruction == 'say \"stop\"'"),
        ([("seed", "9007199254740993..")], "seed >= 9007199254740993"),
    ],
)
def test_an_address_is_a_filter(pairs: list[tuple[str, str]], expected: str | None) -> None:
    found = where(*pairs)
    if found:
        parse(found)
    assert expected is None or found == expected


def test_clauses_are_joined_so_that_or_stays_inside() -> None:
    assert where(("where", "scene == 1 or scene == 2"), ("task", "lift")) == (
        '(scene == 1 or scene == 2) and (task == "lift")'
    )


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("outcom", "success")], "outcome"),
        ([("length", "ten..")], "'length' is a number and cannot be 'ten'"),
        ([("length", "nan..")], "cannot be 'nan'"),
        ([("length", "1..inf")], "cannot be 'inf'"),
        ([("length", "5")], "wants a range such as 3..10"),
        ([("demo", "x")], "'demo' is a whole number"),
        ([("demo", "1) or (1 == 1")], "'demo' is a whole number"),
        ([("ledger.a b", "1..")], "unknown field"),
        ([("ledger.x) or (scene", "1..")], "unknown field"),
        ([("task", "both ' and \"")], "both kinds of quotes"),
        ([("task", str(i)) for i in range(65)], "65 values"),
        ([("where", "x" * 4000)], "at most 3,000 characters"),
    ],
)
def test_what_is_no_filter_is_refused(pairs: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(InputError) as caught:
        where(*pairs)
    assert words in str(caught.value)
