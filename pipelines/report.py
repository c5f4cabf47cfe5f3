"""One self-contained HTML page about a run: open it from a file, offline; print it; send it.

Pictures and videos are embedded, charts are inline SVG, nothing is loaded and no script runs. Sections whose data is
not there say so. Rates come with their n and interval, and what was measured in a twin is called surrogate reality.
"""

import base64
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import jinja2
import numpy as np
from PIL import Image

from handful import JobError, __version__
from pipelines import charts
from pipelines.configuration import project_commit
from pipelines.evaluation_page import agreement_part, evaluation_part, surrogate
from pipelines.generation_page import generation_page
from pipelines.pictures import write_video
from pipelines.runs import Run, read_run, video_name
from pipelines.tables import rate_text
from pipelines.viewing import store_sheet, video_frames
from trajectories import Store
from trajectories.dataset import Dataset

# The page stays below 25 MB: base64 makes 4 bytes of 3.
_PAGE_LIMIT = 25_000_000
_VIDEO_BUDGET = 15_000_000
# Episodes that the share of replayed steps is counted on, evenly spread.
_SOURCE_EPISODES = 100


@dataclass(frozen=True)
class Clip:
    """One video of the page."""

    caption: str
    # data: URLs; the video's is empty where it would make the page too large.
    video: str
    poster: str
    # Where the file lies, relative to the run folder.
    name: str


def write_report(folder: Path, out: Path | None = None, seeds: Path | None = None) -> Path:
    """Write the page of a run.

    Args:
        folder: the run folder; `pipelines.runs` says what it may hold.
        out: the HTML file; `report.html` in the folder if None.
        seeds: where the demos are that the store was generated from; None: the task's bundled ones.

    Returns:
        The file written.

    Raises:
        InputError: there is no run in the folder.
        JobError: a file of the run is damaged, or the page would be too large to send.
    """
    page = render(read_run(folder), seeds)
    if len(page) >= _PAGE_LIMIT:
        raise JobError(f"the report of '{folder}' would be {len(page) / 1e6:.0f} MB; it must stay below 25 MB")
    out = out or folder / "report.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(out)
    return out


def render(run: Run, seeds: Path | None = None) -> str:
    """The page's HTML; `seeds` as for `write_report`."""
    account = generation_page(run.store, seeds) if isinstance(run.store, Store) else None
    budget = _Budget(_VIDEO_BUDGET)
    examples = [(example.caption, example.name, example.video) for example in account.examples] if account else []
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False, default=str)
    environment.filters["words"] = lambda name: name.replace("_", " ")
    environment.globals["rate_text"] = rate_text
    return environment.get_template("report.html.jinja").render(
        run=run,
        title=_title(run),
        headline=_headline(run),
        sheet=_sheet(run),
        clips=_embedded(_videos(run), budget),
        account=account,
        failures=_embedded(examples, budget),
        outcome_bars=_outcome_bars(run),
        counted=_counted(run),
        first_tries=_first_tries(run),
        demos=demo_sources(run.store) if run.store is not None else None,
        training=_training(run),
        sources=_sources(run),
        policy=_policy(run),
        evaluations=[evaluation_part(found) for found in run.evaluations],
        agreement=agreement_part(run.agreement) if run.agreement is not None else None,
        sentences=_sentences(run, account.causes if account else ()),
        commands=[line for line in run.commands or [] if line.strip()],
        version=__version__,
        commit=project_commit(),
    )


def demo_sources(store: Dataset) -> dict[str, Any]:
    """Where a generated store's demos came from: demos by operator, and the share of steps that replay them."""
    demos: dict[tuple[str | None, int], str] = {}
    chosen = np.unique(np.linspace(0, len(store) - 1, min(len(store), _SOURCE_EPISODES)).astype(int))
    for episode in map(int, chosen):
        for source in store.meta(episode).sources:
            demos[source.get("store"), source["episode"]] = source["operator"]
    replayed = steps = 0
    keys = store.keys()
    if "source/demo" in keys:
        for episode in map(int, chosen):
            indices = store.read(episode, "source/demo")
            replayed += int((indices >= 0).sum())
            steps += len(indices)
    operators = Counter(demos.values())
    return {
        "operators": [(operator, count, OPERATORS.get(operator, operator)) for operator, count in operators.items()],
        "episodes": len(chosen),
        "replayed": replayed / steps if steps else None,
    }


