"""The command line: one verb per job, the same manners for all of them.

With `--json` the last line of stdout is one JSON object and everything meant for people goes to stderr. Exit codes:
0 it worked, 2 the request was wrong, 1 the job failed. Each verb imports its job when it runs, so that training works
where no simulator is installed and `--help` answers at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from handful import InputError, __version__
from pipelines import cli_data, cli_generate, cli_metrics, cli_policies, cli_studies
from pipelines.terminal import (
    Json,
    Output,
    Overrides,
    Quiet,
    Robot,
    Seed,
    Task,
    Verb,
    names_of,
    resumable,
    run_verbs,
)

app = typer.Typer(
    name="handful",
    help="A handful of demonstrations in; thousands of verified robot trajectories and a trained policy out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.add_typer(cli_data.app, name="data")


Demos = Annotated[
    Path | None, typer.Option("--demos", help="Seed demos that it was made from; the task's bundled ones if absent.")
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"handful {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example:  handful doctor --full")
def doctor(
    full: Annotated[bool, typer.Option("--full", help="Also start Ray; takes seconds.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check rendering, torch, Ray and versions, and say what to install."""
    from pipelines.doctor import diagnose
    from pipelines.tables import checks_table

    output = Output(as_json, quiet)
    result = diagnose(full)
    output.finish(result, checks_table(result), failed=not result["ok"])


