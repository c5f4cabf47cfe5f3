"""Example videos of rollouts: drawn again, larger than the policy saw them and without sensor noise."""

from collections import Counter
from pathlib import Path

import numpy as np

from pipelines.pictures import captioned, side_by_side, write_video
from pipelines.runner import Rollout
from pipelines.runs import video_name
from sim.rendering import FrameRenderer

# Every second control step, frames of this many pixels.
_STRIDE, _SIDE = 2, 240


def save_videos(batch: Rollout, folder: Path, shown: Counter[str], most: int) -> None:
    """Write example videos of a batch that has ended.

    Args:
        batch: the rollouts.
        folder: where to; a file is named by `video_name`.
        shown: outcome -> how many rollouts ended so before; counted further here.
        most: videos per outcome.
    """
    for lane, scene in enumerate(batch.scenes):
        outcome = batch.monitor.outcome[lane]
        if outcome is None or not batch.states[lane]:
            continue  # it diverged before its first step, so there is nothing to be seen
        number = shown[outcome.label]
        shown[outcome.label] += 1
        if number >= most:
            continue
        name = batch.condition.name
        lines = [scene.instruction, f"{name}, scene {scene.index}: {outcome.label.replace('_', ' ')}"]
        states = np.stack(batch.states[lane][::_STRIDE])
        with FrameRenderer(batch.workspace.model, _SIDE, _SIDE) as renderer:
            drawn = renderer.render_states(batch.sim.batch.get_model(lane), states, batch.policy.cameras)
        pictures = [
            captioned(side_by_side(list(views)), lines, above=True) for views in zip(*drawn.values(), strict=True)
        ]
        path = folder / video_name(name, outcome.label, number)
        write_video(path, pictures, batch.sim.timing.rate / _STRIDE)
