"""The documents keep their word: commands and Python run, tables say what the code says, no link is dead."""

import dataclasses
import json
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import h5py
import numpy as np
import pytest
from typer.main import get_command

import handful
from generators.assistance import Assistance
from generators.augment import MotionNoise
from generators.options import PLAIN, PlanOptions
from generators.perception import Perception
from pipelines import faults, generate
from pipelines.chunks import GenerationConfig
from pipelines.cli import app
from pipelines.configuration import resolve
from pipelines.quickstart import QuickstartConfig
from pipelines.rerender import RenderConfig
from pipelines.runner import RolloutConfig
from pipelines.studies.spec import load_spec
from policies.config import load_config
from policies.language import Vocabulary
from policies.model import VLA
from policies.sizes import HEADS, Interface
from scenes import randomization
from scenes.domains import SIM, TWIN_DEV_0
from scenes.monitor import Strictness
from scenes.outcome import Outcome
from scenes.randomization import Choice, Distribution
from scenes.task import get_task
from sim import conformance
from sim.panda import PANDA
from sim.transforms import matrix_from_quat
from sim.ur5e import UR5E
from tests.pipelines import run_folder
from trajectories import Store, filters, open_dataset
from trajectories.importers import isaaclab_mimic
from trajectories.importers.mapping import Mapping as Mapping_
from trajectories.rules import RULES
from trajectories.schema import REQUIRED, SCHEMA

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
VERBS: Mapping[str, click.Command] = get_command(app).commands  # type: ignore[attr-defined]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", read(name), re.DOTALL)


def commands(name: str) -> list[list[str]]:
    """The words after `handful` in every shell line of a page that starts with it, or hands it to Ray as a job."""
    text = "".join(blocks(name, "bash")).replace("\\\n", " ")
    lines = [re.sub(r"^ray job submit .* -- +", "", line) for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("handful ")]


def rows(name: str, heading: str) -> list[list[str]]:
    """The cells below the header of the table whose header begins with `heading`."""
    lines = read(name).splitlines()
    (start,) = (i for i, line in enumerate(lines) if re.match(rf"\| {re.escape(heading)} \|", line))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip().strip("`") for cell in line.strip("|").split(" |")])
    return found


def columns(name: str, heading: str, count: int) -> list[tuple[str, ...]]:
    return [tuple(row[:count]) for row in rows(name, heading)]


# Robots


def test_the_page_on_robots_has_every_rule_of_conformance_with_its_bounds() -> None:
    assert [row[0] for row in rows("docs/embodiments.md", "rule")] == list(conformance.RULES)
    said = {row[0]: row[1] for row in rows("docs/embodiments.md", "rule")}
    standard = conformance.Standard()
    xs, ys, zs, yaws = standard.reach
    assert f"{standard.reached:.0%}".replace("%", " %") in said["reach"]
    assert f"{len(xs) * len(ys) * len(zs) * len(yaws)} poses" in said["reach"]
    assert f"at {standard.speed:g} m/s" in said["tracking"]
    assert f"at most {1000 * standard.tracking:g} mm" in said["tracking"]
    assert f"at most {1000 * standard.drift:g} mm" in said["weight"]
    assert f"{standard.uneven:.0%}".replace("%", " %") in said["fingers"]
    assert f"{standard.grip[0]:g} to {standard.grip[1]:g} N" in said["grip"]
    assert f"at most {1000 * standard.penetration:g} mm" in said["grip"]
    assert f"shifts at most {1000 * standard.slip:g} mm" in said["grip"]


def test_the_page_on_robots_has_their_joints_and_strokes() -> None:
    said = {row[0]: " ".join(row[1:]) for row in rows("docs/embodiments.md", "name")}
    for robot in (PANDA, UR5E):
        assert f"{len(robot.joints)} joints" in said[robot.name]
        assert f"stroke {2000 * robot.hand.reach:.0f} mm" in said[robot.name]


# Commands


def overrides_fit(verb: str, parsed: dict[str, Any]) -> None:
    given = list(parsed.get("overrides") or ())
    if verb == "train":
        load_config(parsed["preset"] or "tiny", given)
        return
    if verb == "study" and not str(parsed["spec"]).endswith(".yaml"):
        load_spec(str(parsed["spec"]), given)
        return
    kinds = {
        "generate": GenerationConfig,
        "render": RenderConfig,
        "evaluate": RolloutConfig,
        "quickstart": QuickstartConfig,
    }
    if verb in kinds:
        resolve(kinds[verb], None, given)
    else:
        assert not given


