import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handful import InputError
from trajectories.canonical import canonical_json, write_whole

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), _JSON, min_size=2, max_size=5))
def test_the_order_of_names_does_not_matter(record):
    backwards = dict(reversed(list(record.items())))
    assert canonical_json(record) == canonical_json(backwards)


def test_numpy_is_spelled_as_plain_numbers():
    record = {"b": np.float64(0.1), "a": np.arange(3), "c": np.int8(2), "d": np.bool_(True)}
    assert canonical_json(record) == b'{"a":[0,1,2],"b":0.1,"c":2,"d":true}'


@pytest.mark.parametrize("value", [float("nan"), np.array([np.inf]), {1, 2}, {"a": object()}])
def test_what_json_does_not_know_is_refused(value):
    with pytest.raises(InputError, match="ledger cannot be written as JSON"):
        canonical_json({"x": value}, "ledger")


def test_a_file_keeps_its_old_content_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "seal.json"
    write_whole(path, b"old")

    def fail(*args):
        raise OSError("broken")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="broken"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["seal.json"]


def test_text_that_is_no_unicode_is_refused():
    with pytest.raises(InputError, match="metadata cannot be written as JSON: 'utf-8' codec can't encode"):
        canonical_json({"name": "\udc80"}, "metadata")
