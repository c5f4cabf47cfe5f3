import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handful import InputError, JobError
from trajectories import Blend, Photometric, Source, Statistics, Store, WindowSpec, order, prefetch, residence
from trajectories.recipes import filter_by, merge

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
        "joints": ((5,), "int64"),
    }
    assert (blend.proprio_size, blend.action_size, blend.image_size("front")) == (17, 8, (12, 12))


def test_a_batch_depends_on_seed_step_and_size_alone(sources):
    blend, again = Blend(sources, SPEC, seed=5), Blend(sources, SPEC, seed=5)
    blend.batch(0, 16)
    assert _equal(blend.batch(7, 16), again.batch(7, 16))
    assert not _equal(blend.batch(7, 16), blend.batch(8, 16))
    assert not _equal(blend.batch(7, 16), Blend(sources, SPEC, seed=6).batch(7, 16))
    assert not _equal(blend.batch(7, 16), blend.batch(7, 16, "validation"))


def test_batches_of_any_size_are_cut_from_one_sequence(sources):
    blend = Blend(sources, SPEC, seed=5)
    small = [blend.batch(step, 10)["images/wrist"] for step in range(12)]
    np.testing.assert_array_equal(np.concatenate(small), blend.batch(0, 120)["images/wrist"])


def test_rows_of_a_batch_can_be_made_alone(sources):
    blend = Blend(sources, SPEC, seed=5, resident="stream")
    whole = blend.batch(3, 12)
    halves = [blend.batch(3, 12, part=slice(start, start + 6)) for start in (0, 6)]
    assert halves[0]["instruction"] + halves[1]["instruction"] == whole["instruction"]
    for key in ("images/wrist", "proprio", "action", "source", "progress"):
        np.testing.assert_array_equal(np.concatenate([half[key] for half in halves]), whole[key])


@pytest.fixture
def small_pools(monkeypatch):
    """Pools of two blocks, so that small stores have several; chunks of images have 32 rows, one block."""
    monkeypatch.setattr(order, "POOL_BYTES", 1)
    monkeypatch.setattr(order, "POOL_BLOCKS", 2)


def test_executed_actions_are_learnt_with_the_tool_poses_that_they_aim_at(tmp_path, make_episode, make_store):
    episodes = [make_episode(i, steps=20 + i) for i in range(3)]
    make_store(tmp_path / "a", [episodes])
    spec = replace(SPEC, action="executed")
    batch = Blend([Source(str(tmp_path / "a"))], spec, seed=0).batch(0, 16)
    for row in range(16):
        episode, t = _find(batch, row, episodes)
        rows = np.minimum(np.arange(t, t + 8), len(episode) - 1)
        pose = episode.arrays["action/executed_tool_pose_in_base"][rows]
        np.testing.assert_array_equal(batch["action_tool"][row, :, :3], pose[:, :3])
        np.testing.assert_array_equal(batch["action"][row], episode.arrays["action/executed"][rows])


def test_executed_actions_without_tool_poses_are_what_was_meant_or_refused(tmp_path, make_episode, make_store):
    episodes = [make_episode(i, steps=20 + i) for i in range(3)]
    for episode in episodes:
        del episode.arrays["action/executed_tool_pose_in_base"]
    spec = replace(SPEC, action="executed")
    make_store(tmp_path / "noisy", [episodes])
    with pytest.raises(InputError, match=r"noisy' was made by an earlier version.* in episode 0 .* action=intended"):
        Blend([Source(str(tmp_path / "noisy"))], spec, seed=0)
    for episode in episodes:
        episode.arrays["action/intended"] = episode.arrays["action/executed"].copy()
    make_store(tmp_path / "clean", [episodes])
    clean = [Source(str(tmp_path / "clean"))]
    batch, meant = (Blend(clean, s, seed=0).batch(0, 16) for s in (spec, SPEC))
    np.testing.assert_array_equal(batch["action_tool"], meant["action_tool"])


SPECS = {
    "images": SPEC,
    "numbers": replace(SPEC, cameras=()),
    "history": replace(SPEC, history=3, history_stride=4),
    "long": replace(SPEC, history=2, history_stride=50, horizon=60),
}


