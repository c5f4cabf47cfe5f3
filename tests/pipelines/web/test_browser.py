"""What the browser's server answers: lists, facets, pictures, provenance; and what it refuses."""

import asyncio
import io
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from handful import InputError
from pipelines import browse as verb
from pipelines.web import library as library_module
from pipelines.web.browser import Browser, Demos
from pipelines.web.moments import contacts_of, segments
from pipelines.web.server import MAX_BODY, Access
from tests.pipelines.run_folder import make_episode
from tests.pipelines.web.gallery import hurt, make_demos, make_gallery
from trajectories import Dataset, Store, View, open_dataset
from trajectories.recipes import filter_by, merge

Client = TestClient[web.Request, web.Application]


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_demos(tmp_path_factory.mktemp("demos") / "demos.zarr")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, demos: Store) -> Store:
    return make_gallery(tmp_path_factory.mktemp("gallery") / "gallery.zarr", demos)


def visit(
    dataset: Dataset,
    steps: Callable[[Client], Awaitable[None]],
    views: Path = Path("nowhere"),
    demos: Store | None = None,
    read: bool = True,
) -> Browser:
    """Serve a data set and run the steps of a visitor, once what was drawn is read."""

    async def run() -> Browser:
        browser = Browser(dataset, Demos([demos.path] if demos else [], True), views)
        if read:
            browser.start()
        async with TestClient(TestServer(browser.application(Access()))) as client:
            while read and not browser.library.ready:
                await asyncio.sleep(0.01)
            try:
                await steps(client)
            finally:
                browser.stop()
        return browser

    return asyncio.run(run())


def own(client: Client) -> dict[str, str]:
    return {"Origin": str(client.make_url("")).rstrip("/")}


async def get(client: Client, path: str, status: int = 200) -> Any:
    answer = await client.get(path)
    assert answer.status == status, await answer.text()
    return await answer.json()


def unpacked(data: bytes) -> list[tuple[int, list[np.ndarray]]]:
    """Step and pictures of each moment."""
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        step, _, _, count = struct.unpack_from("<IdfI", data, at + 4)
        place, pictures = at + 4 + 20, []
        for _ in range(count):
            (length,) = struct.unpack_from("<I", data, place)
            pictures.append(np.asarray(Image.open(io.BytesIO(data[place + 4 : place + 4 + length]))))
            place += 4 + length
        found.append((step, pictures))
        at += 4 + size
    return found


def test_the_data_set_and_its_list_are_told(gallery: Store) -> None:
    async def steps(client: Client) -> None:
        facts = await get(client, "/api/dataset")
        assert (facts["episodes"], facts["kind"], facts["pictures"], facts["finished"]) == (24, "store", "stored", True)
        assert facts["cameras"] == {"front": [84, 84], "wrist": [84, 84]}
        assert "ledger.physics.friction" in facts["axes"]
        page = await get(client, "/api/episodes?_start=20&_count=10")
        assert [row["episode"] for row in page["rows"]] == [20, 21, 22, 23]
        assert page["rows"][1]["instruction"] == gallery.meta(21).instruction
        found = await get(client, "/api/episodes?domain=twin/dev-0&_sort=-attempts&_find=8")
        assert [row["episode"] for row in found["rows"]] == [20, 8, 16, 4, 12, 0]
        assert found["position"] == 1
        assert (await get(client, "/api/episodes?domain=sim&_find=8"))["position"] == -1

    visit(gallery, steps)


