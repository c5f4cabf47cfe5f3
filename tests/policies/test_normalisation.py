import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handful import InputError
from policies.normalisation import Normaliser, absolute_actions, relative_actions
from policies.statistics import RobotStatistics

HORIZON, JOINTS = 5, 7


def columns(rotation: Rotation) -> np.ndarray:
    matrix = rotation.as_matrix()
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], -1)


def make_batch(rng: np.random.Generator, count: int = 40) -> dict:
    poses = rng.uniform(-0.5, 0.5, (count, 3))
    turns = Rotation.random(count * (HORIZON + 1), random_state=int(rng.integers(1000)))
    six = columns(turns).reshape(count, HORIZON + 1, 6)
    joints = rng.normal(size=(count, JOINTS))
    proprio = np.concatenate([joints, rng.uniform(0, 1, (count, 1)), poses, six[:, 0]], 1)
    targets = joints[:, None] + rng.normal(size=(count, HORIZON, JOINTS)) * np.linspace(0.02, 0.3, HORIZON)[:, None]
    gripper = rng.integers(0, 2, (count, HORIZON, 1))
    tool = poses[:, None] + 0.1 * rng.normal(size=(count, HORIZON, 3))
    return {
        "proprio": proprio.astype(np.float32),
        "action": np.concatenate([targets, gripper], -1).astype(np.float32),
        "action_tool": np.concatenate([tool, six[:, 1:], gripper], -1).astype(np.float32),
        "action_mask": np.ones((count, HORIZON), bool),
    }


@pytest.fixture
def batch() -> dict:
    return make_batch(np.random.default_rng(0))


def test_joint_targets_survive_the_round_trip(batch):
    normaliser = Normaliser.fit("joint_delta", [batch], HORIZON)
    restored = normaliser.restore(normaliser.actions(batch), batch["proprio"])
    np.testing.assert_allclose(restored, batch["action"], atol=1e-5)


def test_tool_poses_survive_the_round_trip(batch):
    normaliser = Normaliser.fit("tool_delta", [batch], HORIZON)
    restored = normaliser.restore(normaliser.actions(batch), batch["proprio"])
    np.testing.assert_allclose(restored[..., :3], batch["action_tool"][..., :3], atol=1e-5)
    turn = Rotation.from_quat(restored[..., 3:7].reshape(-1, 4)[:, [1, 2, 3, 0]])
    np.testing.assert_allclose(columns(turn), batch["action_tool"][..., 3:9].reshape(-1, 6), atol=1e-4)
    np.testing.assert_allclose(restored[..., 7], batch["action_tool"][..., 9], atol=1e-6)


def test_tool_deltas_do_not_depend_on_where_the_robot_stands(batch):
    turn, shift = Rotation.from_euler("xyz", [0.3, -0.5, 1.0]), np.array([0.4, -0.2, 0.1])

    def moved(numbers: np.ndarray, at: int) -> np.ndarray:
        result = numbers.astype(np.float64).copy()
        for start, offset in ((at, shift), (at + 3, 0), (at + 6, 0)):
            part = result[..., start : start + 3]
            result[..., start : start + 3] = turn.apply(part.reshape(-1, 3)).reshape(part.shape) + offset
        return result

    there = {**batch, "proprio": moved(batch["proprio"], JOINTS + 1), "action_tool": moved(batch["action_tool"], 0)}
    here = relative_actions("tool_delta", batch, HORIZON)
    np.testing.assert_allclose(relative_actions("tool_delta", there, HORIZON), here, atol=1e-5)


def test_statistics_are_those_of_relative_actions_at_each_position(batch):
    normaliser = Normaliser.fit("joint_delta", [batch], HORIZON)
    deltas = batch["action"][..., :-1] - batch["proprio"][:, None, :JOINTS]
    np.testing.assert_allclose(normaliser.action_mean[:, :-1], deltas.mean(0), atol=1e-5)
    np.testing.assert_allclose(normaliser.action_std[:, :-1], deltas.std(0), atol=1e-5)


def test_grippers_map_to_minus_one_and_one(batch):
    normaliser = Normaliser.fit("joint_delta", [batch], HORIZON)
    np.testing.assert_allclose(normaliser.actions(batch)[..., -1], 2 * batch["action"][..., -1] - 1, atol=1e-6)
    opening = normaliser.proprio(batch["proprio"])[:, JOINTS]
    np.testing.assert_allclose(opening, 2 * batch["proprio"][:, JOINTS] - 1, atol=1e-6)


def test_padded_steps_do_not_count(batch):
    plain = Normaliser.fit("joint_delta", [batch], HORIZON)
    longer = {key: np.concatenate([value, value[:1]]) for key, value in batch.items()}
    longer["action_mask"][-1] = False
    longer["action"][-1, :, 0] += 0.001
    padded = Normaliser.fit("joint_delta", [longer], HORIZON)
    np.testing.assert_array_equal(plain.action_mean, padded.action_mean)


def test_dimensions_that_hardly_move_are_not_blown_up(batch):
    batch["action"][..., 2] = batch["proprio"][:, None, 2] + np.float32(1e-7)
    normaliser = Normaliser.fit("joint_delta", [batch], HORIZON)
    assert np.abs(normaliser.actions(batch)[..., 2]).max() < 1e-3


def test_targets_stay_near_what_training_showed(batch):
    normaliser = Normaliser.fit("joint_delta", [batch], HORIZON)
    wild = np.full((2, HORIZON, JOINTS + 1), 1000.0)
    restored = normaliser.restore(wild, batch["proprio"][:2])
    high, low = batch["action"][..., :-1].max((0, 1)), batch["action"][..., :-1].min((0, 1))
    np.testing.assert_allclose(restored[0, 0, :-1], high + 0.05 * (high - low), rtol=1e-5)
    assert (restored[..., -1] == 1).all()


def test_absolute_actions_inverts_relative_actions(batch):
    again = absolute_actions("joint_delta", relative_actions("joint_delta", batch, HORIZON), batch["proprio"])
    np.testing.assert_allclose(again, batch["action"], atol=1e-6)


def _hash(normaliser: Normaliser) -> str:
    return RobotStatistics("union", {"arm": normaliser}).hash


def test_json_keeps_every_bit_and_the_hash(batch):
    normaliser = Normaliser.fit("tool_delta", [batch], HORIZON, (1, 4))
    again = Normaliser.from_json(normaliser.to_json())
    assert _hash(again) == _hash(normaliser)
    changed = {**normaliser.to_json(), "proprio_mean": [v + 1e-9 for v in normaliser.proprio_mean]}
    assert _hash(Normaliser.from_json(changed)) != _hash(normaliser)


def test_missing_statistics_are_refused(batch):
    record = Normaliser.fit("joint_delta", [batch], HORIZON).to_json()
    del record["action_std"]
    with pytest.raises(InputError, match="statistics lack action_std; a policy cannot run without them"):
        Normaliser.from_json(record)


def test_bad_input_is_refused(batch):
    with pytest.raises(InputError, match="unknown action space 'joint'"):
        Normaliser.fit("joint", [batch], HORIZON)
    with pytest.raises(InputError, match="at least one window"):
        Normaliser.fit("joint_delta", [], HORIZON)
    normaliser = Normaliser.fit("joint_delta", [batch], HORIZON)
    with pytest.raises(InputError, match=r"proprio must be \(B, 17\), got \(2, 3\)"):
        normaliser.proprio(np.zeros((2, 3)))
    with pytest.raises(InputError, match="not finite"):
        normaliser.proprio(np.full((2, 17), np.nan))