def subcommands(command: click.Command) -> Mapping[str, click.Command]:
    """The commands below a group, such as `data`; of another command none."""
    return getattr(command, "commands", {})


def command_of(words: list[str]) -> tuple[str, click.Command, list[str]]:
    """The verb, what carries it out, and the words after it; of a group the command below it."""
    verb, *rest = words
    assert verb in VERBS, words
    command = VERBS[verb]
    below = subcommands(command)
    if below:
        name, *rest = rest
        assert name in below, words
        command = below[name]
    return verb, command, rest


def parse(words: list[str]) -> None:
    verb, command, rest = command_of(words)
    overrides_fit(verb, command.make_context(verb, rest).params)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_taken_by_the_command_line(page: Path) -> None:
    for words in commands(str(page.relative_to(ROOT))):
        if words[-1] == "--help":
            assert words == ["--help"] or words[0] in VERBS
        else:
            parse(words)


def test_the_page_on_clusters_has_a_job_and_the_limits_of_what_may_go_wrong() -> None:
    assert [words[0] for words in commands("docs/cluster.md")] == ["generate"]
    said = {row[0]: row[1] for row in rows("docs/cluster.md", "what")}
    limits = generate.limits(None)
    assert limits.tries == 3
    assert "three times in all" in said["a worker dies: a crash, the kernel out of memory"]
    assert f"`--patience` seconds ({limits.patience:g})" in said["a worker hangs"]
    assert f"{faults.SLOWER} times the usual time" in said["a worker hangs"]
    assert f"or has made {limits.tasks} chunks" in " ".join(said)
    assert limits.growth == 2**30
    assert "a worker grows by 1 GiB" in " ".join(said)
    assert f"up to {faults.MACHINES - 1} times" in said["a node is lost, or a Ray worker"]


def test_commands_inside_sentences_and_tables_exist() -> None:
    spans = [span for page in PAGES for span in re.findall(r"`(handful [^`\n]+)`", page.read_text(encoding="utf-8"))]
    assert len(spans) > 10
    for span in spans:
        _, *words = span.split()
        if words == ["data"]:  # a group of verbs, named as such
            continue
        _, command, rest = command_of(words)
        if "--out" in rest:
            parse(words)
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= known, span


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


def promised_keys() -> dict[str, set[str]]:
    return {row[0]: set(re.findall(r"\w+", row[2])) for row in rows("docs/contracts.md", "verb")}


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


def test_results_have_the_keys_that_the_contracts_name() -> None:
    from pipelines.episodes import summary

    record = summary("sim", "lift", ["lift", "success"], [{"outcome": "success", "stage": 2, "asked": "cube_1"}])
    sentence = re.search(r"Each of `results` has (.*?)\.", read("docs/contracts.md"), re.DOTALL)
    assert sentence is not None
    assert set(re.findall(r"`(\w+)`", sentence[1])) == set(record)


def test_the_verbs_of_the_contracts_are_those_of_the_help() -> None:
    with click.Context(get_command(app), info_name="handful") as context:  # type: ignore[arg-type]
        text = get_command(app).get_help(context)  # type: ignore[arg-type]
    listed = re.findall(r"^  ([a-z]+)  ", text.split("Commands:")[1], re.MULTILINE)
    assert [row[0] for row in rows("docs/contracts.md", "verb")] == listed


