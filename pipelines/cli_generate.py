"""The verbs that make data sets: generation, and drawing what is there again."""

from pathlib import Path
from typing import Annotated

import typer

from handful import InputError
from pipelines.terminal import Json, Output, Overrides, Quiet, Robot, Seed, Task, names_of, resumable

# Shown below its options.
GENERATE = (
    "Example:  handful generate --task stack_three --demos human.zarr --count 1000 --cameras front,wrist "
    "--workers 2 --out data.zarr"
)


def generate(
    task: Task,
    out: Annotated[Path, typer.Option("--out", help="Store to make, or to resume.")],
    overrides: Overrides = None,
    demos: Annotated[
        Path | None, typer.Option("--demos", help="Seed demos; the task's bundled ones if absent.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="How many episodes to keep.")] = None,
    scenes: Annotated[int | None, typer.Option("--scenes", min=1, help="Instead: how many scenes to try.")] = None,
    cameras: Annotated[str, typer.Option("--cameras", metavar="A,B", help="Cameras to render.")] = "",
    resolution: Annotated[int, typer.Option("--resolution", min=16, max=4096, help="Image side [pixels].")] = 84,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Processes, one per core unless given; 0 works in this one.")
    ] = None,
    seed: Seed = 0,
    address: Annotated[str | None, typer.Option("--address", help="Ray to run on; 'local' starts one.")] = None,
    algorithm: Annotated[str, typer.Option("--algorithm", help="handful, or plain for the baseline.")] = "handful",
    embodiment: Robot = "panda",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and its size, and stop.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Multiply demonstrations into verified, randomised trajectories. Running it again resumes."""
    if (count is None) == (scenes is None):
        raise InputError("give either --count (episodes to keep) or --scenes (scenes to try)")
    from pipelines import generate as job
    from pipelines.doctor import cores
    from pipelines.tables import generation_text

    output = Output(as_json, quiet)
    with resumable(out):
        result = job.run(
            task=task,
            demos=demos,
            out=out,
            scenes=scenes,
            count=count,
            cameras=names_of("camera", cameras),
            resolution=resolution,
            workers=cores() if workers is None else workers,
            seed=seed,
            address=address,
            algorithm=algorithm,
            dry_run=dry_run,
            overrides=output.overrides(overrides),
            progress=output.progress,
            embodiment=embodiment,
        )
    output.finish(result, generation_text(result) if not dry_run else result)
