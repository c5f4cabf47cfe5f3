"""robomimic files: ours come back as they were, others as a mapping says, and what is damaged is refused by name."""

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handful import InputError
from trajectories import Store
from trajectories.exporters.robomimic import export_robomimic
from trajectories.importers import filling, robomimic
from trajectories.importers.mapping import Action, Columns, Gripper, Mapping, Pose
from trajectories.importers.rehearsal import rehearse
from trajectories.importers.robomimic import import_robomimic

STEPS = 14
BASE = (-0.56, 0.0, 0.912, 1.0, 0.0, 0.0, 0.0)
ROBOSUITE = Mapping(
    embodiment="panda",
    task="stack_three",
    control_rate=20.0,
    operator="human",
    outcome="success",
    instruction="stack the red cube on the green cube",
    joint_position=Columns("obs/robot0_joint_pos"),
    joint_velocity=Columns("obs/robot0_joint_vel"),
    gripper=Gripper("obs/robot0_gripper_qpos", closed=0.0, open=0.04, column=0),
    tool_pose=Pose("obs/robot0_eef_pos", "xyzw", BASE, rotation_feature="obs/robot0_eef_quat"),
    action=Action("achieved_next", Gripper("actions", closed=1.0, open=-1.0, column=6)),
    cameras={"front": "obs/agentview_image"},
    objects={"cube_1": Pose("datagen_info/object_poses/cubeA", "matrix", BASE)},
)


@pytest.fixture(autouse=True)
def rehearsals(monkeypatch):
    """Reads in this process what a child process would read first, which takes a second less; holds what was asked."""
    calls = []

    def here(reader, path, *arguments):
        calls.append((reader, path, *arguments))
        return robomimic.check_file(path, *arguments)

    monkeypatch.setattr(robomimic, "rehearse", here)
    return calls


# Our own files


def same(a, b):
    assert len(a) == len(b)
    assert a.keys() == b.keys()
    for index in range(len(a)):
        assert a.meta(index).to_json() == b.meta(index).to_json()
        one, two = a.episode(index).arrays, b.episode(index).arrays
        for key in one:
            assert one[key].dtype == two[key].dtype
            np.testing.assert_array_equal(one[key], two[key], strict=True)


def test_ours_come_back_bit_for_bit(make_store, make_episode, tmp_path):
    special = make_episode(1, steps=1, attempts=3, extra={"device": "Gerät", "roles": {"target": "cube"}})
    special.arrays["state"][0, 0] = -0.0
    episodes = [make_episode(0), special, make_episode(7, domain="twin/dev_0", outcome="misplaced")]
    for episode in episodes:
        episode.arrays["signals/grasp"] = episode.arrays["subtask"] > 0
    store = make_store(tmp_path / "s", [episodes])
    export_robomimic(store, tmp_path / "f.hdf5")
    assert import_robomimic(tmp_path / "f.hdf5", tmp_path / "back", task="lift") == {"episodes": 3, "frames": 47}
    back = Store.open(tmp_path / "back")
    assert back.verify() == []
    assert back.sealed_episodes == 3
    same(store, back)
    assert [record["outcome"] for record in back.scene_records()] == ["success", "success", "misplaced"]


@pytest.mark.parametrize("task", ["lift", "stack_three"])
def test_the_bundled_demos_come_back(task, tmp_path):
    store = Store.open(Path(__file__).parents[3] / "demos" / task)
    export_robomimic(store, tmp_path / "f.hdf5")
    import_robomimic(tmp_path / "f.hdf5", tmp_path / "back")
    same(store, Store.open(tmp_path / "back"))


def test_human_demonstrations_come_back(tmp_path):
    path = Path(__file__).parents[4] / "shared/data/franka_cube_stack/human_demos.hdf5"
    if not path.exists():
        pytest.skip(f"the human demonstrations are not here ({path.name} in ../shared/data/franka_cube_stack)")
    from trajectories.importers.isaaclab_mimic import import_isaaclab_mimic

    import_isaaclab_mimic(
        path, "stack_three", tmp_path / "s", "stack", (), ("grasp_1", "stack_1", "grasp_2", "stack_2")
    )
    store = Store.open(tmp_path / "s")
    export_robomimic(store, tmp_path / "f.hdf5")
    with h5py.File(tmp_path / "f.hdf5") as file, h5py.File(path) as source:
        mine, theirs = file["data/demo_0/datagen_info"], source["data/demo_0/obs/datagen_info"]
        np.testing.assert_allclose(mine["eef_pose"], theirs["eef_pose/franka"], atol=1e-6)
        np.testing.assert_allclose(mine["object_poses/cube_2"], theirs["object_pose/cube_2"], atol=1e-6)
        assert list(mine["subtask_term_signals"]) == list(theirs["subtask_term_signals"])
    assert import_robomimic(tmp_path / "f.hdf5", tmp_path / "back") == {"episodes": 10, "frames": 2163}
    same(store, Store.open(tmp_path / "back"))
    assert Store.open(tmp_path / "back").verify() == []


