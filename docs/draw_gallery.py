"""Draws the gallery: docs/gallery.md and its pictures, every task and robot that there is.

    python docs/draw_gallery.py

Pictures come from scenes that anyone draws again by name and seed, and from the bundled demos.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from generators.rendering import model_of  # noqa: E402
from pipelines.generate import BUNDLED  # noqa: E402
from pipelines.pictures import captioned, side_by_side  # noqa: E402
from scenes import TASKS  # noqa: E402
from scenes.domains import DOMAINS, get_domain  # noqa: E402
from scenes.instances import instances_of  # noqa: E402
from scenes.scene import draw_scene, load_scenes  # noqa: E402
from scenes.views import VIEWS, views_for  # noqa: E402
from scenes.workspace import Workspace, build_workspace, workspace_of  # noqa: E402
from sim.batch import BatchSim  # noqa: E402
from sim.cameras import CHANNELS, Frames, Renderer, open_renderer  # noqa: E402
from sim.rendering import QUALITIES  # noqa: E402
from sim.robots import ROBOTS  # noqa: E402
from trajectories import open_dataset  # noqa: E402

PAGE, PICTURES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "images" / "gallery"
SIDE = 200  # of a frame [pixels]
_JPEG = 82
_MOMENTS = 4
# Hues of things told apart, and the distance at which depth is drawn darkest [m].
_COLOURS = np.random.default_rng(4).integers(70, 255, (256, 3)).astype(np.uint8)
_DARK = 2.5


def save(name: str, picture: np.ndarray) -> str:
    """Write a picture; returns how the page refers to it."""
    Image.fromarray(picture).save(PICTURES / f"{name}.jpg", quality=_JPEG, optimize=True)
    return f"images/gallery/{name}.jpg"


def start(workspace: Workspace, domain: str = "none", index: int = 0) -> tuple[object, np.ndarray]:
    """The model and the state (S,) of a scene as it starts."""
    sim, lane = BatchSim(workspace.model, workspace.embodiment, 1), np.array([0])
    load_scenes(sim, workspace, lane, [draw_scene(workspace, get_domain(domain), "generation", 0, index)])
    return sim.batch.get_model(0), sim.state[0].copy()


def fine(frame: np.ndarray) -> np.ndarray:
    """A frame drawn at twice the size, reduced: edges of shadows become smooth as well."""
    height, width = frame.shape[0] // 2, frame.shape[1] // 2
    mean: np.ndarray = frame.reshape(height, 2, width, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    return mean


def row(frames: list[np.ndarray], captions: list[str]) -> np.ndarray:
    """Frames beside each other, each with a line below."""
    return side_by_side([captioned(frame, [text]) for frame, text in zip(frames, captions, strict=True)])


def opened(workspace: Workspace) -> Renderer:
    """The renderer of the gallery's pictures."""
    return open_renderer(workspace.model, 2 * SIDE, 2 * SIDE, "high", views_for(workspace))


def of_task(name: str) -> str:
    """A bundled demo of a task from its start to its end."""
    if not (BUNDLED / name).is_dir():
        print(f"note: '{name}' has no bundled demos to show; record them with: python demos/make.py")
        return ""
    dataset = open_dataset(BUNDLED / name)
    episode = dataset.episode(0)
    workspace = workspace_of(episode.meta)
    states = episode.arrays["state"]
    moments = np.linspace(0, len(states) - 1, _MOMENTS).round().astype(int)
    rate = episode.meta.control_rate
    with opened(workspace) as renderer:
        frames = renderer.render_states(model_of(workspace, episode), states[moments], ["corner"])["corner"]
    picture = row([fine(frame) for frame in frames], [f"{moment / rate:.1f} s" for moment in moments])
    return f"![{name}: {episode.meta.instruction}]({save(f'task_{name}', picture)})\n\n*{episode.meta.instruction}*"


def of_levels(name: str) -> str:
    """Scenes of each level."""
    lines = []
    for level in build_workspace(name).task.levels:
        workspace = build_workspace(f"{name}:{level}")

        with opened(workspace) as renderer:
            frames = []
            for index in range(_MOMENTS):
                model, state = start(workspace, "sim", index)
                frames.append(fine(renderer.render(model, state, ["front"])["front"]))
        lines.append(f"![{name}, {level}]({save(f'level_{name}_{level}', side_by_side(frames))})")
    return "\n".join(lines)


