"""Commands of the documents run, on next to nothing, and print what the contracts promise."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipelines.cli import app
from policies.config import load_config
from policies.language import Vocabulary
from scenes.task import get_task
from sim.transforms import matrix_from_quat
from tests.documents.pages import PAGES, ROOT, VERBS, commands, promised_keys, subcommands
from tests.pipelines import run_folder
from trajectories import Store, open_dataset
from trajectories.importers import isaaclab_mimic


def tiny(words: list[str]) -> list[str]:
    """The same command on next to nothing; from images on with the shorter task."""
    small = {"--scenes": "1", "--count": "1", "--episodes": "1", "--preset": "tiny", "--grid": "1", "--minutes": None}
    if any(word.startswith("runs/") for word in words):
        small |= {"--task": "lift", "--demos": None}
    result: list[str] = []
    option = ""
    for word in words:
        if word in small:
            new = small[word]
            result += [] if new is None else [word, new]
        elif option not in small:
            result.append(word)
        option = word
    more = {
        "generate": ["--workers", "0", "--resolution", "32", "chunk=2"],
        "train": ["steps=2", "checkpoints=1", "batch_size=4", "threads=1"],
        "evaluate": ["videos=0", "threads=1", "execute=16"],
    }
    return [*result, *more.get(words[0], [])]


def write_isaaclab_mimic(path: Path, source: Store, count: int) -> None:
    """Demos of a store in Isaac Lab Mimic's HDF5 layout, as a person's would come."""
    with h5py.File(path, "w") as file:
        file.create_group("data").attrs["env_args"] = '{"env_name": "Isaac-Stack-Cube-Franka-IK-Rel-Mimic-v0"}'
        for index in range(count):
            arrays = source.episode(index).arrays
            steps = len(arrays["subtask"])
            fingers = 0.04 * np.repeat(arrays["observation/gripper_opening"], 2, axis=1)
            joints = np.concatenate([arrays["observation/joint_position"], fingers], axis=1)
            actions = np.zeros((steps, 7), np.float32)
            actions[:, 6] = np.where(arrays["action/intended"][:, -1] > 0.5, 1, -1)
            group = file.create_group(f"data/demo_{index}")
            group["actions"] = actions
            group["initial_state/articulation/robot/joint_position"] = joints[:1]
            group["initial_state/articulation/robot/root_pose"] = np.array([[0, 0, 0, 1, 0, 0, 0]], np.float32)
            group["obs/joint_pos"] = joints - 0.3
            group["obs/joint_vel"] = np.zeros_like(joints)
            poses = {name: arrays[f"objects/{name}"] for name in ("cube_1", "cube_2", "cube_3")}
            info = group.create_group("obs/datagen_info")
            info["eef_pose/franka"] = homogeneous(arrays["observation/tool_pose_in_base"])
            for name, pose in poses.items():
                info[f"object_pose/{name}"] = homogeneous(pose)
            for done, name in enumerate(("grasp_1", "stack_1", "grasp_2")):
                info[f"subtask_term_signals/{name}"] = arrays["subtask"] > done


def homogeneous(poses: np.ndarray) -> np.ndarray:
    matrices = np.tile(np.eye(4), (len(poses), 1, 1))
    matrices[:, :3, :3], matrices[:, :3, 3] = matrix_from_quat(poses[:, 3:].astype(float)), poses[:, :3]
    return matrices


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[list[str]], dict[str, Any]]:
    """Runs a command in an empty folder with the bundled demos beside it; returns its JSON."""
    monkeypatch.chdir(tmp_path)
    # Reading an untrusted file in another process first has its own tests, and takes seconds.
    monkeypatch.setattr(isaaclab_mimic, "rehearse", lambda *_: None)

    def call(words: list[str]) -> dict[str, Any]:
        capsys.readouterr()
        code = app([*words, "--json"], standalone_mode=False)
        printed = capsys.readouterr()
        assert not code, (words, printed.err)
        return dict(json.loads(printed.out.splitlines()[-1]))

    return call


def test_the_readme_runs_from_human_demos_to_a_report(run: Callable[[list[str]], dict[str, Any]]) -> None:
    write_isaaclab_mimic(Path("human_demos.hdf5"), Store.open(ROOT / "demos" / "stack_three"), 2)
    keys = promised_keys()
    done = []
    for words in commands("README.md"):
        assert set(run(tiny(words))) == keys[words[0]], words
        done.append(words[0])
    assert set(done) == {"import", "generate", "inspect", "view", "train", "evaluate", "report"}
    assert Path("runs/stack/report.html").stat().st_size > 10_000


def test_the_policy_of_the_readme_reads_every_sentence_of_its_task() -> None:
    (words,) = (words for words in commands("README.md") if words[0] == "train")
    parsed = VERBS["train"].make_context("train", words[1:]).params
    config = load_config(parsed["preset"], parsed["overrides"])
    task = get_task("stack_three")
    sentences = task.instructions(task.fixed_roles() or {})
    Vocabulary.build(sentences).encode(sentences, config.model.words)


def test_recording_and_drawing_scenes_run(run: Callable[[list[str]], dict[str, Any]]) -> None:
    shown = [words for page in PAGES for words in commands(str(page.relative_to(ROOT)))]
    for verb in ("record", "scenes"):
        words = next(words for words in shown if words[0] == verb)
        assert set(run(tiny(words))) == promised_keys()[verb]


def test_the_walk_through_of_teleoperation_runs(run: Callable[[list[str]], dict[str, Any]]) -> None:
    """With a script in the place of the person; a person's part is driven in `tests/pipelines/web/`."""
    keys = promised_keys()
    shown = commands("docs/teleoperation.md")[1:]
    for words in shown:
        assert set(run(tiny(["script" if word == "browser" else word for word in words]))) >= keys[words[0]], words
    assert [words[0] for words in shown] == ["record", "inspect", "generate", "train", "evaluate", "report"]