def test_facets_count_what_the_other_clauses_leave(gallery: Store) -> None:
    async def steps(client: Client) -> None:
        friction = "ledger.physics.friction=0.4..0.6"
        found = await get(client, f"/api/summary?domain=sim&{friction}")
        assert found["matching"] == 8
        assert found["where"] == '(domain == "sim") and (0.4 <= ledger.physics.friction <= 0.6)'
        facets = {facet["field"]: facet["values"] for facet in found["facets"]}
        assert {entry["value"]: entry["count"] for entry in facets["domain"]} == {"sim": 8, "twin/dev-0": 3}
        assert {entry["value"]: entry["every"] for entry in facets["domain"]} == {"sim": 18, "twin/dev-0": 6}
        assert [entry["count"] for entry in facets["demo"]] == [3, 3, 2]
        ranges = {entry["field"]: entry for entry in found["ranges"]}
        drawn = ranges["ledger.physics.friction"]
        assert (sum(drawn["every"]), sum(drawn["counts"])) == (24, 18)
        assert sum(ranges["attempts"]["counts"]) == 8

    visit(gallery, steps)


def test_what_the_page_filters_is_what_the_command_filters(gallery: Store, tmp_path: Path) -> None:
    queries = ["demo=2", "ledger.look.colour=red&ledger.look.colour=blue", "where=" + quote("not scene in (1, 2)")]
    queries.append("ledger.poses.cube[0]=..0.42&length=3..&where=" + quote("attempts > 1 or domain == twin/dev-0"))

    async def steps(client: Client) -> None:
        for number, query in enumerate(queries):
            found = await get(client, f"/api/episodes?{query}")
            told = (await get(client, f"/api/summary?{query}"))["where"]
            view = filter_by(gallery.path, told, tmp_path / f"{number}.zarr")
            assert 0 < found["matching"] == len(view) < 24
            assert [row["scene"] for row in found["rows"]] == view.index().scene.tolist()

    visit(gallery, steps)


def test_distributions_and_maps_split_what_matches_from_the_rest(gallery: Store) -> None:
    async def steps(client: Client) -> None:
        found = await get(client, "/api/distributions?ledger.look.colour=red")
        axes = {entry["field"]: entry for entry in found["axes"]}
        assert set(axes) >= {"attempts", "domain", "ledger.physics.friction", "ledger.look.colour"}
        assert "task" not in axes
        friction = axes["ledger.physics.friction"]
        assert (len(friction["edges"]), sum(friction["counts"]), sum(friction["every"])) == (25, 8, 24)
        assert friction["mean"] == pytest.approx(np.mean([0.4 + 0.02 * s for s in range(0, 24, 3)]))
        assert [entry["field"] for entry in (await get(client, "/api/distributions?_search=FRICT"))["axes"]] == [
            "ledger.physics.friction"
        ]
        (cube,) = (await get(client, "/api/coverage?ledger.look.colour=red"))["maps"]
        assert (cube["name"], cube["x_axis"], cube["matching"]) == ("cube", "ledger.poses.cube[0]", 8)
        assert [0, 0.4, -0.1] in cube["dots"]
        assert [1, 0.41, -0.09] in cube["others"]
        assert cube["extent"] == pytest.approx([0.4, 0.45, -0.1, 0.13])

    visit(gallery, steps)