@pytest.mark.usefixtures("small_pools")
@pytest.mark.parametrize("name", SPECS)
def test_streaming_gives_the_same_batches(sources, name):
    resident, streamed = (Blend(sources, SPECS[name], seed=1, resident=mode) for mode in ("memory", "stream"))
    for step in (*range(12), 5, 400, 100_000):
        assert _equal(resident.batch(step, 32), streamed.batch(step, 32)), step
    assert _equal(resident.batch(2, 16, "validation"), streamed.batch(2, 16, "validation"))
    for source in (0, 1):
        for a, b in zip(resident.validation(source, 5), streamed.validation(source, 5), strict=True):
            assert _equal(a, b)
    for a, b in zip(resident.survey(100, 32), streamed.survey(100, 32), strict=True):
        assert _equal(a, b)
    assert _hashes(resident.statistics()) == _hashes(streamed.statistics())
    assert _hashes(resident.source_statistics(1)) == _hashes(streamed.source_statistics(1))


def _hashes(statistics: dict[str, Statistics]):
    return {name: found.hash for name, found in statistics.items()}


@pytest.mark.usefixtures("small_pools")
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_batches_do_not_depend_on_the_number_of_threads(sources, threads):
    # More steps than an epoch has, so that threads meet at the ends of pools and epochs.
    expected = Blend(sources, SPEC, seed=1)
    streamed = Blend(sources, SPEC, seed=1, resident="stream")
    made = prefetch(lambda step: streamed.batch(step, 16), range(3, 60), threads, depth=4)
    for step, batch in zip(range(3, 60), made, strict=True):
        assert _equal(batch, expected.batch(step, 16)), step


@pytest.mark.usefixtures("small_pools")
@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_an_epoch_holds_every_training_frame_once(tmp_path, make_episode, make_store, mode):
    episodes = [make_episode(i, steps=20 + 7 * i) for i in range(12)]
    make_store(tmp_path / "s", [episodes[:5], episodes[5:]])
    blend = Blend([Source(str(tmp_path / "s"))], SPEC, seed=0, resident=mode)
    frames = int(blend.sources[0].lengths[~blend.sources[0].held_out].sum())
    rows = np.concatenate([blend.batch(step, 1)["proprio"] for step in range(3 * frames)])
    epochs = [[row.tobytes() for row in rows[i * frames : (i + 1) * frames]] for i in range(3)]
    assert all(len(set(epoch)) == frames for epoch in epochs)
    assert set(epochs[0]) == set(epochs[1]) == set(epochs[2])
    assert epochs[0] != epochs[1]


@pytest.mark.usefixtures("small_pools")
def test_views_are_learnt_from_as_the_stores_they_refer_to(tmp_path, sources, episodes):
    both = merge([source.path for source in sources], tmp_path / "both")
    filter_by(both.path, "length > 21 or scene in (100, 103)", tmp_path / "view")
    kept = [e for group in episodes for e in group if len(e) > 21 or e.meta.scene in (100, 103)]
    blends = [Blend([Source(str(tmp_path / "view"))], SPEC, seed=0, resident=mode) for mode in ("memory", "stream")]
    assert blends[0].sources[0].frames == sum(len(episode) for episode in kept)
    for step in range(20):
        batch, streamed = (blend.batch(step, 16) for blend in blends)
        assert _equal(batch, streamed)
        for row in range(16):
            episode, t = _find(batch, row, kept)
            np.testing.assert_array_equal(batch["images/wrist"][row], episode.arrays["images/wrist"][t])
            rows = np.minimum(np.arange(t, t + 8), len(episode) - 1)
            np.testing.assert_array_equal(batch["action"][row], episode.arrays["action/intended"][rows])
            assert batch["domain"][row] == episode.meta.domain


def test_history_reaches_back_to_the_first_step_and_no_further(sources, episodes):
    spec = replace(SPEC, history=3, history_stride=4)
    batch = Blend(sources, spec, seed=0).batch(0, 64)
    assert batch["images/front"].shape == (64, 3, 12, 12, 3)
    assert batch["proprio"].shape == (64, 3, 17)
    short = 0
    for row in range(64):
        episode, t = _find({"proprio": batch["proprio"][:, -1]}, row, episodes[batch["source"][row]])
        steps = np.array([t - 8, t - 4, t])
        np.testing.assert_array_equal(batch["history_mask"][row], steps >= 0)
        seen = np.maximum(steps, 0)
        np.testing.assert_array_equal(batch["images/wrist"][row], episode.arrays["images/wrist"][seen])
        np.testing.assert_array_equal(batch["proprio"][row, :, :7], episode.arrays["observation/joint_position"][seen])
        short += t < 8
    assert 0 < short < 64


