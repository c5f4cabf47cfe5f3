import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from handful import InputError, JobError
from policies import checkpoint
from policies.config import load_config
from policies.policy import Policy, build_network
from policies.train import Trainer
from tests.policies.toy_world import ToyBlend


@pytest.fixture(scope="module")
def run(episodes, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    config = load_config(
        "tiny",
        [
            "steps=6",
            "batch_size=8",
            "waypoints=[6]",
            "action_space=joint_delta",
            "horizon=6",
            "model.patch=3",
            "execute=3",
            "device=cpu",
        ],
    )
    Trainer(config, ToyBlend(episodes, 7), out).run()
    return out


@pytest.fixture
def copy(run, tmp_path) -> Path:
    """The run's checkpoint folder, to be damaged."""
    path = checkpoint.latest(run)
    assert path is not None
    return Path(shutil.copytree(path, tmp_path / path.name))


def make_input(rows: int, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    proprio = np.tile(np.float32([0, 0, 0.2, 1, 0, 0, 0.2, 1, 0, 0, 0, 1, 0]), (rows, 1))
    proprio[:, :3] += rng.normal(0, 0.05, (rows, 3))
    return {
        "images": {c: rng.integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8) for c in ("front", "wrist")},
        "proprio": proprio,
        "instruction": [f"lift the {colour} cube" for colour in rng.choice(["red", "green", "blue"], rows)],
        "embodiment": "toy",
        "domain": "sim",
        "noise": rng.standard_normal((rows, 6, 4)).astype(np.float32),
    }


def test_a_row_is_the_same_alone_and_in_any_batch(run):
    policy, given = Policy.load(run, batch_size=4), make_input(7)
    together = policy.act(**given)
    assert together.shape == (7, 6, 4)
    for i in range(7):
        one = {
            "images": {camera: value[i : i + 1] for camera, value in given["images"].items()},
            "proprio": given["proprio"][i : i + 1],
            "instruction": given["instruction"][i : i + 1],
            "noise": given["noise"][i : i + 1],
        }
        np.testing.assert_array_equal(policy.act(**{**given, **one})[0], together[i])


def test_the_same_noise_gives_the_same_actions_and_other_noise_others(run):
    policy, given = Policy.load(run), make_input(3)
    first = policy.act(**given)
    np.testing.assert_array_equal(policy.act(**given), first)
    assert np.abs(policy.act(**{**given, "noise": -given["noise"]}) - first).max() > 1e-4


def test_actions_stay_within_the_range_of_training(run):
    policy, given = Policy.load(run), make_input(4)
    given["proprio"] = given["proprio"] + np.float32(50)
    actions = policy.act(**given)
    normaliser = policy.preparer.normalisers["toy"]
    assert (actions[..., :3] <= normaliser.highest.astype(np.float32)).all()
    assert ((actions[..., 3] >= 0) & (actions[..., 3] <= 1)).all()


def test_a_domain_may_be_left_open(run):
    assert np.isfinite(Policy.load(run).act(**{**make_input(2), "domain": None})).all()


def test_no_rows_give_no_actions(run):
    assert Policy.load(run).act(**make_input(0)).shape == (0, 6, 4)


def test_what_it_needs_can_be_asked(run):
    policy = Policy.load(run)
    assert policy.cameras == ("front", "wrist")
    assert policy.resolution == {"front": (32, 32), "wrist": (32, 32)}
    assert (policy.horizon, policy.execute, policy.control_rate, policy.noise_size("toy")) == (6, 3, 20.0, 4)
    assert policy.unknown_words("hoist the red cube") == ["hoist"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embodiment": "tox"}, "unknown embodiment 'tox'.*Did you mean 'toy'"),
        ({"domain": "sin"}, "unknown domain 'sin'.*Did you mean 'sim'"),
        ({"noise": np.zeros((2, 5, 4), np.float32)}, r"noise must be \(2, 6, 4\), got \(2, 5, 4\)"),
        ({"instruction": ["lift the red cube"]}, "2 rows of proprio need as many instructions, got 1"),
        ({"proprio": np.zeros((2, 9), np.float32)}, r"proprio must be \(B, 13\)"),
        ({"images": {"front": np.zeros((2, 32, 32, 3), np.uint8)}}, "needs camera 'wrist'; .* are of: front"),
        (
            {"images": {c: np.zeros((2, 32, 32, 3), np.float32) for c in ("front", "wrist")}},
            r"must be \(2, 32, 32, 3\) uint8, got .* float32",
        ),
    ],
)
def test_bad_input_is_refused(run, change, message):
    with pytest.raises(InputError, match=message):
        Policy.load(run).act(**{**make_input(2), **change})


