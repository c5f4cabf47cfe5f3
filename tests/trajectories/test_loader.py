import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handful import InputError
from trajectories import Blend, Photometric, Source, WindowSpec, loader

SPEC = WindowSpec(cameras=("front", "wrist"), horizon=8, validation_fraction=0.2)
NOISE = Photometric(noise_std=(0.02, 0.05), exposure_ev=(-0.5, 0.5))


@pytest.fixture
def episodes(make_episode):
    first = [make_episode(i, steps=20 + i) for i in range(6)]
    second = [make_episode(100 + i, steps=15, domain="twin/dev-0", instruction="x", paraphrases=()) for i in range(4)]
    return [first, second]


@pytest.fixture
def sources(tmp_path, episodes, make_store):
    make_store(tmp_path / "a", [episodes[0][:2], episodes[0][2:]], {"store": "a"})
    make_store(tmp_path / "b", [episodes[1]], {"store": "b"})
    return [Source(str(tmp_path / "a"), 3.0), Source(str(tmp_path / "b"), 1.0)]


def _equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def _find(batch, row, episodes):
    """The episode and step that a window was taken at, by its joints."""
    for episode in episodes:
        match = (episode.arrays["observation/joint_position"] == batch["proprio"][row, :7]).all(axis=1)
        if match.any():
            return episode, int(match.argmax())
    raise AssertionError("the window is in no episode")


def test_windows_hold_what_the_episodes_hold(sources, episodes):
    batch = Blend(sources, SPEC, seed=0).batch(0, 64)
    beyond = 0
    for row in range(64):
        source = batch["source"][row]
        episode, t = _find(batch, row, episodes[source])
        arrays, steps = episode.arrays, len(episode)
        for camera in ("front", "wrist"):
            np.testing.assert_array_equal(batch[f"images/{camera}"][row], arrays[f"images/{camera}"][t])
        pose = arrays["observation/tool_pose_in_base"][t]
        columns = Rotation.from_quat(pose[3:], scalar_first=True).as_matrix()[:, :2].T.ravel()
        expected = np.concatenate([arrays["observation/gripper_opening"][t], pose[:3], columns])
        np.testing.assert_allclose(batch["proprio"][row, 7:], expected, atol=1e-6)
        rows = np.minimum(np.arange(t, t + 8), steps - 1)
        np.testing.assert_array_equal(batch["action"][row], arrays["action/intended"][rows])
        np.testing.assert_array_equal(batch["action_tool"][row, :, :3], arrays["action/tool_pose_in_base"][rows, :3])
        np.testing.assert_array_equal(batch["action_tool"][row, :, 9], arrays["action/intended"][rows, -1])
        np.testing.assert_array_equal(batch["action_mask"][row], np.arange(t, t + 8) < steps)
        beyond += not batch["action_mask"][row].all()
        assert batch["progress"][row] == np.float32(t / steps)
        assert batch["subtask"][row] == arrays["subtask"][t]
        assert batch["domain"][row] == episode.meta.domain
        assert batch["embodiment"][row] == "panda"
        assert batch["instruction"][row] in (episode.meta.instruction, *episode.meta.paraphrases)
    assert 0 < beyond < 64


def test_shapes_and_dtypes_are_as_documented(sources):
    blend = Blend(sources, SPEC, seed=0)
    batch = blend.batch(0, 5)
    found = {key: (value.shape, value.dtype.name) for key, value in batch.items() if isinstance(value, np.ndarray)}
    assert found == {
        "images/front": ((5, 12, 12, 3), "uint8"),
        "images/wrist": ((5, 12, 12, 3), "uint8"),
        "proprio": ((5, 17), "float32"),
        "action": ((5, 8, 8), "float32"),
        "action_tool": ((5, 8, 10), "float32"),
        "action_mask": ((5, 8), "bool"),
        "source": ((5,), "int64"),
        "progress": ((5,), "float32"),
        "subtask": ((5,), "int64"),
    }
    assert (blend.proprio_size, blend.action_size, blend.image_size("front")) == (17, 8, (12, 12))


def test_a_batch_depends_on_seed_step_and_size_alone(sources):
    blend, again = Blend(sources, SPEC, seed=5), Blend(sources, SPEC, seed=5)
    blend.batch(0, 16)
    assert _equal(blend.batch(7, 16), again.batch(7, 16))
    assert not _equal(blend.batch(7, 16), blend.batch(8, 16))
    assert not _equal(blend.batch(7, 16), Blend(sources, SPEC, seed=6).batch(7, 16))
    larger = blend.batch(7, 32)
    np.testing.assert_array_equal(larger["proprio"][:16], again.batch(7, 16)["proprio"])


def test_reading_from_the_disk_gives_the_same_batches(sources):
    resident, streamed = Blend(sources, SPEC, seed=1), Blend(sources, SPEC, seed=1, resident=False)
    assert _equal(resident.batch(3, 32), streamed.batch(3, 32))
    for a, b in zip(resident.validation(0), streamed.validation(0), strict=True):
        assert _equal(a, b)


def test_stores_are_drawn_by_weight_and_steps_uniformly(sources):
    blend = Blend(sources, WindowSpec(cameras=(), validation_fraction=0.2), seed=0)
    batch = blend.batch(0, 40_000)
    share = batch["source"].mean()
    # Three standard deviations of a binomial share of 1/4.
    assert abs(share - 0.25) < 3 * np.sqrt(0.25 * 0.75 / 40_000)
    _, counts = np.unique(batch["proprio"][batch["source"] == 0], axis=0, return_counts=True)
    training = blend.sources[0].lengths[~blend.sources[0].held_out].sum()
    assert len(counts) == training
    expected = (batch["source"] == 0).sum() / training
    assert ((counts - expected) ** 2 / expected).sum() < training + 4 * np.sqrt(2 * training)
    names, counts = np.unique(np.array(batch["instruction"])[batch["source"] == 0], return_counts=True)
    assert len(names) == 3
    assert counts.min() > 0.3 * counts.sum()


