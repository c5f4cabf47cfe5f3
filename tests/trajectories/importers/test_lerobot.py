"""LeRobotDataset v3.0 into a store: our own exports come back as they were; others as said; the rest is refused."""

import json
import shutil
from dataclasses import replace
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from handful import InputError
from tests.trajectories.importers.test_isaaclab_mimic import human_demos  # noqa: F401
from trajectories.exporters.lerobot import LerobotOptions, export_lerobot
from trajectories.importers import lerobot
from trajectories.importers.isaaclab_mimic import import_isaaclab_mimic
from trajectories.importers.lerobot import import_lerobot
from trajectories.importers.mapping import Action, Columns, Gripper, Mapping, Pose
from trajectories.importers.rehearsal import rehearse
from trajectories.store import Store

SIZE = 16
HERE = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
ARM = (0, 1, 2, 3, 4, 5, 6)
MAPPING = Mapping(
    embodiment="panda",
    task="lift",
    control_rate=20.0,
    operator="human",
    outcome="success",
    joint_position=Columns("observation.state", ARM),
    joint_velocity="differences",
    gripper=Gripper("observation.state", closed=0.0, open=1.0, column=7),
    tool_pose=Pose("handful.observation.tool_pose_in_base", "wxyz", HERE),
    action=Action("joint_targets", Gripper("action", closed=0.0, open=1.0, column=7), Columns("action", ARM)),
    cameras={"front": "observation.images.front"},
)


@pytest.fixture(autouse=True)
def rehearsals(monkeypatch):
    """Reads in this process instead of a child, which takes a second; holds what was asked for."""
    calls = []

    def here(reader, path, *arguments, limit=None, memory=None):
        calls.append((reader, limit, memory))
        return getattr(lerobot, reader.split(":")[1])(path, *arguments)

    monkeypatch.setattr(lerobot, "rehearse", here)
    return calls


@pytest.fixture
def store(tmp_path, make_episode, make_store):
    episodes = [
        make_episode(i, steps=10 + i, size=SIZE, instruction=("lift the cube", "raise it")[i % 2]) for i in range(5)
    ]
    for episode in episodes:
        episode.arrays["signals/grasp"] = np.arange(len(episode)) > 5
        # Smooth, so that a video of it is recognisable.
        ramp = np.arange(SIZE, dtype=np.uint8) * 8 + 10 * episode.meta.scene
        episode.arrays["images/wrist"][:] = ramp[None, :, None, None]
    made = make_store(tmp_path / "s", [episodes[:3], episodes[3:]])
    made.seal(None)
    return Store.open(made.path)


