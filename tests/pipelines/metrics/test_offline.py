"""Action error on recorded windows, of a policy that says what it is told to, and of a small trained one."""

from types import SimpleNamespace

import numpy as np
import pytest

from handful import InputError
from pipelines.metrics.features import policy_encoder
from pipelines.metrics.offline import _add, _energy, _sampled, offline_error
from policies.config import load_config
from policies.policy import Policy
from policies.train import Trainer
from tests.policies.toy_world import ToyBlend, record

HORIZON = 6


@pytest.fixture(scope="module")
def blend() -> ToyBlend:
    return ToyBlend([record(np.random.default_rng([7, i]), 32) for i in range(8)], 7)


@pytest.fixture(scope="module", params=["joint_delta", "tool_delta"])
def policy(request, blend, tmp_path_factory) -> Policy:
    out = tmp_path_factory.mktemp("run")
    changes = ["steps=4", "batch_size=8", "waypoints=[6]", f"action_space={request.param}", f"horizon={HORIZON}"]
    config = load_config("tiny", [*changes, "model.patch=3", "execute=3", "device=cpu"])
    Trainer(config, blend, out).run()
    return Policy.load(out)


def test_a_trained_policy_is_measured(policy, blend):
    found = offline_error(policy, blend.validation(0), samples=4)
    assert found.windows == len(blend.held_out[::8])
    assert found.unit == ("rad" if policy.action_space == "joint_delta" else "m")
    assert found.best <= found.chunk
    assert 0 < found.executed < 1
    assert 0 < found.energy < found.chunk + 0.5
    assert 0 <= found.gripper <= 1
    assert (found.rotation is not None) == (policy.action_space == "tool_delta")
    assert found == offline_error(policy, blend.validation(0), samples=4)


def test_the_flow_loss_is_that_of_training(policy, blend):
    """More noise than validation in training takes, so the same but for its sampling."""
    few, many = (offline_error(policy, blend.validation(0), samples=2, times=t).loss for t in (8, 64))
    assert few == pytest.approx(many, rel=0.1)
    # Hardly trained: the velocity is noise plus data of unit variance each.
    assert 1 < many < 3


def told(answers: np.ndarray) -> SimpleNamespace:
    """A policy of joint targets that gives the (K, B, H, A) answers one after another."""
    left = iter(answers)
    return SimpleNamespace(
        horizon=answers.shape[2],
        execute=2,
        cameras=(),
        action_space="joint_delta",
        noise_size=lambda robot: answers.shape[3],
        act=lambda *arguments: next(left),
    )


def test_errors_are_what_they_are_called():
    truth = np.zeros((1, 4, 3))
    answers = np.zeros((2, 1, 4, 3))
    answers[0, 0, :, 0] = (0.1, 0.3, 0.5, 9.0)  # the last action is past the episode's end
    answers[1, 0, :, 1] = 0.2
    answers[1, 0, :, 2] = 1.0  # opens what was closed
    batch = {
        "proprio": np.zeros((1, 12)),
        "instruction": ["lift it"],
        "action": truth,
        "action_mask": np.array([[True, True, True, False]]),
    }
    sums, counts = {}, {}
    _sampled(told(answers), batch, "toy", 2, np.random.default_rng(0), sums, counts)
    mean = {name: sums[name] / counts[name] for name in sums if counts[name]}
    assert mean["executed"] == pytest.approx((0.1 + 0.3 + 0.2 + 0.2) / 4)
    assert mean["chunk"] == pytest.approx((0.9 + 0.6) / 6)
    assert mean["best"] == pytest.approx(0.2)
    assert mean["gripper"] == pytest.approx(0.5)
    assert "rotation" not in mean


def test_the_energy_score_prefers_the_law_itself():
    """Proper: of normal forecasts of a standard normal number, the standard one scores best."""
    rng = np.random.default_rng(1)
    wanted = rng.normal(size=(4000, 1, 1))
    ones, known = np.ones((4000, 1)), np.ones(4000, bool)
    score = {
        spread: _energy(spread * rng.normal(size=(16, 4000, 1, 1)), wanted, ones, known) / 4000
        for spread in (0.0, 0.5, 1.0, 2.0)
    }
    assert min(score, key=score.__getitem__) == 1.0
    # E|A - a| - E|A - A'| / 2 of two standard normal numbers is 1 / sqrt(pi).
    assert score[1.0] == pytest.approx(1 / np.sqrt(np.pi), abs=0.03)
    assert score[0.0] == pytest.approx(np.sqrt(2 / np.pi), abs=0.03)


def test_sums_add_up():
    sums, counts = {}, {}
    for value in (1.0, 2.0):
        _add(sums, counts, "x", value, 2)
    assert (sums, counts) == ({"x": 3.0}, {"x": 4})


def test_too_few_samples_and_no_windows_are_refused(policy):
    with pytest.raises(InputError, match="samples must be at least 2 and times at least 1, got 1 and 8"):
        offline_error(policy, [], samples=1)
    with pytest.raises(InputError, match="there are no windows to measure on"):
        offline_error(policy, [])


def test_what_a_policy_sees_depends_on_images_alone_and_on_all_of_them(policy, blend):
    batch = next(iter(blend.validation(0)))
    images = {camera: batch[f"images/{camera}"] for camera in policy.cameras}
    n = len(batch["proprio"])
    seen = policy_encoder(policy, images, "lift the red cube", "toy")
    assert seen.shape == (n, policy.config.model.width)
    assert np.ptp(seen, axis=0).max() > 1e-4
    one = policy_encoder(policy, {c: v[1:2] for c, v in images.items()}, "lift the red cube", "toy")
    assert one[0] == pytest.approx(seen[1], abs=1e-5)
    dark = {**images, policy.cameras[1]: images[policy.cameras[1]] // 4}
    assert np.abs(policy_encoder(policy, dark, "lift the red cube", "toy") - seen).max() > 1e-4
    assert policy_encoder(policy, {c: v[:0] for c, v in images.items()}, "lift", "toy").shape[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {"front": v["front"]}, "the policy needs camera 'wrist'; the images given are of: front"),
        (lambda v: {**v, "wrist": v["wrist"][:1]}, "each camera needs as many images, got"),
        (lambda v: {**v, "wrist": v["wrist"] / 255}, r"images must be \(n, H, W, 3\) uint8, got"),
    ],
)
def test_images_that_do_not_fit_the_policy_are_refused(policy, blend, change, message):
    batch = next(iter(blend.validation(0)))
    with pytest.raises(InputError, match=message):
        policy_encoder(policy, change({c: batch[f"images/{c}"] for c in ("front", "wrist")}), "lift", "toy")


def test_a_policy_that_looks_back_is_measured_with_what_was(tmp_path):
    blend = ToyBlend([record(np.random.default_rng([7, i]), 32) for i in range(4)], 7)
    blend.history, blend.history_stride = 2, 3
    changes = ["steps=2", "batch_size=8", "waypoints=[6]", f"horizon={HORIZON}", "model.patch=3", "execute=3"]
    config = load_config("tiny", [*changes, "device=cpu", "model.history=2", "model.history_stride=3"])
    Trainer(config, blend, tmp_path).run()
    policy = Policy.load(tmp_path)
    assert offline_error(policy, blend.validation(0), samples=2).windows > 0
    batch = next(blend.validation(0))
    images = {camera: batch[f"images/{camera}"][:, -1] for camera in policy.cameras}
    assert policy_encoder(policy, images, "lift the red cube", "toy").shape == (len(batch["proprio"]), 32)
