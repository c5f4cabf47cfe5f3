from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handful import InputError
from trajectories import Store
from trajectories.importers import isaaclab_mimic
from trajectories.importers.isaaclab_mimic import import_isaaclab_mimic
from trajectories.importers.rehearsal import rehearse

SUBTASKS = ("grasp_1", "stack_1", "grasp_2", "stack_2")
ENVIRONMENT = '{"env_name": "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0", "type": 2}'
DEFAULT_POSTURE = np.array([0.04, -0.19, -0.11, -2.51, 0.0, 2.38, 0.7, 0.04, 0.04])
STEPS = 12
# First step at which each signal is true.
RISES = {"grasp_1": 3, "stack_1": 6, "grasp_2": 8}


def _transforms(rng, steps):
    matrices = np.tile(np.eye(4), (steps, 1, 1))
    matrices[:, :3, :3] = Rotation.random(steps, random_state=rng).as_matrix()
    matrices[:, :3, 3] = rng.normal(size=(steps, 3))
    return matrices.astype(np.float32)


def _write_demo(group, seed):
    """One demo in the layout of the recorder: relative joints before each action, absolute ones after it."""
    rng = np.random.default_rng(seed)
    joints = DEFAULT_POSTURE + 0.01 * rng.normal(size=(STEPS + 1, 9)).cumsum(axis=0)
    joints[:, 7:] = rng.uniform(0, 0.04, (STEPS + 1, 1))
    actions = rng.uniform(-1, 1, (STEPS, 7)).astype(np.float32)
    actions[:, 6] = np.where(np.arange(STEPS) < STEPS // 2, 1, -1)
    group["actions"] = actions
    group["initial_state/articulation/robot/joint_position"] = joints[:1].astype(np.float32)
    group["initial_state/articulation/robot/root_pose"] = np.array([[0, 0, 0, 1, 0, 0, 0]], np.float32)
    group["states/articulation/robot/joint_position"] = joints[1:].astype(np.float32)
    group["obs/joint_pos"] = (joints[:-1] - DEFAULT_POSTURE).astype(np.float32)
    group["obs/joint_vel"] = rng.normal(size=(STEPS, 9)).astype(np.float32)
    group["obs/datagen_info/eef_pose/franka"] = _transforms(rng, STEPS)
    for name in ("cube_2", "cube_1", "cube_3"):
        group[f"obs/datagen_info/object_pose/{name}"] = _transforms(rng, STEPS)
    for name, step in RISES.items():
        # A grasp signal falls again when the object is let go.
        group[f"obs/datagen_info/subtask_term_signals/{name}"] = (np.arange(STEPS) >= step) & (
            np.arange(STEPS) < step + 4
        )
    return joints


@pytest.fixture
def recording(tmp_path):
    """A file of three demos and the absolute joints of each, (STEPS + 1, 9)."""
    path = tmp_path / "demos.hdf5"
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = ENVIRONMENT
        # Eleven comes after two, whatever the alphabet says.
        joints = [_write_demo(file.create_group(f"data/demo_{i}"), i) for i in (0, 2, 11)]
    return path, joints


@pytest.fixture(autouse=True)
def rehearsals(monkeypatch):
    """Leaves out the reading in a child process, which takes a second; holds what it was asked for."""
    calls = []
    monkeypatch.setattr(isaaclab_mimic, "rehearse", lambda *arguments: calls.append(arguments))
    return calls


def _import(path, out, task="stack_three", subtasks=SUBTASKS):
    return import_isaaclab_mimic(path, task, out, "stack the cubes", ("pile up the cubes",), subtasks)


def test_demos_become_episodes(recording, tmp_path):
    path, joints = recording
    assert _import(path, tmp_path / "s") == {"episodes": 3, "frames": 3 * STEPS}
    store = Store.open(tmp_path / "s")
    assert store.verify() == []
    assert store.sealed_episodes == 3
    for index, absolute in enumerate(joints):
        arrays = store.episode(index).arrays
        np.testing.assert_allclose(arrays["observation/joint_position"], absolute[:-1, :7], atol=1e-5)
        np.testing.assert_allclose(arrays["action/executed"][:-1, :7], absolute[1:-1, :7], atol=1e-5)
        np.testing.assert_array_equal(arrays["action/executed"][-1, :7], arrays["observation/joint_position"][-1])
        np.testing.assert_array_equal(arrays["action/intended"], arrays["action/executed"])
        np.testing.assert_array_equal(arrays["action/executed"][:, 7], np.arange(STEPS) < STEPS // 2)
        np.testing.assert_allclose(arrays["observation/gripper_opening"], absolute[:-1, 7:8] / 0.04, atol=1e-5)
        np.testing.assert_array_equal(
            arrays["action/tool_pose_in_base"][:-1], arrays["observation/tool_pose_in_base"][1:]
        )
        assert arrays["subtask"].tolist() == [0] * 3 + [1] * 3 + [2] * 2 + [3] * 4


def test_a_file_is_read_in_a_child_process_first(recording, tmp_path, rehearsals):
    path, _ = recording
    _import(path, tmp_path / "s")
    (arguments,) = rehearsals
    assert arguments[1:3] == (path, "stack_three")
    rehearse(*arguments)
    with h5py.File(path, "r+") as file:
        del file["data"]
    with pytest.raises(InputError, match="has no group 'data'"):
        rehearse(*arguments)


def test_poses_and_signals_are_those_of_the_file(recording, tmp_path):
    path, _ = recording
    _import(path, tmp_path / "s")
    store = Store.open(tmp_path / "s")
    with h5py.File(path) as file:
        info = file["data/demo_11/obs/datagen_info"]
        for key, name in (
            ("observation/tool_pose_in_base", "eef_pose/franka"),
            ("objects/cube_2", "object_pose/cube_2"),
        ):
            pose, matrices = store.read(2, key), info[name][()]
            np.testing.assert_array_equal(pose[:, :3], matrices[:, :3, 3])
            rotation = Rotation.from_quat(pose[:, 3:], scalar_first=True).as_matrix()
            np.testing.assert_allclose(rotation, matrices[:, :3, :3], atol=1e-6)
        np.testing.assert_array_equal(store.read(2, "signals/grasp_1"), info["subtask_term_signals/grasp_1"][()])


def test_provenance_says_what_the_recording_is(recording, tmp_path):
    _import(recording[0], tmp_path / "s")
    meta = Store.open(tmp_path / "s").meta(2)
    assert (meta.task, meta.embodiment, meta.domain) == ("stack_three", "panda", "real/isaaclab-mimic")
    assert (meta.operator, meta.action_source, meta.control_rate) == ("human", "achieved_next", 20.0)
    assert (meta.instruction, meta.paraphrases) == ("stack the cubes", ("pile up the cubes",))
    assert (meta.scene, meta.extra["demo"]) == (2, "demo_11")
    assert "inside a simulator" in meta.extra["how"]


def test_importing_again_changes_nothing(recording, tmp_path, tree):
    _import(recording[0], tmp_path / "s")
    before = tree(tmp_path / "s")
    assert _import(recording[0], tmp_path / "s")["episodes"] == 3
    assert tree(tmp_path / "s") == before
    with pytest.raises(InputError, match="made by another plan; it differs in: subtasks"):
        _import(recording[0], tmp_path / "s", subtasks=SUBTASKS[:2])


def _refused(path, tmp_path, message, **options):
    with pytest.raises(InputError, match=message) as caught:
        _import(path, tmp_path / "s", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_what_is_no_file_or_no_hdf5_is_refused(tmp_path):
    _refused(tmp_path / "none.hdf5", tmp_path, r"there is no file '.*none\.hdf5'")
    _refused(tmp_path, tmp_path, "is a folder; give the HDF5 file itself")
    (tmp_path / "text.hdf5").write_text("not a file of numbers")
    _refused(tmp_path / "text.hdf5", tmp_path, r"text\.hdf5' is damaged, or no HDF5 file")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(recording, tmp_path, share):
    path, _ = recording
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    _refused(path, tmp_path, "is damaged, or no HDF5 file")


def test_another_task_is_refused(recording, tmp_path):
    path, _ = recording
    _refused(path, tmp_path, "recorded in 'Isaac-Stack-.*', which is not task 'lift' .*lacks 'Lift'", task="lift")
    _refused(path, tmp_path, "imported for the tasks lift, stack_three; got 'pour'", task="pour")


def _without(name):
    def edit(file):
        del file[name]

    return edit


def _with(name, value):
    def edit(file):
        if name in file:
            del file[name]
        file[name] = value

    return edit


def _scaled(name, index, value):
    def edit(file):
        data = file[name][()]
        data[index] = value
        del file[name]
        file[name] = data

    return edit


def _external(file):
    with h5py.File(file.filename + ".other", "w") as other:
        other["actions"] = file["data/demo_2/actions"][()]
    del file["data/demo_2/actions"]
    file["data/demo_2/actions"] = h5py.ExternalLink(file.filename + ".other", "actions")


def _unwritten(file):
    """Claims numbers that were never stored: HDF5 reads them as zeros."""
    del file["data/demo_2/obs/joint_vel"]
    file["data/demo_2/obs"].create_dataset("joint_vel", (STEPS, 9), np.float64)


def _sparse(file):
    del file["data/demo_2/obs/joint_vel"]
    array = file["data/demo_2/obs"].create_dataset(
        "joint_vel", (STEPS, 9), np.float64, chunks=(2, 9), compression="gzip"
    )
    array[:2] = 1.0


_DEMO = "data/demo_2"
_INFO = f"{_DEMO}/obs/datagen_info"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_without("data"), "has no group 'data'"),
        (lambda file: file["data"].attrs.pop("env_args"), "'data' has no attribute 'env_args'"),
        (lambda file: file["data"].attrs.modify("env_args", "{"), r"data.attrs\['env_args'\] is no JSON: Expecting"),
        (lambda file: file["data"].attrs.modify("env_args", "[]"), "is no JSON object"),
        (lambda file: file["data"].attrs.create("env_args", 3.0), "attribute 'env_args' of 'data' is no text"),
        (lambda file: file["data"].attrs.modify("env_args", '{"env_name": 3}'), "does not say in data.attrs"),
        (lambda file: [file.pop(f"data/demo_{i}") for i in (0, 2, 11)], "holds no demos"),
        (_with(_DEMO, np.zeros(3)), "'data/demo_2' is not a group"),
        (lambda file: file[_DEMO].attrs.create("success", False), "'data/demo_2' is marked as failed"),
        (_without(f"{_DEMO}/actions"), "has no array 'data/demo_2/actions'"),
        (_without(f"{_DEMO}/obs/joint_pos"), "has no array 'data/demo_2/obs/joint_pos'"),
        (_without(f"{_DEMO}/obs"), "has no array 'data/demo_2/obs/joint_pos'"),
        (_without(f"{_INFO}/object_pose"), "has no group 'data/demo_2/obs/datagen_info/object_pose'"),
        (_without(f"{_INFO}/subtask_term_signals"), "annotate the demos with Mimic first"),
        (
            _without(f"{_INFO}/subtask_term_signals/stack_1"),
            "no signal for subtask 'stack_1'; it has: grasp_1, grasp_2",
        ),
        (_with(f"{_DEMO}/obs/joint_vel", np.zeros((STEPS - 1, 9))), r"has shape \(11, 9\); it should be \(12, 9\)"),
        (_with(f"{_INFO}/eef_pose/franka", np.zeros((STEPS, 7))), r"has shape \(12, 7\); it should be \(12, 4, 4\)"),
        (_with(f"{_INFO}/object_pose/no name", np.zeros((STEPS, 4, 4))), "holds 'no name'; a name has letters"),
        (
            _with(f"{_DEMO}/obs/joint_vel", np.full((STEPS, 9), 1e300)),
            "'observation/joint_velocity' holds values that are",
        ),
        (_without(f"{_INFO}/object_pose/cube_3"), "demo 1, counted from 0, differs from the first in objects/cube_3"),
        (_external, "'data/demo_2/actions' lies in another file; copy it into this one first"),
        (_unwritten, "'data/demo_2/obs/joint_vel' claims 864 bytes; the file holds 0 for it"),
        (_sparse, "'data/demo_2/obs/joint_vel' has 1 of its 6 chunks; the rest is missing"),
        (_with(f"{_DEMO}/actions", np.zeros((0, 7))), "has 0 steps; a demo needs at least 2"),
        (_with(f"{_DEMO}/actions", np.zeros((STEPS, 7), "S4")), "holds |S4, not numbers"),
        (
            _scaled(f"{_DEMO}/obs/joint_vel", (3, 1), np.nan),
            "'data/demo_2/obs/joint_vel' holds values that are not finite",
        ),
        (_scaled(f"{_INFO}/eef_pose/franka", 4, 0.0), "holds matrices that are no rotations"),
        (_scaled(f"{_DEMO}/obs/joint_pos", (5, 2), 1.0), "joint angles of 'states' and of 'obs' disagree"),
        (
            _with(f"{_INFO}/subtask_term_signals/grasp_2", np.zeros(STEPS, bool)),
            "'data/demo_2' never finishes subtask 'grasp_2' after step 6",
        ),
        (
            _scaled(f"{_DEMO}/initial_state/articulation/robot/root_pose", (0, 0), 1.5),
            r"base is at \[1.5, 0.0, 0.0.*not at the origin",
        ),
    ],
)
def test_what_is_wrong_inside_the_file_is_named(recording, tmp_path, edit, message):
    path, _ = recording
    with h5py.File(path, "r+") as file:
        edit(file)
    _refused(path, tmp_path, message)


