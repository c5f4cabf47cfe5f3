"""The importers that are fuzzed: a good file of each format, how it is imported, and what must hold of the outcome."""

import shutil
from pathlib import Path

import h5py
import numpy as np

from tests.trajectories.conftest import _episode, _store
from tests.trajectories.importers.fuzzing import Subject
from tests.trajectories.importers.test_isaaclab_mimic import ENVIRONMENT, SUBTASKS, _write_demo
from tests.trajectories.importers.test_robomimic import ROBOSUITE, write_robosuite
from trajectories import Store
from trajectories.exporters.lerobot import LerobotOptions, export_lerobot
from trajectories.exporters.robomimic import export_robomimic
from trajectories.exporters.robomimic_layout import digest
from trajectories.importers.isaaclab_mimic import import_isaaclab_mimic
from trajectories.importers.lerobot import import_lerobot
from trajectories.importers.mapping import Action, Columns, Gripper, Mapping, Pose
from trajectories.importers.robomimic import import_robomimic

_HERE = "tests.trajectories.importers"
_GRIPPER = {"closed": 0.0, "open": 1.0, "column": 7}
LEROBOT = Mapping(
    embodiment="panda",
    task="lift",
    control_rate=20.0,
    operator="human",
    outcome="success",
    joint_position=Columns("observation.state", tuple(range(7))),
    joint_velocity="differences",
    gripper=Gripper("observation.state", **_GRIPPER),
    tool_pose=Pose("handful.observation.tool_pose_in_base", "wxyz", (0, 0, 0, 1, 0, 0, 0)),
    action=Action("joint_targets", Gripper("action", **_GRIPPER), Columns("action", tuple(range(7)))),
    cameras={"front": "observation.images.front"},
)


def ours(folder: Path) -> Store:
    """A small store with everything an episode can have."""
    episodes = [_episode(scene, steps=4 + scene, size=4, cameras=("front",)) for scene in range(2)]
    for episode in episodes:
        episode.arrays["signals/grasp"] = episode.arrays["subtask"] > 0
    return _store(folder / "seed", [episodes])


def write_ours_as_robomimic(folder: Path) -> Path:
    export_robomimic(ours(folder), folder / "seed.hdf5")
    return folder / "seed.hdf5"


def import_ours_as_robomimic(path: Path, store: Path) -> None:
    import_robomimic(path, store, filter_key="train" if path.stat().st_size % 4 == 0 else None)


def write_theirs_as_robomimic(folder: Path) -> Path:
    return write_robosuite(folder / "seed.hdf5", steps=10)


def import_theirs_as_robomimic(path: Path, store: Path) -> None:
    import_robomimic(path, store, ROBOSUITE, subtasks=("grasp_1", "stack_1", "rest"))


def write_isaaclab(folder: Path) -> Path:
    with h5py.File(folder / "seed.hdf5", "w") as file:
        file.create_group("data").attrs["env_args"] = ENVIRONMENT
        for index in range(2):
            _write_demo(file.create_group(f"data/demo_{index}"), index)
    return folder / "seed.hdf5"


def import_isaaclab(path: Path, store: Path) -> None:
    import_isaaclab_mimic(path, "stack_three", store, "stack", (), SUBTASKS)


def write_ours_as_lerobot(folder: Path) -> Path:
    export_lerobot(ours(folder), folder / "seed_lerobot")
    return folder / "seed_lerobot"


def import_ours_as_lerobot(path: Path, store: Path) -> None:
    import_lerobot(path, store)


def _without_our_own(path: Path) -> Path:
    """Takes away what only we read: what is left is anybody's."""
    (path / "meta/handful.jsonl").unlink()
    shutil.rmtree(path / "meta/handful")
    return path


def write_theirs_as_lerobot(folder: Path) -> Path:
    return _without_our_own(write_ours_as_lerobot(folder))


def write_videos_as_lerobot(folder: Path) -> Path:
    episodes = [_episode(scene, steps=4 + scene, size=32, cameras=("front",)) for scene in range(2)]
    export_lerobot(_store(folder / "seed", [episodes]), folder / "seed_lerobot", LerobotOptions(images="video"))
    return _without_our_own(folder / "seed_lerobot")


def import_theirs_as_lerobot(path: Path, store: Path) -> None:
    import_lerobot(path, store, LEROBOT)


def only_what_was_exported(seed: Path, store: Store) -> None:
    """Every episode is one of the good file's, bit for bit."""
    source = Store.open(seed.parent / "seed")
    good = {digest(source.episode(index)) for index in range(len(source))}
    assert all(digest(store.episode(index)) in good for index in range(len(store)))


def finite(seed: Path, store: Store) -> None:
    """Numbers are plausible: nobody promised more of a file without digests."""
    for index in range(len(store)):
        for value in store.episode(index).arrays.values():
            assert value.dtype.kind != "f" or np.isfinite(value).all()


_LEROBOT = ("trajectories.importers.lerobot",)
_ROBOMIMIC = ("trajectories.importers.robomimic",)
SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(
            name="robomimic",
            seed=f"{__name__}:write_ours_as_robomimic",
            mutate=f"{_HERE}.mutations:damage_hdf5",
            run=f"{__name__}:import_ours_as_robomimic",
            judge=f"{__name__}:only_what_was_exported",
            rehearsing=_ROBOMIMIC,
        ),
        Subject(
            name="robomimic-mapped",
            seed=f"{__name__}:write_theirs_as_robomimic",
            mutate=f"{_HERE}.mutations:damage_hdf5",
            run=f"{__name__}:import_theirs_as_robomimic",
            judge=f"{__name__}:finite",
            rehearsing=_ROBOMIMIC,
        ),
        Subject(
            name="lerobot",
            seed=f"{__name__}:write_ours_as_lerobot",
            mutate=f"{_HERE}.mutations_lerobot:damage_lerobot",
            run=f"{__name__}:import_ours_as_lerobot",
            judge=f"{__name__}:only_what_was_exported",
            rehearsing=_LEROBOT,
        ),
        Subject(
            name="lerobot-mapped",
            seed=f"{__name__}:write_theirs_as_lerobot",
            mutate=f"{_HERE}.mutations_lerobot:damage_lerobot",
            run=f"{__name__}:import_theirs_as_lerobot",
            judge=f"{__name__}:finite",
            rehearsing=_LEROBOT,
        ),
        Subject(
            name="lerobot-video",
            seed=f"{__name__}:write_videos_as_lerobot",
            mutate=f"{_HERE}.mutations_lerobot:damage_lerobot",
            run=f"{__name__}:import_theirs_as_lerobot",
            judge=f"{__name__}:finite",
            rehearsing=_LEROBOT,
        ),
        Subject(
            name="isaaclab-mimic",
            seed=f"{__name__}:write_isaaclab",
            mutate=f"{_HERE}.mutations:damage_hdf5",
            run=f"{__name__}:import_isaaclab",
            judge=f"{__name__}:finite",
            rehearsing=("trajectories.importers.isaaclab_mimic",),
        ),
    )
}
