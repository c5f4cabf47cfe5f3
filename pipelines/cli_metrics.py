"""The verbs that judge results: is one policy better than another, and does simulation foretell reality?"""

from pathlib import Path
from typing import Annotated

import typer

from handful import InputError, unknown_name
from pipelines.terminal import Json, Output, Quiet, Seed, names_of

# Shown below their options.
COMPARE = "Example:  handful compare runs/a/evaluation runs/b/evaluation"
AGREEMENT = "Example:  handful agreement real.csv sim.csv --out agreement.html"
OFFLINE = "Example:  handful offline runs/first --data real.zarr"
PROBE = "Example:  handful probe runs/first --data generated.zarr --data real.zarr"
DISTANCE = "Example:  handful distance generated.zarr real.zarr"


SUITES = ("robustness",)


def check_evaluation(domains: list[str] | None, against: Path | None, suite: str | None, severity: str | None) -> None:
    """Refuse options of `handful evaluate` that do not go together, or a suite that there is not."""
    if suite is None:
        if severity is not None:
            raise InputError("--severity is of a suite; add --suite robustness")
        return
    if suite not in SUITES:
        raise unknown_name("suite", suite, SUITES)
    for name, given in (("--domain", domains), ("--against", against)):
        if given:
            raise InputError(f"--suite {suite} brings its own conditions; leave {name} out")


def compare(
    evaluations: Annotated[
        list[Path], typer.Argument(metavar="EVALUATION...", help="Output folders of handful evaluate, two or more.")
    ],
    alpha: Annotated[float, typer.Option("--alpha", help="Chance of naming a better one where there is none.")] = 0.05,
    most: Annotated[int, typer.Option("--most", min=1, help="Pairs after which the sequential test ends.")] = 200,
    chosen_by: Annotated[
        str | None, typer.Option("--chosen-by", metavar="DOMAIN", help="Where success chose these policies, if it did.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say whether one policy is better than another, each with each, in every domain that both met."""
    from pipelines import compare as job

    output = Output(as_json, quiet)
    result = job.run(folders=evaluations, alpha=alpha, most=most, chosen_by=chosen_by)
    output.finish(result, job.comparison_table(result, alpha))


def agreement(
    real: Annotated[Path, typer.Argument(metavar="REAL.csv", help="policy,successes,episodes[,condition] on a robot.")],
    sim: Annotated[Path, typer.Argument(metavar="SIM.csv", help="The same in simulation, of the same policies.")],
    out: Annotated[Path | None, typer.Option("--out", help="HTML page to write as well.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draws that intervals are made of.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how well simulation foretells your robot's results: MMRV, correlations, intervals, noise floor."""
    from pipelines import agreement as job

    output = Output(as_json, quiet)
    result = job.run(real=real, sim=sim, out=out, seed=seed)
    output.finish(result, job.agreement_table(result))


def offline(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of handful train, or a checkpoint's.")],
    data: Annotated[list[str], typer.Option("--data", metavar="STORE", help="Recorded episodes; repeat it.")],
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episodes of each store, at most.")] = 20,
    samples: Annotated[int, typer.Option("--samples", help="Of the policy at each moment; at least 2.")] = 8,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a policy's action error on recorded episodes that it has not learnt from."""
    from pipelines import offline as job

    output = Output(as_json, quiet)
    result = job.run(run=run, data=data, episodes=episodes, samples=samples, seed=seed, progress=output.progress)
    output.finish(result, job.offline_table(result))


def probe(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders of handful train, or checkpoints'.")
    ],
    data: Annotated[
        list[str], typer.Option("--data", metavar="STORE", help="What is to be told apart; repeat it, twice or more.")
    ],
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episodes of each store, at most.")] = 50,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of each episode.")] = 4,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how well a linear classifier tells data apart by what a policy makes of it."""
    from pipelines import probe as job

    output = Output(as_json, quiet)
    result = job.run(runs=runs, data=data, episodes=episodes, frames=frames, seed=seed, progress=output.progress)
    output.finish(result, job.probe_table(result))


def distance(
    a: Annotated[Path, typer.Argument(metavar="A", help="A store, or a view.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    cameras: Annotated[
        str | None, typer.Option("--cameras", metavar="A,B", help="Which; all that both have if absent.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="RUN", help="Compare what this policy's first look sums up to.")
    ] = None,
    images: Annotated[int, typer.Option("--images", min=10, help="Of each store at most, one of each episode.")] = 500,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how far the images of two stores lie apart, and whether a classifier tells them apart."""
    from pipelines import distance as job

    output = Output(as_json, quiet)
    result = job.run(a=a, b=b, cameras=names_of("camera", cameras or ""), policy=policy, images=images, seed=seed)
    output.finish(result, job.distance_table(result))
