"""The conformance suite: silent about sound robots, and each of its rules speaks of what breaks it."""

from collections.abc import Callable
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from sim.conformance import RULES, Standard, check, pad_distance
from sim.embodiment import ARM_BIT, Embodiment
from sim.panda import PANDA
from sim.trials import Trial
from sim.ur5e import UR5E

CHAIN = UR5E.chain


def changed(change: Callable[[mujoco.MjSpec], None]) -> Embodiment:
    """The UR5e with something changed in its model."""

    def add(spec: mujoco.MjSpec) -> None:
        UR5E.add(spec)
        change(spec)

    return replace(UR5E, add=add)


def nudged(values: np.ndarray, index: int, by: float) -> np.ndarray:
    """The same numbers but for one."""
    copy = values.copy()
    copy[index] += by
    return copy


def findings(robot: Embodiment, rule: str) -> list[str]:
    return list(RULES[rule](Trial(robot), Standard()))


def weak(spec: mujoco.MjSpec) -> None:
    for name in UR5E.actuators:
        servo = spec.actuator(name)
        servo.gainprm[0] /= 50
        servo.biasprm[1] /= 50


def heavy(spec: mujoco.MjSpec) -> None:
    for body in spec.bodies[1:]:
        body.gravcomp = 0.0


def feeble(spec: mujoco.MjSpec) -> None:
    spec.actuator("gripper").forcerange = [-0.5, 0.5]


def crushing(spec: mujoco.MjSpec) -> None:
    servo = spec.actuator("gripper")
    servo.forcerange = [-2000.0, 2000.0]
    servo.gainprm[0], servo.biasprm[1] = 60000.0, -60000.0


def unlimited(spec: mujoco.MjSpec) -> None:
    spec.actuator("servo3").forcelimited = False


def velocity_driven(spec: mujoco.MjSpec) -> None:
    spec.actuator("servo2").biasprm[1] = 0.0


def lame(spec: mujoco.MjSpec) -> None:
    spec.joint("finger_right").damping = [4000.0, 0.0, 0.0]
    for equality in spec.equalities:
        equality.active = False


def ghostly(spec: mujoco.MjSpec) -> None:
    for name in ("pad_left", "pad_right", "finger_left_upper", "finger_right_upper", "hand_collider"):
        spec.geom(name).contype = spec.geom(name).conaffinity = 0


def mislabelled(spec: mujoco.MjSpec) -> None:
    spec.geom("pad_left").contype = ARM_BIT


def self_touching(spec: mujoco.MjSpec) -> None:
    spec.geom("link4_collider").conaffinity = 15


@pytest.mark.parametrize("robot", [PANDA, UR5E], ids=lambda robot: robot.name)
def test_the_built_in_robots_conform(robot: Embodiment) -> None:
    assert [str(finding) for finding in check(robot)] == []


@pytest.mark.parametrize(
    ("robot", "sentence"),
    [
        (replace(UR5E, tool_site="nowhere"), "no site named 'nowhere'"),
        (replace(UR5E, finger_geoms=("pad_left", "thumb")), "no geom named 'thumb'"),
        (replace(UR5E, actuators=UR5E.actuators[:5]), "6 joints, 5 servos"),
        (replace(UR5E, paint={"gold": (1.0, 0.8, 0.0, 1.0)}), "no material named 'gold'"),
    ],
)
def test_a_name_that_the_model_lacks_is_the_only_finding(robot: Embodiment, sentence: str) -> None:
    found = check(robot)
    assert [finding.rule for finding in found] == ["names"]
    assert sentence in str(found[0])


@pytest.mark.parametrize(
    ("rule", "robot", "sentence"),
    [
        ("limits", replace(UR5E, home=nudged(UR5E.home, 2, 2.0)), "home puts 'joint3' at 3.831"),
        ("limits", replace(UR5E, home=nudged(UR5E.home, 3, 1.0)), "must point down"),
        ("limits", replace(UR5E, finger_open=0.06), "open at 0.0600, but moves from 0.0000 to 0.0425"),
        ("limits", replace(UR5E, chain=replace(CHAIN, upper=CHAIN.upper + 1.0)), "but the model stops it"),
        ("limits", replace(UR5E, chain=replace(CHAIN, max_speed=np.zeros(6))), "speed limit of 0.0"),
        ("servos", changed(unlimited), "'servo3' has no force limit"),
        ("servos", changed(velocity_driven), "'servo2' is no position servo"),
        ("servos", replace(UR5E, actuators=UR5E.actuators[::-1]), "'servo6' does not drive 'joint1'"),
        ("kinematics", replace(UR5E, chain=replace(CHAIN, tool=nudged(CHAIN.tool, 2, 0.005))), "5.000 mm"),
        ("reach", replace(UR5E, chain=replace(CHAIN, upper=nudged(CHAIN.upper, 0, -6.2))), "it must reach 97%"),
        ("tracking", changed(weak), "trails its servos' targets"),
        ("weight", changed(heavy), "gravity is not compensated"),
        ("fingers", replace(UR5E, hand=replace(UR5E.hand, reach=0.06)), "hand.reach is 0.0600 m, but"),
        ("fingers", changed(lame), "move unevenly"),
        ("grip", changed(feeble), "slips"),
        ("grip", changed(crushing), "are honest"),
        ("collisions", changed(ghostly), "finger geom 'pad_left' cannot touch objects"),
        ("collisions", changed(ghostly), "the hand goes through the table"),
        ("collisions", changed(mislabelled), "its contype must be 4"),
        ("collisions", changed(self_touching), "has conaffinity 15"),
        (
            "camera",
            replace(UR5E, wrist_camera=replace(UR5E.wrist_camera, target=(0.5, 0.0, 0.1))),
            "the tool's centre is outside",
        ),
        (
            "camera",
            replace(UR5E, wrist_camera=replace(UR5E.wrist_camera, pos=(0.001, 0.0, -0.03), target=(0.0, 0.0, 0.147))),
            "stands between the wrist camera",
        ),
    ],
)
def test_each_rule_finds_what_breaks_it(rule: str, robot: Embodiment, sentence: str) -> None:
    found = findings(robot, rule)
    assert any(sentence in text for text in found), found


def test_the_opening_is_measured_along_the_tools_y() -> None:
    assert pad_distance(Trial(UR5E)) == pytest.approx(UR5E.finger_open, abs=1e-4)
