"""What is said of training data that reaches into a twin."""

from pathlib import Path

from pipelines.leaks import scene_leaks, training_leaks
from scenes.domains import SIM, TWIN_DEV_0, get_domain
from scenes.randomization import DEFAULT, WIDE
from tests.pipelines.run_folder import make_episode
from trajectories import Store


def store(path: Path, randomization: dict | None) -> dict[str, str]:
    plan = {"kind": "test"} if randomization is None else {"kind": "test", "randomization": randomization}
    made = Store.create(path, plan)
    made.commit(0, [make_episode(0)], [{"scene": 0, "outcome": "success", "attempts": ["success"]}])
    made.seal(None)
    return {"path": str(path)}


def test_wide_data_has_met_the_twin_and_other_data_has_not(tmp_path):
    wide, default = store(tmp_path / "wide.zarr", WIDE.to_plain()), store(tmp_path / "sim.zarr", DEFAULT.to_plain())
    imported = store(tmp_path / "human.zarr", None)
    (said,) = training_leaks([default, wide, imported], [SIM, get_domain("twin/test-1")])
    assert said.startswith("'wide.zarr' draws values of twin/test-1 on ")
    assert training_leaks([default, imported], [get_domain("twin/test-1")]) == []


def test_outside_twins_there_is_nothing_to_say():
    assert training_leaks([{"path": "gone.zarr"}], [SIM]) == []


def test_data_that_is_gone_is_said_to_be(tmp_path):
    (said,) = training_leaks([{"path": str(tmp_path / "gone.zarr")}], [TWIN_DEV_0])
    assert said.startswith("whether 'gone.zarr' has met these twins cannot be said: ")


def test_episodes_of_the_scenes_of_an_evaluation_are_found(tmp_path):
    made = Store.create(tmp_path / "seen.zarr", {"kind": "test"})
    met = {
        0: {"namespace": "evaluation", "seed": 3},
        1: {"namespace": "evaluation", "seed": 4},
        2: {"namespace": "recording", "seed": 3},
        7: {"namespace": "evaluation", "seed": 3},
        90: {"namespace": "evaluation", "seed": 3},
    }
    episodes = [make_episode(scene, seeds=seeds) for scene, seeds in met.items()]
    made.commit(0, episodes, [{"scene": scene, "outcome": "success", "attempts": ["success"]} for scene in met])
    made.seal(None)
    source = {"path": str(tmp_path / "seen.zarr")}
    said = scene_leaks([source], "lift", 3, 10)
    assert said == ["'seen.zarr': 2 of 10 scenes (namespace evaluation, seed 3) were trained on"]
    assert scene_leaks([source], "stack", 3, 10) == []
    assert scene_leaks([source], "lift", 5, 10) == []
