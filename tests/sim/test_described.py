"""Robots that an MJCF file and a YAML file describe: the same as any other, or refused by name."""

import importlib.util
import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

from handful import InputError
from scenes.workspace import build_workspace
from sim.conformance import Standard, check
from sim.described import load_robot
from sim.robots import ROBOTS, get_embodiment

# Three hinges about different axes, one with a reference angle, a lift that is locked, two sliding fingers, a mesh, and
# a world of its own that must not come along.
_ROBOT = """
<mujoco model="arm">
  <compiler angle="degree" meshdir="shapes"/>
  <asset>
    <mesh name="wedge" file="wedge.obj"/>
    <material name="paint" rgba="0.2 0.4 0.6 1"/>
  </asset>
  <worldbody>
    <light pos="0 0 3"/>
    <geom name="floor" type="plane" size="1 1 1"/>
    <body name="pedestal" pos="0 0 0.1">
      <geom type="mesh" mesh="wedge" mass="1"/>
      <body name="lifted" pos="0 0 0.1">
        <joint name="lift" type="slide" axis="0 0 1" range="0 1"/>
        <geom type="box" size="0.03 0.03 0.03" mass="1"/>
        <body name="upper" pos="0 0 0.2">
          <joint name="turn" axis="0 0 -1" range="-170 170"/>
          <geom type="capsule" fromto="0 0 0 0.2 0 0" size="0.03" mass="1" material="paint"/>
          <body name="lower" pos="0.2 0 0">
            <joint name="bend" pos="0.01 0 0" axis="0 1 0" range="-150 150" ref="20"/>
            <geom type="capsule" fromto="0 0 0 0.2 0 0" size="0.03" mass="1"/>
            <body name="palm" pos="0.2 0 0">
              <joint name="roll" axis="1 0 0"/>
              <geom type="box" size="0.02 0.04 0.02" mass="0.3"/>
              <camera name="eye"/>
              <body name="left" pos="0.03 0.01 0">
                <joint name="slide_left" type="slide" axis="0 1 0" range="0 0.04"/>
                <geom type="box" size="0.03 0.004 0.01" mass="0.05"/>
              </body>
              <body name="right" pos="0.03 -0.01 0">
                <joint name="slide_right" type="slide" axis="0 -1 0" range="0 0.04"/>
                <geom type="box" size="0.03 0.004 0.01" mass="0.05"/>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="turn"/></actuator>
  <keyframe><key qpos="0 0 0 0 0 0"/></keyframe>
</mujoco>
"""
_WEDGE = "v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0 0 0.1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


def _words() -> dict:
    return {
        "name": "tiny",
        "mjcf": "arm.xml",
        "base": {"pos": [0.1, 0.0, 0.05]},
        "locked": {"lift": 0.3},
        "arm": {
            "joints": ["turn", "bend", "roll"],
            "home": [0.0, 0.5, 0.0],
            "speed": 2.0,
            "torque": [50, 50, 10],
            "stiffness": 1000,
            "damping": 50,
        },
        "gripper": {
            "joints": ["slide_left", "slide_right"],
            "closed": 0.0,
            "open": 0.04,
            "speed": 0.1,
            "force": 40,
            "stiffness": 2000,
            "damping": 40,
            "bodies": ["left", "right"],
        },
        "tool": {"body": "palm", "pos": [0.05, 0.0, 0.0], "quat": [0.70711, 0.0, 0.70711, 0.0]},
        "hand": {
            "body": "palm",
            "palm_centre": [0.0, 0.0, -0.05],
            "palm_half": [0.02, 0.04, 0.02],
            "tip_half_width": 0.01,
            "tip_depth": 0.008,
            "tip_length": 0.01,
            "reach": 0.04,
        },
        "wrist_camera": {
            "body": "palm",
            "pos": [0.0, 0.0, 0.08],
            "target": [0.05, 0.0, 0.0],
            "up": [0.0, 0.0, 1.0],
            "fovy": 70,
        },
    }


