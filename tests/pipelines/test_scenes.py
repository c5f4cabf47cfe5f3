"""Drawn scenes: listed with every value, drawn into a picture, the same for the same seed."""

import io

import imageio.v3 as imageio
import pytest
from rich.console import Console

from handful import InputError
from pipelines import scenes
from pipelines.coverage import scenes_shown


def test_lists_every_drawn_value_and_range():
    result = scenes.run("lift", 4, None, 3)
    assert [s["scene"] for s in result["scenes"]] == [0, 1, 2, 3]
    assert set(result["scenes"][0]["ledger"]) == {"poses", "physics", "appearance", "light", "camera"}
    assert result["randomization"]["object_friction"] == {"uniform": [0.4, 1.0]}
    assert result == scenes.run("lift", 4, None, 3)
    assert result["scenes"] != scenes.run("lift", 4, None, 4)["scenes"]


def test_draws_both_cameras_of_each_scene(tmp_path):
    scenes.run("lift", 1, tmp_path / "new" / "s.png", 0)
    picture = imageio.imread(tmp_path / "new" / "s.png")
    assert picture.shape[1] > 2 * 160
    assert picture.std() > 10


def test_any_camera_level_domain_and_number_of_scenes_is_drawn(tmp_path):
    for number, cameras in ((1, ("side",)), (5, ("side",)), (1, ("side", "overhead", "front"))):
        scenes.run("stack_three:D1", number, tmp_path / f"{number}_{len(cameras)}.png", 0, "none", "panda", cameras)
    one, five, wide = (imageio.imread(tmp_path / f"{name}.png").shape for name in ("1_1", "5_1", "1_3"))
    assert (round(five[0] / one[0]), round(five[1] / one[1])) == (2, 3)
    assert wide[1] > 3 * 160


def test_a_camera_that_there_is_not_is_refused():
    with pytest.raises(InputError, match=r"unknown camera 'sied'; there is: .*Did you mean 'side'"):
        scenes.run("lift", 1, None, 0, cameras=("sied",))
    with pytest.raises(InputError, match="nothing to see without a camera"):
        scenes.run("lift", 1, None, 0, cameras=())


def test_a_person_reads_what_is_drawn_from_what():
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(scenes_shown(scenes.run("lift", 2, None, 0), None))
    text = console.export_text()
    assert "uniform 0.4 to 1" in text
    assert "scene 1: " in text
    console.print(scenes_shown(scenes.run("lift", 2, None, 0), "a.png"))
    assert "2 scenes in a.png" in console.export_text()


@pytest.mark.parametrize("name", ["s.gif", "s", "folder.png"])
def test_only_a_png_file_can_be_written(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"cannot write '.*'; --out must be a file that ends in \.png"):
        scenes.run("lift", 1, tmp_path / name, 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.png"]


def test_an_unknown_task_is_named():
    with pytest.raises(InputError, match=r"unknown task 'lfit'.*Did you mean 'lift'"):
        scenes.run("lfit", 1, None, 0)
