import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from handful import InputError, JobError
from policies import checkpoint
from policies.candidates import Evaluation, Rate
from policies.config import TrainConfig, load_config
from policies.optimiser import learning_rate
from policies.policy import Policy
from policies.train import Trainer, train
from tests.policies.toy_world import ToyBlend
from trajectories import Blend, Episode, EpisodeMeta, Source, Store, WindowSpec, order

STEPS = (
    "steps=8",
    "batch_size=4",
    "checkpoints=2",
    "waypoints=[6,12]",
    "horizon=6",
    "model.patch=3",
    "execute=3",
    "device=cpu",
)


def make_trainer(episodes, out: Path, *overrides: str, path: str = "toy", **more) -> Trainer:
    config = load_config("tiny", [*STEPS, *overrides])
    return Trainer(config, ToyBlend(episodes, 13, path=path), out, **more)


def newest(out: Path) -> Path:
    path = checkpoint.latest(out)
    assert path is not None
    return path


def interrupt_at(step: int):
    def on_progress(progress):
        if progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return on_progress


def log_lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def each_step(monkeypatch):
    monkeypatch.setattr("policies.train.LOG_EVERY", 1)


def test_an_interrupted_and_resumed_run_ends_in_the_same_bytes(episodes, tmp_path, each_step):
    whole = make_trainer(episodes, tmp_path / "whole").run()
    with pytest.raises(JobError, match=r"interrupted at step \d+; its state is in .*, and the same command resumes it"):
        make_trainer(episodes, tmp_path / "parts").run(interrupt_at(2))
    stopped = checkpoint.read_record(newest(tmp_path / "parts"))
    assert stopped["step"] < 8
    assert not stopped["state"]["finished"]
    resumed = make_trainer(episodes, tmp_path / "parts").run()
    assert resumed.steps == whole.steps == 8
    assert resumed.validation == whole.validation
    for name in ("ema", "weights", "optimizer"):
        one = (whole.checkpoint / f"{name}.safetensors").read_bytes()
        assert one == (resumed.checkpoint / f"{name}.safetensors").read_bytes(), name
    assert [line["step"] for line in log_lines(tmp_path / "parts") if "loss" in line] == list(range(1, 9))


def test_a_seed_keeps_its_numbers(episodes, tmp_path, each_step):
    """Recorded once: neither weights nor draws nor the mathematics of the flow head change unnoticed."""
    make_trainer(episodes, tmp_path).run()
    losses = [line["loss"] for line in log_lines(tmp_path) if "loss" in line]
    recorded = [1.853883, 2.156278, 1.653106, 1.515916, 1.718042, 2.598708, 1.544367, 1.450974]
    assert losses == pytest.approx(recorded, rel=1e-4)


@pytest.fixture
def store(tmp_path) -> Source:
    """A real store, large enough for several pools once these are small."""
    rng = np.random.default_rng(0)
    episodes = []
    for scene in range(8):
        action = rng.uniform(size=(40, 8)).astype(np.float32)
        pose = np.tile(np.array([0.5, 0, 0.2, 0, 1, 0, 0], np.float32), (40, 1))
        arrays = {
            "observation/joint_position": action[:, :7],
            "observation/joint_velocity": action[:, :7],
            "observation/gripper_opening": action[:, 7:],
            "observation/tool_pose_in_base": pose,
            "action/executed": action,
            "action/intended": action,
            "action/tool_pose_in_base": pose,
            "subtask": np.zeros(40, np.int8),
            "images/front": rng.integers(0, 256, (40, 9, 9, 3), dtype=np.uint8),
        }
        meta = EpisodeMeta(
            "lift", "panda", "sim", 20.0, "lift it", (), "success", "script", "commanded", scene, {"seed": 0}
        )
        episodes.append(Episode(arrays, meta))
    Store.create(tmp_path / "store", {}).commit(0, episodes, [{"scene": i} for i in range(8)])
    return Source(str(tmp_path / "store"))


def test_a_run_may_go_on_with_its_data_elsewhere_and_ends_in_the_same_bytes(store, tmp_path, monkeypatch, each_step):
    monkeypatch.setattr(order, "POOL_BYTES", 1)
    monkeypatch.setattr(order, "POOL_BLOCKS", 2)
    settings = ("cameras=[front]", "batch_size=32", "validation_fraction=0.2", "threads=1")
    config = load_config("tiny", [*STEPS, *settings])
    whole = train(config, [store], tmp_path / "whole")
    streamed = replace(config, resident="stream", loader_threads=3)
    with pytest.raises(JobError, match="interrupted"):
        train(streamed, [store], tmp_path / "parts", interrupt_at(3))
    resumed = train(replace(config, resident="device"), [store], tmp_path / "parts")
    assert resumed.validation == whole.validation
    for name in ("ema", "weights", "optimizer"):
        one = (whole.checkpoint / f"{name}.safetensors").read_bytes()
        assert one == (resumed.checkpoint / f"{name}.safetensors").read_bytes(), name


