"""Exporting: stores and views, options that a format has, and the way back."""

import numpy as np
import pytest

from handful import InputError
from pipelines import exporting, importing
from pipelines.data import choose
from tests.trajectories.conftest import _episode, _store
from trajectories import Store


@pytest.fixture
def store(tmp_path):
    made = _store(tmp_path / "s", [[_episode(i, steps=8, cameras=("front",)) for i in range(3)]])
    made.seal(None)
    return Store.open(made.path)


@pytest.mark.parametrize("format", sorted(exporting.FORMATS))
def test_what_goes_out_comes_back(store, tmp_path, format, monkeypatch):
    monkeypatch.setattr(f"trajectories.importers.{format}.rehearse", lambda *arguments, **options: 0)
    assert exporting.run(format, store.path, tmp_path / "out") == {"episodes": 3, "frames": 24}
    assert importing.run(format, tmp_path / "out", None, tmp_path / "back") == {"episodes": 3, "frames": 24}
    back = Store.open(tmp_path / "back")
    for index in range(3):
        assert back.meta(index) == store.meta(index)
        for key in store.keys():  # noqa: SIM118
            np.testing.assert_array_equal(back.read(index, key), store.read(index, key))


@pytest.mark.parametrize("format", sorted(exporting.FORMATS))
def test_a_view_goes_out_like_a_store(store, tmp_path, format, monkeypatch):
    monkeypatch.setattr(f"trajectories.importers.{format}.rehearse", lambda *arguments, **options: 0)
    choose(store.path, "scene != 1", None, tmp_path / "view")
    assert exporting.run(format, tmp_path / "view", tmp_path / "out") == {"episodes": 2, "frames": 16}
    importing.run(format, tmp_path / "out", None, tmp_path / "back")
    back = Store.open(tmp_path / "back")
    assert [back.meta(index).scene for index in range(2)] == [0, 2]
    np.testing.assert_array_equal(back.read(1, "images/front"), store.read(2, "images/front"))


@pytest.mark.parametrize(
    ("format", "options", "message"),
    [
        ("lerobt", {}, "unknown format 'lerobt'; there is: lerobot, robomimic. Did you mean 'lerobot'"),
        ("lerobot", {"next_obs": True}, "LeRobot's format has no next_obs"),
        ("lerobot", {"images": "jpeg"}, "unknown way to export images 'jpeg'"),
        ("robomimic", {"images": "png"}, "--images is for lerobot"),
        ("robomimic", {"action": "executed"}, "--action is for lerobot"),
    ],
)
def test_options_that_a_format_does_not_have_are_refused(store, tmp_path, format, options, message):
    with pytest.raises(InputError, match=message):
        exporting.run(format, store.path, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown store in '.*' 'none'"):
        exporting.run("lerobot", tmp_path / "none", tmp_path / "out")