@app.command(cls=Verb, epilog="Example:  handful quickstart --out runs/quickstart")
def quickstart(
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option("--out", help="Run folder to make.")] = Path("runs/quickstart"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Do the main job at a small scale: demos, generation, training, evaluation, report."""
    from pipelines import quickstart as job

    output = Output(as_json, quiet)
    with resumable(out):
        result = job.run(out=out, progress=output.progress, overrides=output.overrides(overrides))
    output.finish(result, f"report: {result['report']}")


@app.command(cls=Verb, epilog="Example:  handful record --task lift --device browser --episodes 10 --out demos.zarr")
def record(
    task: Task,
    out: Annotated[Path, typer.Option("--out", help="Store to make.")],
    overrides: Overrides = None,
    device: Annotated[str, typer.Option("--device", help="Teleoperation device.")] = "script",
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="How many good demos to record.")] = 10,
    seed: Seed = 0,
    domain: Annotated[str, typer.Option("--domain", help="sim or twin/<name>.")] = "sim",
    host: Annotated[
        str | None, typer.Option("--host", help="Address the browser's page binds to; not loopback: needs a token.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Its port, 8765 unless given; 0 takes a free one.")] = None,
    resolution: Annotated[
        int | None, typer.Option("--resolution", min=64, max=1024, help="Side of its pictures [pixels]; 256.")
    ] = None,
    embodiment: Robot = "panda",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Record demonstrations through a teleoperation device: script, or browser."""
    from pipelines import record as job

    output = Output(as_json, quiet)
    with resumable(out):
        result = job.run(
            task=task,
            device=device,
            out=out,
            episodes=episodes,
            seed=seed,
            domain=domain,
            overrides=output.overrides(overrides),
            progress=output.progress,
            host=host,
            port=port,
            resolution=resolution,
            embodiment=embodiment,
        )
    output.finish(result, f"{result['episodes']:,} demos in {out}")


@app.command(
    "import", epilog="Example:  handful import isaaclab-mimic human_demos.hdf5 --task stack_three --out human.zarr"
)
def import_(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="lerobot, robomimic or isaaclab-mimic.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="What to import.")],
    out: Annotated[Path, typer.Option("--out", help="Store to make.")],
    task: Annotated[str | None, typer.Option("--task", help="Task that it shows, where nothing else says so.")] = None,
    mapping: Annotated[
        str | None, typer.Option("--mapping", metavar="YAML", help="What the numbers mean, for data by others.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="Domain real/NAME; else the format's name.")
    ] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", metavar="NAME", help="Only this selection of a robomimic file's demos.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn demonstrations in another format into a store."""
    from pipelines import importing as job

    output = Output(as_json, quiet)
    result = job.run(
        format=format,
        path=path,
        task=task,
        out=out,
        mapping=mapping,
        source=source,
        selection=filter_,
        progress=output.progress,
    )
    output.finish(result, f"{result['episodes']:,} episodes, {result['frames']:,} frames in {out}")


@app.command(epilog="Example:  handful export lerobot data.zarr --out data_lerobot")
def export(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="lerobot or robomimic.")],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store, or a view.")],
    out: Annotated[Path, typer.Option("--out", help="File or folder to make.")],
    images: Annotated[
        str | None, typer.Option("--images", help="For lerobot: png (lossless, the default), video (lossy) or none.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="For lerobot: executed (the default) or intended.")
    ] = None,
    next_obs: Annotated[
        bool | None, typer.Option("--next-obs/--no-next-obs", help="For robomimic: also the observations after (yes).")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a store's episodes in a format that other tools read."""
    from pipelines import exporting as job

    output = Output(as_json, quiet)
    result = job.run(
        format=format,
        store=store,
        out=out,
        images=images,
        action=action,
        next_obs=next_obs,
        progress=output.progress,
    )
    output.finish(result, f"{result['episodes']:,} episodes, {result['frames']:,} frames in {out}")


@app.command(epilog="Example:  handful scenes --task stack_three:D1 --grid 36 --out scenes.png")
def scenes(
    task: Task,
    grid: Annotated[int, typer.Option("--grid", metavar="N", min=1, max=400, help="Draw N scenes.")] = 16,
    out: Annotated[
        Path | None, typer.Option("--out", help="PNG to write; without it the draws are only listed.")
    ] = None,
    cameras: Annotated[str, typer.Option("--cameras", metavar="A,B", help="Cameras to look through.")] = "front,wrist",
    domain: Annotated[str, typer.Option("--domain", help="What scenes are drawn from.")] = "sim",
    seed: Seed = 0,
    embodiment: Robot = "panda",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show drawn scenes, and list what is randomised and what was drawn."""
    from pipelines import scenes as job
    from pipelines.coverage import scenes_shown

    output = Output(as_json, quiet)
    result = job.run(
        task=task,
        grid=grid,
        out=out,
        seed=seed,
        domain=domain,
        embodiment=embodiment,
        cameras=names_of("camera", cameras),
    )
    output.finish(result, scenes_shown(result, out))


app.command(cls=Verb, epilog=cli_generate.GENERATE)(cli_generate.generate)
app.command(cls=Verb, epilog=cli_generate.RENDER)(cli_generate.render)


@app.command(epilog="Example:  handful inspect data.zarr --verify")
def inspect(
    store: Annotated[Path, typer.Argument(metavar="STORE")],
    verify: Annotated[bool, typer.Option("--verify", help="Hash every file again.")] = False,
    content: Annotated[bool, typer.Option("--content", help="Hold what episodes hold against rules.")] = False,
    coverage: Annotated[bool, typer.Option("--coverage", help="How much of each randomised range it covers.")] = False,
    again: Annotated[
        int | None, typer.Option("--regenerate", metavar="N", min=1, help="Make N episodes again, and compare.")
    ] = None,
    demos: Demos = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which episodes --regenerate takes.")] = 0,
    workers: cli_generate.Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what is in a store, and whether it is whole and sound."""
    from pipelines.doctor import cores
    from pipelines.inspection import Remaking
    from pipelines.inspection import inspect as job

    output = Output(as_json, quiet)
    remaking = None if again is None else Remaking(again, seed, demos, cores() if workers is None else workers)
    result, table = job(store, verify, content, output.progress, coverage, remaking)
    output.finish(result, table, failed=not result["ok"])


@app.command(epilog="Example:  handful view data.zarr --episode 3 --out episode.mp4")
def view(
    store: Annotated[Path, typer.Argument(metavar="STORE")],
    out: Annotated[Path, typer.Option("--out", help=".png for a contact sheet, .mp4 for a video.")],
    episode: Annotated[int | None, typer.Option("--episode", min=0, help="One episode; without it many.")] = None,
    scene: Annotated[
        int | None, typer.Option("--scene", min=0, help="The last try at a scene, though it may have failed.")
    ] = None,
    demos: Demos = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw a contact sheet or a video of what a store holds."""
    from pipelines.viewing import view as job
    from pipelines.viewing import view_scene

    if episode is not None and scene is not None:
        raise InputError("give either --episode (one that was kept) or --scene (one that was tried)")
    output = Output(as_json, quiet)
    files = job(store, episode, out) if scene is None else view_scene(store, scene, demos, out)
    output.finish({"files": [str(file) for file in files]}, "\n".join(str(file) for file in files))


@app.command(epilog="Example:  handful browse data.zarr --port 8766")
def browse(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store, or a view.")],
    host: Annotated[str, typer.Option("--host", help="Address to bind to; not loopback: needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Its port; 0 takes a free one.")] = 8766,
    token: Annotated[str | None, typer.Option("--token", help="Instead of a fresh one.")] = None,
    demos: Annotated[
        list[Path] | None, typer.Option("--demos", help="Where source demos are; repeat it. Else: the bundled ones.")
    ] = None,
    views: Annotated[
        Path | None, typer.Option("--views", help="Folder to save views into; else the one that holds the store.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at a data set in the browser: filter, play, mark. Serves until a Ctrl-C."""
    from pipelines import browse as job

    output = Output(as_json, quiet)

    def ready(address: str) -> None:
        output.finish({"address": address}, f"open {address} to look at {store}; a Ctrl-C here ends it")

    job.run(store=store, host=host, port=port, token=token, demos=demos or [], views=views, ready=ready)


app.command(cls=Verb.of(data=".*"), epilog=cli_policies.TRAIN)(cli_policies.train)
app.command(cls=Verb.of(domain=r"sim|(twin|real)/.+"), epilog=cli_policies.EVALUATE)(cli_policies.evaluate)
app.command(epilog=cli_metrics.COMPARE)(cli_metrics.compare)
app.command(epilog=cli_metrics.AGREEMENT)(cli_metrics.agreement)
app.command(cls=Verb.of(data=".*"), epilog=cli_metrics.OFFLINE)(cli_metrics.offline)
app.command(cls=Verb.of(data=".*"), epilog=cli_metrics.PROBE)(cli_metrics.probe)
app.command(epilog=cli_metrics.DISTANCE)(cli_metrics.distance)
app.command(cls=Verb, epilog=cli_studies.STUDY)(cli_studies.study)


@app.command(epilog="Example:  handful report runs/quickstart")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder, or that of a study.")],
    out: Annotated[Path | None, typer.Option("--out", help="HTML file; DIR/report.html if absent.")] = None,
    demos: Annotated[
        Path | None, typer.Option("--demos", help="Where the data's seed demos are; else: the bundled ones.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the one-page HTML report of a run or of a study."""
    from pipelines.report import write_report
    from pipelines.studies.page import is_study, write_page

    output = Output(as_json, quiet)
    if is_study(folder):
        if demos is not None:
            raise InputError(f"'{folder}' is a study, which has its demos in it; --demos is for the run of a task")
        page = write_page(folder, out)
    else:
        page = write_report(folder, out, demos)
    output.finish({"report": str(page), "cells": []}, f"report: {page}")


@app.command(epilog="Example:  handful bench generation --long")
def bench(
    name: Annotated[str, typer.Argument(metavar="NAME", help="e.g. generation; a wrong name lists all.")],
    long: Annotated[bool, typer.Option("--long", help="At full size, as published; may take an hour.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure something beside its physical limit."""
    from pipelines import bench as job

    output = Output(as_json, quiet)
    result = job.run(name=name, long=long)
    output.finish(result, job.bench_table(name, result))


def main() -> None:
    """Entry point of the `handful` command."""
    run_verbs(app)