def test_lines_of_the_log_past_the_checkpoint_are_dropped(episodes, tmp_path, each_step):
    with pytest.raises(JobError, match="interrupted"):
        make_trainer(episodes, tmp_path).run(interrupt_at(2))
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 7, "loss": 1}\n{"step": 7, "lo')
    make_trainer(episodes, tmp_path).run()
    assert [line["step"] for line in log_lines(tmp_path) if "loss" in line] == list(range(1, 9))


def test_a_finished_run_is_returned_as_it_is(episodes, tmp_path):
    first = make_trainer(episodes, tmp_path).run()
    seen = []
    again = make_trainer(episodes, tmp_path).run(seen.append)
    assert again == first
    assert seen == []


def test_the_average_follows_the_weights_with_a_warm_up(episodes, tmp_path):
    trainer = make_trainer(episodes, tmp_path, "ema=0.5")
    name = "prefix.plan"
    average = trainer.state.average
    expected = average.state_dict()[name].clone()
    for step in range(4):
        trainer._step(trainer._prepared(step), 1e-2)
        trainer.state.counters.step += 1
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * trainer.network.state_dict()[name]
    torch.testing.assert_close(average.state_dict()[name], expected)
    assert (expected != trainer.network.state_dict()[name]).any()


def test_training_lowers_the_loss_on_held_out_scenes(episodes, tmp_path):
    trainer = make_trainer(episodes, tmp_path, "steps=60", "batch_size=16", "learning_rate=3e-3", "ema=0.9")
    before = trainer.validate()["toy"]
    assert trainer.run().validation["toy"] < 0.85 * before


def test_validation_draws_nothing_at_random(episodes, tmp_path):
    trainer = make_trainer(episodes, tmp_path)
    torch.manual_seed(1)
    first = trainer.validate()
    torch.manual_seed(2)
    assert trainer.validate() == first


def test_padded_action_steps_do_not_change_a_step(episodes, tmp_path):
    results = []
    for value in (0.0, 9.0):
        trainer = make_trainer(episodes, tmp_path / str(value))
        step = trainer._prepared(0)
        step.sample.valid[:, 3:] = False
        step.sample.actions[:, 3:] = value
        results.append(trainer._step(step, 1e-3))
    torch.testing.assert_close(results[0], results[1])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(episodes, tmp_path, monkeypatch):
    trainer = make_trainer(episodes, tmp_path)
    batch = trainer.blend.batch

    def poisoned(step: int, size: int, part: slice) -> dict:
        drawn = batch(step, size, part)
        if step == 5:
            drawn["action_tool"][:, 0, 0] = np.nan
        return drawn

    monkeypatch.setattr(trainer.blend, "batch", poisoned)
    with pytest.raises(JobError, match=r"not finite at step 6; the last good checkpoint is .*checkpoint-00000004'"):
        trainer.run()
    good = load_file(newest(tmp_path) / "ema.safetensors")
    assert all(torch.isfinite(value).all() for value in good.values())


def test_another_configuration_or_other_data_is_refused(episodes, tmp_path):
    make_trainer(episodes, tmp_path).run()
    with pytest.raises(InputError, match=r"other settings \(model.width: 32 -> 64; learning_rate: 0.001 -> 0.002\)"):
        make_trainer(episodes, tmp_path, "learning_rate=2e-3", "model.width=64")
    with pytest.raises(InputError, match=r"sources: \['toy'\] -> \['other'\]"):
        make_trainer(episodes, tmp_path, path="other")


def test_a_budget_in_minutes_is_kept(episodes, tmp_path):
    trainer = make_trainer(episodes, tmp_path, "minutes=0.05")
    result = trainer.run()
    assert result.steps > 1
    assert 3.0 <= result.seconds < 20.0
    assert learning_rate(trainer.config, 1.0) == pytest.approx(0.02 * 1e-3)


def test_evaluation_gets_the_policy_and_its_answer_is_logged(episodes, tmp_path):
    asked = []

    def evaluate(policy, step):
        asked.append((policy.horizon, step))
        return {"lift": Rate(1, 4)}

    make_trainer(episodes, tmp_path, evaluation=Evaluation(evaluate, ("lift",))).run()
    assert asked == [(6, 4), (6, 8)]
    assert [x["evaluation"] for x in log_lines(tmp_path) if "evaluation" in x] == [{"lift": 0.25}] * 2


def test_the_checkpoint_says_what_it_is(episodes, tmp_path):
    record = checkpoint.read_record(make_trainer(episodes, tmp_path).run().checkpoint)
    assert TrainConfig.from_json(record["config"]) == load_config("tiny", STEPS)
    assert record["embodiments"] == ["toy"]
    assert record["resolution"] == {"front": [32, 32], "wrist": [32, 32]}
    assert record["control_rate"] == 20.0
    assert record["sources"][0]["digest"] == "0" * 64
    assert {"red", "lift"} < set(record["vocabulary"])
    assert list(tmp_path.glob("checkpoint-*")) == [newest(tmp_path)]


def test_a_full_disk_keeps_the_last_checkpoint(episodes, tmp_path, monkeypatch):
    make_trainer(episodes, tmp_path).run()
    before = newest(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(JobError, match="disk full while writing checkpoint"):
        checkpoint.save(tmp_path, 99, {"ema": {}}, {})
    assert newest(tmp_path) == before


def test_nothing_is_learnt_from_a_twin_that_is_kept_for_evaluation(episodes, tmp_path):
    blend = ToyBlend(episodes, 6)
    blend.sources[0].domains = ["sim", "twin/test-4"]
    with pytest.raises(InputError, match="'toy' holds episodes of 'twin/test-4', which is kept for evaluation alone"):
        Trainer(load_config("tiny", ["device=cpu"]), blend, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_learns_to_say_what_is_done_where_the_data_says_it(episodes, tmp_path):
    blend = ToyBlend(episodes, 13)
    colours = {sentence: sentence.split()[2] for sentence in blend.instructions}
    steps = {sentence: (f"reach for the {c} cube", f"lift the {c} cube") for sentence, c in colours.items()}
    blend.sources[0].steps = steps
    changes = ("steps=80", "batch_size=32", "learning_rate=5e-3", "ema=0.9", "stage_weight=1")
    trainer = Trainer(load_config("tiny", [*STEPS, *changes]), blend, tmp_path)
    trainer.run()
    lines = [line for line in log_lines(tmp_path) if "subtask" in line]
    assert lines[-1]["subtask"] < 0.6 * lines[0]["subtask"]
    policy = Policy.load(tmp_path)
    batch = next(blend.validation(0))
    images = {camera: batch[f"images/{camera}"] for camera in policy.cameras}
    said = policy.say(images, batch["proprio"], batch["instruction"], "toy", "sim")
    truth = [steps[s][k] for s, k in zip(batch["instruction"], batch["subtask"], strict=True)]
    right = [one.sentence == sentence for one, sentence in zip(said, truth, strict=True)]
    # Six sentences; who only hears the colour is right every other time.
    assert np.mean(right) > 0.7
    assert np.mean([abs(one.progress - p) for one, p in zip(said, batch["progress"], strict=True)]) < 0.2
    assert all(0 < one.probability <= 1 for one in said)


def two_stores(store: Source, tmp_path: Path) -> list[Source]:
    """The store, and a copy whose weight goes from nothing to all."""
    shutil.copytree(store.path, tmp_path / "other")
    return [replace(store, weight=1.0, end=0.0), Source(str(tmp_path / "other"), 0.0, 1.0)]


def drawn_from(trainer: Trainer, step: int) -> np.ndarray:
    return np.asarray(trainer.blend.batch(step, trainer.config.batch_size)["source"])


def test_the_weights_of_a_blend_change_over_the_planned_steps(store, tmp_path):
    config = load_config("tiny", [*STEPS, "cameras=[front]", "batch_size=256", "steps=10", "checkpoints=10"])
    blend = Blend(two_stores(store, tmp_path), WindowSpec(("front",), 13, validation_fraction=0.2), 0)
    trainer = Trainer(config, blend, tmp_path / "run")
    for step in range(10):
        assert drawn_from(trainer, step).mean() == pytest.approx((step + 0.5) / 10, abs=0.02)
    assert trainer.state.counters.schedule == (0, 2560)


def test_a_budget_in_minutes_plans_its_steps_once_it_knows_its_speed(store, tmp_path, monkeypatch):
    monkeypatch.setattr("policies.train.LOG_EVERY", 1)
    monkeypatch.setattr("policies.train.PLANNED_AHEAD", 4)
    settings = [*STEPS, "cameras=[front]", "batch_size=64", "minutes=0.02"]
    blend = Blend(two_stores(store, tmp_path), WindowSpec(("front",), 13, validation_fraction=0.2), 0)
    trainer = Trainer(load_config("tiny", settings), blend, tmp_path / "run")
    assert trainer.state.counters.schedule is None
    assert drawn_from(trainer, 0).sum() == 0
    result = trainer.run()
    first, last = checkpoint.read_record(result.checkpoint)["state"]["schedule"]
    assert 0 < first < last
    assert drawn_from(trainer, 0).sum() == 0
    assert drawn_from(trainer, last // 64).mean() == 1
    # A resumed run goes by the plan that was made, whatever its own speed.
    again = Trainer(load_config("tiny", settings), blend, tmp_path / "run")
    assert again.state.counters.schedule == (first, last)


def test_bfloat16_trains_as_float32_does_but_for_rounding(episodes, tmp_path):
    told = []
    for precision in ("fp32", "bf16"):
        trainer = make_trainer(episodes, tmp_path / precision, f"precision={precision}", "batch_size=16")
        told.append(trainer._step(trainer._prepared(0), 1e-3))
        assert all(p.dtype == torch.float32 for p in trainer.network.parameters())
    assert not torch.equal(told[0], told[1])
    torch.testing.assert_close(told[0][:2], told[1][:2], rtol=2e-2, atol=2e-2)


def test_a_store_whose_content_changed_is_refused_by_what_changed(episodes, tmp_path):
    make_trainer(episodes, tmp_path).run()
    blend = ToyBlend(episodes, 13)
    blend.sources[0].episodes = 3
    with pytest.raises(InputError, match="sources: episodes of what is in the stores"):
        Trainer(load_config("tiny", STEPS), blend, tmp_path)