def test_output_that_is_not_finite_is_an_error(run):
    policy = Policy.load(run)
    next(iter(policy.network.expert.action_out.parameters())).data.fill_(np.nan)
    with pytest.raises(JobError, match="output for row 0 is not finite"):
        policy.act(**make_input(2))


def test_a_row_that_is_not_finite_can_be_told_apart_and_spoils_no_other(run):
    policy, given = Policy.load(run), make_input(3)
    good = policy.act(**given)
    given["noise"][1, 0, 0] = np.nan
    found = policy.act(**given, finite=False)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], good[[0, 2]])


def test_guidance_exaggerates_what_the_domain_changes(run):
    given = make_input(3)
    plain = Policy.load(run).act(**given)
    np.testing.assert_array_equal(Policy.load(run, guidance=1.0).act(**given), plain)
    # Its domain has been told in training, so that it makes some difference.
    assert np.abs(Policy.load(run, guidance=30.0).act(**given) - plain).max() > 1e-5
    open_ = Policy.load(run).act(**{**given, "domain": None})
    np.testing.assert_allclose(Policy.load(run, guidance=0.0).act(**given), open_, atol=1e-5)


def test_guidance_needs_a_domain_and_a_number(run):
    with pytest.raises(InputError, match="guidance goes towards a domain: say which"):
        Policy.load(run, guidance=2.0).act(**{**make_input(1), "domain": None})
    with pytest.raises(InputError, match="guidance must be a finite number, got nan"):
        Policy.load(run, guidance=float("nan"))


def two_robots(run: Path) -> Policy:
    """The run's policy with untrained weights, for its robot and for one with two joints more."""
    found = checkpoint.latest(run)
    assert found is not None
    record = checkpoint.read_record(found)
    narrow = record["statistics"]["toy"]
    wide = {**narrow}
    for name, axis, fill in (("mean", 0, 0.0), ("std", 0, 1.0)):
        row = np.asarray(narrow[f"proprio_{name}"])
        wide[f"proprio_{name}"] = np.insert(row, [3, 3], fill, axis=axis).tolist()
        wide[f"action_{name}"] = np.insert(narrow[f"action_{name}"], [3, 3], fill, axis=1).tolist()
    wide["lowest"], wide["highest"] = [*narrow["lowest"], -1.0, -1.0], [*narrow["highest"], 1.0, 1.0]
    record["statistics"], record["embodiments"] = {"toy": narrow, "wide": wide}, ["toy", "wide"]
    network = build_network(record)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return Policy(network.eval(), record, batch_size=4)


def test_a_narrower_robot_is_driven_by_a_policy_for_wider_ones(run):
    policy, given = two_robots(run), make_input(3)
    narrow = policy.act(**given)
    assert narrow.shape == (3, 6, 4)
    wide = {**given, "embodiment": "wide", "noise": np.random.default_rng(0).standard_normal((3, 6, 6))}
    wide["proprio"] = np.insert(given["proprio"], [3, 3], 0.1, axis=1)
    wide["noise"] = wide["noise"].astype(np.float32)
    assert policy.act(**wide).shape == (3, 6, 6)
    with pytest.raises(InputError, match=r"noise must be \(3, 6, 6\), got \(3, 6, 4\)"):
        policy.act(**{**wide, "noise": given["noise"]})


