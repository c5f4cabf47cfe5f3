"""LeRobotDataset v3.0 as we write it: its layout is held against what LeRobot's own writer makes, statistics against
NumPy, and nothing is left of an export that fails."""

import json
import os
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from handful import InputError, JobError
from trajectories.exporters import lerobot
from trajectories.exporters.lerobot import LerobotOptions, export_lerobot
from trajectories.store import Store

SIZE = 16


@pytest.fixture
def store(tmp_path, make_episode, make_store):
    """Five episodes in two parts, two cameras, two sentences."""
    episodes = [
        make_episode(i, steps=10 + i, size=SIZE, instruction=("lift the cube", "raise it")[i % 2]) for i in range(5)
    ]
    made = make_store(tmp_path / "s", [episodes[:3], episodes[3:]])
    made.seal(None)
    return Store.open(made.path)


@pytest.fixture
def exported(store, tmp_path):
    assert export_lerobot(store, tmp_path / "out") == {"episodes": 5, "frames": 60}
    return tmp_path / "out"


def _data(root):
    return pq.ParquetFile(root / "data/chunk-000/file-000.parquet")


def test_info_has_the_fields_of_lerobots_own_writer(exported):
    info = json.loads((exported / "meta/info.json").read_text())
    assert set(info) == {
        *("codebase_version", "robot_type", "fps", "features", "splits", "data_path", "video_path"),
        *("total_episodes", "total_frames", "total_tasks"),
        *("chunks_size", "data_files_size_in_mb", "video_files_size_in_mb"),
    }
    assert (info["codebase_version"], info["robot_type"], info["fps"]) == ("v3.0", "panda", 20)
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (5, 60, 2)
    assert (info["chunks_size"], info["data_files_size_in_mb"], info["video_files_size_in_mb"]) == (1000, 100, 200)
    assert (info["splits"], info["video_path"]) == ({"train": "0:5"}, None)
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    names = [*(f"joint_{i}" for i in range(1, 8)), "gripper"]
    assert info["features"]["observation.state"] == {"dtype": "float32", "shape": [8], "names": names}
    assert info["features"]["action"] == info["features"]["observation.state"]
    image = {"dtype": "image", "shape": [SIZE, SIZE, 3], "names": ["height", "width", "channels"]}
    assert info["features"]["observation.images.front"] == image
    assert info["features"]["timestamp"] == {"dtype": "float32", "shape": [1], "names": None}
    assert info["features"]["index"] == {"dtype": "int64", "shape": [1], "names": None}
    # LeRobot takes all "observation..." for inputs and all "action..." for outputs of a policy.
    ours = [name for name in info["features"] if name.startswith(("observation", "action"))]
    assert sorted(ours) == ["action", "observation.images.front", "observation.images.wrist", "observation.state"]


def test_rows_are_typed_as_lerobot_types_them(exported):
    schema = _data(exported).schema_arrow
    assert schema.field("observation.state").type == pa.list_(pa.float32(), 8)
    assert schema.field("handful.subtask").type == pa.int8()
    assert schema.field("handful.state").type == pa.list_(pa.float64(), 40)
    assert schema.field("observation.images.front").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert schema.field("timestamp").type == pa.float32()
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["observation.images.front"] == {"_type": "Image"}
    state = {"feature": {"dtype": "float32", "_type": "Value"}, "length": 8, "_type": "List"}
    assert features["observation.state"] == state


def test_rows_are_those_of_the_store_one_row_group_per_episode(store, exported):
    file = _data(exported)
    assert file.num_row_groups == 5
    assert file.metadata.row_group(0).column(0).compression == "SNAPPY"
    begin = 0
    for episode in range(5):
        rows, arrays = file.read_row_group(episode), store.episode(episode).arrays
        steps = len(arrays["subtask"])
        joints, gripper = arrays["observation/joint_position"], arrays["observation/gripper_opening"]
        state = np.concatenate([joints, gripper], axis=1)
        np.testing.assert_array_equal(np.array(rows["observation.state"].to_pylist(), np.float32), state)
        np.testing.assert_array_equal(np.array(rows["action"].to_pylist(), np.float32), arrays["action/executed"])
        intended = np.array(rows["handful.action.intended"].to_pylist(), np.float32)
        np.testing.assert_array_equal(intended, arrays["action/intended"])
        images = [np.asarray(Image.open(BytesIO(c["bytes"]))) for c in rows["observation.images.front"].to_pylist()]
        np.testing.assert_array_equal(np.stack(images), arrays["images/front"])
        assert rows["observation.images.front"][1]["path"].as_py() == "frame-000001.png"
        assert rows["frame_index"].to_pylist() == list(range(steps))
        assert rows["index"].to_pylist() == list(range(begin, begin + steps))
        assert set(rows["episode_index"].to_pylist()) == {episode}
        assert set(rows["task_index"].to_pylist()) == {episode % 2}
        np.testing.assert_array_equal(rows["timestamp"].to_numpy(), (np.arange(steps) / 20).astype(np.float32))
        begin += steps


