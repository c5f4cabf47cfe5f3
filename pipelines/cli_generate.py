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
RENDER = "Example:  handful render data.zarr --cameras front,wrist --resolution 128 --appearances 4 --out looks.zarr"

Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Processes, one per core unless given; 0 works in this one.")
]
Address = Annotated[str | None, typer.Option("--address", help="Ray to run on; 'local' starts one.")]


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
    workers: Workers = None,
    seed: Seed = 0,
    address: Address = None,
    algorithm: Annotated[str, typer.Option("--algorithm", help="handful, or plain for the baseline.")] = "handful",
    embodiment: Robot = "panda",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, its time and its size, and stop.")] = False,
    patience: Annotated[
        float | None, typer.Option("--patience", help="A chunk is taken to hang after this at the earliest [s]; 300.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Multiply demonstrations into verified, randomised trajectories. Running it again resumes."""
    if (count is None) == (scenes is None):
        raise InputError("give either --count (episodes to keep) or --scenes (scenes to try)")
    from pipelines import generate as job
    from pipelines.doctor import cores
    from pipelines.tables import forecast_text, generation_text

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
            patience=patience,
        )
    output.finish(result, forecast_text(result) if dry_run else generation_text(result))


def render(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A finished store, or a view.")],
    out: Annotated[Path, typer.Option("--out", help="Store to make, or to resume.")],
    cameras: Annotated[str, typer.Option("--cameras", metavar="A,B", help="Cameras to draw.")],
    overrides: Overrides = None,
    resolution: Annotated[int, typer.Option("--resolution", min=16, max=4096, help="Image side [pixels].")] = 84,
    appearances: Annotated[int, typer.Option("--appearances", min=1, help="Looks of each episode.")] = 1,
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw a data set again: other cameras, another size, other looks. Running it again resumes."""
    from pipelines import rerender as job
    from pipelines.configuration import resolve
    from pipelines.doctor import cores

    output = Output(as_json, quiet)
    with resumable(out):
        result = job.run(
            source=store,
            out=out,
            cameras=names_of("camera", cameras),
            resolution=resolution,
            appearances=appearances,
            workers=cores() if workers is None else workers,
            address=address,
            config=resolve(job.RenderConfig, None, output.overrides(overrides)),
            progress=output.progress,
        )
    output.finish(result, f"{result['episodes']:,} episodes, {result['frames']:,} frames in {out}")