def test_without_a_ledger_the_first_steps_say_where_objects_started(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s.zarr", {"kind": "test"})
    episodes = [make_episode(scene, ()) for scene in range(4)]
    for scene, episode in enumerate(episodes):
        pose = np.tile(np.array([0.5, 0.1 * scene, 0.02, 1, 0, 0, 0], np.float32), (len(episode), 1))
        episode.arrays["objects/cup"] = pose
        pose[1:, 0] = 0.7
    store.commit(0, episodes, [])

    async def steps(client: Client) -> None:
        (cup,) = (await get(client, "/api/coverage?scene=2.."))["maps"]
        assert (cup["name"], cup["x_axis"], cup["there"], cup["matching"]) == ("cup", None, 4, 2)
        assert cup["dots"] == [[2, 0.5, 0.2], [3, 0.5, 0.3]]
        assert cup["others"] == [[0, 0.5, 0.0], [1, 0.5, 0.1]]

    visit(Store.open(store.path), steps)


def test_failed_attempts_are_counted_by_outcome(gallery: Store) -> None:
    async def steps(client: Client) -> None:
        found = await get(client, "/api/attempts")
        assert (found["scenes"], found["attempts"]) == (27, 24 + 24 + 6)
        counts = {entry["outcome"]: (entry["scenes"], entry["attempts"]) for entry in found["outcomes"]}
        assert counts == {"success": (24, 24), "grasp_missed": (0, 24), "collided": (3, 6)}
        assert found["rows"][2] == {
            "scene": 2,
            "attempts": ["grasp_missed", "grasp_missed", "success"],
            "steps": 12,
            "episode": 2,
            "dumped": False,
        }
        missed = await get(client, "/api/attempts?_outcome=grasp_missed&_start=3&_count=2")
        assert (missed["matching"], [row["scene"] for row in missed["rows"]]) == (16, [5, 7])
        failed = await get(client, "/api/attempts?_failed=1")
        assert [(row["scene"], row["episode"]) for row in failed["rows"]] == [(1000, None), (1001, None), (1002, None)]

    visit(gallery, steps)


def test_an_episode_says_where_it_came_from(gallery: Store, demos: Store) -> None:
    async def steps(client: Client) -> None:
        found = await get(client, "/api/episodes/5")
        assert found["segments"] == [
            {"start": 0, "stop": 3, "demo": -1, "first": -1, "last": -1},
            {"start": 3, "stop": 12, "demo": 2, "first": 3, "last": 11},
        ]
        assert found["sources"] == {"2": {"store": demos.plan_digest, "episode": 2, "operator": "human", "set": 0}}
        assert found["chain"] == ["grasp_missed", "grasp_missed", "success"]
        assert found["meta"]["seeds"]["seed"] == 7
        drawn = {entry["axis"]: entry for entry in found["ledger"]}
        assert drawn["ledger.physics.friction"]["value"] == 0.5
        assert drawn["ledger.physics.friction"]["extent"] == pytest.approx([0.4, 0.86])
        assert drawn["ledger.look.colour"] == {"axis": "ledger.look.colour", "value": "blue", "extent": None}
        assert found["store"] == {"path": str(gallery.path), "episode": 5}
        answer = await client.get("/api/demos/0/2/frames?start=3&stop=5")
        assert answer.headers["X-Cameras"] == "front,wrist"
        for step, (front, _) in unpacked(await answer.read()):
            assert np.abs(front.astype(int) - demos.read(2, "images/front")[step]).mean() < 3

    visit(gallery, steps, demos=demos)


def test_without_the_demos_at_hand_that_is_said(gallery: Store) -> None:
    async def steps(client: Client) -> None:
        found = await get(client, "/api/episodes/5")
        assert found["sources"]["2"]["set"] is None
        assert "no set 0" in (await get(client, "/api/demos/0/2/frames?start=0&stop=1", 400))["error"]

    visit(gallery, steps)


def test_pictures_and_numbers_are_those_of_the_store(gallery: Store) -> None:
    async def steps(client: Client) -> None:
        answer = await client.get("/api/episodes/3/frames?start=4&stop=9")
        moments = unpacked(await answer.read())
        assert [step for step, _ in moments] == [4, 5, 6, 7, 8]
        for step, pictures in moments:
            for camera, picture in zip(("front", "wrist"), pictures, strict=True):
                stored = gallery.read(3, f"images/{camera}", step, step + 1)[0]
                assert np.abs(picture.astype(int) - stored).mean() < 3
        found = await get(client, "/api/episodes/3/series")
        rows = found["rows"]
        joints = gallery.read(3, "observation/joint_position")
        np.testing.assert_allclose(np.array(rows["joints"]).T, joints, atol=1e-5)
        assert rows["signals/held"] == [0] * 7 + [1] * 5
        assert rows["subtask"] == gallery.read(3, "subtask").tolist()
        assert (found["steps"], found["rate"], found["stride"], found["damaged"]) == (12, 20.0, 1, {})
        assert "neither images nor states" in (await get(client, "/api/episodes/3/contacts", 400))["error"]

    visit(gallery, steps)


def test_states_are_drawn_and_give_contacts(tmp_path: Path) -> None:
    from generators.rendering import model_of
    from generators.scripted import ScriptedOperator
    from generators.teleoperation import record
    from handful import random_stream
    from scenes.domains import get_domain
    from scenes.scene import draw_scene
    from scenes.workspace import build_workspace

    workspace = build_workspace("lift")
    scene = draw_scene(workspace, get_domain("none"), "recording", 0, 0)
    episode, _ = record(workspace, scene, ScriptedOperator(), random_stream("recording", 0, "lift", 0, "operator"))
    store = Store.create(tmp_path / "s.zarr", {"kind": "test"})
    store.commit(0, [episode], [])
    store.seal(None)

    async def steps(client: Client) -> None:
        assert (await get(client, "/api/dataset"))["pictures"] == "drawn"
        answer = await client.get("/api/episodes/0/frames?start=0&stop=2")
        assert answer.headers["X-Cameras"].split(",")[:2] == ["front", "wrist"]
        pictures = unpacked(await answer.read())[1][1]
        assert pictures[0].shape == (256, 256, 3)
        assert pictures[0].std() > 10
        found = await get(client, "/api/episodes/0/contacts")
        target = episode.meta.extra["roles"]["target"]
        grip = np.array(found["forces"][target])
        assert grip[:20].max() == 0.0
        assert 10.0 < grip[-1] <= 70.5
        assert found["forbidden"] == {}
        assert found["touching"] == {}

    visit(Store.open(store.path), steps)
    model = model_of(workspace, episode)
    state = episode.arrays["state"][:1].copy()
    # The arm stretched down, into the table.
    state[0, 1 : 1 + 7] = [0.0, 1.2, 0.0, -1.0, 0.0, 2.2, 0.8]
    assert contacts_of(model, workspace.embodiment.hand_body, state)["forbidden"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/episodes/24", 400, "this data set has 24, counted from 0"),
        ("/api/episodes/24/series", 400, "no episode 24"),
        ("/api/episodes/0/frames?start=11&stop=13", 400, "has 12 steps"),
        ("/api/episodes/0/frames?start=-1&stop=3", 400, "must be a whole number"),
        ("/api/episodes?_count=many", 400, "must be a whole number"),
        ("/api/episodes?_sort=scene", 400, "sorted by episode, length or attempts"),
        ("/api/summary?outcom=success", 400, "outcome"),
        ("/api/summary?where=length+>", 400, "at character"),
        ("/api/summary?where=length+%3D%3D+red", 400, "'length' is a number"),
        ("/api/demos/9/0/frames?start=0&stop=1", 400, "no set 9"),
        ("/api/episodes/-1", 404, ""),
        ("/api/episodes/0/../../plan.json", 404, ""),
        ("/api/episodes/..%2f..%2fetc/series", 404, ""),
        ("/static/..%2fserver.py", 404, ""),
        ("/static/record.js", 404, ""),
    ],
)
def test_a_wrong_request_is_refused_with_one_line(gallery: Store, path: str, status: int, words: str) -> None:
    async def steps(client: Client) -> None:
        answer = await client.get(path)
        assert answer.status == status
        if words:
            assert words in (await answer.json())["error"]

    visit(gallery, steps)


