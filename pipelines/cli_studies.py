"""The verb of mix studies: how much are synthetic demos worth beside real ones?"""

from pathlib import Path
from typing import Annotated

import typer

from handful import InputError
from pipelines.cli_generate import Address
from pipelines.terminal import Json, Output, Overrides, Quiet, resumable

# Shown below its options.
STUDY = "Example:  handful study laptop --out runs/study --dry-run"


def study(
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="A YAML file, or a preset: tiny, laptop, flagship, cluster.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to make, or to go on with.")],
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells, their time and their cost, and stop.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Cells at once; one per core unless given.")
    ] = None,
    address: Address = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train and measure policies over a grid of real and synthetic demos. Running it again resumes."""
    if out.exists() and not out.is_dir():
        raise InputError(f"'{out}' is a file; --out must be a folder, new or of an earlier study")
    if (out / "zarr.json").exists():
        raise InputError(f"'{out}' is a store of trajectories; --out must be another folder")
    from pipelines.doctor import cores
    from pipelines.studies.forecast import forecast_table
    from pipelines.studies.spec import load_spec
    from pipelines.studies.study import run, study_table

    output = Output(as_json, quiet)
    read = load_spec(spec, output.overrides(overrides))
    with resumable(out):
        result = run(read, out, dry_run, cores() if workers is None else workers, address, output.progress)
    if dry_run:
        output.finish(result, forecast_table(result))
    else:
        output.finish(result, study_table(result), failed=any(row["state"] == "failed" for row in result["cells"]))