def _write(folder: Path, words: dict, robot: str = _ROBOT) -> Path:
    (folder / "shapes").mkdir(parents=True, exist_ok=True)
    (folder / "arm.xml").write_text(robot)
    (folder / "shapes" / "wedge.obj").write_text(_WEDGE)
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(words))
    return path


def test_kinematics_are_the_files_whatever_axes_reference_angles_and_locked_joints(tmp_path: Path) -> None:
    robot = load_robot(_write(tmp_path, _words()))
    # The oracle is the untouched file in the engine, its lift at the locked position.
    model = mujoco.MjModel.from_xml_path(str(tmp_path / "arm.xml"))
    data = mujoco.MjData(model)
    for q in np.random.default_rng(1).uniform(robot.chain.lower, robot.chain.upper, (10, 3)):
        for name, value in {"lift": 0.3, "turn": q[0], "bend": q[1], "roll": q[2]}.items():
            data.joint(name).qpos[0] = value
        mujoco.mj_kinematics(model, data)
        palm = data.body("palm")
        # The base stands at 0.05 instead of the file's 0.1, and 0.1 further forward.
        expected = palm.xpos + palm.xmat.reshape(3, 3) @ [0.05, 0.0, 0.0] + [0.1, 0.0, -0.05]
        np.testing.assert_allclose(robot.chain.forward(q)[:3], expected, atol=2e-6)


def test_it_is_built_into_a_tasks_world_without_its_own(tmp_path: Path) -> None:
    workspace = build_workspace("lift", str(_write(tmp_path, _words())))
    model = workspace.model
    names = [model.joint(i).name for i in range(model.njnt)]
    assert "tiny_lift" not in names
    assert {"tiny_turn", "tiny_bend", "tiny_roll"} <= set(names)
    assert [model.actuator(i).name for i in range(model.nu)] == [
        *workspace.embodiment.actuators,
        workspace.embodiment.gripper_actuator,
    ]
    assert model.nkey == 0
    assert {model.camera(i).name for i in range(model.ncam)} == {"front", "wrist"}
    assert list(workspace.embodiment.paint) == ["tiny_paint"]
    assert workspace.embodiment.paint["tiny_paint"] == pytest.approx((0.2, 0.4, 0.6, 1.0), abs=1e-6)
    assert ROBOTS["tiny"] is workspace.embodiment