def test_a_view_is_saved_and_reads_as_a_data_set(gallery: Store, tmp_path: Path) -> None:
    views = tmp_path / "views"

    async def save(client: Client, status: int = 200, **fields: str) -> Any:
        answer = await client.post("/api/views", json={"query": "", "exclude": "", **fields}, headers=own(client))
        assert answer.status == status, await answer.text()
        return await answer.json()

    async def steps(client: Client) -> None:
        made = await save(client, name="clean.zarr", exclude="3,17,20-22")
        assert made == {"path": str(views / "clean.zarr"), "episodes": 19, "excluded": 5}
        made = await save(client, name="twin", query="domain=twin%2Fdev-0&where=scene+%3E+3", exclude="8")
        assert made["episodes"] == 4
        assert "exists already" in (await save(client, 400, name="twin"))["error"]
        assert "no episode would be left" in (await save(client, 400, name="none", exclude="0-23"))["error"]
        assert "there is no 24" in (await save(client, 400, name="more", exclude="24"))["error"]

    visit(gallery, steps, views)
    clean, twin = open_dataset(views / "clean.zarr"), open_dataset(views / "twin")
    assert isinstance(clean, View)
    assert clean.index().scene.tolist() == [s for s in range(24) if s not in (3, 17, 20, 21, 22)]
    assert twin.index().scene.tolist() == [4, 12, 16, 20]
    assert clean.verify() == twin.verify() == []
    assert twin.plan["where"] == '(domain == "twin/dev-0") and (scene > 3)'
    assert sorted(path.name for path in views.iterdir()) == ["clean.zarr", "twin"]


