"""`handful quickstart`: the main job, small. Ten bundled demos in; data, a policy, its success rates and a page out.

Every stage resumes, so the same command goes on where it was stopped.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handful import InputError
from pipelines import generate, rerender, rollouts, scenes, training
from pipelines.configuration import resolve
from pipelines.doctor import cores, machine
from pipelines.progress import Reporter
from pipelines.report import write_report
from pipelines.rerender import RenderConfig


@dataclass(frozen=True)
class QuickstartConfig:
    """The size of the job."""

    # The task; its bundled demos are the seed.
    task: str = "lift"
    # Episodes to keep.
    count: int = 512
    # Training time [minutes].
    minutes: float = 7.5
    # Policy preset, and overrides of it.
    preset: str = "small"
    policy: tuple[str, ...] = ()
    # Share of training samples that are the seed demos themselves.
    demo_share: float = 0.03
    # Domains to evaluate in, and rollouts in each.
    domains: tuple[str, ...] = ("sim", "twin/dev-0")
    episodes: int = 100
    cameras: tuple[str, ...] = ("front", "wrist")
    resolution: int = 84
    seed: int = 0
    # Processes for generation; 0: one per core.
    workers: int = 0
    # Overrides of GenerationConfig.
    generation: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not 0 <= self.demo_share < 1:
            raise InputError(f"demo_share must be at least 0 and below 1, got {self.demo_share}")


def run(out: str | Path, progress: Reporter, overrides: list[str]) -> dict[str, Any]:
    """Do the whole job into a run folder.

    Args:
        out: the run folder; a stopped run resumes.
        progress: where progress is shown.
        overrides: `a.b=c` for QuickstartConfig.

    Returns:
        {"report", "generation", "training", "evaluation"}
    """
    config = resolve(QuickstartConfig, None, overrides)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    _note(folder / "machine.json", machine())
    (folder / "commands.txt").write_text("\n".join(_commands(config, folder)) + "\n", encoding="utf-8")

    progress.say(f"1/4 generate {config.count} episodes of '{config.task}' from its bundled demos")
    generated = _generate(config, folder, progress)
    scenes.run(config.task, 16, folder / "scenes.png", config.seed)

    progress.say(f"2/4 train a policy for {config.minutes:g} minutes")
    data = [f"{folder / 'store'}:{1 - config.demo_share:g}"]
    if config.demo_share > 0:
        data.append(f"{_rendered_demos(config, folder, progress)}:{config.demo_share:g}")
    trained = training.run(data, folder / "training", config.preset, config.minutes, list(config.policy), progress)

    progress.say(f"3/4 evaluate it in {config.episodes} scenes each of: {', '.join(config.domains)}")
    evaluated = rollouts.run(
        folder / "training",
        config.task,
        list(config.domains),
        config.episodes,
        folder / "evaluation",
        config.seed,
        [],
        progress,
    )
    progress.say("4/4 write the report")
    page = write_report(folder, None)
    return {"report": str(page), "generation": generated, "training": trained, "evaluation": evaluated}


def _generate(config: QuickstartConfig, folder: Path, progress: Reporter) -> dict[str, Any]:
    account = folder / "generation.json"
    result = generate.run(
        task=config.task,
        demos=None,
        out=folder / "store",
        scenes=None,
        count=config.count,
        cameras=config.cameras,
        resolution=config.resolution,
        workers=config.workers or cores(),
        seed=config.seed,
        address=None,
        algorithm="handful",
        dry_run=False,
        overrides=list(config.generation),
        progress=progress,
    )
    if account.exists() and result["kept_per_hour"] == 0:
        # Nothing was left to do: the account of the run that did it stands.
        recorded: dict[str, Any] = json.loads(account.read_text(encoding="utf-8"))
        return recorded
    _note(account, result)
    return result


def _rendered_demos(config: QuickstartConfig, folder: Path, progress: Reporter) -> Path:
    """The bundled demos with images, so that they can be trained on beside what was made from them."""
    path, source = folder / "demos", generate.BUNDLED / config.task
    workers = config.workers or cores()
    rerender.run(source, path, config.cameras, config.resolution, 1, workers, None, RenderConfig(), progress)
    return path


def _commands(config: QuickstartConfig, folder: Path) -> list[str]:
    """The verbs that do the same step by step."""
    domains = " ".join(f"--domain {name}" for name in config.domains)
    return [
        f"handful generate --task {config.task} --count {config.count} --cameras {','.join(config.cameras)} "
        f"--resolution {config.resolution} --seed {config.seed} --out {folder}/store",
        f"handful render demos/{config.task} --cameras {','.join(config.cameras)} "
        f"--resolution {config.resolution} --out {folder}/demos",
        f"handful train --data {folder}/store:{1 - config.demo_share:g} --data {folder}/demos:{config.demo_share:g} "
        f"--preset {config.preset} --minutes {config.minutes:g} --out {folder}/training",
        f"handful evaluate {folder}/training --task {config.task} {domains} --episodes {config.episodes} "
        f"--seed {config.seed} --out {folder}/evaluation",
        f"handful report {folder}",
    ]


def _note(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
