"""The Panda's shell: complete, purely visual, and closed along the arm."""

import math

import mujoco
import numpy as np
import pytest

from handful import InputError
from sim import panda_shell
from sim.panda_shell import MATERIALS, SHELL, add_materials, add_shell

LINKS = [f"link{i}" for i in range(8)] + ["hand", "left_finger", "right_finger"]


def robot() -> mujoco.MjModel:
    """The links along the published chain, fixed in the ready pose, with nothing but their shells."""
    spec = mujoco.MjSpec()
    add_materials(spec)
    body = spec.worldbody.add_body(name="link0")
    add_shell(body, "link0")
    frames = [
        ((0, 0, 0.333), 0),
        ((0, 0, 0), -1),
        ((0, -0.316, 0), 1),
        ((0.0825, 0, 0), 1),
        ((-0.0825, 0.384, 0), -1),
        ((0, 0, 0), 1),
        ((0.088, 0, 0), 1),
    ]
    pose = (0.0, -0.2, 0.0, -2.5, 0.0, 2.4, math.pi / 4)
    for i, ((pos, turn), angle) in enumerate(zip(frames, pose, strict=True), start=1):
        fixed = np.array([math.cos(turn * math.pi / 4), math.sin(turn * math.pi / 4), 0, 0])
        joint = np.array([math.cos(angle / 2), 0, 0, math.sin(angle / 2)])
        quat = np.zeros(4)
        mujoco.mju_mulQuat(quat, fixed, joint)
        body = body.add_body(name=f"link{i}", pos=pos, quat=quat)
        add_shell(body, f"link{i}")
    hand = body.add_body(name="hand", pos=(0, 0, 0.107), quat=(math.cos(math.pi / 8), 0, 0, -math.sin(math.pi / 8)))
    add_shell(hand, "hand")
    for name, half_turn in (("left_finger", 0), ("right_finger", 1)):
        add_shell(hand.add_body(name=name, pos=(0, 0, 0.0584), quat=(1 - half_turn, 0, 0, half_turn)), name)
    return spec.compile()


def test_every_link_has_a_shell() -> None:
    assert sorted(SHELL) == sorted(LINKS)
    assert all(SHELL[link] for link in LINKS)


def test_shell_is_small_enough_to_render_fast() -> None:
    assert sum(map(len, SHELL.values())) <= 46


def test_shell_touches_nothing_and_weighs_nothing() -> None:
    model = robot()
    assert not model.geom_contype.any()
    assert not model.geom_conaffinity.any()
    assert model.body_mass.sum() == 0.0
    assert set(model.geom_group) == {panda_shell.VISUAL_GROUP}


def test_geoms_are_named_by_link_and_number() -> None:
    model = robot()
    for link, shapes in SHELL.items():
        for i in range(len(shapes)):
            assert model.geom_bodyid[model.geom(f"shell_{link}_{i}").id] == model.body(link).id


@pytest.mark.parametrize("link", LINKS)
def test_no_shape_floats(link: str) -> None:
    """Every shape of a link overlaps another of the same link or of a neighbour."""
    model = robot()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    body = model.body(link).id
    near = {body, model.body_parentid[body]} | set(np.flatnonzero(model.body_parentid == body))
    for geom in np.flatnonzero(model.geom_bodyid == body):
        others = [g for g in range(model.ngeom) if g != geom and model.geom_bodyid[g] in near]
        gap = min(mujoco.mj_geomDistance(model, data, int(geom), g, 0.1, None) for g in others)
        assert gap < 0.0005, model.geom(geom).name


def test_closed_fingers_meet_in_the_middle() -> None:
    model = robot()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    pads = [model.geom(f"shell_{side}_finger_1").id for side in ("left", "right")]
    assert mujoco.mj_geomDistance(model, data, *pads, 0.1, None) == pytest.approx(0.0, abs=1e-6)


def test_materials_are_created_once() -> None:
    spec = mujoco.MjSpec()
    add_materials(spec)
    add_materials(spec)
    assert [material.name for material in spec.materials] == list(MATERIALS)


def test_unknown_link_is_named() -> None:
    with pytest.raises(InputError, match=r"unknown link 'link9'.*Did you mean 'link"):
        add_shell(mujoco.MjSpec().worldbody, "link9")
