"""The verbs of policies: training one, and measuring how often it succeeds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from handful import InputError
from pipelines.cli_metrics import check_evaluation
from pipelines.terminal import Json, Output, Overrides, Quiet, Robot, Seed, Task, resumable

# Shown below its options.
TRAIN = "Example:  handful train --data generated.zarr --data real.zarr:3 --preset tiny --out runs/first"
EVALUATE = (
    "Example:  handful evaluate runs/first --task lift --domain sim --domain twin/dev-0 --episodes 100 "
    "--out runs/first/evaluation"
)


def train(
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="STORE[:weight]",
            help="A store to learn from; repeat it. A weight that changes in the run is start..end.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Run folder to make, or to resume.")],
    overrides: Overrides = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="tiny, small or base.", show_default="tiny, or as in --from")
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Stop after so long; more than 0.")] = None,
    base: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Fine-tune the policy of another run.")
    ] = None,
    evaluate: Annotated[
        list[str] | None,
        typer.Option(
            "--evaluate",
            metavar="TASK:DOMAIN:EPISODES[:ROBOT]",
            help="Rollouts at checkpoints, whose time is not counted; repeat it.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a policy on a blend of stores. Running it again resumes."""
    _check_folder(out)
    from pipelines import training as job
    from pipelines.tables import training_text

    output = Output(as_json, quiet)
    with resumable(out):
        result = job.run(
            data=data,
            out=out,
            preset=preset,
            minutes=minutes,
            overrides=output.overrides(overrides),
            progress=output.progress,
            evaluate=evaluate or (),
            base=base,
        )
    output.finish(result, training_text(result))


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of handful train.")],
    task: Task,
    out: Annotated[Path, typer.Option("--out", help="Folder for results and videos.")],
    overrides: Overrides = None,
    domain: Annotated[list[str] | None, typer.Option("--domain", help="sim or twin/<name>; repeat it.")] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Rollouts per domain.")] = 100,
    seed: Seed = 0,
    embodiment: Robot = "panda",
    against: Annotated[
        Path | None, typer.Option("--against", metavar="RUN", help="Another policy: both, until one is the better.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="robustness: along each group of axes instead of in domains.")
    ] = None,
    severity: Annotated[str | None, typer.Option("--severity", help="Of the suite: mild, medium, severe.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a policy's success rate, with its interval, in each domain."""
    _check_folder(out)
    check_evaluation(domain, against, suite, severity)
    output = Output(as_json, quiet)
    given: dict[str, Any] = {
        "run": run,
        "task": task,
        "episodes": episodes,
        "out": out,
        "seed": seed,
        "overrides": output.overrides(overrides),
        "progress": output.progress,
        "embodiment": embodiment,
    }
    domains = domain or ["sim"]
    with resumable(out):
        if suite is not None:
            from pipelines import robustness

            result = robustness.run(**given, severity=severity or "medium")
            table = robustness.robustness_table(result)
        elif against is not None:
            from pipelines import duel

            result = duel.run(**given, domains=domains, against=against)
            table = duel.decision_text(result)
        else:
            from pipelines import rollouts
            from pipelines.tables import results_table

            result = rollouts.run(**given, domains=domains)
            table = results_table(result["results"])
    output.finish(result, table)


def _check_folder(out: Path) -> None:
    """Refuse an --out that is a file, or a store, whose content is settled by its plan."""
    if out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file; --out must be a folder, new or of an earlier run")
    if (out / "zarr.json").exists():
        raise InputError(f"'{out}' is a store of trajectories; --out must be another folder")
