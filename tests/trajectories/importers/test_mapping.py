"""Mappings: what is said is done, held against formulas of another library; what does not fit is refused by name."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handful import InputError
from trajectories.importers.conversion import convert
from trajectories.importers.fitting import check
from trajectories.importers.mapping import Action, Columns, Feature, Gripper, Mapping, Pose
from trajectories.schema import Episode, validate

HERE = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
STEPS = 12
FEATURES = {
    "state": Feature((9,), names=("j1", "j2", "j3", "j4", "j5", "j6", "j7", "width", "spare")),
    "target": Feature((8,)),
    "speed": Feature((7,)),
    "tool": Feature((7,)),
    "place": Feature((3,)),
    "turn": Feature((4,)),
    "frame": Feature((4, 4)),
    "view": Feature((6, 8, 3), "images"),
    "sentence": Feature((1,), "text"),
}


def mapping(**changes):
    fields = {
        "embodiment": "panda",
        "task": "lift",
        "control_rate": 20.0,
        "operator": "human",
        "outcome": "success",
        "joint_position": Columns("state", tuple(range(7))),
        "joint_velocity": Columns("speed"),
        "gripper": Gripper("state", closed=0.0, open=0.08, column=7),
        "tool_pose": Pose("tool", "wxyz", HERE),
        "action": Action(
            "joint_targets", Gripper("target", closed=1.0, open=-1.0, column=7), Columns("target", tuple(range(7)))
        ),
        "cameras": {"front": "view"},
    }
    return Mapping(**{**fields, **changes})


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    turns = Rotation.from_rotvec(np.linspace(0, 6, STEPS)[:, None] * [0.3, -0.5, 0.9])
    place = rng.normal(size=(STEPS, 3))
    quaternion = turns.as_quat(scalar_first=True) * rng.choice([-1, 1], (STEPS, 1))
    frame = np.tile(np.eye(4), (STEPS, 1, 1))
    frame[:, :3, :3], frame[:, :3, 3] = turns.as_matrix(), place
    target = rng.normal(size=(STEPS, 8))
    target[:, 7] = np.linspace(-1.5, 1.5, STEPS)
    state = rng.normal(size=(STEPS, 9))
    state[:, 7] = np.linspace(0, 0.1, STEPS)
    return {
        "state": state,
        "target": target,
        "speed": rng.normal(size=(STEPS, 7)),
        "tool": np.concatenate([place, quaternion], axis=1),
        "place": place,
        "turn": np.roll(quaternion, -1, axis=1),
        "frame": frame,
    }


def converted(said, rows, forward=None):
    check(said, FEATURES, 20.0, "'there'", forward)
    arrays = convert(said, {name: rows[name] for name in said.numbers()}, "episode 0 of 'there'", forward)
    validate(Episode(arrays, said.meta("there", "lift it", 0, {})))
    return arrays


def test_numbers_become_the_record_as_said(rows):
    arrays = converted(mapping(), rows)
    np.testing.assert_allclose(arrays["observation/joint_position"], rows["state"][:, :7], rtol=1e-6)
    np.testing.assert_allclose(arrays["observation/joint_velocity"], rows["speed"], rtol=1e-6)
    opening = np.minimum(rows["state"][:, 7:8] / 0.08, 1)
    np.testing.assert_allclose(arrays["observation/gripper_opening"], opening, atol=1e-6)
    np.testing.assert_allclose(arrays["action/executed"][:, :7], rows["target"][:, :7], rtol=1e-6)
    closed_is_plus_one = np.clip((1 - rows["target"][:, 7]) / 2, 0, 1)
    np.testing.assert_allclose(arrays["action/executed"][:, 7], closed_is_plus_one, atol=1e-6)
    np.testing.assert_array_equal(arrays["action/intended"], arrays["action/executed"])
    tool = arrays["observation/tool_pose_in_base"]
    np.testing.assert_array_equal(arrays["action/tool_pose_in_base"], np.concatenate([tool[1:], tool[-1:]]))
    assert arrays["subtask"].tolist() == [0] * STEPS


@pytest.mark.parametrize(
    "pose",
    [
        Pose("place", "xyzw", HERE, rotation_feature="turn"),
        Pose("frame", "matrix", HERE),
        Pose("tool", "wxyz", HERE, columns=(0, 1, 2, 3, 4, 5, 6)),
        Pose("place", "wxyz", HERE, rotation_feature="turn", rotation_columns=(3, 0, 1, 2)),
    ],
)
def test_every_way_to_write_a_pose_is_the_same_pose(rows, pose):
    found = converted(mapping(tool_pose=pose), rows)["observation/tool_pose_in_base"]
    np.testing.assert_allclose(found[:, :3], rows["place"], rtol=1e-6)
    rotation = Rotation.from_quat(found[:, 3:], scalar_first=True)
    np.testing.assert_allclose(rotation.as_matrix(), rows["frame"][:, :3, :3], atol=1e-6)
    assert (np.sum(found[1:, 3:] * found[:-1, 3:], axis=1) > 0).all()


def test_a_pose_in_another_frame_is_moved_into_the_base(rows):
    turn = Rotation.from_euler("xyz", [0.2, -0.4, 1.1])
    base = (0.5, -0.2, 0.9, *turn.as_quat(scalar_first=True))
    found = converted(mapping(tool_pose=Pose("tool", "wxyz", base)), rows)["observation/tool_pose_in_base"]
    np.testing.assert_allclose(found[:, :3], turn.inv().apply(rows["place"] - base[:3]), atol=1e-6)
    there = turn * Rotation.from_quat(found[:, 3:], scalar_first=True)
    np.testing.assert_allclose(there.as_matrix(), rows["frame"][:, :3, :3], atol=1e-6)


def test_degrees_and_velocities_by_differences(rows):
    said = mapping(joint_position=Columns("state", (6, 5, 4, 3, 2, 1, 0), "deg"), joint_velocity="differences")
    arrays = converted(said, rows)
    angles = np.deg2rad(rows["state"][:, 6::-1])
    np.testing.assert_allclose(arrays["observation/joint_position"], angles, rtol=1e-6)
    np.testing.assert_allclose(
        arrays["observation/joint_velocity"][1:-1], (angles[2:] - angles[:-2]) * 10, rtol=1e-4, atol=1e-6
    )
    assert said.meta("x", "s", 0, {}).extra["derived"]["observation/joint_velocity"].startswith("differences")


def test_achieved_actions_are_the_next_steps_joints(rows):
    said = mapping(action=Action("achieved_next", Gripper("target", closed=1.0, open=-1.0, column=7)))
    arrays = converted(said, rows)
    joints = arrays["observation/joint_position"]
    np.testing.assert_array_equal(arrays["action/executed"][:, :7], np.concatenate([joints[1:], joints[-1:]]))
    assert said.meta("x", "s", 0, {}).action_source == "achieved_next"
    assert mapping().meta("x", "s", 0, {}).action_source == "commanded"


def test_kinematics_are_those_handed_in(rows):
    def forward(joints):
        place = joints[:, :3] * 2
        return np.concatenate([place, np.tile([0, 1, 0, 0], (len(joints), 1))], axis=1)

    action = dataclasses.replace(mapping().action, tool_pose="kinematics")
    arrays = converted(mapping(tool_pose="kinematics", action=action), rows, forward)
    np.testing.assert_allclose(arrays["observation/tool_pose_in_base"][:, :3], rows["state"][:, :3] * 2, rtol=1e-6)
    np.testing.assert_allclose(arrays["action/tool_pose_in_base"][:, :3], rows["target"][:, :3] * 2, rtol=1e-6)
    with pytest.raises(InputError, match="known for panda and not for 'jaco'"):
        check(mapping(embodiment="jaco", tool_pose="kinematics"), FEATURES, 20.0, "'there'", None)


def test_resampling_keeps_the_action_that_ends_each_step(rows):
    said = mapping(resample_to=4.0)
    arrays = converted(said, rows)
    assert (said.stride, said.rate, len(arrays["subtask"])) == (5, 4.0, 2)
    np.testing.assert_allclose(arrays["observation/joint_position"], rows["state"][[0, 5], :7], rtol=1e-6)
    np.testing.assert_allclose(arrays["action/executed"][:, :7], rows["target"][[4, 9], :7], rtol=1e-6)
    assert said.meta("x", "s", 0, {}).control_rate == 4.0


def test_an_episode_has_the_mappings_sentence_or_its_own():
    assert mapping().meta("lab", "push it", 3, {}).instruction == "push it"
    meta = mapping(instruction="lift it").meta("lab", "push it", 3, {"file": "x"})
    assert (meta.instruction, meta.domain, meta.scene, meta.extra["file"]) == ("lift it", "real/lab", 3, "x")
    with pytest.raises(
        InputError, match="episode 3 has no task sentence of its own; give the mapping an 'instruction'"
    ):
        mapping().meta("lab", None, 3, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"joint_position": Columns("stat")},
            "unknown feature of 'there' 'stat'; it has: state .*Did you mean 'state'",
        ),
        ({"joint_position": Columns("view")}, "'view' is images 6x8x3; it should hold numbers"),
        ({"joint_position": Columns("state", (0, 9))}, "'state' has no column 9; it has 9, counted from 0"),
        ({"joint_position": Columns("state", (0, -1))}, "'state' has no column -1"),
        ({"joint_position": Columns("state", (1, 1))}, "must be different ones"),
        ({"joint_velocity": Columns("target")}, "'target' gives 8 columns; the arm has 7 joints"),
        ({"gripper": Gripper("state", 0.0, 1.0)}, "'state' has 9 columns; say which is the gripper's"),
        ({"gripper": Gripper("state", 0.0, 1.0, 9)}, "'state' has no column 9"),
        ({"tool_pose": Pose("place", "wxyz", HERE)}, "'place' gives 3 columns; .* written as 'wxyz' has 7"),
        ({"tool_pose": Pose("tool", "matrix", HERE)}, "'tool' gives 7 columns; .* written as 'matrix' has 16"),
        ({"objects": {"cube": Pose("cub", "wxyz", HERE)}}, "unknown feature of 'there' 'cub'"),
        ({"cameras": {"front": "viw"}}, "unknown feature of 'there' 'viw'.*Did you mean 'view'"),
        ({"cameras": {"front": "tool"}}, "camera 'front' needs images of 3 channels; 'tool' is 7"),
        ({"control_rate": 30.0}, "has 20 steps per second and the mapping's control_rate is 30; set control_rate: 20"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        check(mapping(**changes), FEATURES, 20.0, "'there'", None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gripper("w", 1.0, 1.0), "two different numbers for closed and open, got 1 and 1"),
        (lambda: Pose("p", "wxyz", (0, 0, 0, 1, 1, 0, 0)), "has not length 1"),
        (lambda: Pose("p", "matrix", HERE, rotation_feature="q"), "is a matrix, which holds the rotation"),
        (lambda: Action("joint_targets", Gripper("w", 0, 1)), "names the feature of its joint targets"),
        (lambda: Action("achieved_next", Gripper("w", 0, 1), Columns("a")), "'achieved_next' has no joints"),
        (lambda: mapping(resample_to=7.0), "resample_to 7 Hz does not divide the data set's 20 Hz evenly"),
        (lambda: mapping(resample_to=40.0), "resample_to 40 Hz does not divide"),
        (lambda: mapping(resample_to=0.0), "resample_to 0 Hz does not divide"),
        (lambda: mapping(control_rate=0.0), "control_rate must be more than 0 Hz"),
        (lambda: mapping(cameras={"a/b": "view"}), "camera needs a name without '/', got 'a/b'"),
        (lambda: mapping(task=" "), "a name for its task"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("feature", "value", "message"),
    [
        ("state", np.nan, "'state' holds values that are not finite"),
        ("speed", np.inf, "'speed' holds values that are not finite"),
        ("target", 1e300, "'target' holds values that are not finite"),
        ("tool", 0.0, "'tool' holds quaternions of norm 0.0000 to 1.0000"),
    ],
)
def test_numbers_that_cannot_be_are_refused(rows, feature, value, message):
    rows[feature][4] = value
    with pytest.raises(InputError, match=f"episode 0 of 'there': {message}"):
        converted(mapping(), rows)


def test_an_episode_needs_two_steps(rows):
    with pytest.raises(InputError, match="has 1 control steps; an episode needs at least 2"):
        converted(mapping(), {name: value[:1] for name, value in rows.items()})


def test_a_mapping_survives_json():
    for said in (
        mapping(),
        mapping(
            joint_velocity="differences",
            tool_pose="kinematics",
            action=Action("achieved_next", Gripper("target", closed=1.0, open=-1.0, column=7)),
            objects={"cube": Pose("place", "wxyz", HERE, rotation_feature="turn", rotation_columns=(3, 0, 1, 2))},
            paraphrases=("raise it",),
            images_upside_down=True,
        ),
    ):
        assert Mapping.from_json(json.loads(json.dumps(said.to_json()))) == said


def test_images_stored_bottom_up_are_turned():
    frames = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
    np.testing.assert_array_equal(mapping(images_upside_down=True).upright(frames), np.flip(frames, 1))
    assert mapping().upright(frames) is frames