def test_held_out_scenes_are_never_trained_on(sources):
    blend = Blend(sources, SPEC, seed=0)
    trained = {row.tobytes() for step in range(20) for row in blend.batch(step, 128)["proprio"]}
    for source in (0, 1):
        held_out = [row.tobytes() for batch in blend.validation(source) for row in batch["proprio"]]
        assert held_out
        assert not trained & set(held_out)
        assert held_out == [row.tobytes() for batch in blend.validation(source, size=3) for row in batch["proprio"]]
    drawn = {row.tobytes() for row in blend.batch(0, 128, "validation")["proprio"]}
    assert not drawn & trained


def test_validation_covers_every_held_out_episode_from_its_first_step(sources):
    blend = Blend(sources, SPEC, seed=3)
    progress = np.concatenate([batch["progress"] for batch in blend.validation(0)])
    lengths = blend.sources[0].lengths[blend.sources[0].held_out]
    expected = np.concatenate([np.arange(0, length, 4) / length for length in lengths])
    np.testing.assert_array_equal(progress, expected.astype(np.float32))


def test_executed_actions_can_be_learnt_instead(sources, episodes):
    spec = WindowSpec(cameras=(), horizon=4, action="executed", validation_fraction=0)
    batch = Blend(sources, spec, seed=0).batch(0, 8)
    for row in range(8):
        episode, t = _find(batch, row, episodes[batch["source"][row]])
        np.testing.assert_array_equal(batch["action"][row, 0], episode.arrays["action/executed"][t])


def test_every_sentence_is_drawn_alike_also_when_it_is_listed_twice(tmp_path, make_episode, make_store):
    make_store(tmp_path / "s", [[make_episode(instruction="a", paraphrases=("a", "b"))]])
    batch = Blend([Source(str(tmp_path / "s"))], WindowSpec(cameras=()), seed=0).batch(0, 4000)
    # Four standard deviations of a binomial share of one half.
    assert abs(batch["instruction"].count("a") - 2000) < 4 * np.sqrt(1000)


def test_a_split_without_episodes_is_refused(sources):
    blend = Blend(sources, WindowSpec(cameras=(), validation_fraction=0), seed=0)
    with pytest.raises(InputError, match="has no episode held out for validation"):
        blend.batch(0, 64, "validation")
    assert list(blend.validation(0)) == []
    with pytest.raises(InputError, match="unknown split"):
        blend.batch(0, 4, "test")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="seed must be >= 0"):
        Blend(sources, SPEC, seed=-1)


def test_statistics_are_those_of_what_is_drawn(sources):
    blend = Blend(sources, WindowSpec(cameras=(), horizon=1, validation_fraction=0.2), seed=0)
    drawn = blend.batch(0, 60_000)
    found = blend.statistics()
    for name, rows in (("proprio", drawn["proprio"]), ("action", drawn["action"][:, 0])):
        error = (rows.mean(axis=0, dtype=np.float64) - found[name].mean) / found[name].std
        assert np.abs(error).max() < 0.025
        np.testing.assert_allclose(rows.std(axis=0, dtype=np.float64), found[name].std, rtol=0.03)
    assert blend.source_statistics(0)["action"].hash != found["action"].hash


def test_data_too_large_for_the_memory_is_refused_with_its_size(sources, monkeypatch):
    monkeypatch.setattr(loader, "available_memory", lambda: 200_000)
    with pytest.raises(InputError, match=r"frames resident takes 0\.0 GB of memory.*load with resident=False"):
        Blend(sources, SPEC, seed=0)
    Blend(sources, SPEC, seed=0, resident=False)
    monkeypatch.setattr(loader, "available_memory", lambda: 20_000)
    with pytest.raises(InputError, match="use fewer episodes"):
        Blend(sources, SPEC, seed=0, resident=False)


def test_camera_errors_follow_the_recorded_stream(sources):
    clean = Blend(sources, SPEC, seed=0).batch(0, 32)
    noisy = Blend(sources, SPEC, seed=0, photometric=NOISE).batch(0, 32)
    assert (clean["images/front"] != noisy["images/front"]).any(axis=(1, 2, 3)).all()
    again = Blend(sources, SPEC, seed=0, resident=False, photometric=NOISE).batch(0, 32)
    assert _equal(noisy, again)
    assert _equal({**noisy, "images/front": 0, "images/wrist": 0}, {**clean, "images/front": 0, "images/wrist": 0})


def test_recordings_of_a_real_camera_get_no_added_errors(tmp_path, make_episode, make_store):
    episode = make_episode(seeds={})
    make_store(tmp_path / "s", [[episode]])
    batch = Blend([Source(str(tmp_path / "s"))], SPEC, seed=0, photometric=NOISE).batch(0, 4)
    for row in range(4):
        _, t = _find(batch, row, [episode])
        np.testing.assert_array_equal(batch["images/front"][row], episode.arrays["images/front"][t])


def test_resident_windows_are_drawn_fast(tmp_path, make_episode, make_store):
    make_store(tmp_path / "s", [[make_episode(i, steps=200, size=84) for i in range(3)]])
    blend = Blend([Source(str(tmp_path / "s"))], WindowSpec(("front", "wrist")), seed=0)
    blend.batch(0, 128)
    start = time.perf_counter()
    for step in range(20):
        blend.batch(step, 128)
    # Measured: about 100,000 on one core; a loaded machine may be many times slower.
    assert 20 * 128 / (time.perf_counter() - start) > 5_000