@pytest.fixture
def ours(make_store, make_episode, tmp_path):
    export_robomimic(make_store(tmp_path / "s", [[make_episode(i, steps=5) for i in range(3)]]), tmp_path / "f.hdf5")
    return tmp_path / "f.hdf5"


def test_a_filter_key_chooses_demos(ours, tmp_path):
    import_robomimic(ours, tmp_path / "train", filter_key="train")
    import_robomimic(ours, tmp_path / "valid", filter_key="valid")
    chosen = [
        [store.meta(i).scene for i in range(len(store))]
        for store in map(Store.open, (tmp_path / "train", tmp_path / "valid"))
    ]
    assert [len(scenes) for scenes in chosen] == [2, 1]
    assert sorted([*chosen[0], *chosen[1]]) == [0, 1, 2]


def test_importing_again_changes_nothing(ours, tmp_path, tree):
    import_robomimic(ours, tmp_path / "back")
    before = tree(tmp_path / "back")
    assert import_robomimic(ours, tmp_path / "back") == {"episodes": 3, "frames": 15}
    assert tree(tmp_path / "back") == before
    with pytest.raises(InputError, match="made by another plan; it differs in: filter"):
        import_robomimic(ours, tmp_path / "back", filter_key="train")


def test_many_demos_make_several_parts(ours, tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "_PART_EPISODES", 2)
    import_robomimic(ours, tmp_path / "back")
    assert Store.open(tmp_path / "back").parts == 2
    monkeypatch.setattr(filling, "_PART_BYTES", 1)
    import_robomimic(ours, tmp_path / "small")
    assert Store.open(tmp_path / "small").parts == 3
    same(Store.open(tmp_path / "back"), Store.open(tmp_path / "small"))


def test_a_file_is_read_in_a_child_process_first(ours, tmp_path, rehearsals):
    import_robomimic(ours, tmp_path / "back")
    ((reader, path, request),) = rehearsals
    assert rehearse(reader, path, request) == {"episodes": 3, "frames": 15}
    with h5py.File(ours, "r+") as file:
        del file["data/demo_1/actions"], file["data/demo_1/obs/front_image"]
    with pytest.raises(InputError, match="has no array 'data/demo_1/obs/front_image'"):
        rehearse(reader, path, request)


def refused(path, tmp_path, message, **options):
    with pytest.raises(InputError, match=message) as caught:
        import_robomimic(path, tmp_path / "back", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "back").exists()


def replaced(name, value):
    def edit(file):
        del file[name]
        file[name] = value

    return edit


def changed(name, index, value):
    def edit(file):
        rows = file[name][()]
        rows[index] = value
        file[name][...] = rows

    return edit


def marked(**changes):
    def edit(file):
        mark = json.loads(file["data"].attrs["handful"])
        file["data"].attrs["handful"] = json.dumps({**mark, **changes})

    return edit


