"""`handful scenes`: what the randomisation draws, to look at and to read."""

from pathlib import Path
from typing import Any

import numpy as np

from handful import InputError
from pipelines.pictures import captioned, grid, side_by_side, write_png
from scenes.domains import get_domain
from scenes.scene import draw_scene, load_scenes
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from sim.rendering import FrameRenderer

_SIDE = 160  # of a drawn frame [pixels]


def run(
    task: str, grid: int, out: str | Path | None, seed: int, domain: str = "sim", embodiment: str = "panda"
) -> dict[str, Any]:
    """Draw `grid` x `grid` scenes of a task.

    Args:
        task: name of the task.
        grid: scenes per side of the picture.
        out: PNG to write; None: only list them.
        seed: of the scenes.
        domain: what they are drawn from.
        embodiment: the robot.

    Returns:
        {"scenes": ledgers of the drawn scenes, "randomisation": what the domain draws each axis from}

    Raises:
        InputError: an unknown task, domain or robot, or a picture of another format.
    """
    if out is not None and (Path(out).suffix.lower() != ".png" or Path(out).is_dir()):
        raise InputError(f"cannot write '{out}'; --out must be a file that ends in .png")
    workspace, drawn_from = build_workspace(task, embodiment), get_domain(domain)
    drawn = [draw_scene(workspace, drawn_from, "generation", seed, i) for i in range(grid * grid)]
    if out is not None:
        write_png(Path(out), sheet(task, grid, seed, domain, embodiment))
    return {
        "scenes": [{"scene": s.index, "instruction": s.instruction, "ledger": s.ledger} for s in drawn],
        "randomisation": drawn_from.randomization.to_plain(),
    }


def sheet(task: str, side: int, seed: int, domain: str = "sim", embodiment: str = "panda") -> np.ndarray:
    """A picture of `side` x `side` drawn scenes, both cameras each, with their instructions."""
    workspace = build_workspace(task, embodiment)
    scenes = [draw_scene(workspace, get_domain(domain), "generation", seed, i) for i in range(side * side)]
    sim = BatchSim(workspace.model, workspace.embodiment, len(scenes))
    load_scenes(sim, workspace, np.arange(len(scenes)), scenes)
    cameras = [workspace.model.camera(i).name for i in range(workspace.model.ncam)]
    tiles = []
    with FrameRenderer(workspace.model, _SIDE, _SIDE) as renderer:
        for lane, scene in enumerate(scenes):
            views = renderer.render(sim.batch.get_model(lane), sim.state[lane], cameras)
            tiles.append(captioned(side_by_side(list(views.values())), [scene.instruction]))
    return grid(tiles, side)
