"""What a page may say: exactly that."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generators.assistance import Assistance
from handful import InputError
from pipelines.web.messages import Act, Hello, Steer, Take, parse


def steer(**changes: object) -> str:
    return json.dumps({"type": "steer", "axes": [0, 0.5, -1, 0, 0, 1], "clutch": False, "at": 12.5, **changes})


def test_each_kind_is_read() -> None:
    assert parse(steer()) == Steer((0.0, 0.5, -1.0, 0.0, 0.0, 1.0), False, 12.5)
    assert parse('{"type": "hello", "tab": "0123456789"}') == Hello("0123456789")
    assert parse('{"type": "act", "name": "keep"}') == Act("keep")
    assert parse('{"type": "take"}') == Take()
    aid = {"type": "assist", "speed": 1, "deadband": 0, "guidance": True, "skip_pauses": False}
    assert parse(json.dumps(aid)) == Assistance(1, 0, True, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[]", "unknown type of message 'None'"),
        ('{"type": "stear"}', "unknown type of message 'stear'.*Did you mean 'steer'"),
        ('{"type": ["steer"]}', "unknown type of message"),
        (steer(axes=[0] * 5), "'axes' of a message must be 6 numbers"),
        (steer(axes=[0, 0, 0, 0, 0, True]), "must be 6 numbers"),
        (steer(axes=[0, 0, 0, 0, 0, "1"]), "must be 6 numbers"),
        (steer(axes=[0, 0, 0, 0, 0, 1.001]), r"must lie in \[-1, 1\]"),
        (steer(axes=[0, 0, 0, 0, 0, float("nan")]), "holds NaN"),
        (steer(axes=[0, 0, 0, 0, 0, float("inf")]), "holds Infinity"),
        (steer(axes=[0, 0, 0, 0, 0, 10**400]), r"must lie in \[-1, 1\]"),
        (steer(clutch=1), "'clutch' of a message must be bool"),
        (steer(at=10**400), "'at' of a message must lie in"),
        (steer(at=-1), "'at' of a message must lie in"),
        (steer(at="now"), "'at' of a message must be int or float"),
        (steer(more=1), "unknown field 'more'"),
        ('{"type": "act", "name": "delete"}', "unknown act 'delete'"),
        ('{"type": "act", "name": "__class__"}', "unknown act"),
        ('{"type": "hello", "tab": "short"}', "8 to 64 characters"),
        ('{"type": "assist", "speed": 9, "deadband": 0, "guidance": true, "skip_pauses": true}', "speed level 9"),
    ],
)
def test_anything_else_is_refused_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        parse(text)
    assert len(str(caught.value)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["hello", "steer", "act", "assist", "take"]), st.dictionaries(st.sampled_from(
    ["tab", "axes", "clutch", "at", "name", "speed", "deadband", "guidance", "skip_pauses"]), JSON))  # fmt: skip
def test_no_content_does_more_than_be_refused(kind: str, fields: dict[str, object]) -> None:
    try:
        message = parse(json.dumps({"type": kind, **fields}))
    except InputError:
        return
    if isinstance(message, Steer):
        assert all(-1.0 <= v <= 1.0 for v in message.axes)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)