DEMO = "data/demo_1"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda file: file.pop("data"), "has no group 'data'"),
        (changed(f"{DEMO}/obs/front_image", (2, 3, 4, 0), 0), "'data/demo_1' is damaged, or was changed since"),
        (changed(f"{DEMO}/obs/joint_position", (0, 0), 1.0), "'data/demo_1' is damaged, or was changed since"),
        (
            changed(f"{DEMO}/obs/joint_position", (0, 0), np.nan),
            "'data/demo_1/obs/joint_position' holds values that are",
        ),
        (changed(f"{DEMO}/handful/meta", 0, ord("[")), "'data/demo_1/handful/meta' is no JSON"),
        (replaced(f"{DEMO}/handful/meta", np.frombuffer(b"{}", np.uint8)), "'data/demo_1' has incomplete metadata"),
        (replaced(f"{DEMO}/states", np.zeros((3, 40))), "'data/demo_1' is damaged, or was changed"),
        (replaced(f"{DEMO}/handful/subtask", 1), "'data/demo_1' is damaged, or was changed"),
        (lambda file: file[DEMO].attrs.pop("handful_sha256"), "'data/demo_1' has no attribute 'handful_sha256'"),
        (marked(layout=9), "has layout 9; this version of handful reads layout 1"),
        (marked(arrays=[]), "does not list its arrays"),
        (marked(arrays={"images": {}}), "the episode schema has no key 'images'"),
        (lambda file: file["data"].attrs.create("handful", "{"), r"data.attrs\['handful'\] is no JSON"),
        (lambda file: file["data"].attrs.create("handful", "[" * 5000), r"data.attrs\['handful'\] is no JSON"),
    ],
)
def test_what_is_wrong_in_our_own_file_is_named(ours, tmp_path, edit, message):
    with h5py.File(ours, "r+") as file:
        edit(file)
    refused(ours, tmp_path, message)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("trian", "unknown filter key of '.*' 'trian'; there is: train, valid. Did you mean 'train'"),
        (np.array([b"demo_7"]), "lists 'demo_7', which is not in the file"),
        (np.array([], "S8"), "'mask/train' lists no demos"),
        (np.zeros(2), "'mask/train' is no list of demos"),
        (np.array([b"demo_0"] * 7), "'mask/train' lists 7 demos; there are 3"),
    ],
)
def test_a_filter_key_must_list_demos_of_the_file(ours, tmp_path, mask, message):
    if isinstance(mask, str):
        refused(ours, tmp_path, message, filter_key=mask)
        return
    with h5py.File(ours, "r+") as file:
        replaced("mask/train", mask)(file)
    refused(ours, tmp_path, message, filter_key="train")


def test_what_is_no_file_of_the_task_is_refused(ours, tmp_path):
    refused(tmp_path / "none.hdf5", tmp_path, r"there is no file '.*none\.hdf5'")
    refused(tmp_path, tmp_path, "is a folder; give the HDF5 file itself")
    refused(ours, tmp_path, "'data/demo_0' shows task 'lift'; asked for 'stack_three'", task="stack_three")
    ours.write_bytes(ours.read_bytes()[:-1000])
    refused(ours, tmp_path, "is damaged, or no HDF5 file: .*truncated")


# Files by others