def test_the_other_action_can_be_the_formats(store, tmp_path):
    export_lerobot(store, tmp_path / "out", LerobotOptions(action="intended", images="none"))
    rows = _data(tmp_path / "out").read_row_group(2)
    np.testing.assert_array_equal(np.array(rows["action"].to_pylist(), np.float32), store.read(2, "action/intended"))
    executed = np.array(rows["handful.action.executed"].to_pylist(), np.float32)
    np.testing.assert_array_equal(executed, store.read(2, "action/executed"))
    assert not [name for name in rows.column_names if "images" in name]


def test_tasks_are_a_pandas_index(exported):
    table = pq.read_table(exported / "meta/tasks.parquet")
    assert table.to_pydict() == {"task_index": [0, 1], "task": ["lift the cube", "raise it"]}
    pandas = json.loads(table.schema.metadata[b"pandas"])
    assert pandas["index_columns"] == ["task"]
    assert {column["name"]: column["numpy_type"] for column in pandas["columns"]} == {
        "task_index": "int64",
        "task": "object",
    }


def test_episodes_say_where_they_lie(exported):
    rows = pq.read_table(exported / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    ends = np.cumsum([10, 11, 12, 13, 14])
    for episode, row in enumerate(rows):
        assert row["episode_index"] == episode
        assert row["tasks"] == [("lift the cube", "raise it")[episode % 2]]
        assert row["length"] == 10 + episode
        assert (row["dataset_from_index"], row["dataset_to_index"]) == (ends[episode] - 10 - episode, ends[episode])
        for name in ("data/chunk_index", "data/file_index", "meta/episodes/chunk_index", "meta/episodes/file_index"):
            assert row[name] == 0


@pytest.mark.parametrize("images", ["png", "video"])
def test_statistics_are_those_of_the_numbers(store, tmp_path, images):
    export_lerobot(store, tmp_path / "out", LerobotOptions(images=images))
    total = json.loads((tmp_path / "out/meta/stats.json").read_text())
    (row,) = pq.read_table(tmp_path / "out/meta/episodes/chunk-000/file-000.parquet").slice(2, 1).to_pylist()
    levels = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
    # Of one episode quantiles are interpolated; of all they are those of a sketch.
    one = (lambda f, s: row[f"stats/{f}/{s}"], [2], "linear", 1e-12)
    everything = (lambda f, s: total[f][s], range(5), "inverted_cdf", 2**-10)
    for found, chosen, method, rounding in (one, everything):
        action = np.concatenate([store.read(i, "action/executed") for i in chosen]).astype(float)
        for name, of in (("min", np.min), ("max", np.max), ("mean", np.mean), ("std", np.std)):
            np.testing.assert_allclose(found("action", name), of(action, axis=0), atol=1e-12)
        for name, level in levels.items():
            expected = np.quantile(action, level, axis=0, method=method)
            np.testing.assert_allclose(found("action", name), expected, rtol=rounding)
        assert found("action", "count") == [len(action)]
        pixels = np.concatenate([store.read(i, "images/wrist") for i in chosen]) / 255
        for name, of in (("min", np.min), ("max", np.max), ("mean", np.mean), ("std", np.std)):
            expected = of(pixels, axis=(0, 1, 2)).reshape(3, 1, 1)
            np.testing.assert_allclose(found("observation.images.wrist", name), expected, atol=1e-9)
        for name, level in levels.items():
            expected = np.quantile(pixels, level, axis=(0, 1, 2), method="inverted_cdf").reshape(3, 1, 1)
            np.testing.assert_allclose(found("observation.images.wrist", name), expected, atol=1e-12)
        assert found("observation.images.wrist", "count") == [len(pixels)]
    assert set(total) == set(json.loads((tmp_path / "out/meta/info.json").read_text())["features"])


def test_videos_hold_every_frame_at_its_time(store, tmp_path):
    export_lerobot(store, tmp_path / "out", LerobotOptions(images="video"))
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert info["video_path"] == "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    feature = info["features"]["observation.images.front"]
    assert (feature["dtype"], feature["shape"]) == ("video", [SIZE, SIZE, 3])
    assert feature["info"]["video.codec"] == "av1"
    assert "observation.images.front" not in _data(tmp_path / "out").schema_arrow.names
    with av.open(str(tmp_path / "out/videos/observation.images.front/chunk-000/file-000.mp4")) as video:
        times = [frame.pts * frame.time_base for frame in video.decode(video.streams.video[0])]
    assert times == [Fraction(i, 20) for i in range(60)]
    rows = pq.read_table(tmp_path / "out/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    spans = [
        (row["videos/observation.images.front/from_timestamp"], row["videos/observation.images.front/to_timestamp"])
        for row in rows
    ]
    assert spans == [(0, 0.5), (0.5, 1.05), (1.05, 1.65), (1.65, 2.3), (2.3, 3.0)]


@pytest.mark.parametrize(("images", "kind"), [("png", "data"), ("video", "videos/observation.images.front")])
def test_large_data_sets_are_several_files_in_several_folders(tmp_path, make_episode, make_store, images, kind):
    # Noise hardly compresses; the video's encoder also holds frames back.
    steps, size = (40, 96) if images == "png" else (80, 128)
    episodes = [make_episode(i, steps=steps, size=size, cameras=("front",)) for i in range(5)]
    store = make_store(tmp_path / "s", [episodes])
    export_lerobot(store, tmp_path / "out", LerobotOptions(images, data_mb=1, video_mb=1, chunk_files=2))
    found = sorted(
        path.relative_to(tmp_path / "out" / kind).as_posix() for path in (tmp_path / "out" / kind).rglob("file*")
    )
    assert len(found) >= 3
    assert [name.rsplit(".")[0] for name in found[:3]] == [
        "chunk-000/file-000",
        "chunk-000/file-001",
        "chunk-001/file-000",
    ]
    rows = pq.read_table(tmp_path / "out/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    prefix = "data" if images == "png" else kind
    places = [(row[f"{prefix}/chunk_index"], row[f"{prefix}/file_index"]) for row in rows]
    assert places == sorted(places)
    assert len(set(places)) == len(found)
    if images == "video":
        begins = {places[i]: row[f"{prefix}/from_timestamp"] for i, row in reversed(list(enumerate(rows)))}
        assert set(begins.values()) == {0.0}
    else:
        assert all(path.stat().st_size < 1.2e6 for path in (tmp_path / "out" / kind).rglob("*.parquet"))


@pytest.mark.parametrize("images", ["png", "video"])
def test_the_same_data_set_gives_the_same_bytes(store, tmp_path, tree, images):
    for name in ("a", "b"):
        export_lerobot(store, tmp_path / name, LerobotOptions(images=images))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_progress_is_told(store, tmp_path):
    seen = []
    export_lerobot(store, tmp_path / "out", None, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 5) for i in range(1, 6)]


def _refused(store, out, message, **options):
    with pytest.raises(InputError, match=message):
        export_lerobot(store, out, LerobotOptions(**options))
    assert not list(out.parent.glob(".tmp-*"))


def test_what_cannot_be_exported_is_refused(store, tmp_path, make_episode, make_store):
    (tmp_path / "there").mkdir()
    _refused(store, tmp_path / "there", "there' exists; an export makes a new folder")
    _refused(store, tmp_path / "o", "unknown way to export images 'jpg'; there is: none, png, video", images="jpg")
    _refused(store, tmp_path / "o", "unknown action 'intend'.*Did you mean 'intended'", action="intend")
    _refused(store, tmp_path / "o", "data_mb must be at least 1, got 0", data_mb=0)
    empty = make_store(tmp_path / "empty", [[]])
    _refused(empty, tmp_path / "o", "empty' holds no episodes")
    rates = make_store(tmp_path / "rates", [[make_episode(0), make_episode(1, control_rate=10.0)]])
    _refused(rates, tmp_path / "o", "mixes control rates 10 and 20 Hz")
    arms = make_store(tmp_path / "arms", [[make_episode(0), make_episode(1, embodiment="jaco")]])
    _refused(arms, tmp_path / "o", "mixes embodiments jaco, panda")
    odd = make_store(tmp_path / "odd", [[make_episode(0, control_rate=12.5)]])
    _refused(odd, tmp_path / "o", "has 12.5 control steps per second; LeRobot's format needs a whole number")
    uneven = make_store(tmp_path / "uneven", [[make_episode(0, size=15)]])
    _refused(uneven, tmp_path / "o", "'front' are 15x15; a video needs even sizes: use --images png", images="video")


def test_an_export_that_fails_leaves_nothing(store, tmp_path, monkeypatch):
    def full(image):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lerobot, "_png", full)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(JobError, match=r"disk full while writing '.*out'"):
        export_lerobot(store, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_what_a_killed_export_left_is_swept_away(store, tmp_path):
    # Process numbers end below this one.
    name = lerobot.staging_path(tmp_path, "out").name.replace(f"-{os.getpid()}-", "-4194999-")
    left = tmp_path / name
    (left / "meta").mkdir(parents=True)
    export_lerobot(store, tmp_path / "out")
    assert not left.exists()
