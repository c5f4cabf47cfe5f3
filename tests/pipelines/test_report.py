"""The report: one self-contained page that says what was measured, and what is missing."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from handful import InputError, JobError
from pipelines import report
from pipelines.report import write_report
from pipelines.runs import read_run, video_name
from tests.pipelines import run_folder


class Page(HTMLParser):
    """Text, attributes and problems of a page."""

    VOID = frozenset({"meta", "img", "link", "br", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.problems: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_folder.make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def html(folder):
    path = write_report(folder)
    assert path == folder / "report.html"
    return path.read_text()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_page_is_well_formed_and_loads_nothing(page, html):
    assert page.problems == []
    assert page.open == []
    addresses = [a[name] for _, a in page.elements for name in ("src", "href", "poster") if a.get(name)]
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert page.all("script") == []
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert len(html) < 25_000_000


def test_headline_says_what_was_done_with_its_numbers(page):
    sentence = (
        "From 10 demonstrations, 872 verified trajectories were generated: 87.2 % (872 of 1,000; 95 % interval "
        "85.0 to 89.1 %) of the scenes tried; a policy was trained for 3,000 steps; "
        "it succeeds at lift in sim in 90.0 % (90 of 100; 95 % interval 82.6 to 94.5 %); "
        "it succeeds at lift in twin/dev-0 (surrogate reality) in 80.0 % (40 of 50; 95 % interval 67.0 to 88.8 %)."
    )
    assert sentence in page.text


def test_twins_are_labelled_surrogate_reality_and_real_ones_are_not(page):
    assert page.text.count("surrogate reality") >= 3
    assert "no measurement on a real robot" in page.text


def test_operators_are_named_honestly(page):
    assert "10 demonstrations recorded by a script, not by a person." in page.text
    assert "75.0 % of the steps of 12 generated trajectories replay a demonstration" in page.text


def test_each_outcome_that_occurs_has_its_sentence(page):
    from scenes.outcome import Outcome

    for outcome in (Outcome.SUCCESS, Outcome.GRASP_MISSED, Outcome.TIMED_OUT, Outcome.UNREACHABLE):
        assert outcome.value in page.text
    assert Outcome.DIVERGED.value not in page.text


def test_generation_is_told_in_full(page):
    for words in (
        "15,063/h",
        "74.1 % (741 of 1,000; 95 % interval 71.3 to 76.7 %)",
        "How attempts ended",
        "171 (13.7%)",
    ):
        assert words in page.text


def test_videos_and_pictures_are_embedded_and_described(page):
    videos = page.all("video")
    assert len(videos) == 4
    assert all(v["src"].startswith("data:video/mp4;base64,") and v["aria-label"] and v["poster"] for v in videos)
    assert [v["aria-label"] for v in videos[1:]] == [
        "Video: rollout in sim: success",
        "Video: rollout in twin/dev-0, surrogate reality: success",
        "Video: rollout in sim: grasp missed",
    ]
    assert all(image.get("alt") for image in page.all("img"))
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in page.all("svg"))
    assert page.all("html")[0]["lang"] == "en"


def test_commands_machine_and_configuration_are_there(page):
    for words in ("handful train --data store", "Test processor", '"batch_size": 64', '"kind": "test"'):
        assert words in page.text


def test_training_names_its_sources_and_keeps_their_folders_to_itself(page, html):
    assert "held-out scenes of human.zarr, last 0.0" in page.text
    assert "generated.zarr 75 % 872" in page.text
    assert "/data/" not in html
    assert '"width": 1\n' not in html  # an older checkpoint


def test_sources_of_one_name_are_told_apart():
    assert report._short_names(["/x/a/store", "/x/b/store", "/x/c"]) == {
        "/x/a/store": "a/store",
        "/x/b/store": "b/store",
        "/x/c": "x/c",
    }
    assert report._short_names(["/x/store"]) == {"/x/store": "store"}


@pytest.mark.parametrize(
    "missing",
    [
        {
            "evaluation": "No evaluation here: evaluation/results.json is missing.",
            "machine.json": "The machine was not recorded",
            "commands.txt": "The commands were not recorded",
        },
        {
            "generation.json": "No record of generation: generation.json is missing.",
            "training": "No training log: training/log.jsonl is missing.",
            "store": "the store is missing, empty, or names no source demos",
        },
    ],
    ids=["means", "data"],
)
def test_a_missing_section_is_said_to_be_missing(folder, page, tmp_path, missing):
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    for name in missing:
        path = copy / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    poorer = Page(write_report(copy).read_text())
    assert poorer.problems == []
    for sentence in missing.values():
        assert sentence in poorer.text
        assert sentence not in page.text


def test_a_store_without_pictures_says_so(tmp_path):
    run_folder.make_store(tmp_path / "store", episodes=2, cameras=())
    text = Page(write_report(tmp_path, tmp_path / "new" / "page.html").read_text()).text
    assert "No picture of the scenes" in text
    assert "No videos" in text


def test_nothing_and_nowhere_are_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"no run folder at '.*nowhere'"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"is no run folder: it has none of generation\.json, store/"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("generation.json", "{", r"'.*generation\.json' is damaged"),
        ("generation.json", "[1]", "it holds a list, not an object"),
        ("generation.json", "{}", "it lacks attempts, kept, scenes"),
        ("evaluation/results.json", "{}", "it lacks results"),
        (
            "evaluation/results.json",
            '{"results": [{"task": "lift"}]}',
            "it lacks domain, successes, episodes, outcomes",
        ),
        ("training/log.jsonl", '{"step": 1\n{"step": 2, "loss": 1}\n', r"log\.jsonl', line 1 is damaged"),
        ("evaluation/videos/sim_success.mp4", "no video", r"video 'evaluation/videos/sim_success\.mp4' is damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
    checkpoint = tmp_path / "training" / "checkpoint-00000001" / "checkpoint.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("{}")
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(JobError, match=message) as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_log_cut_short_by_a_stop_is_read_to_its_last_whole_line(tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert read_run(tmp_path).training_log == [{"step": 1, "loss": 0.5}]


def test_a_failed_report_leaves_the_last_one(folder, tmp_path, monkeypatch):
    out = tmp_path / "page.html"
    out.write_text("the last one")
    monkeypatch.setattr(report, "_PAGE_LIMIT", 1000)
    with pytest.raises(JobError, match="must stay below 25 MB"):
        write_report(folder, out)
    assert out.read_text() == "the last one"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_videos_beyond_the_budget_become_their_last_frame(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_VIDEO_BUDGET", 100)
    page = Page(write_report(folder, tmp_path / "page.html").read_text())
    assert page.all("video") == []
    assert "too large for this page: evaluation/videos/sim_success.mp4" in page.text


def test_names_from_files_cannot_inject_markup(tmp_path):
    row = {**run_folder.RESULTS[0], "task": "<b>x</b>", "domain": "twin/<script>"}
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "results.json").write_text(json.dumps({"results": [row]}))
    html = write_report(tmp_path).read_text()
    assert not re.search(r"<script|<b>x", html)
    assert "twin/<script>" in Page(html).text


def test_the_store_is_found_where_generation_says(tmp_path):
    run_folder.make_store(tmp_path / "elsewhere.zarr", episodes=2, cameras=())
    (tmp_path / "generation.json").write_text(json.dumps({**run_folder.GENERATION, "store": "elsewhere.zarr"}))
    store = read_run(tmp_path).store
    assert store is not None
    assert len(store) == 2


def test_video_names_are_flat():
    assert video_name("twin/dev-0", "grasp_missed") == "twin-dev-0_grasp_missed.mp4"
