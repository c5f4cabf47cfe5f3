"""A plan and its demos are enough to simulate a scene again, alone, with the tries that no store keeps."""

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from handful import InputError
from pipelines import generate
from pipelines.progress import Reporter
from pipelines.provenance import draw_try, engine_of, find_demos, tries_of
from pipelines.viewing import view_scene
from scenes.workspace import build_workspace
from trajectories import Store
from trajectories.recipes import merge


@pytest.fixture(scope="module")
def clumsy(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Scenes of which some fail, since the arm trembles and may try only twice."""
    out = tmp_path_factory.mktemp("provenance") / "clumsy"
    generate.run(
        "stack", None, out, 12, None, (), 84, 0, 1, None, "handful", False,
        ["chunk=12", "engine.plan.max_attempts=2", "engine.noise.std=0.04", "engine.noise.at_event=0.5"],
        Reporter(quiet=True),
    )  # fmt: skip
    return Store.open(out)


def one(store: Store, failed: bool) -> dict:
    """The record of the first scene that failed, or did not."""
    return next(record for record in store.scene_records() if (record["outcome"] != "success") == failed)


def test_a_scene_alone_is_what_it_is_among_others(clumsy: Store) -> None:
    engine = engine_of(clumsy.plan, find_demos(clumsy.plan, None))
    records = clumsy.scene_records()
    stored = {clumsy.meta(number).scene: clumsy.episode(number) for number in range(len(clumsy))}
    for index in [one(clumsy, failed)["scene"] for failed in (False, True)]:
        alone = engine.make([index])
        assert alone.scenes == [record for record in records if record["scene"] == index]
        assert [episode.meta.scene for episode in alone.episodes] == [index] * (index in stored)
        for episode in alone.episodes:
            assert episode.arrays.keys() == stored[index].arrays.keys()
            for key, value in stored[index].arrays.items():
                assert value.tobytes() == episode.arrays[key].tobytes(), key
            assert episode.meta.to_json() == stored[index].meta.to_json()


def test_every_try_is_there_with_its_outcome(clumsy: Store) -> None:
    record = one(clumsy, failed=True)
    tries = tries_of(clumsy, record["scene"], None)
    assert [episode.meta.outcome for episode in tries] == record["attempts"]
    last = tries[-1]
    assert len(last) == record["steps"]
    assert np.isfinite(last.arrays["state"]).all()
    # A scene that was kept ends in what the store holds.
    kept = one(clumsy, failed=False)
    episode = tries_of(clumsy, kept["scene"], None)[-1]
    number = [clumsy.meta(i).scene for i in range(len(clumsy))].index(kept["scene"])
    assert episode.meta.to_json() == clumsy.meta(number).to_json()


def test_a_failed_scene_can_be_looked_at(clumsy: Store, tmp_path: Path) -> None:
    record = one(clumsy, failed=True)
    (video,) = view_scene(clumsy.path, record["scene"], None, tmp_path / "try.mp4")
    reader = imageio_ffmpeg.read_frames(str(video))
    assert next(reader)["fps"] == 20.0
    assert len(list(reader)) == record["steps"]
    (sheet,) = view_scene(clumsy.path, record["scene"], None, tmp_path / "try.png")
    assert np.asarray(Image.open(sheet)).std() > 20


def test_a_try_is_drawn_by_the_cameras_asked_for(clumsy: Store) -> None:
    episode = tries_of(clumsy, one(clumsy, failed=True)["scene"], None)[-1]
    drawn = draw_try(episode, ("side",))
    assert {key for key in drawn.arrays if key not in episode.arrays} == {"images/side"}


def test_scenes_that_cannot_be_shown_are_refused(clumsy: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no record of scene 12; its scenes are 0 to 11"):
        tries_of(clumsy, 12, None)
    with pytest.raises(InputError, match=r"cannot write '.*\.gif'; --out must end in"):
        view_scene(clumsy.path, 0, None, tmp_path / "try.gif")
    merge([clumsy.path, generate.BUNDLED / "stack"], tmp_path / "both")
    with pytest.raises(InputError, match="holds scenes of 2 stores; say of which: give that store itself"):
        view_scene(tmp_path / "both", 0, None, tmp_path / "try.mp4")
    with pytest.raises(InputError, match=r"stack' was not generated \(its plan is of the kind 'recording'\)"):
        view_scene(generate.BUNDLED / "stack", 0, None, tmp_path / "try.mp4")
    assert not list(tmp_path.glob("try.*"))


def test_the_engine_is_that_of_the_plan(clumsy: Store) -> None:
    engine = engine_of(clumsy.plan, find_demos(clumsy.plan, None))
    assert engine.options.noise.std == 0.04
    assert engine.options.plan.max_attempts == 2
    assert engine.domain.randomization.to_plain() == clumsy.plan["randomization"]
    assert engine.workspace.model_hash == build_workspace("stack").model_hash == clumsy.plan["model"]
    assert engine.seed == 1
