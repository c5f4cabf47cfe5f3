"""The verbs below `handful data`: the care of stores."""

from pathlib import Path
from typing import Annotated

import typer

from handful import InputError
from pipelines.terminal import Json, Output, Quiet, resumable

app = typer.Typer(
    help="Merge, filter, split, compact, delete, repair and migrate stores.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

Store = Annotated[Path, typer.Argument(metavar="STORE", help="A store, or a view.")]
View = Annotated[Path, typer.Option("--out", help="View to make.")]


@app.command(epilog="Example:  handful data merge a.zarr b.zarr --out both.zarr")
def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Stores or views, at least two.")],
    out: View,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put data sets one after another, without copying. An episode that several hold enters once."""
    from pipelines import data as job

    Output(as_json, quiet).finish(*job.merge(stores, out))


@app.command(
    "filter", epilog="Example:  handful data filter data.zarr --where 'task == lift and length < 300' --out short.zarr"
)
def filter_(
    store: Store,
    out: View,
    where: Annotated[
        str | None, typer.Option("--where", metavar="FILTER", help="What must be true of an episode.")
    ] = None,
    exclude: Annotated[
        str | None, typer.Option("--exclude", metavar="LIST", help="Instead: all but these, as in 3,17,20-25.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Choose episodes by what is known of them, without copying."""
    from pipelines import data as job

    Output(as_json, quiet).finish(*job.choose(store, where, exclude, out))


@app.command(epilog="Example:  handful data split data.zarr --validation 0.1 --out split")
def split(
    store: Store,
    out: Annotated[Path, typer.Option("--out", help="Folder to make, with the views train and validation.")],
    validation: Annotated[float, typer.Option("--validation", help="Share of the scenes to hold out.")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another one holds out other scenes.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Split into training and validation by scene, without copying."""
    from pipelines import data as job

    Output(as_json, quiet).finish(*job.split(store, validation, seed, out))


@app.command(epilog="Example:  handful data compact data.zarr --out large.zarr")
def compact(
    store: Store,
    out: Annotated[Path, typer.Option("--out", help="Store to make, or to resume.")],
    episodes_per_part: Annotated[int, typer.Option("--episodes-per-part", min=1, help="Size of a part.")] = 512,
    level: Annotated[
        int | None, typer.Option("--level", min=1, max=19, help="Compression level; higher is smaller and slower.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a store of few large parts from one of many small ones, or from a view. Running it again resumes."""
    from pipelines import data as job

    output = Output(as_json, quiet)
    with resumable(out):
        result = job.compact(store, out, episodes_per_part, level, output.progress)
    output.finish(*result)


@app.command(epilog="Example:  handful data delete data.zarr --where 'outcome != success' --yes")
def delete(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A finished store.")],
    where: Annotated[str | None, typer.Option("--where", metavar="FILTER", help="Delete what this is true of.")] = None,
    episodes: Annotated[
        str | None, typer.Option("--episodes", metavar="LIST", help="Instead: numbers, as in 3,17,20-25.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it is only said what would go.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete episodes for good. Running it again finishes what was interrupted."""
    from pipelines import data as job

    output = Output(as_json, quiet)
    result, shown, done = job.delete(store, where, episodes, yes, output.progress)
    output.finish(result, shown)
    if not done:
        raise InputError("nothing was deleted; to delete these episodes for good, add --yes")


@app.command(epilog="Example:  handful data repair data.zarr")
def repair(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store that --verify finds damaged.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Restore what follows from the rest of a store, and drop damaged parts, so that they are made again."""
    from pipelines import data as job

    result, shown = job.repair(store)
    Output(as_json, quiet).finish(result, shown, failed=not result["ok"])


@app.command(epilog="Example:  handful data migrate old.zarr --out new.zarr")
def migrate(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store of an older format.")],
    out: Annotated[Path, typer.Option("--out", help="Store to make.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a store of this format of an older one, which stays as it is."""
    from pipelines import data as job

    with resumable(out):
        result = job.migrate(store, out)
    Output(as_json, quiet).finish(*result)
