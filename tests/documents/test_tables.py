"""Tables of the documents say what the code says."""

import dataclasses
import re
from typing import Any

import click
from typer.main import get_command

import handful
from generators.assistance import Assistance
from generators.augment import MotionNoise
from generators.options import PLAIN, PlanOptions
from generators.perception import Perception
from pipelines import faults, generate
from pipelines.chunks import GenerationConfig
from pipelines.cli import app
from pipelines.rerender import RenderConfig
from pipelines.runner import RolloutConfig
from policies.config import load_config
from policies.model import VLA
from policies.sizes import HEADS, Interface
from scenes import randomization
from scenes.domains import SIM, TWIN_DEV_0
from scenes.monitor import Strictness
from scenes.outcome import Outcome
from scenes.randomization import Choice, Distribution
from sim import conformance
from sim.panda import PANDA
from sim.ur5e import UR5E
from tests.documents.pages import ROOT, columns, commands, read, rows
from trajectories import filters
from trajectories.importers.mapping import Mapping as Mapping_
from trajectories.rules import RULES
from trajectories.schema import REQUIRED, SCHEMA


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
