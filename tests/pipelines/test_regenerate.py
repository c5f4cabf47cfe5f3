"""Stored episodes come out of their provenance again to the bit, however they were kept; and damage is noticed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handful import InputError
from pipelines import generate, regenerate, rerender
from pipelines.configuration import resolve
from pipelines.inspection import Remaking, inspect
from pipelines.progress import Reporter
from pipelines.regenerate import spread
from scenes.workspace import build_workspace, workspace_of
from sim import rendering
from trajectories import Episode, Store, open_dataset
from trajectories.compaction import compact
from trajectories.recipes import exclude

QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four lift scenes with images, in chunks of three."""
    out = tmp_path_factory.mktemp("regenerate") / "generated"
    generate.run(
        "lift", None, out, 4, None, ("front",), 32, 0, 3, None, "handful", False,
        ["chunk=3", "engine.depth=true", "engine.segmentation=true"], QUIET,
    )  # fmt: skip
    return Store.open(out)


def again(path: Path, count: int = 2, seed: int = 0, workers: int = 0) -> regenerate.Regeneration:
    return regenerate.regenerate(open_dataset(path), count, seed, None, workers, QUIET)


def test_every_episode_comes_out_again(generated: Store) -> None:
    made = again(generated.path, 99, workers=1)
    assert made.to_json() == {
        "episodes": len(generated),
        "equal": len(generated),
        "images": "compared",
        "different": [],
    }


def test_what_was_compacted_drawn_again_and_filtered_does_too(generated: Store, tmp_path: Path) -> None:
    compact(generated.path, tmp_path / "compact")
    config = resolve(
        rerender.RenderConfig, None, ["chunk=2", "randomization.table_hue=[0.2,0.4]", "image_codec=jpeg:90"]
    )
    rerender.run(tmp_path / "compact", tmp_path / "looks", ("side",), 32, 2, 0, None, config, QUIET)
    exclude(tmp_path / "looks", "0", tmp_path / "view")
    assert [open_dataset(tmp_path / "view").meta(number).look for number in range(3)] == [1, 0, 1]
    made = again(tmp_path / "view", 3, seed=1)
    assert (made.episodes, made.equal, made.images) == (3, 3, "compared")


def test_what_was_made_in_other_physics_steps_is_made_again_in_these(tmp_path: Path) -> None:
    out = tmp_path / "longer"
    generate.run(
        "lift", None, out, 2, None, ("front",), 32, 0, 3, None, "handful", False, ["engine.physics_step=0.0025"], QUIET
    )  # fmt: skip
    episode = Store.open(out).episode(0)
    assert np.diff(episode.arrays["state"][:, 0]) == pytest.approx(0.05)
    workspace = workspace_of(episode.meta)
    assert workspace.model.opt.timestep == 0.0025
    assert workspace.model_hash == episode.meta.model_hash != build_workspace("lift").model_hash
    assert again(out).to_json() == {"episodes": 2, "equal": 2, "images": "compared", "different": []}


def tampered(source: Store, out: Path, **changes: np.ndarray) -> Path:
    """A store of the same plan whose first episode holds other numbers."""
    store = Store.create(out, source.plan)
    parts = source.index().part
    for part in source.committed():
        numbers = [int(number) for number in np.flatnonzero(parts == part)]
        episodes = [source.episode(number) for number in numbers]
        if 0 in numbers:
            arrays = {**episodes[0].arrays, **changes}
            episodes[0] = Episode(arrays, replace(episodes[0].meta, attempts=2))
        records = [{**record, "steps": 7} if part else record for record in source.part_records(part)]
        store.commit(part, episodes, records)
    store.seal(None)
    return out


def test_what_differs_is_named(generated: Store, tmp_path: Path) -> None:
    actions = generated.read(0, "action/executed").copy()
    actions[3, 2] = np.nextafter(actions[3, 2], np.float32(9))
    images = generated.read(0, "images/front").copy()
    images[:, :9, :9] ^= 128
    path = tampered(generated, tmp_path / "bent", **{"action/executed": actions, "images/front": images})
    answer, _ = inspect(path, verify=True, again=Remaking(99))
    assert not answer["ok"]
    assert answer["problems"] == []
    found = {entry["episode"]: entry["differs"] for entry in answer["regenerated"]["different"]}
    assert found[0] == ["action/executed", "images/front", "metadata: attempts"]
    assert [what for number, what in found.items() if number] == [["record"]] * (len(found) - 1)
    assert answer["regenerated"]["equal"] == len(generated) - len(found) > 0


def test_images_of_another_renderer_are_left_out_and_it_is_said(
    generated: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "gl_renderer", lambda: "another")
    made = again(generated.path, 1)
    assert (made.episodes, made.equal) == (1, 1)
    assert made.images.startswith("not compared: drawn by ")
    assert made.images.endswith(", and here is another")


def test_those_made_again_are_spread_over_the_store() -> None:
    assert spread(4, 9, 0) == [0, 1, 2, 3]
    for seed in range(20):
        chosen = spread(1000, 10, seed)
        assert [number // 100 for number in chosen] == list(range(10))
    assert spread(1000, 10, 0) != spread(1000, 10, 1)


def test_what_was_not_generated_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"episode \d of '.*lift' was not generated \(its plan is of the kind 'recording'\)"
    ):
        again(generate.BUNDLED / "lift", 1)
    with pytest.raises(InputError, match="must be at least 1, got 0"):
        again(generate.BUNDLED / "lift", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"versions": {"handful": "0.1.0", "mujoco": "3.1.0"}}, r"it was made with mujoco 3\.1\.0, and here is 3"),
        (
            {"model": "0" * 64},
            r"it was made with another model of 'lift' \(000000000000, not .*go back to commit c0ffee",
        ),
        ({"demos": "1" * 64}, r"it was made from other demos \(111111111111\) than those that come with the task"),
    ],
)
def test_what_does_not_fit_is_refused(
    generated: Store, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    store = Store.create(tmp_path / "other", {**generated.plan, "commit": "c0ffee", **change})
    store.commit(0, [generated.episode(0)], generated.part_records(0))
    store.seal(None)
    with pytest.raises(InputError, match=f"other' cannot be made again here: {message}"):
        again(store.path, 1)


def test_given_demos_are_checked(generated: Store) -> None:
    with pytest.raises(InputError, match=r"than those at '.*stack' \(.*\); give the right ones with --demos"):
        regenerate.regenerate(generated, 1, 0, generate.BUNDLED / "stack", 0, QUIET)