def _modified_dh(a, alpha, d, theta):
    """Craig's convention, as the maker of the arm publishes it."""
    ca, sa, ct, st = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
    return np.array([[ct, -st, 0, a], [st * ca, ct * ca, -sa, -sa * d], [st * sa, ct * sa, ca, ca * d], [0, 0, 0, 1]])


def _panda_tool(joints):
    """Position of the tool centre of a Franka Panda, 0.1034 m from its hand [m]."""
    half, pose = np.pi / 2, np.eye(4)
    rows = [(0, 0, 0.333), (0, -half, 0), (0, half, 0.316), (0.0825, half, 0)]
    rows += [(-0.0825, -half, 0.384), (0, half, 0), (0.088, half, 0)]
    for (a, alpha, d), theta in zip(rows, joints, strict=True):
        pose = pose @ _modified_dh(a, alpha, d, theta)
    return (pose @ [0, 0, 0.107 + 0.1034, 1])[:3]


@pytest.fixture
def human_demos():
    """Ten human demonstrations that are not part of this repository."""
    path = Path(__file__).parents[4] / "shared/data/franka_cube_stack/human_demos.hdf5"
    if not path.exists():
        pytest.skip(f"the human demonstrations are not here ({path.name} in ../shared/data/franka_cube_stack)")
    return path


def test_the_human_demonstrations_agree_with_the_arms_kinematics(human_demos, tmp_path):
    assert _import(human_demos, tmp_path / "s") == {"episodes": 10, "frames": 2163}
    store = Store.open(tmp_path / "s")
    for index in range(10):
        arrays = store.episode(index).arrays
        for t in range(0, len(arrays["subtask"]), 20):
            found = _panda_tool(arrays["observation/joint_position"][t])
            np.testing.assert_allclose(found, arrays["observation/tool_pose_in_base"][t, :3], atol=2e-6)
        assert arrays["subtask"][[0, -1]].tolist() == [0, 3]
        heights = sorted(arrays[f"objects/cube_{i}"][-1, 2] for i in (1, 2, 3))
        np.testing.assert_allclose(np.diff(heights), 0.0468, atol=1e-3)
