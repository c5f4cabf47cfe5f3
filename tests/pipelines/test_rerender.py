"""Drawing a store again: the same settings give the same pixels, other looks the same physics, any run the same."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generators.posing import posed
from handful import InputError
from pipelines import generate, rerender
from pipelines.configuration import resolve
from pipelines.coverage import coverage_of
from pipelines.progress import Reporter
from pipelines.regenerate import regenerate
from scenes.workspace import workspace_of
from tests.pipelines.test_generate import tree
from trajectories import Episode, Store, open_dataset
from trajectories.recipes import exclude, merge
from trajectories.validation import validate_content

DEMOS = Path(__file__).resolve().parents[2] / "demos"
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module", autouse=True)
def _one_commit() -> Iterator[None]:
    """The checkout may change while tests run, and stores are compared byte by byte."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rerender, "project_commit", lambda: "c0ffee")
        yield


def render(source: Path, out: Path, *overrides: str, cameras: tuple[str, ...] = ("front",), **changes: object) -> Store:
    arguments: dict = {"resolution": 32, "appearances": 1, "workers": 0, "address": None, **changes}
    config = resolve(rerender.RenderConfig, None, overrides)
    rerender.run(source, out, cameras, config=config, progress=QUIET, **arguments)
    return Store.open(out)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four lift scenes with images of every kind."""
    out = tmp_path_factory.mktemp("rerender") / "generated"
    generate.run(
        "lift", None, out, 4, None, ("front", "wrist"), 32, 0, 3, None, "handful", False,
        ["chunk=2", "engine.depth=true", "engine.segmentation=true"], QUIET,
    )  # fmt: skip
    return Store.open(out)


@pytest.fixture(scope="module")
def looks(generated: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same, in two looks each, from another camera."""
    out = tmp_path_factory.mktemp("rerender") / "looks"
    return render(generated.path, out, "chunk=4", cameras=("side",), appearances=2)


def test_the_same_settings_give_the_same_episodes(generated: Store, tmp_path: Path) -> None:
    again = render(
        generated.path, tmp_path / "again", "depth=true", "segmentation=true", cameras=("front", "wrist"), workers=1
    )
    assert again.keys() == generated.keys()
    assert again.scene_records() == generated.scene_records()
    assert len(again) == len(generated) > 0
    for number in range(len(again)):
        here, there = again.episode(number), generated.episode(number)
        assert here.meta == there.meta
        for key, value in there.arrays.items():
            np.testing.assert_array_equal(here.arrays[key], value, err_msg=key)


def test_each_episode_is_seen_in_so_many_looks(generated: Store, looks: Store) -> None:
    assert len(looks) == 2 * len(generated)
    assert looks.cameras() == ["side"]
    for number in range(len(looks)):
        physical, seen = generated.episode(number // 2), looks.episode(number)
        assert (seen.meta.scene, seen.meta.look) == (physical.meta.scene, number % 2)
        assert "instances" not in seen.meta.extra
        for key in ("state", "action/executed", "model/geom_friction"):
            np.testing.assert_array_equal(seen.arrays[key], physical.arrays[key])
        assert seen.meta.ledger["physics"] == physical.meta.ledger["physics"]
        assert (seen.meta.ledger == physical.meta.ledger) == (number % 2 == 0)
    one, other = (looks.read(number, "images/side") for number in (0, 1))
    assert np.abs(one.astype(int) - other.astype(int)).mean() > 2


def test_generation_draws_the_same_looks_at_once(generated: Store, tmp_path: Path) -> None:
    rendered = render(
        generated.path,
        tmp_path / "rendered",
        "depth=true",
        "segmentation=true",
        cameras=("front", "wrist"),
        appearances=2,
    )
    account = generate.run(
        "lift", None, tmp_path / "at_once", None, len(generated), ("front", "wrist"), 32, 0, 3, None, "handful", False,
        ["chunk=2", "engine.depth=true", "engine.segmentation=true", "engine.appearances=2"], QUIET,
    )  # fmt: skip
    at_once = Store.open(tmp_path / "at_once")
    assert (account["kept"], len(at_once)) == (len(generated), 2 * len(generated))
    assert account["generation_rate"] <= 1
    for number in range(len(at_once)):
        here, there = at_once.episode(number), rendered.episode(number)
        assert here.meta == there.meta
        for key, value in there.arrays.items():
            np.testing.assert_array_equal(here.arrays[key], value, err_msg=key)
    with pytest.raises(InputError, match="shows its scenes in several looks already"):
        render(at_once.path, tmp_path / "out", appearances=2)
    made = regenerate(at_once, 3, 0, None, 0, QUIET)
    assert (made.equal, made.images) == (3, "compared")


def test_looks_without_a_camera_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"engine\.appearances=2 has no camera to look through; give --cameras as well"
    ):
        generate.configure("handful", (), 84, ["engine.appearances=2"])
    with pytest.raises(InputError, match="appearances must be at least 1, got 0"):
        generate.configure("handful", ("front",), 84, ["engine.appearances=0"])