def write_robosuite(path, demos=2, steps=STEPS, rate=20, datagen=True):
    """A file in the layout of robosuite and MimicGen: the tool in the world, quaternions (x, y, z, w), OSC actions."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        kwargs = {"robots": ["Panda"]} | ({} if rate is None else {"control_freq": rate})
        data.attrs["env_args"] = json.dumps({"env_name": "Stack_D0", "env_type": 1, "env_kwargs": kwargs})
        for index in range(demos):
            demo = data.create_group(f"demo_{index}")
            demo.attrs["num_samples"] = steps
            demo["actions"] = rng.uniform(-1, 1, (steps, 7))
            demo["states"] = rng.normal(size=(steps, 45))
            obs = demo.create_group("obs")
            obs["robot0_joint_pos"] = rng.normal(size=(steps, 7))
            obs["robot0_joint_vel"] = rng.normal(size=(steps, 7))
            obs["robot0_gripper_qpos"] = rng.uniform(0, 0.04, (steps, 1)) * [1, -1]
            obs["robot0_eef_pos"] = rng.normal(size=(steps, 3))
            obs["robot0_eef_quat"] = Rotation.random(steps, random_state=rng).as_quat()
            frames = rng.integers(0, 256, (steps, 8, 10, 3), dtype=np.uint8)
            obs.create_dataset("agentview_image", data=frames, compression="gzip", chunks=(1, 8, 10, 3))
            obs.create_dataset("robot0_eye_in_hand_image", data=255 - frames, compression="gzip", chunks=(1, 8, 10, 3))
            for name in ("cubeA", "cubeB") if datagen else ():
                cube = np.tile(np.eye(4), (steps, 1, 1))
                cube[:, :3, :3] = Rotation.random(steps, random_state=rng).as_matrix()
                cube[:, :3, 3] = rng.normal(size=(steps, 3))
                demo[f"datagen_info/object_poses/{name}"] = cube
            if datagen:
                demo["datagen_info/eef_pose"] = cube
                for name, step in (("grasp_1", 4), ("stack_1", 9)):
                    demo[f"datagen_info/subtask_term_signals/{name}"] = (np.arange(steps) >= step).astype(int)
        file["mask/valid"] = np.array([b"demo_1"])
    return path


@pytest.fixture
def theirs(tmp_path):
    return write_robosuite(tmp_path / "theirs.hdf5")


def test_a_mapping_says_what_a_file_of_robosuite_means(theirs, tmp_path):
    account = import_robomimic(theirs, tmp_path / "back", ROBOSUITE, subtasks=("grasp_1", "stack_1", "rest"))
    assert account == {"episodes": 2, "frames": 2 * STEPS}
    store = Store.open(tmp_path / "back")
    assert store.verify() == []
    with h5py.File(theirs) as file:
        for index in range(2):
            arrays, demo = store.episode(index).arrays, file[f"data/demo_{index}"]
            obs = demo["obs"]
            np.testing.assert_allclose(arrays["observation/joint_position"], obs["robot0_joint_pos"], rtol=1e-6)
            np.testing.assert_allclose(arrays["observation/joint_velocity"], obs["robot0_joint_vel"], rtol=1e-6)
            np.testing.assert_allclose(
                arrays["observation/gripper_opening"][:, 0], obs["robot0_gripper_qpos"][:, 0] / 0.04, rtol=1e-5
            )
            tool = arrays["observation/tool_pose_in_base"]
            np.testing.assert_allclose(tool[:, :3], obs["robot0_eef_pos"][()] - BASE[:3], atol=1e-5)
            turn = Rotation.from_quat(tool[:, 3:], scalar_first=True) * Rotation.from_quat(obs["robot0_eef_quat"]).inv()
            assert turn.magnitude().max() < 1e-5
            np.testing.assert_array_equal(arrays["images/front"], obs["agentview_image"])
            cube = demo["datagen_info/object_poses/cubeA"][()]
            np.testing.assert_allclose(arrays["objects/cube_1"][:, :3], cube[:, :3, 3] - BASE[:3], atol=1e-5)
            # Relative actions are not joint targets: what was reached stands in for them.
            np.testing.assert_array_equal(arrays["action/executed"][:-1, :7], arrays["observation/joint_position"][1:])
            closing = np.clip((demo["actions"][:, 6] - 1) / -2, 0, 1)
            np.testing.assert_allclose(arrays["action/executed"][:, 7], closing, atol=1e-6)
            assert arrays["subtask"].tolist() == [0] * 4 + [1] * 5 + [2] * 5
            assert arrays["signals/grasp_1"].tolist() == [False] * 4 + [True] * 10
    meta = store.meta(1)
    assert (meta.task, meta.domain, meta.control_rate) == ("stack_three", "real/robomimic", 20.0)
    assert (meta.action_source, meta.operator, meta.scene) == ("achieved_next", "human", 1)
    assert meta.extra["demo"] == "demo_1"
    assert meta.extra["recorded_in"] == "Stack_D0"
    assert meta.extra["derived"]["subtask"] == "from the signals of these names"


def test_images_stored_bottom_up_are_turned_if_the_mapping_says_so(theirs, tmp_path):
    turned = dataclasses.replace(ROBOSUITE, images_upside_down=True)
    import_robomimic(theirs, tmp_path / "back", turned)
    with h5py.File(theirs) as file:
        frames = file["data/demo_0/obs/agentview_image"][()]
    np.testing.assert_array_equal(Store.open(tmp_path / "back").read(0, "images/front"), frames[:, ::-1])


def test_a_lower_rate_takes_images_signals_and_numbers_alike(theirs, tmp_path):
    import_robomimic(theirs, tmp_path / "back", dataclasses.replace(ROBOSUITE, resample_to=5.0), filter_key="valid")
    store = Store.open(tmp_path / "back")
    assert (len(store), store.frames, store.meta(0).control_rate) == (1, STEPS // 4, 5.0)
    with h5py.File(theirs) as file:
        demo = file["data/demo_1"]
        np.testing.assert_array_equal(store.read(0, "images/front"), demo["obs/agentview_image"][0:12:4])
        assert store.read(0, "signals/grasp_1").tolist() == [False, True, True]
        expected = demo["obs/robot0_joint_pos"][0:12:4].astype(np.float32)
        np.testing.assert_array_equal(store.read(0, "observation/joint_position"), expected)


def test_kinematics_are_asked_for_the_tool(theirs, tmp_path):
    def forward(joints):
        return np.concatenate([joints[:, :3], np.tile([1.0, 0, 0, 0], (len(joints), 1))], axis=1)

    mapping = dataclasses.replace(ROBOSUITE, tool_pose="kinematics")
    refused(theirs, tmp_path, "asks for tool poses by kinematics", mapping=mapping)
    import_robomimic(theirs, tmp_path / "back", mapping, forward)
    arrays = Store.open(tmp_path / "back").episode(0).arrays
    np.testing.assert_array_equal(
        arrays["observation/tool_pose_in_base"][:, :3], arrays["observation/joint_position"][:, :3]
    )


def test_signals_of_other_names_are_kept_and_said(theirs, tmp_path):
    import_robomimic(theirs, tmp_path / "back", ROBOSUITE, subtasks=("reach", "lift"))
    import_robomimic(theirs, tmp_path / "none", ROBOSUITE)
    for name in ("back", "none"):
        store = Store.open(tmp_path / name)
        assert store.meta(0).extra["derived"]["subtask"].startswith("0 throughout: the signals have other names")
        assert not store.read(0, "subtask").any()
        assert store.read(0, "signals/stack_1").tolist() == [False] * 9 + [True] * 5


def test_a_file_without_signals_or_rate_says_so(tmp_path):
    path = write_robosuite(tmp_path / "theirs.hdf5", rate=None, datagen=False)
    mapping = dataclasses.replace(ROBOSUITE, objects={}, instruction=None)
    refused(path, tmp_path, "has no task sentence of its own", mapping=mapping)
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            demo.attrs["ep_meta"] = '{"lang": "stack them"}'
    import_robomimic(path, tmp_path / "back", mapping)
    meta = Store.open(tmp_path / "back").meta(0)
    assert meta.instruction == "stack them"
    assert meta.extra["control_rate"] == "the mapping's: the file does not say"
    assert meta.extra["derived"]["subtask"].startswith("0 throughout")


def deleted(name):
    return lambda file: file.pop(name)


@pytest.mark.parametrize(
    ("edit", "changes", "message"),
    [
        (None, {"control_rate": 10.0}, "has 20 steps per second and the mapping's control_rate is 10"),
        (None, {"joint_position": Columns("obs/robot0_joint_po")}, "Did you mean 'obs/robot0_joint_pos'"),
        (None, {"joint_position": Columns("obs/agentview_image")}, "should hold numbers"),
        (None, {"joint_velocity": Columns("obs/robot0_eef_pos")}, "gives 3 columns; the arm has 7 joints"),
        (None, {"cameras": {"front": "obs/robot0_joint_pos"}}, "needs images of 3 channels"),
        (deleted("data/demo_1/obs/robot0_joint_vel"), {}, "'data/demo_1' .*robot0_joint_vel"),
        (deleted("data/demo_1/datagen_info"), {}, "'data/demo_1'.*cubeA"),
        (
            deleted("data/demo_1/datagen_info/subtask_term_signals"),
            {},
            "demo 1, .* differs from the first in signals/grasp_1",
        ),
        (deleted("data/demo_1/actions"), {}, "has no array 'data/demo_1/actions'"),
        (replaced("data/demo_0/obs/robot0_eef_quat", np.zeros((STEPS, 4))), {}, "quaternions of norm 0.0000 to 0.0000"),
        (replaced("data/demo_0/obs/robot0_joint_pos", np.full((STEPS, 7), np.inf)), {}, "values that are not finite"),
        (
            replaced("data/demo_0/obs/robot0_joint_pos", np.zeros((STEPS - 1, 7))),
            {},
            "'data/demo_0' .*robot0_joint_pos",
        ),
        (replaced("data/demo_0/actions", np.zeros(STEPS)), {}, r"has shape \(14,\); it should be \(steps, columns\)"),
        (lambda f: f["data/demo_0"].attrs.modify("num_samples", 13), {}, "says num_samples 13, and has 14 actions"),
        (
            lambda f: f["data"].attrs.create("env_args", '{"env_kwargs": {"control_freq": "x"}}'),
            {},
            "control_freq of 'x'",
        ),
    ],
)
def test_what_does_not_fit_is_named(theirs, tmp_path, edit, changes, message):
    if edit is not None:
        with h5py.File(theirs, "r+") as file:
            edit(file)
    refused(theirs, tmp_path, message, mapping=dataclasses.replace(ROBOSUITE, **changes))


def test_without_a_mapping_the_error_lists_what_there_is_to_map(theirs, tmp_path):
    refused(theirs, tmp_path, r"need a mapping .*obs/agentview_image \(images 8x10x3\).*obs/robot0_joint_pos \(7\)")


def test_a_mapping_of_another_task_is_refused(theirs, tmp_path):
    refused(theirs, tmp_path, "shows task 'stack_three'; asked for 'lift'", mapping=ROBOSUITE, task="lift")