# How an operator is named in a sentence about demos.
OPERATORS = {
    "human": "recorded by a person",
    "script": "recorded by a script, not by a person",
    "policy": "recorded by a policy",
    "augmentation": "themselves generated",
}


def _title(run: Run) -> str:
    tasks = {row["task"] for found in run.evaluations for row in found.results}
    if run.store is not None and len(run.store):
        tasks.add(run.store.meta(0).task)
    return ", ".join(sorted(tasks)).replace("_", " ") or run.folder.name


def _headline(run: Run) -> str:
    """What was done, in one sentence with the numbers."""
    parts = []
    demos = demo_sources(run.store)["operators"] if run.store is not None and len(run.store) else []
    if run.generation is not None:
        count = sum(number for _, number, _ in demos)
        origin = f"From {count} demonstrations, {run.generation['kept']:,}" if count else f"{run.generation['kept']:,}"
        kept = rate_text(run.generation["kept"], run.generation["scenes"])
        parts.append(f"{origin} verified trajectories were generated: {kept} of the scenes tried")
    if run.training_log:
        parts.append(f"a policy was trained for {run.training_log[-1]['step']:,} steps")
    for row in _first_results(run):
        where = f"{row['domain']} (surrogate reality)" if surrogate(row["domain"]) else row["domain"]
        rate = rate_text(row["successes"], row["episodes"])
        parts.append(f"it succeeds at {row['task'].replace('_', ' ')} in {where} in {rate}")
    sentence = "; ".join(parts) or "Nothing was measured yet"
    return sentence[0].upper() + sentence[1:] + "."


def _first_results(run: Run) -> list[dict[str, Any]]:
    """Of the first evaluation that is no suite: those of a suite are no answer to how good the policy is."""
    return next((found.results for found in run.evaluations if found.robustness is None), [])


def _sheet(run: Run) -> str | None:
    if run.scenes_picture is not None:
        return _jpeg(np.asarray(Image.open(run.scenes_picture).convert("RGB")))
    if run.store is not None and len(run.store) and run.store.cameras():
        return _jpeg(store_sheet(run.store))
    return None


def _videos(run: Run) -> list[tuple[str, str, bytes]]:
    """One generated episode, then the rollouts: successes before failures."""
    found: list[tuple[str, str, bytes]] = []
    if run.store is not None and len(run.store) and run.store.cameras():
        found.append(("generated trajectory, as the policy sees it", "episode 0 of the store", _encode(run.store, 0)))
    for evaluated in run.evaluations:
        captions = {
            video_name(row["domain"], outcome): _clip_caption(row["domain"], outcome)
            for row in evaluated.results
            for outcome in row["outcomes"]
        }
        for path in sorted(evaluated.videos, key=lambda path: ("_success" not in path.name, path.name)):
            caption = captions.get(path.name, path.stem.replace("_", " "))
            found.append((caption, str(path.relative_to(run.folder)), path.read_bytes()))
    return found


@dataclass
class _Budget:
    """How many bytes of video the page still has room for."""

    left: int


def _embedded(found: Sequence[tuple[str, str, bytes]], budget: _Budget) -> list[Clip]:
    clips = []
    for caption, name, content in found:
        fits = len(content) <= budget.left
        budget.left -= len(content) if fits else 0
        video = "data:video/mp4;base64," + base64.b64encode(content).decode() if fits else ""
        clips.append(Clip(caption, video, _poster(content, name), name))
    return clips


def _clip_caption(domain: str, outcome: str) -> str:
    where = f"{domain}, surrogate reality" if surrogate(domain) else domain
    return f"rollout in {where}: {outcome.replace('_', ' ')}"