def test_the_model_hash_knows_content_and_not_folders(tmp_path: Path) -> None:
    hashes = []
    for folder, words in (("a", _words()), ("b/c", _words()), ("d", {**_words(), "locked": {"lift": 0.31}})):
        hashes.append(build_workspace("lift", str(_write(tmp_path / folder, words))).model_hash)
    assert hashes[0] == hashes[1] != hashes[2]
    path = _write(tmp_path / "e", _words())
    mesh = path.parent / "shapes" / "wedge.obj"
    mesh.write_text(mesh.read_text().replace("0.1", "0.2"))
    assert build_workspace("lift", str(path)).model_hash != hashes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mjcf": "other.xml"}, r"mjcf is 'other.xml', but there is no file"),
        ({"mjcf": "package://no_such_package/x.xml"}, r"'no_such_package', which is not installed"),
        ({"mjcf": None}, r"mjcf must be a name, got None"),
        ({"naem": "x"}, r"unknown key 'naem'.*Did you mean 'name'"),
        ({"arm.jionts": ["turn"]}, r"unknown key 'arm.jionts'.*Did you mean 'arm.joints'"),
        ({"arm.speed": ...}, r"says nothing about arm.speed"),
        ({"arm.speed": "fast"}, r"arm.speed must be a list, got 'fast'"),
        ({"arm.speed": [1, 2]}, r"arm.speed has 2 values for 3 joints"),
        ({"arm.speed": 0}, r"arm.speed has a value of 0; it must be more than 0"),
        ({"arm.torque": ...}, r"arm.torque is missing, and the MJCF limits no force of turn, bend, roll"),
        ({"arm.joints": ["turn", "bnd", "roll"]}, r"unknown joint in arm.joints 'bnd'; there is:.*Did you mean 'bend'"),
        ({"arm.joints": ["bend", "turn", "roll"]}, r"from the base to the tool there are turn, bend, roll"),
        ({"arm.joints": ["turn", "bend", "slide_left"]}, r"'slide_left' is listed twice"),
        ({"arm.home": [0.0, 3.0, 0.0]}, r"arm.home puts 'bend' at 3 rad, which is not within -2.618 to 2.618"),
        ({"arm.home": [0.0, 0.5]}, r"arm.home has 2 values for 3 joints"),
        ({"arm.range": [[1, -1], [-1, 1], [-1, 1]]}, r"arm.range of 'turn' goes from 1 to -1 rad"),
        ({"locked": {}}, r"joint 'lift' \(a slide joint\) is in neither arm.joints nor gripper.joints"),
        ({"gripper.open": 0.06}, r"gripper.open is 0.06, but 'slide_left' moves from 0 to 0.04 only"),
        ({"gripper.open": 0.0}, r"gripper.closed and gripper.open are both 0"),
        ({"gripper.bodies": ["thumb"]}, r"unknown body in gripper.bodies 'thumb'; there is:"),
        ({"tool": {"site": "tip"}}, r"unknown site in tool.site 'tip'; there is: none"),
        ({"tool": {}}, r"tool needs a site or a body"),
        ({"tool.quat": [2, 0, 0, 0]}, r"tool.quat .* has length 2.000; it must be 1"),
        ({"hand.body": "upper"}, r"hand.body 'upper' is not carried by the arm's last joint, 'roll'"),
        ({"hand.palm_half": [0.1, 0.1]}, r"hand.palm_half must be a list of 3"),
        ({"root": "upper"}, r"unknown body in root 'upper'; there is: pedestal"),
        ({"name": "My Robot"}, r"name 'My Robot' must be of small letters"),
        ({"wrist_camera.fovy": 400}, r"fovy is more than 0 and less than 180"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict, message: str) -> None:
    words = _words()
    for key, value in change.items():
        section, _, name = key.rpartition(".")
        there = words[section] if section else words
        if value is ...:
            del there[name]
        else:
            there[name] = value
    with pytest.raises(InputError, match=message):
        load_robot(_write(tmp_path, words))


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name 'panda' is another robot's"):
        get_embodiment(str(_write(tmp_path, {**_words(), "name": "panda"})))


def test_broken_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no MJCF that can be read"):
        load_robot(_write(tmp_path, _words(), "<mujoco><nothing/></mujoco>"))
    path = _write(tmp_path / "second", _words())
    (path.parent / "shapes" / "wedge.obj").unlink()
    with pytest.raises(InputError, match=r"mesh 'wedge' of .* which is not there"):
        load_robot(path)
    with pytest.raises(InputError, match="cannot read the robot"):
        get_embodiment(str(tmp_path / "none.yaml"))


def test_listed_robots_are_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path, {**_words(), "name": "listed"})
    listed = path.rename(tmp_path / "listed.yaml")
    monkeypatch.setenv("HANDFUL_ROBOTS", str(listed))
    assert get_embodiment("listed").name == "listed"


def test_jaco_conforms() -> None:
    assert [str(finding) for finding in check(get_embodiment("jaco"))] == []


@pytest.mark.skipif(
    importlib.util.find_spec("gymnasium_robotics") is None, reason="gymnasium-robotics, whose Fetch it is, is not here"
)
def test_a_robot_of_another_package_passes(tmp_path: Path) -> None:
    path = tmp_path / "fetch.yaml"
    shutil.copy(Path(__file__).parent / "fetch.yaml", path)
    # Its arm is on a tall mobile base and reaches less of the table than robots that stand on it.
    assert [str(finding) for finding in check(load_robot(path), Standard(reached=0.85))] == []