def of_robot(name: str) -> str:
    """A robot at home, from all sides."""
    workspace = build_workspace("stack_three", name)
    model, state = start(workspace)
    with opened(workspace) as renderer:
        seen = renderer.render(model, state, ["corner", "side", "front", "wrist"])
    return f"![{name}]({save(f'robot_{name}', row([fine(frame) for frame in seen.values()], list(seen)))})"


def of_cameras() -> str:
    """One scene through every camera."""
    workspace = build_workspace("stack_three")
    model, state = start(workspace)
    with opened(workspace) as renderer:
        seen = renderer.render(model, state, ["front", "wrist", *VIEWS])
    frames, names = [fine(frame) for frame in seen.values()], list(seen)
    rows = [row(frames[i : i + 3], names[i : i + 3]) for i in range(0, len(frames), 3)]
    return f"![Cameras]({save('cameras', np.concatenate(rows))})"


def of_channels() -> str:
    """Colour, depth and what is seen."""
    workspace = build_workspace("stack_three:D1")
    model, state = start(workspace)
    with open_renderer(workspace.model, SIDE, SIDE, "high", views_for(workspace)) as renderer:
        seen: Frames = renderer.capture(model, state[None], ["side"], CHANNELS)["side"]
    assert seen.rgb is not None
    assert seen.depth is not None
    assert seen.segmentation is not None
    shade = (255 * (1.0 - seen.depth[0] / _DARK).clip(0.0, 1.0)).astype(np.uint8)
    things = _COLOURS[instances_of(workspace).label(seen.segmentation[0])]
    frames = [seen.rgb[0], np.repeat(shade[:, :, None], 3, axis=2), things]
    captions = ["rgb", f"depth: white 0 m, black {_DARK} m", "segmentation"]
    return f"![Channels]({save('channels', row(frames, captions))})"


def of_qualities() -> str:
    """One frame in every quality."""
    workspace, frames = build_workspace("stack_three"), []
    model, state = start(workspace)
    for quality in QUALITIES:
        with open_renderer(workspace.model, SIDE, SIDE, quality, views_for(workspace)) as renderer:
            frames.append(renderer.render(model, state, ["corner"])["corner"])
    return f"![Qualities]({save('qualities', row(frames, list(QUALITIES)))})"


def of_domain(name: str) -> str:
    """Scenes that a domain draws."""
    workspace = build_workspace("stack_three")
    frames = []
    with opened(workspace) as renderer:
        for index in range(_MOMENTS):
            model, state = start(workspace, name, index)
            frames.append(fine(renderer.render(model, state, ["front"])["front"]))
    return f"![{name}]({save('domain_' + name.replace('/', '_'), side_by_side(frames))})"


def page() -> str:
    """The page, with all its pictures drawn."""
    parts = [
        "# Gallery: what there is to see",
        "Drawn by `python docs/draw_gallery.py` from scenes of seed 0 and the first bundled demo of each task.",
        "```bash\nhandful scenes --task stack_three:D1 --grid 36 --out sheet.png            # more of them\n```",
        "## Tasks",
        "Four moments of a demo each, then the starts of four scenes at each level, from narrow to wide.",
    ]
    for name in TASKS.values():
        parts += [f"### `{name}`", of_task(name), of_levels(name)]
    parts += [
        "## Robots",
        "Ready to start `stack_three`: from a corner, the side, the front, and by the camera on the hand.",
    ]
    for name in ROBOTS:
        parts += [f"### `{name}`", of_robot(name)]
    parts += [
        "## Cameras",
        "`front` and `wrist` are in the model. The others take no place in it: `--cameras front,side,overhead` draws "
        "them, also from episodes that were made without, and they are displaced from scene to scene as `front` is.",
        of_cameras(),
        "What `engine.depth=true` and `engine.segmentation=true` store beside the images, here at level D1 with its "
        "distractors. Depth is metric, along the viewing axis; a thing has the same number in every scene of a task.",
        of_channels(),
        "The three qualities: `fast` is what data sets are made with, `standard` what videos and sheets are.",
        of_qualities(),
        "## Domains",
    ]
    for name in DOMAINS:
        parts += [f"### `{name}`", of_domain(name)]
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.glob("*.jpg"):
        old.unlink()
    PAGE.write_text(page(), encoding="utf-8")
    total = sum(path.stat().st_size for path in PICTURES.iterdir())
    print(f"{PAGE} and {len(list(PICTURES.iterdir()))} pictures, {total / 2**20:.2f} MiB")