@pytest.fixture
def exported(store, tmp_path):
    export_lerobot(store, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def theirs(exported):
    """The same as anybody else's data set: without what only our own exports have."""
    (exported / "meta/handful.jsonl").unlink()
    shutil.rmtree(exported / "meta/handful")
    return exported


def _same(a, b, but=()):
    assert a.verify() == b.verify() == []
    assert len(a) == len(b) == b.sealed_episodes
    assert [key for key in a.keys() if key not in but] == [key for key in b.keys() if key not in but]  # noqa: SIM118
    for index in range(len(a)):
        assert a.meta(index) == b.meta(index)
        for key in a.keys():  # noqa: SIM118
            if key not in but:
                one, other = a.read(index, key), b.read(index, key)
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("action", ["executed", "intended"])
def test_our_own_exports_come_back_bit_for_bit(store, tmp_path, action):
    export_lerobot(store, tmp_path / "out", LerobotOptions(action=action))
    assert import_lerobot(tmp_path / "out", tmp_path / "back") == {"episodes": 5, "frames": 60}
    _same(store, Store.open(tmp_path / "back"))


def test_so_they_do_from_many_files(store, tmp_path, make_episode, make_store):
    large = make_store(tmp_path / "large", [[make_episode(i, steps=40, size=72, cameras=("front",)) for i in range(5)]])
    export_lerobot(large, tmp_path / "out", LerobotOptions(data_mb=1, chunk_files=2))
    assert len(list((tmp_path / "out").rglob("data/*/*.parquet"))) > 2
    import_lerobot(tmp_path / "out", tmp_path / "back")
    large.seal(None)
    _same(large, Store.open(tmp_path / "back"))


def test_videos_come_back_as_what_they_show(store, tmp_path):
    export_lerobot(store, tmp_path / "out", LerobotOptions(images="video"))
    import_lerobot(tmp_path / "out", tmp_path / "back")
    back = Store.open(tmp_path / "back")
    for index in range(len(store)):
        assert back.meta(index).extra == {"images": "decoded from lossy video"}
        for key in store.keys():  # noqa: SIM118
            if key.startswith("images/"):
                assert back.read(index, key).shape == store.read(index, key).shape
            else:
                np.testing.assert_array_equal(back.read(index, key), store.read(index, key))
        # Neighbouring episodes differ by 10 levels: these are the right frames.
        error = np.abs(back.read(index, "images/wrist").astype(int) - store.read(index, "images/wrist"))
        assert error.mean() < 4


def test_the_bundled_demos_come_back(tmp_path):
    demos = Store.open(lerobot.__file__.replace("trajectories/importers/lerobot.py", "demos/stack_three"))
    export_lerobot(demos, tmp_path / "out")
    import_lerobot(tmp_path / "out", tmp_path / "back")
    _same(demos, Store.open(tmp_path / "back"))


def test_the_human_demonstrations_come_back(human_demos, tmp_path):  # noqa: F811
    subtasks = ("grasp_1", "stack_1", "grasp_2", "stack_2")
    import_isaaclab_mimic(human_demos, "stack_three", tmp_path / "h", "stack the cubes", (), subtasks)
    human = Store.open(tmp_path / "h")
    assert export_lerobot(human, tmp_path / "out") == {"episodes": 10, "frames": 2163}
    assert import_lerobot(tmp_path / "out", tmp_path / "back", task="stack_three") == {"episodes": 10, "frames": 2163}
    _same(human, Store.open(tmp_path / "back"))


def test_importing_again_changes_nothing(exported, tmp_path, tree):
    import_lerobot(exported, tmp_path / "back")
    before = tree(tmp_path / "back")
    import_lerobot(exported, tmp_path / "back")
    assert tree(tmp_path / "back") == before
    with pytest.raises(InputError, match="made by another plan"):
        import_lerobot(exported, tmp_path / "back", MAPPING)


def test_a_folder_is_read_in_a_child_process_first(exported, tmp_path, rehearsals, monkeypatch):
    monkeypatch.setattr(lerobot, "rehearse", rehearse)
    import_lerobot(exported, tmp_path / "a")
    (exported / "data/chunk-000/file-000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="out' is damaged, or no LeRobot data set"):
        import_lerobot(exported, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_mapping_reads_what_it_names(store, theirs, tmp_path):
    seen = []
    import_lerobot(
        theirs, tmp_path / "back", MAPPING, source_name="lab", progress=lambda done, total: seen.append((done, total))
    )
    back = Store.open(tmp_path / "back")
    assert seen == [(i, 5) for i in range(1, 6)]
    for index in range(5):
        for key in ("observation/joint_position", "observation/gripper_opening", "action/executed", "images/front"):
            np.testing.assert_array_equal(back.read(index, key), store.read(index, key))
        np.testing.assert_allclose(
            back.read(index, "observation/tool_pose_in_base")[:, :3],
            store.read(index, "observation/tool_pose_in_base")[:, :3],
            rtol=1e-6,
        )
        meta = back.meta(index)
        assert (meta.domain, meta.instruction, meta.scene) == (
            "real/lab",
            ("lift the cube", "raise it")[index % 2],
            index,
        )
        assert (meta.extra["robot_type"], meta.action_source) == ("panda", "commanded")
    assert back.cameras() == ["front"]
    assert [record["scene"] for record in back.scene_records()] == [0, 1, 2, 3, 4]


def test_a_mapping_resamples_images_too(store, theirs, tmp_path):
    import_lerobot(theirs, tmp_path / "back", replace(MAPPING, resample_to=10.0))
    back = Store.open(tmp_path / "back")
    assert back.episode_lengths().tolist() == [5, 5, 6, 6, 7]
    np.testing.assert_array_equal(back.read(1, "images/front"), store.read(1, "images/front")[:10:2])
    np.testing.assert_array_equal(back.read(1, "action/executed"), store.read(1, "action/executed")[1:10:2])
    assert back.meta(0).control_rate == 10.0


def test_other_writers_tables_are_read_alike(store, theirs, tmp_path):
    """One row group over all episodes, lists without a fixed size, JPEG, channels first in the description."""
    path = theirs / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    state = pa.array(table["observation.state"].to_pylist(), pa.list_(pa.float32()))
    table = table.set_column(table.schema.get_field_index("observation.state"), "observation.state", state)
    images = []
    for cell in table["observation.images.front"].to_pylist():
        buffer = BytesIO()
        Image.open(BytesIO(cell["bytes"])).save(buffer, "JPEG", quality=90)
        images.append({"bytes": buffer.getvalue(), "path": None})
    cells = pa.array(images, table.schema.field("observation.images.front").type)
    table = table.set_column(
        table.schema.get_field_index("observation.images.front"), "observation.images.front", cells
    )
    pq.write_table(table, path)
    info = json.loads((theirs / "meta/info.json").read_text())
    info["features"]["observation.images.front"] |= {"shape": [3, SIZE, SIZE], "names": ["channels", "height", "width"]}
    info["features"]["observation.state"]["names"] = {"motors": ["a", "b"]}
    (theirs / "meta/info.json").write_text(json.dumps(info))
    import_lerobot(theirs, tmp_path / "back", MAPPING)
    back = Store.open(tmp_path / "back")
    for index in range(5):
        np.testing.assert_array_equal(
            back.read(index, "observation/joint_position"), store.read(index, "observation/joint_position")
        )
        assert back.read(index, "images/front").shape == store.read(index, "images/front").shape


def _refused(path, tmp_path, message, *arguments, **options):
    with pytest.raises(InputError, match=message) as caught:
        import_lerobot(path, tmp_path / "back", *arguments, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "back").exists()


def test_what_is_no_data_set_is_refused(tmp_path):
    _refused(tmp_path / "none", tmp_path, "there is no folder '.*none'")
    (tmp_path / "file").write_text("x")
    _refused(tmp_path / "file", tmp_path, "file' is a file; give the folder")
    (tmp_path / "empty").mkdir()
    _refused(tmp_path / "empty", tmp_path, "empty' is no LeRobot data set: it has no meta/info.json")


def test_without_a_mapping_the_features_are_listed(theirs, tmp_path):
    _refused(
        theirs,
        tmp_path,
        r"was not written by 'handful export lerobot'.* start from configs/mapping/lerobot_franka.yaml.*20 steps per "
        r"second it has: observation.state \(8: joint_1, .*gripper\).*observation.images.front \(images 16x16x3\)",
    )


def test_a_mapping_that_does_not_fit_is_refused(theirs, tmp_path):
    wrong = replace(MAPPING, joint_position=Columns("observation.stat"))
    _refused(theirs, tmp_path, "unknown feature of '.*out' 'observation.stat'.*Did you mean 'observation.state'", wrong)
    _refused(theirs, tmp_path, "has 20 steps per second and the mapping's", replace(MAPPING, control_rate=30.0))
    _refused(theirs, tmp_path, "shows task 'lift'; asked for 'stack_three'", MAPPING, task="stack_three")
    _refused(theirs, tmp_path, "not for 'jaco'", replace(MAPPING, embodiment="jaco", tool_pose="kinematics"))


def test_our_own_of_another_task_is_refused(exported, tmp_path):
    _refused(exported, tmp_path, "episode 0 shows task 'lift'; asked for 'stack_three'", task="stack_three")


def _info(**changes):
    def edit(root):
        path = root / "meta/info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def _feature(name, **changes):
    def edit(root):
        path = root / "meta/info.json"
        info = json.loads(path.read_text())
        info["features"][name] |= changes
        path.write_text(json.dumps(info))

    return edit


def _table(name, edit_column):
    """Replace a column of the episodes' table, or of the rows'."""

    def edit(root):
        folder, column = name.split(":")
        path = root / folder / "chunk-000/file-000.parquet"
        table = pq.read_table(path)
        index = table.schema.get_field_index(column)
        values = edit_column(table[column].to_pylist())
        table = table.remove_column(index) if values is None else table.set_column(index, column, pa.array(values))
        pq.write_table(table, path)

    return edit


def _at(row, value):
    return lambda values: [*values[:row], value, *values[row + 1 :]]


def _write(name, data):
    return lambda root: (root / name).write_bytes(data)


def _remove(name):
    return lambda root: (root / name).unlink()


def _png(width, height, mode="RGB"):
    buffer = BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": "x.png"}


BAD = [
    (_info(codebase_version="v2.1"), "version 'v2.1'; v3.0 is read; convert it with LeRobot's convert_dataset_v21_to"),
    (_info(codebase_version="v4.0"), "version 'v4.0'; v3.0 is read$"),
    (_info(codebase_version=None), "version None; v3.0 is read"),
    (_info(fps=0), "fps is 0; it should be frames per second"),
    (_info(fps="20"), "fps is '20'"),
    (_info(total_episodes=6), "promises 6 episodes and its meta/episodes has 5"),
    (_info(total_frames=61), "promises 61 frames and its episodes have 60"),
    (_info(total_frames=10**30), "total_frames is 1000"),
    (_info(data_path="../{chunk_index}"), r"data_path is '../\{chunk_index\}'; version v3.0 has 'data/chunk-"),
    (_info(features=[]), "describes no features"),
    (_feature("action", shape=[-1]), r"feature 'action' has shape \[-1\]"),
    (_feature("action", dtype=7), "feature 'action' has no dtype"),
    (_feature("action", shape=[10**9]), "has rows of lengths"),
    (_feature("observation.images.front", shape=[10**6, 10**6, 3]), "image of 16x16 in mode RGB; 1000000x1000000"),
    (_write("meta/info.json", b"{"), "info.json' is damaged"),
    (_write("meta/info.json", b"[" * 100_000), "info.json' is damaged"),
    (_write("meta/info.json", b"[]"), "holds no object"),
    (_remove("meta/episodes/chunk-000/file-000.parquet"), "has no tables in meta/episodes"),
    (_remove("data/chunk-000/file-000.parquet"), "there is no file '.*data/chunk-000/file-000.parquet'"),
    (_write("data/chunk-000/file-000.parquet", b"PAR1 and more"), "is damaged, or no LeRobot data set"),
    (_table("meta/episodes:length", _at(2, 13)), "episode 3 should begin at row 34; the table has episode 3 at row 33"),
    (_table("meta/episodes:length", _at(2, 0)), "'length' is 0; it should be a whole number, at least 1"),
    (_table("meta/episodes:length", _at(2, None)), "'length' is None"),
    (_table("meta/episodes:length", lambda v: None), "has no column 'length'"),
    (_table("meta/episodes:episode_index", _at(2, 3)), "should begin at row 21; the table has episode 3"),
    (_table("meta/episodes:data/file_index", _at(4, 1)), "has 60 rows; its episodes have 46"),
    (_table("meta/episodes:data/file_index", lambda v: ["x"] * 5), "'data/file_index' is 'x'; it should be a whole"),
    (_table("data:episode_index", _at(0, 4)), "episode 0 is not where meta/episodes says"),
    (_table("data:frame_index", _at(3, 9)), "episode 0 has frame_index other than 0, 1, 2"),
    (_table("data:timestamp", _at(3, 0.5)), "episode 0 is at 0.5000 s at step 3; at 20 steps per second"),
    (_table("data:timestamp", _at(3, float("nan"))), "episode 0 is at"),
    (_table("data:timestamp", lambda v: None), "has no column 'timestamp'"),
    (_table("data:action", _at(5, [1.0] * 7)), r"'action' has rows of lengths \[8, 7\]; 8 are promised"),
    (_table("data:action", _at(5, None)), "'action' has rows of lengths"),
    (_table("data:action", _at(5, [None] * 8)), "'action' holds .* with 8 gaps"),
    (_table("data:action", lambda v: ["x"] * len(v)), "'action' holds string"),
    (_table("data:action", lambda v: [[float("inf")] * 8] * len(v)), "'action' holds values that are not finite"),
    (_table("data:observation.images.front", _at(5, None)), "'observation.images.front' has no image in row 5"),
    (_table("data:observation.images.front", _at(5, _png(8, 16))), "row 5, is an image of 16x8 in mode RGB; 16x16"),
    (_table("data:observation.images.front", _at(5, _png(16, 16, "I;16"))), "in mode I;16; 16x16 in RGB is promised"),
    (_table("data:observation.images.front", _at(5, {"bytes": b"GIF89a", "path": ""})), "cannot identify image file"),
]


@pytest.mark.parametrize(("edit", "message"), BAD)
def test_what_is_wrong_inside_is_named(theirs, tmp_path, edit, message):
    edit(theirs)
    _refused(theirs, tmp_path, message, MAPPING)


def test_an_episode_of_several_sentences_needs_one(theirs, tmp_path):
    _table("meta/episodes:tasks", _at(2, ["lift it", "drop it"]))(theirs)
    _refused(theirs, tmp_path, "episode 2 has 2 task sentences; give the mapping an 'instruction'", MAPPING)
    import_lerobot(theirs, tmp_path / "back", replace(MAPPING, instruction="lift it, drop it"))
    assert Store.open(tmp_path / "back").meta(2).instruction == "lift it, drop it"


def _line(number, edit_record):
    """Change a line of our own metadata, and the digest at the end with it."""

    def edit(root):
        path = root / "meta/handful.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        record = json.loads(lines[number])
        edit_record(record)
        lines[number] = json.dumps(record).encode() + b"\n"
        whole = b"".join(lines[:-1])
        path.write_bytes(whole + json.dumps({"sha256": lerobot.sha256(whole)}).encode() + b"\n")

    return edit


def _truncated(root):
    path = root / "meta/handful.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_table("data:action", lambda v: [[x / 2 for x in row] for row in v]), "episode 0: action/executed changed"),
        (_table("data:observation.images.wrist", _at(5, _png(16, 16))), "episode 0: images/wrist changed since it was"),
        (_truncated, "handful.jsonl' is damaged: it is not what its last line says; use a mapping"),
        (_write("meta/handful.jsonl", b""), "handful.jsonl' is damaged"),
        (_line(0, lambda r: r.update(version=9)), "has version 9; this version of handful reads 1"),
        (_line(0, lambda r: r.update(action="x")), "does not say what the data set holds"),
        (_line(0, lambda r: r["keys"].pop("action/executed")), "it lacks action/executed"),
        (_line(0, lambda r: r["keys"].update({"nonsense": {"dtype": "int8", "row": []}})), "has no key 'nonsense'"),
        (_line(0, lambda r: r["keys"]["subtask"].update(dtype="int64")), "promises 'handful.subtask' as int64"),
        (_line(0, lambda r: r["keys"]["subtask"].update(row=[-1])), r"'subtask' has rows of shape \[-1\]"),
        (_line(0, lambda r: r["keys"]["state"].update(row=[10**9])), "promises 'handful.state' as float64 of 1000"),
        (_line(1, lambda r: r["meta"].update(task=5)), "episode 0 has metadata that cannot be: task = '5'"),
        (_line(1, lambda r: r["meta"].pop("task")), "episode 0 has incomplete metadata"),
        (_line(1, lambda r: r["meta"].update(control_rate=30)), "has a control rate of 30 Hz and the data set 20"),
        (_line(1, lambda r: r["digests"].pop("subtask")), "episode 0: its digests are not those of"),
        (_line(2, lambda r: r["digests"].update(subtask="0")), "episode 1: subtask changed since it was exported"),
        (_remove("meta/handful/chunk-000/file-000.parquet"), "is damaged, or no LeRobot data set"),
    ],
)
def test_our_own_is_only_believed_whole(exported, tmp_path, edit, message):
    edit(exported)
    _refused(exported, tmp_path, message)


def test_videos_are_checked_frame_by_frame(store, tmp_path):
    export_lerobot(store, tmp_path / "out", LerobotOptions(images="video"))
    shutil.rmtree(tmp_path / "out/meta/handful")
    (tmp_path / "out/meta/handful.jsonl").unlink()
    whole = tmp_path / "out/videos/observation.images.front/chunk-000/file-000.mp4"
    cases = [
        (_feature("observation.images.front", shape=[16, 18, 3]), "is 16x16; 16x18 are promised"),
        (_table("meta/episodes:videos/observation.images.front/from_timestamp", _at(4, 2.45)), "ends before 3.000 s"),
        (_table("meta/episodes:videos/observation.images.front/from_timestamp", _at(1, 0.52)), "no frame at 0.520 s"),
        (_table("meta/episodes:videos/observation.images.front/from_timestamp", _at(1, -1.0)), "should be a time"),
        (_table("meta/episodes:videos/observation.images.front/file_index", _at(1, 7)), "no file '.*file-007.mp4'"),
        (lambda root: None, None),
    ]
    for number, (edit, message) in enumerate(cases):
        root = tmp_path / f"case-{number}"
        shutil.copytree(tmp_path / "out", root)
        edit(root)
        if message is None:
            import_lerobot(root, tmp_path / "good", MAPPING)
            assert Store.open(tmp_path / "good").meta(0).extra["images"] == "decoded from video: front"
        else:
            _refused(root, tmp_path, message, MAPPING)
    data = whole.read_bytes()
    for share in (0.2, 0.6, 0.95):
        whole.write_bytes(data[: int(share * len(data))])
        _refused(tmp_path / "out", tmp_path, "is damaged, or no LeRobot|ends before", MAPPING)