def test_resuming_at_a_late_step_is_immediate(sources):
    blend = Blend(sources, SPEC, seed=0, resident="stream")
    start = time.perf_counter()
    blend.batch(100_000, 128)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_damage_is_an_error_in_every_mode(sources, mode):
    for shard in (
        p for p in (Path(sources[0].path) / "parts").rglob("*") if "images" in p.parts and p.name.startswith("c")
    ):
        data = bytearray(shard.read_bytes())
        data[100] ^= 1
        shard.write_bytes(data)

    def learn():
        blend = Blend(sources, SPEC, seed=0, resident=mode)
        return list(prefetch(lambda step: blend.batch(step, 64), range(20), threads=3))

    with pytest.raises(JobError, match="missing or damaged"):
        learn()


@pytest.mark.usefixtures("small_pools")
def test_damage_ahead_is_told_where_it_is_due(tmp_path, make_episode, make_store):
    make_store(tmp_path / "s", [[make_episode(i, steps=40) for i in range(2 * j, 2 * j + 2)] for j in range(6)])
    sources = [Source(str(tmp_path / "s"))]
    expected = [Blend(sources, SPEC, seed=0).batch(step, 8) for step in range(20)]
    shard = next((tmp_path / "s" / "parts" / "00000002" / "images" / "front").glob("c.*"))
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    counts = set()
    for threads in (1, 2, 4):
        blend, given = Blend(sources, SPEC, seed=0, resident="stream"), []
        made = prefetch(lambda step, blend=blend: blend.batch(step, 8), range(20), threads)
        with pytest.raises(JobError, match=r"part 00000002: 'images/front.*' is missing or damaged"):
            given.extend(made)
        assert all(_equal(*pair) for pair in zip(given, expected, strict=False))
        counts.add(len(given))
    assert len(counts) == 1
    assert counts != {0}


def test_stores_are_drawn_by_weight_and_sentences_alike(sources):
    blend = Blend(sources, WindowSpec(cameras=(), validation_fraction=0.2), seed=0)
    batch = blend.batch(0, 40_000)
    # The mix is even: not a binomial sample, but within a few windows of the share.
    assert abs(batch["source"].sum() - 10_000) < 20
    assert all(abs(blend.batch(step, 128)["source"].sum() - 32) < 8 for step in range(20))
    names, counts = np.unique(np.array(batch["instruction"])[batch["source"] == 0], return_counts=True)
    assert len(names) == 3
    # Five standard deviations of a binomial share of a third.
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(30_000 * 2 / 9)


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
    with pytest.raises(InputError, match="unknown residence 'disk'; there is: device, memory, stream"):
        Blend(sources, SPEC, seed=0, resident="disk")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="step of at least 0 and a size of at least 1, got -1 and 4"):
        blend.batch(-1, 4)


def test_statistics_are_those_of_what_is_drawn(sources):
    blend = Blend(sources, WindowSpec(cameras=(), horizon=1, validation_fraction=0.2), seed=0)
    drawn = blend.batch(0, 60_000)
    found = blend.statistics()
    for name, rows in (("proprio", drawn["proprio"]), ("action", drawn["action"][:, 0])):
        error = (rows.mean(axis=0, dtype=np.float64) - found[name].mean) / found[name].std
        assert np.abs(error).max() < 0.025
        np.testing.assert_allclose(rows.std(axis=0, dtype=np.float64), found[name].std, rtol=0.03)
    assert blend.source_statistics(0)["action"].hash != found["action"].hash


@pytest.mark.usefixtures("small_pools")
def test_data_too_large_for_the_memory_is_refused_with_its_size(tmp_path, make_episode, make_store, monkeypatch):
    make_store(tmp_path / "s", [[make_episode(i, steps=60) for i in range(20)]])
    sources = [Source(str(tmp_path / "s"))]
    monkeypatch.setattr(residence, "available_memory", lambda: 1_200_000)
    with pytest.raises(InputError, match=r'1200 frames resident takes 0\.0 GB of memory.*load with resident="stream"'):
        Blend(sources, SPEC, seed=0)
    Blend(sources, SPEC, seed=0, resident="stream").batch(0, 8)
    monkeypatch.setattr(residence, "available_memory", lambda: 200_000)
    with pytest.raises(InputError, match=r"streaming the data takes .* blend fewer stores"):
        Blend(sources, SPEC, seed=0, resident="stream")


