"""`handful scenes`: what the randomisation draws, to look at and to read."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful import InputError
from pipelines.pictures import captioned, grid, side_by_side, write_png
from scenes.domains import get_domain
from scenes.scene import Scene, draw_scene, load_scenes
from scenes.views import check_names, views_for
from scenes.workspace import Workspace, build_workspace
from sim.batch import BatchSim
from sim.cameras import open_renderer

_SIDE = 160  # of a drawn frame [pixels]


def run(
    task: str,
    grid: int,
    out: str | Path | None,
    seed: int,
    domain: str = "sim",
    embodiment: str = "panda",
    cameras: Sequence[str] = ("front", "wrist"),
) -> dict[str, Any]:
    """Draw scenes of a task.

    Args:
        task: name of the task, with its level after a colon where that is not D0.
        grid: how many scenes.
        out: PNG to write; None: only list them.
        seed: of the scenes.
        domain: what they are drawn from.
        embodiment: the robot.
        cameras: through which they are shown.

    Returns:
        {"scenes": ledgers of the drawn scenes, "randomization": what the domain draws each axis from}

    Raises:
        InputError: an unknown task, domain, robot or camera, or a picture of another format.
    """
    if out is not None and (Path(out).suffix.lower() != ".png" or Path(out).is_dir()):
        raise InputError(f"cannot write '{out}'; --out must be a file that ends in .png")
    workspace, drawn_from = build_workspace(task, embodiment), get_domain(domain)
    if not cameras:
        raise InputError("there is nothing to see without a camera; give --cameras at least one")
    check_names(workspace, cameras)
    drawn = [draw_scene(workspace, drawn_from, "generation", seed, i) for i in range(grid)]
    if out is not None:
        write_png(Path(out), sheet(workspace, drawn, cameras))
    return {
        "scenes": [{"scene": s.index, "instruction": s.instruction, "ledger": s.ledger} for s in drawn],
        "randomization": drawn_from.randomization.to_plain(),
    }


def sheet(workspace: Workspace, scenes: Sequence[Scene], cameras: Sequence[str]) -> np.ndarray:
    """A picture of scenes as they start, in a square of rows, each with its instruction."""
    sim = BatchSim(workspace.model, workspace.embodiment, len(scenes))
    load_scenes(sim, workspace, np.arange(len(scenes)), list(scenes))
    tiles = []
    with open_renderer(workspace.model, _SIDE, _SIDE, "standard", views_for(workspace)) as renderer:
        for lane, scene in enumerate(scenes):
            views = renderer.render(sim.batch.get_model(lane), sim.state[lane], cameras)
            tiles.append(captioned(side_by_side(list(views.values())), [scene.instruction]))
    return grid(tiles, math.ceil(math.sqrt(len(tiles))))