def test_formats_go_out_and_come_back(
    run: Callable[[list[str]], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trajectories.importers.lerobot.rehearse", lambda *_, **options: 0)
    Path("demos").symlink_to(ROOT / "demos")
    for words in commands("docs/formats.md")[:3]:
        assert set(run(words)) == promised_keys()[words[0]]
    before, after = Store.open("demos/lift"), Store.open("lift_again.zarr")
    assert [before.meta(i) for i in range(len(before))] == [after.meta(i) for i in range(len(after))]


# Python


def python_blocks() -> list[Any]:
    return [
        pytest.param(code, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, code in enumerate(blocks(str(page.relative_to(ROOT)), "python"))
    ]


@pytest.mark.parametrize("code", python_blocks())
def test_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demos").symlink_to(ROOT / "demos")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "<document>", "exec"), {"__name__": "__main__"})


def test_what_data_md_writes_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = (block for block in blocks("docs/data.md", "python") if "Store.create" in block)
    exec(compile(code, "<document>", "exec"), {})
    store = Store.open("mine.zarr")
    assert (len(store), store.sealed_episodes, store.verify()) == (1, 1, [])


# Tables


def test_the_episode_record_is_the_schemas() -> None:
    expected = []
    for key in SCHEMA:
        name = key.name + "<name>" * key.name.endswith("/")
        always = "yes" if key.name in REQUIRED else ""
        expected.append([name, key.rows, key.dtype or "as in MjModel", key.unit, always])
    assert rows("docs/contracts.md", "key") == expected


def test_the_rules_of_content_are_those_of_the_validator() -> None:
    assert rows("docs/data.md", "rule of content") == [[rule.name, rule.severity, rule.sentence] for rule in RULES]


def test_the_outcomes_are_the_codes() -> None:
    assert rows("docs/contracts.md", "outcome") == [[outcome.label, outcome.value] for outcome in Outcome]


def test_the_rules_of_success_are_the_judges() -> None:
    expected = [(field.name, str(field.default)) for field in dataclasses.fields(Strictness)]
    assert columns("docs/contracts.md", "rule", 2) == expected


def test_the_streams_have_the_numbers_that_data_sets_hold() -> None:
    table = rows("docs/contracts.md", "number")
    names = [row[1] for row in table if row[1]]
    streams = [row[2] for row in table]
    assert names == list(handful._NAMESPACES)
    assert streams == list(handful._STREAMS)
    for number, namespace in enumerate(names):
        for index, stream in enumerate(streams):
            key = handful.stream_key(namespace, "lift", 7, stream, 2)  # type: ignore[arg-type]
            assert (key[0], *key[2:]) == (number, 7, index, 2)


def test_the_fields_of_filters_are_the_codes() -> None:
    documented = [
        name for row in rows("docs/data.md", "field of a filter") for name in re.findall(r"[\w.<>\[\]]+", row[0])
    ]
    assert documented == [*filters.TEXT_FIELDS, *filters.NUMBER_FIELDS, "ledger.<axis>", "ledger.<axis>[<i>]", "demo"]


def test_the_keys_of_mappings_are_the_codes() -> None:
    assert {row[0] for row in rows("docs/formats.md", "key")} == {field.name for field in dataclasses.fields(Mapping_)}


def test_the_options_of_generation_are_the_codes() -> None:
    expected = []
    for field in dataclasses.fields(PlanOptions):
        expected.append((f"engine.plan.{field.name}", str(field.default), str(getattr(PLAIN, field.name))))
    for field in dataclasses.fields(MotionNoise):
        expected.append((f"engine.noise.{field.name}", str(field.default), str(field.default)))
    for field in dataclasses.fields(Perception):
        expected.append((f"engine.perception.{field.name}", str(field.default), str(field.default)))
    config = GenerationConfig()
    rest: dict[str, Any] = {
        f"engine.{name}": getattr(config.engine, name)
        for name in ("depth", "segmentation", "appearances", "physics_step", "threads")
    }
    rest |= {"chunk": config.chunk, "domain": config.domain}
    rest["randomization"] = config.randomization
    rest["image_codec"] = config.image_codec
    expected += [(name, str(value), str(value)) for name, value in rest.items()]
    assert columns("docs/generation.md", "option", 3) == expected
    groups = {field.name for field in dataclasses.fields(config.engine)}
    assert groups == {
        "plan",
        "noise",
        "perception",
        "depth",
        "segmentation",
        "appearances",
        "physics_step",
        "threads",
        "cameras",
        "resolution",
    }
    assert {field.name for field in dataclasses.fields(config)} == {
        "engine",
        "chunk",
        "domain",
        "randomization",
        "image_codec",
    }


def test_the_settings_of_render_are_the_codes() -> None:
    expected = [(field.name, str(getattr(RenderConfig(), field.name))) for field in dataclasses.fields(RenderConfig)]
    assert columns("docs/data.md", "setting of render", 2) == expected


def test_the_options_of_evaluation_are_the_codes() -> None:
    expected = [(field.name, str(field.default)) for field in dataclasses.fields(RolloutConfig)]
    assert columns("docs/evaluation.md", "override", 2) == expected


def test_the_keys_of_the_record_page_are_those_of_its_scripts() -> None:
    scripts = read("pipelines/web/static/controls.js") + read("pipelines/web/static/record.js")
    codes = set(re.findall(r"\bKey([A-Z])\b", scripts)) | set(re.findall(r"\b(Enter|Space)\b", scripts))
    codes |= {
        {"Left": "←", "Right": "→", "Up": "↑", "Down": "↓"}[way] for way in re.findall(r"Arrow([A-Z]\w+)", scripts)
    }
    codes |= {"Del" for _ in re.findall(r'"Delete"', scripts)} | set(re.findall(r"Digit\(\[(\d)-(\d)\]\)", scripts)[0])
    written = {key for row in rows("docs/teleoperation.md", "keys") for key in re.findall(r"[^`\s]+", row[0])} - {"to"}
    assert written == codes


def test_the_assistance_is_the_codes() -> None:
    expected = [(field.name, str(field.default)) for field in dataclasses.fields(Assistance)]
    assert columns("docs/teleoperation.md", "setting", 2) == expected


def test_the_presets_are_those_of_configs() -> None:
    expected = []
    for path in ("tiny", "small", "base"):
        config = load_config(path)
        budget = f"{config.steps} steps" if config.minutes is None else f"{config.minutes:g} minutes"
        model = config.model
        sizes = (model.image_size, model.width, model.expert_layers, config.batch_size, config.flow_times)
        expected.append([path, *map(str, sizes), budget])
    assert rows("docs/training.md", "preset") == expected
    assert sorted(path.stem for path in (ROOT / "configs" / "policy").glob("*.yaml")) == ["base", "small", "tiny"]


def test_the_sizes_of_the_policy_are_those_of_its_presets() -> None:
    robots = {"panda": Interface(proprio=17, action=10)}
    expected = []
    for path in ("tiny", "small", "base"):
        config = load_config(path)
        model = config.model
        network = VLA(model, config.cameras, robots, 2, 60, config.horizon, len(config.waypoints))
        count = f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} million"
        layers = f"{model.prefix_layers} + {model.expert_layers}"
        expected.append([path, count, str(model.image_size), str(model.width), layers, str(model.patch)])
    assert rows("docs/policy.md", "preset") == expected
    assert [row[0] for row in rows("docs/policy.md", "`model.head`")] == list(HEADS)


def spelled(distribution: Distribution) -> str:
    """As tables have it: "0.4 to 1", "0", "world_terrazzo"; "one of 6" where names would fill a page."""
    if isinstance(distribution, Choice):
        return f"one of {len(distribution.values)}"
    return re.sub(r"^(log-)?uniform ", "", str(distribution))


def test_the_twin_differs_from_training_as_the_page_says() -> None:
    sim, twin = SIM.randomization, TWIN_DEV_0.randomization
    expected = [(name, spelled(sim[name]), spelled(twin[name])) for name in sim.differences(twin)]
    assert columns("docs/evaluation.md", "axis", 3) == expected


def test_the_axes_are_the_codes() -> None:
    presets = (randomization.NONE, randomization.DEFAULT, randomization.WIDE)
    for group in randomization.GROUPS:
        axes = [axis for axis in randomization.AXES.values() if axis.group == group]
        expected = [(a.name, *(spelled(preset[a.name]) for preset in presets), a.unit, a.says) for a in axes]
        assert columns("docs/randomization.md", f"{group} axis", 6) == expected


def test_the_colosseums_axes_are_covered_by_those_that_the_page_names() -> None:
    expected = []
    for name in randomization.COLOSSEUM:
        covering = [f"`{axis.name}`" for axis in randomization.AXES.values() if name in axis.colosseum]
        expected.append((name, ", ".join(covering)))
    found = columns("docs/randomization.md", "Colosseum axis", 2)
    assert [(name, re.sub("`", "", ours)) for name, ours in found] == [(n, re.sub("`", "", o)) for n, o in expected]


def test_limits_of_the_robot_are_those_of_the_model() -> None:
    from scenes.workspace import build_workspace

    text = read("docs/contracts.md")
    limits = re.search(r"limited to (\d+) N m .*? and (\d+) N m .*? to (\d+) N over", text, re.DOTALL)
    assert limits is not None
    model = build_workspace("lift").model
    torques = [model.jnt_actfrcrange[model.joint(f"joint{i}").id, 1] for i in range(1, 8)]
    grip = model.actuator("gripper").forcerange[1]
    assert torques == [float(limits[1])] * 4 + [float(limits[2])] * 3
    assert grip == float(limits[3])


# Links and pictures


def slug(heading: str) -> str:
    """The anchor that a Markdown heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_dead(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


def test_files_that_the_pages_name_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`(?:python )?((?:\w+/)+\w+\.(?:py|md))", page.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{page.name}: {name}"


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "images").glob("*.svg")), ids=lambda path: path.stem)
def test_drawings_are_well_formed_and_say_what_they_show(picture: Path) -> None:
    root = ElementTree.parse(picture).getroot()
    title = root.find("{http://www.w3.org/2000/svg}title")
    assert title is not None
    assert title.text
    assert any(picture.name in page.read_text(encoding="utf-8") for page in PAGES)