def test_camera_errors_follow_the_recorded_stream(sources):
    clean = Blend(sources, SPEC, seed=0).batch(0, 32)
    noisy = Blend(sources, SPEC, seed=0, photometric=NOISE).batch(0, 32)
    assert (clean["images/front"] != noisy["images/front"]).any(axis=(1, 2, 3)).all()
    again = Blend(sources, SPEC, seed=0, resident="stream", photometric=NOISE).batch(0, 32)
    assert _equal(noisy, again)
    assert _equal({**noisy, "images/front": 0, "images/wrist": 0}, {**clean, "images/front": 0, "images/wrist": 0})


@pytest.mark.usefixtures("small_pools")
def test_a_frame_has_the_same_camera_errors_in_every_window(sources):
    latest = {}
    spec = replace(SPEC, history=2, history_stride=1)
    for mode in ("memory", "stream"):
        blend = Blend(sources, spec, seed=0, resident=mode, photometric=NOISE)
        batches = [blend.batch(step, 32) for step in range(8)]
        for batch in batches:
            for row in range(32):
                for column in range(2):
                    frame = batch["images/front"][row, column].tobytes()
                    assert latest.setdefault(batch["proprio"][row, column].tobytes(), frame) == frame
    assert len(latest) < 2 * 2 * 8 * 32


def test_recordings_of_a_real_camera_get_no_added_errors(tmp_path, make_episode, make_store):
    episode = make_episode(seeds={})
    make_store(tmp_path / "s", [[episode]])
    batch = Blend([Source(str(tmp_path / "s"))], SPEC, seed=0, photometric=NOISE).batch(0, 4)
    for row in range(4):
        _, t = _find(batch, row, [episode])
        np.testing.assert_array_equal(batch["images/front"][row], episode.arrays["images/front"][t])


def test_images_kept_on_a_device_come_as_tensors_there(sources, monkeypatch):
    torch = pytest.importorskip("torch")
    for spec in (SPEC, SPECS["history"]):
        on_device = Blend(sources, spec, seed=1, resident="device", device="cpu")
        expected = Blend(sources, spec, seed=1).batch(4, 32)
        batch = on_device.batch(4, 32)
        assert isinstance(batch["images/front"], torch.Tensor)
        assert batch["images/front"].dtype == torch.uint8
        assert _equal({k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in batch.items()}, expected)
        assert len(list(on_device.validation(0))) == len(list(Blend(sources, spec, seed=1).validation(0)))
    monkeypatch.setattr(residence, "device_memory", lambda device: 1000)
    with pytest.raises(InputError, match=r'frames on cpu takes .* of its memory.*load with resident="memory"'):
        Blend(sources, SPEC, seed=0, resident="device", device="cpu")
    with pytest.raises(InputError, match="camera errors are added by the processor"):
        Blend(sources, SPEC, seed=0, resident="device", device="cpu", photometric=NOISE)


def test_a_device_that_is_not_there_is_refused(sources):
    pytest.importorskip("torch")
    with pytest.raises(InputError, match="device 'abacus' cannot be used"):
        Blend(sources, SPEC, seed=0, resident="device", device="abacus")


