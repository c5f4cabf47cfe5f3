"""The verbs that judge results: is one policy better than another, and does simulation foretell reality?"""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.terminal import Json, Output, Quiet

# Shown below their options.
COMPARE = "Example:  handful compare runs/a/evaluation runs/b/evaluation"
AGREEMENT = "Example:  handful agreement real.csv sim.csv --out agreement.html"


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
