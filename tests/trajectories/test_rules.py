"""Each rule of content: a clean recording breaks none, and one spoilt recording breaks exactly that one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from trajectories.recording import Frames, JointLimits, Recording
from trajectories.rules import RULES
from trajectories.schema import EpisodeMeta
from trajectories.validation import findings_of, look_at_frames

STEPS = 100
LIMITS = JointLimits(np.full(7, -3.0), np.full(7, 3.0), np.full(7, 2.0))


@pytest.fixture
def clean() -> Recording:
    """Five seconds in which the arm swings, the gripper closes half way, and a cube is carried along."""
    time = np.arange(STEPS) / 20
    joints = (0.5 * np.sin(time)[:, None] + 0.1 * np.arange(7)).astype(np.float32)
    targets = np.concatenate([joints[1:], joints[-1:]])
    gripper = np.linspace(1, 0.5, STEPS)[:, None].astype(np.float32)
    action = np.concatenate([targets, gripper], axis=1)
    pose = np.tile(np.array([0.5, 0, 0.2, 0, 1, 0, 0], np.float32), (STEPS, 1))
    pose[:, 1] = 0.1 * np.sin(time)
    state = np.zeros((STEPS + 1, 5))
    state[:, 0] = np.arange(STEPS + 1) / 20
    arrays = {
        "observation/joint_position": joints,
        "observation/joint_velocity": np.gradient(joints, 0.05, axis=0),
        "observation/gripper_opening": gripper,
        "observation/tool_pose_in_base": pose,
        "action/executed": action,
        "action/intended": action.copy(),
        "action/tool_pose_in_base": pose.copy(),
        "objects/cube": pose - np.array([0, 0, 0.02, 0, 0, 0, 0], np.float32),
        "subtask": (np.arange(STEPS) >= 50).astype(np.int8),
        "source/demo": np.where(np.arange(STEPS) % 50 < 10, -1, 3).astype(np.int32),
        "source/step": np.where(np.arange(STEPS) % 50 < 10, -1, np.arange(STEPS)).astype(np.int32),
        "state": state,
    }
    meta = EpisodeMeta(
        task="lift",
        embodiment="panda",
        domain="sim",
        control_rate=20.0,
        instruction="lift the red cube",
        paraphrases=("raise the red cube",),
        outcome="success",
        operator="script",
        action_source="commanded",
    )
    frames = {"images/front": Frames(np.zeros(STEPS, bool), np.zeros(STEPS, bool))}
    return Recording(meta, arrays, frames, LIMITS)


def broken(recording: Recording) -> dict[str, list[str]]:
    """Rules that a recording breaks: name -> its findings as text."""
    found = {rule.name: [str(f) for f in findings_of(rule, recording, 4) if f is not None] for rule in RULES}
    return {name: findings for name, findings in found.items() if findings}


def test_a_clean_recording_breaks_no_rule_and_every_rule_looks_at_it(clean):
    assert broken(clean) == {}
    assert [rule.name for rule in RULES if not list(rule.matches(clean))] == []


def put(key: str, where: object, value: object) -> Callable[[Recording], None]:
    return lambda recording: recording.arrays[key].__setitem__(where, value)


def flip(recording: Recording) -> None:
    recording.arrays["objects/cube"][40:, 3:] *= -1


def tear(recording: Recording) -> None:
    recording.arrays["state"][50:, 0] += 0.05


def too_fast(recording: Recording) -> None:
    for key in ("action/intended", "action/executed"):
        recording.arrays[key][60:, 2] += 0.2


def stick(recording: Recording) -> None:
    # About the swing's turning point, so that the targets go on where they stopped.
    recording.arrays["action/intended"][12:50, :7] = recording.arrays["action/intended"][12, :7]


def lead(recording: Recording) -> None:
    # The same change for all, so that targets move no faster than before.
    recording.arrays["action/intended"][:, :7] += 0.4


def stand(recording: Recording) -> None:
    for key in ("observation/joint_position", "observation/gripper_opening", "action/intended", "action/executed"):
        values = recording.arrays[key]
        values[74:] += values[30] - values[74]
        values[30:75] = values[30]


def go_back(recording: Recording) -> None:
    recording.arrays["source/step"][30:50] -= 5


def blank(recording: Recording) -> None:
    recording.frames["images/front"].blank[20:30] = True


def freeze(recording: Recording) -> None:
    recording.frames["images/front"].repeated[40:61] = True


SPOILT = [
    (
        "finite",
        put("observation/joint_velocity", (7, 3), np.nan),
        "'observation/joint_velocity' at step 7",
    ),
    ("unit_quaternion", put("objects/cube", (slice(5, 8), slice(3, 7)), 0), "the norm is 0"),
    ("placeholder_pose", put("objects/cube", slice(None), [0, 0, 0, 1, 0, 0, 0]), "100% of the poses"),
    ("clock", tear, "a step of 0.05 s took 0.1 s"),
    ("subtask_order", put("subtask", slice(90, None), 0), "at step 90: it goes from 1 to 0"),
    ("subtask_order", put("subtask", slice(0, 10), -1), "in 10 steps from step 0 on: it begins with -1"),
    ("gripper_range", put("observation/gripper_opening", 9, 1.5), "at step 9: it is 0.5 to 1.5"),
    ("blank_images", blank, "'images/front' in 10 steps from step 20 on: 10 of 100 images are of one colour"),
    ("joint_speed", too_fast, "joint 3 moves at 1.75 times its limit of 2 rad/s"),
    ("jump", put("objects/cube", (50, 2), 0.7), "in 2 steps from step 50 on: it moves by 0.52 m in one step"),
    ("quaternion_sign", flip, "at step 40: the sign changes 1 times"),
    ("source_steps", go_back, "at step 30: 1 steps do not go on; 0 have a demo or a step alone"),
    ("source_steps", put("source/demo", 20, -1), "0 steps do not go on; 1 have a demo or a step alone"),
    ("stale_actions", stick, "'action/intended' in 38 steps from step 12 on: the targets stay for 1.9 s"),
    ("unfollowed_actions", lead, "'action/intended' in 99 steps from step 0 on: joints stay 0.40 rad"),
    ("idle", stand, "in 44 steps from step 30 on: nothing moves for 2.2 s"),
    ("frozen_images", freeze, "'images/front' in 21 steps from step 40 on: one image for 1.1 s while joints move 0.39"),
]


@pytest.mark.parametrize(("name", "spoil", "said"), SPOILT, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_spoilt_breaks_exactly_its_rule(clean, name, spoil, said):
    spoil(clean)
    found = broken(clean)
    assert list(found) == [name]
    assert said in found[name][0]


@pytest.mark.parametrize(("begins", "allowed"), [(80, True), (95, False)])
def test_a_subtask_is_done_again_only_to_mend_a_failure(clean, begins, allowed):
    put("subtask", slice(90, None), 0)(clean)
    mended = replace(clean.meta, extra={"tries": [[0, 0], [1, begins]]})
    assert ("subtask_order" not in broken(replace(clean, meta=mended))) is allowed


def test_joints_beyond_their_limits(clean):
    spoilt = replace(clean, limits=replace(LIMITS, upper=np.array([3, 3, 3, 3, 3, 3, 1.0])))
    found = broken(spoilt)
    assert list(found) == ["joint_limits"]
    assert (
        "'observation/joint_position' in 18 steps from step 23 on: joint 7 is 0.0999 rad beyond its limit"
        in found["joint_limits"][0]
    )


def test_another_number_of_joints(clean):
    six = JointLimits(*(bound[:6] for bound in (LIMITS.lower, LIMITS.upper, LIMITS.speed)))
    found = broken(replace(clean, limits=six))
    assert list(found) == ["joint_limits"]
    assert "it has 7 joints; panda has 6" in found["joint_limits"][0]


def test_limits_are_checked_only_where_they_are_known(clean):
    clean.arrays["action/intended"][:, 0] = 3.3
    clean.arrays["action/executed"][:, 0] = 3.3
    assert "joint_limits" in broken(clean)
    assert "joint_limits" not in broken(replace(clean, limits=None))


@pytest.mark.parametrize("texts", [("", ("lift it",)), ("lift it", ("raise it", "  "))])
def test_sentences_that_say_nothing(clean, texts):
    found = broken(replace(clean, meta=replace(clean.meta, instruction=texts[0], paraphrases=texts[1])))
    assert list(found) == ["instruction"]
    assert "1 of" in found["instruction"][0]


def test_an_episode_that_was_cut_off(clean):
    arrays = {key: values[: 9 + (key == "state")] for key, values in clean.arrays.items()}
    frames = {key: Frames(f.blank[:9], f.repeated[:9]) for key, f in clean.frames.items()}
    assert broken(replace(clean, arrays=arrays, frames=frames)) == {
        "short": ["episode 4 in 9 steps from step 0 on: it lasts 0.45 s"]
    }


def test_a_repeated_episode(clean):
    assert broken(replace(clean, twin=2)) == {
        "duplicate": ["episode 4 in 100 steps from step 0 on: it repeats episode 2"]
    }


def test_one_step_is_enough_for_every_rule(clean):
    arrays = {key: values[: 1 + (key == "state")] for key, values in clean.arrays.items()}
    frames = {"images/front": Frames(np.zeros(1, bool), np.zeros(1, bool))}
    assert list(broken(replace(clean, arrays=arrays, frames=frames))) == ["short"]


def test_a_still_camera_is_no_matter_while_the_arm_rests(clean):
    for key in ("observation/joint_position", "action/intended", "action/executed"):
        clean.arrays[key][20:45] = clean.arrays[key][20]
    clean.frames["images/front"].repeated[20:45] = True
    assert broken(clean) == {}


def test_numbers_that_are_none_break_no_other_rule(clean):
    for values in clean.arrays.values():
        if values.dtype.kind == "f":
            values[3:6] = np.nan
    assert set(broken(clean)) == {"finite"}


def test_an_embodiment_at_rest_for_a_moment_is_not_idle(clean):
    for key in ("observation/joint_position", "action/intended", "action/executed", "observation/gripper_opening"):
        clean.arrays[key][60:] = clean.arrays[key][60]
    assert broken(clean) == {}


@pytest.mark.parametrize("seed", range(40))
def test_any_content_is_judged_without_an_error(clean, seed):
    """Whatever is in the arrays, each breach lies within the episode."""
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(1, 60))
    odd = np.array([np.nan, np.inf, -np.inf, 0, -1, 1e-30, 1e30, 3e38, 2])
    arrays = {key: values[: steps + (key == "state")].copy() for key, values in clean.arrays.items()}
    for values in arrays.values():
        hit = rng.random(values.shape) < rng.choice([0, 0.01, 0.5, 1])
        if values.dtype.kind == "f":
            values[hit] = rng.choice(odd, int(hit.sum())).astype(values.dtype)
        else:
            values[hit] = rng.integers(-128, 127, int(hit.sum()))
    marks = [rng.random(steps) < rng.random() for _ in range(2)]
    marks[1][0] = False
    recording = replace(clean, arrays=arrays, frames={"images/front": Frames(*marks)})
    for rule in RULES:
        for finding in findings_of(rule, recording):
            if finding is not None:
                assert 0 <= finding.step < steps + (finding.key == "state")
                assert 1 <= finding.steps <= steps + (finding.key == "state")
                assert finding.detail


class TestFrames:
    """What is kept of a camera's images."""

    def images(self) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (12, 20, 20, 3), dtype=np.uint8)

    def test_noise_is_neither_blank_nor_repeated(self):
        frames = look_at_frames(iter([self.images()]), 8)
        assert not frames.blank.any()
        assert not frames.repeated.any()

    def test_one_colour_is_blank_whichever_it_is(self):
        images = self.images()
        images[2], images[3], images[4] = 0, [200, 20, 2], np.linspace(100, 108, 20)[:, None]
        images[5] = np.linspace(100, 109, 20)[:, None]
        assert np.flatnonzero(look_at_frames(iter([images]), 8).blank).tolist() == [2, 3, 4]

    def test_one_odd_pixel_anywhere_is_a_picture(self):
        images = np.zeros((20 * 20, 20, 20, 3), np.uint8)
        images.reshape(400, 400, 3)[np.arange(400), np.arange(400), 1] = 50
        assert not look_at_frames(iter([images]), 8).blank.any()

    @pytest.mark.parametrize("cuts", [[], [5], [4, 5, 6], list(range(1, 12))])
    def test_repetitions_are_seen_across_runs(self, cuts):
        images = self.images()
        images[5] = images[4]
        images[9, -1, -1, -1] = images[10, -1, -1, -1] = 7
        images[10] = images[9]
        found = look_at_frames(iter(np.split(images, cuts)), 8)
        assert np.flatnonzero(found.repeated).tolist() == [5, 10]