@pytest.fixture(scope="module")
def remembering(episodes, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("remembering")
    changes = ["steps=2", "batch_size=8", "waypoints=[6]", "horizon=6", "model.patch=3", "execute=3", "device=cpu"]
    config = load_config("tiny", [*changes, "model.history=3", "model.history_stride=2"])
    blend = ToyBlend(episodes, 7)
    blend.history, blend.history_stride = 3, 2
    Trainer(config, blend, out).run()
    return out


def with_history(given: dict, length: int, seed: int = 0) -> dict:
    """The same moments, after others."""
    rng, rows = np.random.default_rng(seed), len(given["proprio"])
    images = {c: rng.integers(0, 256, (rows, length, *i.shape[1:]), dtype=np.uint8) for c, i in given["images"].items()}
    for camera, image in images.items():
        image[:, -1] = given["images"][camera]
    proprio = np.repeat(given["proprio"][:, None], length, 1)
    proprio[:, :-1, :3] += rng.normal(0, 0.05, (rows, length - 1, 3)).astype(np.float32)
    return {**given, "images": images, "proprio": proprio, "history_mask": np.ones((rows, length), bool)}


def test_a_policy_with_a_history_looks_at_it(remembering):
    policy, given = Policy.load(remembering, batch_size=4), make_input(5)
    assert (policy.history, policy.history_stride) == (3, 2)
    given["noise"] = np.random.default_rng(0).standard_normal((5, 6, policy.noise_size("toy"))).astype(np.float32)
    one, other = (with_history(given, 3, seed) for seed in (1, 2))
    first = policy.act(**one)
    assert np.abs(first - policy.act(**other)).max() > 1e-6
    for each in (one, other):
        each["history_mask"] = np.tile([False, False, True], (5, 1))
    np.testing.assert_array_equal(policy.act(**one), policy.act(**other))


def test_a_history_that_does_not_fit_is_refused(remembering):
    policy, given = Policy.load(remembering), make_input(2)
    given["noise"] = np.zeros((2, 6, policy.noise_size("toy")), np.float32)
    with pytest.raises(InputError, match=r"images of camera 'front' must be \(2, 3, 32, 32, 3\) uint8"):
        policy.act(**given)
    with pytest.raises(InputError, match=r"proprio must be \(B, 3, 13\), got \(2, 13\)"):
        policy.act(**{**with_history(given, 3), "proprio": given["proprio"]})
    with pytest.raises(InputError, match=r"history_mask must be \(2, 3\), got None"):
        policy.act(**{**with_history(given, 3), "history_mask": None})


def test_a_policy_whose_data_has_no_sentences_says_nothing(run):
    given = {name: value for name, value in make_input(1).items() if name != "noise"}
    with pytest.raises(InputError, match="tells no stage: its data has no sentences of subtasks"):
        Policy.load(run).say(**given)


def test_a_folder_without_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint; train one with"):
        Policy.load(tmp_path)


def test_changed_statistics_are_refused(copy):
    record = json.loads((copy / "checkpoint.json").read_text())
    record["statistics"]["toy"]["proprio_mean"][0] += 0.1
    (copy / "checkpoint.json").write_text(json.dumps(record))
    with pytest.raises(JobError, match=r"statistics in .* are not the ones it was trained with"):
        Policy.load(copy)


def test_missing_statistics_are_refused(copy):
    record = json.loads((copy / "checkpoint.json").read_text())
    record["statistics"] = {}
    (copy / "checkpoint.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="no normalisation statistics for toy"):
        Policy.load(copy)


def test_damaged_missing_and_foreign_files_are_refused(copy):
    weights = copy / "ema.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(JobError, match=r"ema.safetensors' is damaged"):
        Policy.load(copy)
    weights.unlink()
    with pytest.raises(JobError, match=r"lacks ema.safetensors"):
        Policy.load(copy)
    (copy / "checkpoint.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="has format 99; this version reads format 2"):
        Policy.load(copy)
    (copy / "checkpoint.json").write_text("{")
    with pytest.raises(InputError, match=r"no readable checkpoint.json"):
        Policy.load(copy)


def test_training_needs_no_simulator():
    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"mujoco", "dm_control", "ray", "gymnasium", "sim", "scenes", "generators"}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Block())
import policies.train, policies.policy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
