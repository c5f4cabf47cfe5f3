"""Frames per second of the renderer, beside a bare loop of the same MuJoCo render calls in the same run.

    python benchmarks/rendering.py [--long] [--task stack_three] [--resolution 84] [--quality fast]

Prints one JSON object: `value` frames/s of `FrameRenderer`, `limit` frames/s of a loop that does nothing but MuJoCo's
calls for the same geoms, `ratio` of the two; then the same frames with MuJoCo's default settings, and how many
times as long one takes there. A few frames by each in turn, and the fastest of each counts: whatever else runs on the
machine only adds. Where the CPU draws, time is that of the process's own threads.
"""

import argparse
import json
import time
from collections.abc import Callable

import mujoco
import numpy as np

from scenes.domains import get_domain
from scenes.scene import draw_scene, load_scenes
from scenes.workspace import Workspace, build_workspace
from sim.batch import BatchSim
from sim.rendering import FrameRenderer, Quality

CAMERAS = ("front", "wrist")
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION.value
_ALL = mujoco.mjtCatBit.mjCAT_ALL.value


def moving_scene(workspace: Workspace, steps: int) -> tuple[mujoco.MjModel, np.ndarray]:
    """A scene's model, and the states (steps, S) of an arm that sways above its objects."""
    lane, sim = np.array([0]), BatchSim(workspace.model, workspace.embodiment, 1)
    load_scenes(sim, workspace, lane, [draw_scene(workspace, get_domain("none"), "generation", 0, 0)])
    home, rows = workspace.embodiment.home, []
    for t in range(steps):
        sway = 0.3 * np.sin(0.1 * t + np.arange(len(home)))
        sim.step(lane, np.append(home + sway, 1.0)[None])
        rows.append(sim.state[0].copy())
    return sim.batch.get_model(0), np.array(rows)


class BareLoop:
    """MuJoCo's calls and nothing else.

    Args:
        model: the scene's.
        states: what will be drawn.
        gpu: MuJoCo's resources, made with the settings to be measured.
        scene: as these settings want it.
        resolution: rows and columns of a frame [pixels].
        groups: geom groups by state and camera, where what is out of sight is left out; None draws all.
        cameras: names of the cameras.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        states: np.ndarray,
        gpu: mujoco.MjrContext,
        scene: mujoco.MjvScene,
        resolution: int,
        groups: list[list[np.ndarray]] | None = None,
        cameras: tuple[str, ...] = CAMERAS,
    ) -> None:
        self.model, self.states, self.gpu, self.scene, self.groups = model, states, gpu, scene, groups
        self.data, self.option = mujoco.MjData(model), mujoco.MjvOption()
        self.numbers = [model.camera(name).id for name in cameras]
        self.viewport = mujoco.MjrRect(0, 0, resolution, resolution)
        self.pixels = np.empty((resolution, resolution, 3), np.uint8)

    def run(self, count: int) -> None:
        """Draw the first states with every camera."""
        model, data, scene, gpu, camera = self.model, self.data, self.scene, self.gpu, mujoco.MjvCamera()
        camera.type, whole = mujoco.mjtCamera.mjCAMERA_FIXED, model.geom_group.copy()
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, gpu)
        for t, row in enumerate(self.states[:count]):
            mujoco.mj_setState(model, data, row, _STATE)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_camlight(model, data)
            for k, number in enumerate(self.numbers):
                camera.fixedcamid = number
                if self.groups is not None:
                    model.geom_group[:] = self.groups[t][k]
                mujoco.mjv_updateScene(model, data, self.option, None, camera, _ALL, scene)
                mujoco.mjr_render(self.viewport, scene, gpu)
                mujoco.mjr_readPixels(self.pixels, None, self.viewport, gpu)
        model.geom_group[:] = whole


def groups_in_view(
    model: mujoco.MjModel, states: np.ndarray, renderer: FrameRenderer, cameras: tuple[str, ...] = CAMERAS
) -> list[list[np.ndarray]]:
    """What the renderer draws of each state with each camera, as geom groups."""
    found: list[list[np.ndarray]] = []
    for row in states:
        renderer.render(model, row, cameras[:1])  # leaves the kinematics of this state in its data
        found.append([])
        for name in cameras:
            renderer._look(model, model.camera(name).id)
            seen = renderer._in_view(model) if renderer._culls else np.ones(model.ngeom, bool)
            found[-1].append(np.where(seen, model.geom_group, mujoco.mjNGROUP - 1).astype(model.geom_group.dtype))
    return found


def seconds(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """How long something takes."""
    started = clock()
    work()
    return clock() - started


def measure(
    long: bool, task: str = "stack_three", resolution: int = 84, quality: Quality = "fast"
) -> dict[str, object]:
    """Draw the same states by each, turn by turn.

    Args:
        long: 400 rounds instead of 60.
        task: name of the task.
        resolution: rows and columns of a frame [pixels].
        quality: of the renderer and of the bare loop.
    """
    rounds, block = (400 if long else 60), 8
    model, states = moving_scene(build_workspace(task), block)
    taken: dict[str, list[float]] = {"ours": [], "bare": [], "default": []}
    with FrameRenderer(model, resolution, resolution, quality) as renderer:
        bare = BareLoop(
            model, states, renderer._gpu, renderer._scene, resolution, groups_in_view(model, states, renderer)
        )
        clock = time.process_time if "llvmpipe" in renderer.gl_renderer else time.perf_counter
        # Opened beside it in the same OpenGL context, with the model's own settings, which are MuJoCo's defaults.
        gpu = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        default = BareLoop(model, states, gpu, mujoco.MjvScene(model, model.ngeom + 8), resolution)
        for number in range(rounds + 1):
            found = {
                "ours": seconds(lambda: renderer.render_states(model, states, CAMERAS), clock) / block,
                "bare": seconds(lambda: bare.run(block), clock) / block,
            }
            if number % 20 == 0:
                found["default"] = seconds(lambda: default.run(1), clock)
            if number:  # the first warms up
                for name, taken_now in found.items():
                    taken[name].append(taken_now / len(CAMERAS))
        opengl, settings = renderer.gl_renderer, model.vis.quality
        gpu.free()
    frame = {name: min(values) for name, values in taken.items()}
    return {
        "benchmark": "rendering",
        "task": task,
        "resolution": resolution,
        "quality": quality,
        "value": 1 / frame["ours"],
        "limit": 1 / frame["bare"],
        "ratio": frame["bare"] / frame["ours"],
        "time_over_bare": frame["ours"] / frame["bare"],
        "default_over_ours": frame["default"] / frame["ours"],
        "frame_ms": 1e3 * frame["ours"],
        "bare_frame_ms": 1e3 * frame["bare"],
        "default_frame_ms": 1e3 * frame["default"],
        "frames": rounds * block * len(CAMERAS),
        "default_shadow_size": settings.shadowsize,
        "default_samples": settings.offsamples,
        "gl_renderer": opengl,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="400 rounds instead of 60")
    parser.add_argument("--task", default="stack_three")
    parser.add_argument("--resolution", type=int, default=84)
    parser.add_argument("--quality", default="fast")
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.task, chosen.resolution, chosen.quality)))


if __name__ == "__main__":
    main()
