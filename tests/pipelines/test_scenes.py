"""Drawn scenes: listed with every value, drawn into a picture, the same for the same seed."""

import imageio.v3 as imageio
import pytest

from handful import InputError
from pipelines import scenes


def test_lists_every_drawn_value_and_range():
    result = scenes.run("lift", 2, None, 3)
    assert [s["scene"] for s in result["scenes"]] == [0, 1, 2, 3]
    assert set(result["scenes"][0]["ledger"]) == {"poses", "physics", "appearance", "light", "camera"}
    assert result["randomisation"]["object_friction"] == {"uniform": [0.4, 1.0]}
    assert result == scenes.run("lift", 2, None, 3)
    assert result["scenes"] != scenes.run("lift", 2, None, 4)["scenes"]


def test_draws_both_cameras_of_each_scene(tmp_path):
    scenes.run("lift", 1, tmp_path / "new" / "s.png", 0)
    picture = imageio.imread(tmp_path / "new" / "s.png")
    assert picture.shape[1] > 2 * 160
    assert picture.std() > 10


@pytest.mark.parametrize("name", ["s.gif", "s", "folder.png"])
def test_only_a_png_file_can_be_written(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"cannot write '.*'; --out must be a file that ends in \.png"):
        scenes.run("lift", 1, tmp_path / name, 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.png"]


def test_an_unknown_task_is_named():
    with pytest.raises(InputError, match=r"unknown task 'lfit'.*Did you mean 'lift'"):
        scenes.run("lfit", 1, None, 0)