@pytest.mark.parametrize(
    "name", ["", "..", ".", "../out", "a/b", "a\\b", "/etc/x", "a\0b", ".hidden", "-x", "x" * 65, "é", "a b", "a\n"]
)
def test_a_view_goes_nowhere_but_into_its_folder(gallery: Store, tmp_path: Path, name: str) -> None:
    async def steps(client: Client) -> None:
        body = {"name": name, "query": "", "exclude": "1"}
        answer = await client.post("/api/views", json=body, headers=own(client))
        assert answer.status == 400
        assert "a view's name" in (await answer.json())["error"]

    visit(gallery, steps, tmp_path / "views", read=False)
    assert list(tmp_path.iterdir()) == []


def test_only_the_page_itself_can_save_and_bodies_are_bounded(gallery: Store, tmp_path: Path) -> None:
    async def steps(client: Client) -> None:
        body = {"name": "x", "query": "", "exclude": "1"}
        for origin in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            assert (await client.post("/api/views", json=body, headers=origin)).status == 403
        assert (await client.get("/api/views")).status == 405
        assert (await client.post("/api/views", json={**body, "path": "/"}, headers=own(client))).status == 400
        assert (await client.post("/api/views", data=b"x" * (MAX_BODY + 1), headers=own(client))).status in (400, 413)
        answer = await client.get("/api/dataset", headers={"Host": "evil.example"})
        assert answer.status == 403

    visit(gallery, steps, tmp_path / "views", read=False)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_episode_is_told_and_the_others_live_on(tmp_path: Path, demos: Store) -> None:
    path = make_gallery(tmp_path / "g.zarr", demos).path
    lines = (path / "parts" / "00000001" / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    hurt(path, 1, "episodes.jsonl", (len(lines[0]) + 40) / sum(map(len, lines)))
    hurt(path, 0, "images/front/c.0.0.0.0", 0.3)
    hurt(path, 2, "signals/held/c.0", 0.2)

    async def steps(client: Client) -> None:
        page = await get(client, "/api/episodes")
        assert [row["episode"] for row in page["rows"] if row["damaged"]] == [11]
        error = (await get(client, "/api/episodes/11", 500))["error"]
        assert "part 00000001: 'episodes.jsonl' is missing or damaged: line 2 has changed" in error
        assert (
            "part 00000000: 'images/front" in (await get(client, "/api/episodes/0/frames?start=0&stop=1", 500))["error"]
        )
        found = await get(client, "/api/episodes/22/series")
        assert set(found["damaged"]) == {"signals/held"}
        assert len(found["rows"]["joints"]) == 7
        assert (await client.get("/api/episodes/12/frames?start=0&stop=3")).status == 200
        assert (await get(client, "/api/summary"))["matching"] == 24
        assert (await get(client, "/api/summary?ledger.physics.friction=0..1"))["matching"] == 23

    visit(Store.open(path), steps, demos=demos)


def test_a_view_of_several_stores_is_browsed_too(tmp_path: Path, demos: Store) -> None:
    one, two = make_gallery(tmp_path / "one.zarr", demos, 8), make_gallery(tmp_path / "two.zarr", demos, 12)
    view = merge([one.path, two.path], tmp_path / "both.zarr")

    async def steps(client: Client) -> None:
        found = await get(client, "/api/summary?store=two.zarr")
        assert found["matching"] == 12
        detail = await get(client, "/api/episodes/10")
        assert detail["store"] == {"path": str(two.path), "episode": 2}
        assert detail["chain"] == ["grasp_missed", "grasp_missed", "success"]
        records = await get(client, "/api/attempts")
        assert (records["scenes"], [row["episode"] for row in records["rows"]]) == (20, list(range(20)))

    visit(view, steps, demos=demos)


def test_what_was_drawn_can_be_asked_for_once_it_is_read(gallery: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "_SLOW", 10)

    async def before(client: Client) -> None:
        answer = await get(client, "/api/summary?ledger.physics.friction=0..1", 400)
        assert "still being read (0%)" in answer["error"]
        assert not (await get(client, "/api/summary?domain=sim"))["progress"]["ready"]
        assert (await get(client, "/api/attempts"))["rows"] == []

    async def after(client: Client) -> None:
        assert (await get(client, "/api/summary?ledger.physics.friction=0..1"))["matching"] == 24
        answer = await get(client, "/api/summary?ledger.physics.fric=0..1", 400)
        assert "no episode has the axis 'ledger.physics.fric'" in answer["error"]
        assert "physics.friction" in answer["error"]

    visit(gallery, before, read=False)
    visit(gallery, after)


def test_many_requests_at_once_get_their_own_answers(gallery: Store) -> None:
    async def steps(client: Client) -> None:
        async def one(episode: int) -> None:
            assert (await get(client, f"/api/episodes/{episode}"))["episode"] == episode
            series = await get(client, f"/api/episodes/{episode}/series")
            assert series["rows"]["source/demo"][-1] == episode % 3
            answer = await client.get(f"/api/episodes/{episode}/frames?start=0&stop=4")
            assert answer.status in (200, 429)

        await asyncio.gather(*(one(episode % 24) for episode in range(48)))

    visit(gallery, steps)


def test_stretches_of_one_demo_are_told_apart(gallery: Store) -> None:
    class Two:
        def keys(self) -> list[str]:
            return ["source/demo", "source/step"]

        def read(self, episode: int, key: str) -> np.ndarray:
            return np.array({"source/demo": [2, 2, -1, 2, 2], "source/step": [4, 5, -1, 9, 10]}[key])

    found: Any = Two()
    assert [(s["start"], s["stop"], s["demo"], s["first"], s["last"]) for s in segments(found, 0)] == [
        (0, 2, 2, 4, 5),
        (2, 3, -1, -1, -1),
        (3, 5, 2, 9, 10),
    ]


def test_what_cannot_be_browsed_is_refused(tmp_path: Path, gallery: Store) -> None:
    def run(store: Path, **options: Any) -> None:
        fields = {"host": "127.0.0.1", "port": 0, "token": None, "demos": [], "views": None, **options}
        verb.run(store=store, ready=lambda _: pytest.fail("it was served"), **fields)

    empty = Store.create(tmp_path / "empty.zarr", {"kind": "test"})
    file = tmp_path / "file"
    file.touch()
    for store, options, words in [
        (tmp_path / "none", {}, "none"),
        (empty.path, {}, "holds no episodes yet"),
        (gallery.path, {"views": gallery.path}, "is a store or a view"),
        (gallery.path, {"views": file}, "is a file"),
        (gallery.path, {"demos": [tmp_path / "none"]}, "none"),
        (gallery.path, {"token": "short"}, "--token needs 12 to 128"),
        (gallery.path, {"port": 70000}, "port 70000 does not exist"),
        (gallery.path, {"host": "no.such.host.invalid"}, "cannot serve at no.such.host.invalid"),
    ]:
        with pytest.raises(InputError, match=words):
            run(store, **options)