def test_the_plan_says_what_it_was_made_of(generated: Store, looks: Store) -> None:
    assert looks.plan["plans"] == [generated.plan]
    assert looks.plan["sources"][0]["plan"] == generated.plan_digest
    assert looks.plan["looks"] == {"appearances": 2, "domain": None, "randomization": {}}
    assert looks.plan["drawing"]["resolution"] == 32


def test_looks_are_no_duplicates(looks: Store) -> None:
    (found,) = [result for result in validate_content(looks, {}) if result.rule.name == "duplicate"]
    assert (found.checked, found.episodes) == (len(looks), [])


def test_any_number_of_workers_and_any_interruption_give_the_same_bytes(
    generated: Store, looks: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tree(looks.path), tmp_path / "again"
    drawn = rerender.draw_part

    def once(job: rerender.RenderJob) -> int:
        if job.index:
            raise KeyboardInterrupt
        return drawn(job)

    with monkeypatch.context() as patch:
        patch.setattr(rerender, "draw_part", once)
        with pytest.raises(KeyboardInterrupt):
            render(generated.path, out, "chunk=4", cameras=("side",), appearances=2)
    assert Store.open(out).committed() == [0]
    render(generated.path, out, "chunk=4", cameras=("side",), appearances=2, workers=2)
    assert tree(out) == whole
    parts = {path: path.stat().st_mtime_ns for path in (out / "parts").rglob("*")}
    render(generated.path, out, "chunk=4", cameras=("side",), appearances=2)
    assert {path: path.stat().st_mtime_ns for path in parts} == parts


def test_another_plan_is_refused(generated: Store, looks: Store) -> None:
    with pytest.raises(InputError, match="was made by another plan; it differs in: looks"):
        render(generated.path, looks.path, "chunk=4", cameras=("side",), appearances=3)


def test_chosen_axes_alone_are_drawn_anew(generated: Store, tmp_path: Path) -> None:
    seen = render(generated.path, tmp_path / "hue", "randomization.table_hue=0.3").meta(0)
    meant = generated.meta(0).ledger
    meant["appearance"]["table_hue"] = 0.3
    assert seen.ledger == meant


def test_coverage_is_of_what_the_looks_were_drawn_from(generated: Store, tmp_path: Path) -> None:
    seen = render(generated.path, tmp_path / "hue", "randomization.table_hue=[0.2,0.4]")
    found = {axis.axis: axis for axis in coverage_of(seen)["sim"]}
    before = {axis.axis: axis for axis in coverage_of(generated)["sim"]}
    assert found["table_hue"].values == len(generated)
    assert found["table_hue"].outside == 0
    assert found["table_hue"] != before["table_hue"]
    assert found["table_friction"] == before["table_friction"]


def test_looks_of_another_domain(tmp_path: Path) -> None:
    # The bundled demos were recorded without randomisation.
    seen = render(DEMOS / "lift", tmp_path / "demos", "domain=sim", "image_codec=jpeg:90", appearances=2)
    first, second = seen.meta(0), seen.meta(1)
    nominal = open_dataset(DEMOS / "lift").meta(0).ledger
    assert first.ledger["physics"] == second.ledger["physics"] == nominal["physics"]
    assert len({str(ledger["light"]) for ledger in (first.ledger, second.ledger, nominal)}) == 3
    assert seen.plan["image_codec"] == "jpeg:90"


def test_views_are_drawn_as_their_stores_are(generated: Store, looks: Store, tmp_path: Path) -> None:
    exclude(generated.path, "0", tmp_path / "view")
    seen = render(tmp_path / "view", tmp_path / "out", cameras=("side",))
    assert len(seen) == len(generated) - 1
    np.testing.assert_array_equal(seen.read(0, "images/side"), looks.read(2, "images/side"))
    merge([tmp_path / "view", DEMOS / "lift"], tmp_path / "both")
    both = render(tmp_path / "both", tmp_path / "merged", "chunk=8")
    assert len(both) == len(seen) + len(open_dataset(DEMOS / "lift"))
    assert [plan["kind"] for plan in both.plan["plans"]] == ["generation", "recording"]


def without(source: Path, out: Path, family: str) -> Path:
    """A store as an importer would make it: without states, or without values of models."""
    old = Store.open(source)
    keys = [key for key in old.keys() if not key.startswith(family)]  # noqa: SIM118
    new = Store.create(out, {"kind": "test"})
    new.commit(0, [old.episode(0, keys)], old.scene_records()[:1])
    new.seal(None)
    return out


@pytest.mark.parametrize(("family", "what"), [("state", "no states"), ("model/", "no values of the scenes' models")])
def test_what_has_no_states_is_refused(generated: Store, tmp_path: Path, family: str, what: str) -> None:
    path = without(generated.path, tmp_path / "bare", family)
    with pytest.raises(InputError, match=f"has {what}, so it cannot be drawn again; what handful generate and"):
        render(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def imported(source: Path, out: Path, dropped: tuple[str, ...] = ("state", "model/", "images/")) -> Store:
    """A store as an importer makes it: no states, no values of models, no ledger; and no images."""
    old = Store.open(source)
    keys = [key for key in old.keys() if not key.startswith(dropped)]  # noqa: SIM118
    new = Store.create(out, {"kind": "test"})
    bare: dict[str, Any] = {"ledger": {}, "seeds": {}, "model_hash": None, "cameras": {}, "gl_renderer": None}
    episodes = []
    for number in range(len(old)):
        episode = old.episode(number, keys)
        extra = {name: value for name, value in episode.meta.extra.items() if name not in ("roles", "instances")}
        episodes.append(Episode(episode.arrays, replace(episode.meta, domain="real/lab", extra=extra, **bare)))
    new.commit(0, episodes, old.scene_records()[: len(old)])
    new.seal(None)
    return new


def test_demos_without_states_are_drawn_as_they_were(tmp_path: Path) -> None:
    """In a world without randomisation, what is posed by the record looks as what was simulated."""
    made = tmp_path / "made"
    generate.run(
        "lift", None, made, 2, None, ("front", "wrist"), 64, 0, 3, None, "handful", False, ["domain=none"], QUIET
    )
    simulated, bare = Store.open(made), imported(made, tmp_path / "bare")
    drawn = render(bare.path, tmp_path / "drawn", "posed=true", cameras=("front", "wrist"), resolution=64)
    assert len(drawn) == len(simulated) > 0
    assert not [key for key in drawn.keys() if key.startswith(("state", "model/"))]  # noqa: SIM118
    for number in range(len(drawn)):
        here, there = drawn.episode(number), simulated.episode(number)
        assert here.meta.extra["images"] == "posed"
        assert (here.meta.domain, here.meta.model_hash) == ("real/lab", None)
        assert "roles" not in here.meta.extra
        np.testing.assert_array_equal(here.arrays["action/executed"], there.arrays["action/executed"])
        for camera in ("front", "wrist"):
            one, other = (each.arrays[f"images/{camera}"].astype(int) for each in (here, there))
            moved = np.abs(one - other).mean(axis=(1, 2, 3))
            # Another step of the same episode differs by far more.
            assert moved.max() < 1.5
            assert np.abs(one[0] - other[-1]).mean() > 3
    looks = render(bare.path, tmp_path / "looks", "posed=true", "domain=sim", appearances=2)
    assert [looks.episode(number).meta.look for number in range(2)] == [0, 1]
    with pytest.raises(InputError, match="has no states and no values of the scenes' models, so"):
        render(drawn.path, tmp_path / "again")


def test_what_cannot_be_posed_is_refused(generated: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has states, which show what happened to the bit; leave out posed=true"):
        render(generated.path, tmp_path / "out", "posed=true")
    bare = imported(generated.path, tmp_path / "bare", ("state", "model/", "images/", "objects/cube_2"))
    with pytest.raises(InputError, match="of 'lift' has no objects/cube_2, so its scene cannot be posed"):
        render(bare.path, tmp_path / "out", "posed=true")
    with pytest.raises(
        InputError, match=r"nothing that is seen varies in the domain of .*; say what to draw them from"
    ):
        render(imported(generated.path, tmp_path / "whole").path, tmp_path / "out", "posed=true", appearances=2)
    episode = generated.episode(0)
    six = {**episode.arrays, "observation/joint_position": episode.arrays["observation/joint_position"][:, :6]}
    with pytest.raises(InputError, match="of 'lift' has 6 joints; 'panda' has 7"):
        posed(workspace_of(episode.meta), Episode(six, episode.meta))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_drawn_is_refused_before_anything_is_made(
    generated: Store, looks: Store, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for message, arguments in {
        "there is no camera to draw; give --cameras": {"cameras": ()},
        "unknown camera 'frnt'; there is: .* Did you mean 'front'": {"cameras": ("frnt",)},
        "workers must be >= 0, got -1": {"workers": -1},
        "appearances must be at least 1, got 0": {"appearances": 0},
    }.items():
        with pytest.raises(InputError, match=message):
            render(generated.path, out, **arguments)  # type: ignore[arg-type]
    for message, override in {
        "randomization.object_friction changes what happens; drawn again are only": "object_friction=0.5",
        "randomization.noise_std is what a camera does to a frame afterwards": "noise_std=0.1",
        "unknown axis 'table_hu'; .* Did you mean 'table_hue'": "table_hu=0.1",
    }.items():
        with pytest.raises(InputError, match=message):
            render(generated.path, out, f"randomization.{override}")
    with pytest.raises(InputError, match="shows its scenes in several looks already; give --appearances to the data"):
        render(looks.path, out, appearances=2)
    with pytest.raises(InputError, match=r"nothing that is seen varies in the domain of .*; say what to"):
        render(DEMOS / "lift", out, appearances=2)
    with pytest.raises(InputError, match="is what is to be drawn again; give another --out"):
        render(generated.path, generated.path)
    with pytest.raises(InputError, match="unknown store in"):
        render(tmp_path / "nothing", out)
    unfinished = Store.create(tmp_path / "unfinished", {"kind": "test"})
    unfinished.commit(0, [generated.episode(0)], generated.scene_records()[:1])
    with pytest.raises(InputError, match=r"is unfinished, .* finish it, or take what .* handful data filter"):
        render(unfinished.path, out)
    assert not out.exists()


def test_another_model_is_refused(generated: Store, tmp_path: Path) -> None:
    episode = generated.episode(0)
    meta = replace(episode.meta, model_hash="0" * 64)
    store = Store.create(tmp_path / "other", {"kind": "test"})
    store.commit(0, [replace(episode, meta=meta)], generated.scene_records()[:1])
    store.seal(None)
    with pytest.raises(InputError, match=r"was made by another model \(000000000000, not "):
        render(store.path, tmp_path / "out")
