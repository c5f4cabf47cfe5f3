"""What is measured of rollouts, held against demos that are played again and against motion that is known."""

import numpy as np
import pytest

from pipelines.generate import BUNDLED
from pipelines.measures import Measures, asked_role, rms_jerk, stage_names
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import load_scenes, rebuild_scene
from scenes.task import get_task
from scenes.workspace import workspace_of
from sim.batch import BatchSim
from trajectories import Store


@pytest.mark.parametrize("task", ["lift", "stack", "stack_three", "square", "pick_place"])
def test_a_demo_reaches_the_stages_one_after_another(task: str) -> None:
    episode = Store.open(BUNDLED / task).episode(0)
    workspace = workspace_of(episode.meta)
    sim, lanes = BatchSim(workspace.model, workspace.embodiment, 1, 1), np.arange(1)
    monitor = Monitor(workspace, sim)
    measures = Measures(workspace, sim, monitor.roles)
    scene = rebuild_scene(episode.meta)
    load_scenes(sim, workspace, lanes, [scene])
    monitor.begin(lanes, [scene])
    measures.begin(lanes)
    stages = [0]
    for action in episode.arrays["action/executed"]:
        sim.step(lanes, action[None].astype(float))
        measures.update(lanes, monitor.update(lanes))
        stages.append(int(measures.stage[0]))
    assert monitor.outcome == [Outcome.SUCCESS]
    subtasks = len(workspace.task.subtasks)
    assert sorted(set(stages)) == list(range(subtasks + 1))
    assert stages == sorted(stages)
    # Each stage within two seconds of where the demo's own labels have the subtask's end.
    labels = episode.arrays["subtask"]
    for k in range(1, subtasks):
        assert abs(stages.index(k) - int(np.argmax(labels >= k))) <= 40
    row = measures.row(0, success=True)
    assert row["stage"] == subtasks + 1 == len(stage_names(workspace.task))
    assert row["time"] == pytest.approx(len(labels) / 20)
    assert row["contacts"] == 0
    assert row["taken"] == scene.roles[asked_role(workspace.task)]
    tool = episode.arrays["observation/tool_pose_in_base"][:, :3]
    assert row["path_length"] == pytest.approx(np.linalg.norm(np.diff(tool, axis=0), axis=1).sum(), rel=0.05)


def test_jerk_of_a_known_motion() -> None:
    t = np.arange(0, 2, 0.05)
    cubic = np.stack([0.5 * t**3, -(t**3), t**2], axis=1)  # third derivative (3, -6, 0)
    assert rms_jerk(cubic, 20.0) == pytest.approx(np.sqrt(45), rel=1e-5)
    assert rms_jerk(cubic[:3], 20.0) is None


def test_stages_are_the_subtasks_and_success() -> None:
    assert stage_names(get_task("stack")) == ("grasp", "stack", "success")