def _outcomes(run: Run) -> dict[str, int]:
    return dict((run.generation or {}).get("outcomes") or {})


def _counted(run: Run) -> str:
    """What the outcomes are of: attempts, scenes, or a mixture that nobody stated."""
    total = sum(_outcomes(run).values())
    record = run.generation or {}
    return next((what for what in ("scenes", "attempts") if record.get(what) == total), "outcomes")


def _outcome_bars(run: Run) -> str | None:
    outcomes = _outcomes(run)
    return charts.bars(outcomes, sum(outcomes.values())) if outcomes else None


def _first_tries(run: Run) -> str | None:
    """The rate of scenes solved at the first attempt with its interval, where the counts are known."""
    if run.generation is None:
        return None
    scenes = run.generation["scenes"]
    return rate_text(round(run.generation["first_try_rate"] * scenes), scenes)


def _training(run: Run) -> str | None:
    """The flow-matching loss on training batches and, on held-out scenes, by source."""
    if not run.training_log:
        return None
    paths = [path for record in run.training_log for path in record.get("validation") or {}]
    names = _short_names(paths)
    series: dict[str, list[tuple[float, float]]] = {"training": []}
    for record in run.training_log:
        # "loss" may add other terms; "head" ("flow" in older logs) is what validation measures.
        loss = record.get("head", record.get("flow", record.get("loss")))
        if loss is not None:
            series["training"].append((record["step"], loss))
        for path, held_out in (record.get("validation") or {}).items():
            if held_out is not None:
                series.setdefault(f"held-out scenes of {names[path]}", []).append((record["step"], held_out))
    return charts.curves(series, "step", "flow-matching loss")


def _sources(run: Run) -> list[dict[str, Any]]:
    """What the policy learnt from, as its checkpoint says."""
    sources = (run.checkpoint or {}).get("sources") or []
    names = _short_names([source["path"] for source in sources])
    return [{**source, "name": names[source["path"]]} for source in sources]


def _policy(run: Run) -> dict[str, Any]:
    """The part of the checkpoint's record that a person reads: not the words and statistics it needs to run."""
    wanted = ("config", "step", "control_rate", "horizon", "resolution", "versions", "commit")
    return {name: run.checkpoint[name] for name in wanted if name in run.checkpoint} if run.checkpoint else {}


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """Last parts of paths, as many as it takes to tell them apart: where a run lay is nobody's business."""
    distinct = sorted(set(paths))
    for count in range(1, max((len(Path(path).parts) for path in distinct), default=1) + 1):
        names = {path: "/".join(Path(path).parts[-count:]) for path in distinct}
        if len(set(names.values())) == len(distinct):
            return names
    return {path: path for path in distinct}


def _sentences(run: Run, causes: Iterable[str]) -> list[tuple[str, str]]:
    """Each outcome that occurs in the run, with the sentence that defines it."""
    from scenes.outcome import Outcome

    rows = [row for found in run.evaluations for row in found.results]
    seen = set(_outcomes(run)).union(*(row["outcomes"] for row in rows), causes)
    return [(outcome.label, outcome.value) for outcome in Outcome if outcome.label in seen]


def _encode(store: Dataset, episode: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episode.mp4"
        write_video(path, video_frames(store, episode), store.meta(episode).control_rate)
        return path.read_bytes()


def _poster(video: bytes, name: str) -> str:
    """The last frame, which shows how it ended: what a printed page has of a video."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(video)
        file.flush()
        try:
            reader = imageio_ffmpeg.read_frames(file.name)
            size = next(reader)["size"]
            last = None
            for frame in reader:
                last = frame
        except (OSError, RuntimeError) as error:
            raise JobError(f"video '{name}' is damaged: ffmpeg cannot read it") from error
    if last is None:
        raise JobError(f"video '{name}' is damaged: it has no frames")
    return _jpeg(np.frombuffer(last, np.uint8).reshape(size[1], size[0], 3))


def _jpeg(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=88, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