_GROWTH = """
import sys
from pathlib import Path
from trajectories import Blend, Source, WindowSpec, order, prefetch
page = 4096
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * page
order.POOL_BYTES, order.POOL_BLOCKS = 4_000_000, 2
blend = Blend([Source(sys.argv[1])], WindowSpec(("front", "wrist"), validation_fraction=0), 0, resident="stream")
begin, most = resident(), 0
for _ in prefetch(lambda step: len(blend.batch(step, 64)["source"]), range(60), threads=2):
    most = max(most, resident())
print(most - begin)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_streaming_takes_memory_for_a_few_pools_however_large_the_data(tmp_path, make_episode, make_store):
    # 60 MB of images.
    make_store(
        tmp_path / "s", [[make_episode(i, steps=150, size=84) for i in range(2 * j, 2 * j + 2)] for j in range(5)]
    )
    run = [sys.executable, "-c", _GROWTH, str(tmp_path / "s")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Three pools, each with a block more and what Zstandard needs, and batches of 64 in the making.
    assert int(done.stdout) < 45_000_000


def test_resident_windows_are_drawn_fast(tmp_path, make_episode, make_store):
    make_store(tmp_path / "s", [[make_episode(i, steps=200, size=84) for i in range(3)]])
    blend = Blend([Source(str(tmp_path / "s"))], WindowSpec(("front", "wrist")), seed=0)
    blend.batch(0, 128)
    start = time.perf_counter()
    for step in range(20):
        blend.batch(step, 128)
    # Measured: about 100,000 on one core; a loaded machine may be many times slower.
    assert 20 * 128 / (time.perf_counter() - start) > 5_000


@pytest.fixture
def three_arms(tmp_path, make_episode, make_store):
    arms = {"panda": 7, "jaco": 6, "ur5e": 6}
    for i, (name, joints) in enumerate(arms.items()):
        make_store(tmp_path / name, [[make_episode(10 * i + j, joints=joints, embodiment=name) for j in range(3)]])
    return [Source(str(tmp_path / name)) for name in arms]


@pytest.mark.usefixtures("small_pools")
@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_arms_of_fewer_joints_use_the_first_columns(three_arms, mode):
    blend = Blend(three_arms, SPEC, seed=0, resident=mode)
    assert (blend.proprio_size, blend.action_size) == (17, 8)
    batch = blend.batch(0, 48)
    assert batch["joints"].tolist() == [{"panda": 7}.get(name, 6) for name in batch["embodiment"]]
    for number, name in enumerate(("panda", "jaco", "ur5e")):
        rows, joints = batch["source"] == number, 7 if name == "panda" else 6
        alone = Blend([three_arms[number]], SPEC, seed=0).batch(0, 400)
        known = {row.tobytes(): i for i, row in enumerate(alone["proprio"])}
        assert rows.sum() > 10
        for row in np.flatnonzero(rows):
            match = known[batch["proprio"][row, : joints + 10].tobytes()]
            np.testing.assert_array_equal(batch["action"][row, :, : joints + 1], alone["action"][match])
            np.testing.assert_array_equal(batch["images/wrist"][row], alone["images/wrist"][match])
        assert not batch["proprio"][rows, joints + 10 :].any()
        assert not batch["action"][rows, :, joints + 1 :].any()
    assert len(blend.source_statistics(1)["action"].mean) == 7
    with pytest.raises(InputError, match="arms of different joints have no statistics in common"):
        blend.statistics()


def test_the_weights_of_a_blend_follow_their_schedule(sources):
    changing = [replace(sources[0], weight=0.9, end=0.5), replace(sources[1], weight=0.1, end=0.5)]
    blend = Blend(changing, WindowSpec(cameras=(), validation_fraction=0.2), seed=0)
    still = blend.batch(0, 6400)["source"]
    assert abs(still.sum() - 640) < 5
    blend.schedule(0, 64_000)
    for step in range(10):
        share = 0.1 + 0.4 * (step + 0.5) / 10
        assert abs(blend.batch(step, 6400)["source"].mean() - share) < 2e-3
    again = Blend(changing, WindowSpec(cameras=(), validation_fraction=0.2), seed=0)
    again.schedule(0, 64_000)
    assert _equal(again.batch(70, 640), blend.batch(70, 640))


@pytest.mark.parametrize("mode", ["memory", "stream"])
def test_a_number_that_is_none_is_refused_by_store_episode_and_key(sources, mode, monkeypatch):
    read_run = Store.read_run

    def poisoned(self, episode, key, start, stop):
        rows = read_run(self, episode, key, start, stop)
        first = int(self.index().first[episode]) + start
        if key == "action/intended" and self.path.name == "b" and first <= 20 < first + len(rows):
            rows = rows.copy()
            rows[20 - first, 2] = np.nan
        return rows

    monkeypatch.setattr(Store, "read_run", poisoned)
    with pytest.raises(JobError, match=r"'action/intended' of episode 1 of '.*b' is not finite at step 5"):
        Blend(sources, SPEC, seed=0, resident=mode).batch(0, 64)