def test_the_care_of_stores_runs(run: Callable[[list[str]], dict[str, Any]]) -> None:
    run_folder.make_store(Path("data.zarr"), episodes=26).seal(None)
    run_folder.make_store(Path("human.zarr"), episodes=4).seal(None)
    shutil.copytree(ROOT / "tests" / "data" / "format_1", "old.zarr")
    shown = [words for words in commands("docs/data.md") if words[0] == "data"]
    for words in shown:
        answer = run(words)
        assert set(answer) >= promised_keys()["data"], words
        assert words[1] == "split" or len(open_dataset(answer["store"])) == answer["episodes"], words
    assert {words[1] for words in shown} == set(subcommands(VERBS["data"]))


def test_a_store_is_drawn_again(run: Callable[[list[str]], dict[str, Any]]) -> None:
    run(["generate", "--task", "lift", "--scenes", "1", "--workers", "0", "--out", "data.zarr"])
    made = Store.open("data.zarr")
    bare = Store.create("human.zarr", {"kind": "test"})
    kept = [key for key in made.keys() if not key.startswith(("state", "model/"))]  # noqa: SIM118
    bare.commit(0, [made.episode(0, kept)], made.scene_records())
    bare.seal(None)
    shown = [words for words in commands("docs/data.md") if words[0] == "render"]
    for words in shown:
        answer = run([*words, "--resolution", "32", "--workers", "0"])
        assert set(answer) == promised_keys()["render"], words
        assert answer["episodes"] == (4 if "--appearances" in words else 1)
    assert len(shown) == 4


def test_formats_go_out_and_come_back(
    run: Callable[[list[str]], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trajectories.importers.lerobot.rehearse", lambda *_, **options: 0)
    Path("demos").symlink_to(ROOT / "demos")
    for words in commands("docs/formats.md")[:3]:
        assert set(run(words)) == promised_keys()[words[0]]
    before, after = Store.open("demos/lift"), Store.open("lift_again.zarr")
    assert [before.meta(i) for i in range(len(before))] == [after.meta(i) for i in range(len(after))]
