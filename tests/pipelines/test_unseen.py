"""What is measured on recorded data: errors, probes and distances, and that nothing learnt from is measured on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handful import InputError
from pipelines import distance, offline, probe
from pipelines.metrics.offline import WARNING
from pipelines.progress import Reporter
from pipelines.unseen import unseen
from policies.policy import Policy
from tests.pipelines.run_folder import make_episode
from tests.pipelines.tiny_policy import policy_run
from trajectories import Episode, Store
from trajectories.holdout import hold_out

QUIET = Reporter(quiet=True)


def make(
    path: Path, scenes: range | list[int], change: Callable[[np.ndarray], np.ndarray] = lambda x: x, **meta: Any
) -> str:
    """A store of scenes whose images are changed."""
    store = Store.create(path, {"kind": "test", "task": "lift", "scenes": list(scenes), "name": path.name})
    episodes = []
    for scene in scenes:
        made = make_episode(scene, **meta)
        images = {key: change(value) for key, value in made.arrays.items() if key.startswith("images/")}
        episodes.append(Episode({**made.arrays, **images}, made.meta))
    records = [{"scene": scene, "outcome": "success", "attempts": ["success"], "steps": 12} for scene in scenes]
    store.commit(0, episodes, records)
    store.seal(None)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that learnt from three of the scenes 0 to 3; a store of others, and one of the same but dark."""
    folder = tmp_path_factory.mktemp("measured")
    policy_run(folder)
    make(folder / "light", range(2, 14))
    make(folder / "dark", range(20, 32), lambda image: image // 4, domain="twin/dev-0")
    return folder


@pytest.fixture(scope="module")
def policy(folder: Path) -> Policy:
    return Policy.load(folder / "training")


def test_scenes_that_were_learnt_from_are_left_out(folder: Path, policy: Policy) -> None:
    index = Store.open(folder / "data").index()
    held_out = np.flatnonzero(hold_out(index, policy.config.validation_fraction))
    found = unseen(policy, str(folder / "data"), 10)
    assert found.episodes.tolist() == held_out.tolist()
    assert found.learnt == 3
    # The same scenes in another store are the same scenes.
    other = unseen(policy, str(folder / "light"), 100)
    scenes = Store.open(folder / "light").index().scene
    learnt = set(range(4)) - set(index.scene[held_out].tolist())
    assert set(scenes[other.episodes].tolist()) == set(range(2, 14)) - learnt
    assert other.learnt == len({2, 3} & learnt)
    assert len(unseen(policy, str(folder / "light"), 3).episodes) == 3


def test_sources_that_are_gone_are_said(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "training", tmp_path / "training")
    record = dict(Policy.load(tmp_path / "training").record)
    gone = Policy.load(tmp_path / "training")
    gone.record = {**record, "sources": [{**record["sources"][0], "path": str(tmp_path / "gone")}]}
    found = unseen(gone, str(folder / "light"), 100)
    assert found.learnt == 0
    assert found.notes[0].startswith("which scenes of 'gone' it learnt from cannot be said")


@pytest.mark.parametrize(
    ("scenes", "meta", "message"),
    [
        ([0, 1, 2, 3], {"control_rate": 10.0}, "was recorded at 10 Hz, and the policy acts at 20 Hz"),
        ([5], {"embodiment": "ur5e"}, "the policy does not know 'ur5e'; there is: panda"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    policy: Policy, tmp_path: Path, scenes: list[int], meta: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        unseen(policy, make(tmp_path / "store", scenes, **meta), 10)


def test_images_of_another_size_are_refused(policy: Policy, tmp_path: Path) -> None:
    store = make(tmp_path / "store", [5], lambda image: image[:, :64, :64])
    with pytest.raises(InputError, match=r"'front' of '.*' has 64 x 64 pixels, and the policy looks at 84 x 84"):
        unseen(policy, store, 10)


def test_nothing_is_left_to_measure_on(policy: Policy, folder: Path, tmp_path: Path) -> None:
    index = Store.open(folder / "data").index()
    learnt = index.scene[~hold_out(index, policy.config.validation_fraction)].tolist()
    with pytest.raises(InputError, match=r"learnt from every scene of '.*'; measure it on data that was held out"):
        unseen(policy, make(tmp_path / "store", learnt), 10)


def test_errors_come_with_their_interval_and_the_warning(folder: Path) -> None:
    data = [str(folder / "light"), str(folder / "dark")]
    found = offline.run(folder / "training", data, 2, 2, 0, QUIET)
    assert found["warning"] == WARNING
    assert found["head"] == "flow"
    assert found == offline.run(folder / "training", data, 2, 2, 0, QUIET)
    light, dark = found["data"]
    assert (light["episodes"], light["windows"], light["domains"]) == (2, 4, ["sim"])
    assert dark["domains"] == ["twin/dev-0"]
    for name in ("loss", "executed", "chunk", "best", "energy", "gripper"):
        low, high = light[name]["ci"]
        assert low <= light[name]["value"] <= high
    one = offline.run(folder / "training", data[:1], 1, 2, 0, QUIET)["data"][0]
    assert one["executed"]["ci"] is None
    with pytest.raises(InputError, match="--samples must be at least 2, got 1"):
        offline.run(folder / "training", data, 2, 1, 0, QUIET)


def test_a_probe_tells_the_dark_from_the_light(folder: Path, tmp_path: Path) -> None:
    run = folder / "training"
    (row,) = probe.run([run], [str(folder / "light"), str(folder / "dark")], 8, 3, 0, QUIET)["policies"]
    assert row["images"]["accuracy"] == 1
    assert row["images"]["episodes"] == 8
    assert [store["domains"] for store in row["stores"]] == [["sim"], ["twin/dev-0"]]
    with pytest.raises(InputError, match="give at least two --data, got 1"):
        probe.run([run], [str(folder / "dark")], 8, 3, 0, QUIET)
    few = make(tmp_path / "few", [40, 41])
    with pytest.raises(
        InputError, match=r"'.*few' has 2 episodes that .* did not learn from; a probe needs at least 4"
    ):
        probe.run([run], [few, str(folder / "dark")], 8, 3, 0, QUIET)


def test_distances_by_camera_and_by_a_policy(folder: Path, tmp_path: Path) -> None:
    a, b = folder / "light", folder / "dark"
    found = distance.run(a, b)
    assert [row["camera"] for row in found["distances"]] == ["front", "wrist"]
    for row in found["distances"]:
        assert row["n"] == [12, 12]
        assert row["frechet"] is None  # twelve images, and a feature of 192 numbers
        # Balls and floors have colours of all kinds, so a dark one may have been light.
        assert row["accuracy"] > 0.7
        assert row["kernel"] > 0
    assert found == distance.run(a, b)
    (seen,) = distance.run(a, b, policy=folder / "training")["distances"]
    assert seen["camera"] == "front, wrist"
    with pytest.raises(InputError, match=r"unknown camera in '.*light' 'frint'.*Did you mean 'front'"):
        distance.run(a, b, ["frint"])
    with pytest.raises(InputError, match="leave --cameras out"):
        distance.run(a, b, ["front"], folder / "training")
    few = make(tmp_path / "few", range(40, 44))
    with pytest.raises(InputError, match=r"has 4 episodes; a distance needs at least 10 of each"):
        distance.run(a, Path(few))
