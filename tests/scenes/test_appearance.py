"""Drawn looks: rebuilt from the ledger, within their ranges, true to the colour words, with every cube in view."""

import colorsys
import itertools
import json
from dataclasses import replace
from functools import lru_cache
from typing import Any

import mujoco
import numpy as np
import pytest
from mujoco.batch import MODEL_FIELDS

from handful import InputError
from scenes.appearance import COLOURS, FIELDS, fields_from_ledger, hue_of
from scenes.props import Prop, Shape, cube
from scenes.randomization import DEFAULT, NONE, TWIN_DEV_0, WIDE, Randomization
from scenes.randomization.drawing import draw
from scenes.room import LAMPS, add_cameras, add_world, cameras
from scenes.slots import Slots, find_slots
from scenes.task import Task
from scenes.workspace import build_workspace
from sim.panda import PANDA
from sim.rendering import FrameRenderer

PRESETS = {"none": NONE, "default": DEFAULT, "wide": WIDE, "twin": TWIN_DEV_0}
LIFT = build_workspace("lift")
Ledger = dict[str, Any]


def ledger_of(randomization: Randomization, key: int, slots: Slots = LIFT.slots) -> Ledger:
    return draw(randomization, slots.elements, key, 1000 + key)


def fields_of(ledger: Ledger) -> dict[str, np.ndarray]:
    return fields_from_ledger(ledger, LIFT.model, LIFT.slots, LIFT.task, PANDA)


def drawn(randomization: Randomization, key: int) -> dict[str, np.ndarray]:
    return fields_of(ledger_of(randomization, key))


def apply(model: mujoco.MjModel, fields: dict[str, np.ndarray]) -> mujoco.MjModel:
    scene = model.__copy__()
    for name, values in fields.items():
        getattr(scene, name)[:] = values
    return scene


class Painted(Task):
    """A task about one prop: `scenes.appearance` asks a task for no more than its props."""

    name, subtasks, ends_in_release, horizon, sentences = "painted", (), False, 1, ("look",)
    levels = LIFT.task.levels

    def __init__(self, prop: Prop) -> None:
        self.props, self.own, self.objects = (prop,), (prop.name,), (prop.name,)

    def draw_roles(self, rng: np.random.Generator) -> dict[str, str]:
        return {}

    def goal(self, world: Any, roles: dict[str, np.ndarray]) -> np.ndarray:
        return np.zeros(0, bool)


@lru_cache
def painted(prop: Prop) -> tuple[mujoco.MjModel, Slots, Task]:
    spec = mujoco.MjSpec()
    add_world(spec)
    PANDA.add(spec)
    spec.worldbody.add_body(name="table").add_geom(name="table_top", size=[0.5, 0.6, 0.02])
    prop.add(spec)
    add_cameras(spec, PANDA)
    model, task = spec.compile(), Painted(prop)
    return model, find_slots(model, task, PANDA), task


def paint(prop: Prop, randomization: Randomization, key: int) -> np.ndarray:
    """Colours (S, 4) of a prop's shapes in a drawn scene."""
    model, slots, task = painted(prop)
    fields = fields_from_ledger(ledger_of(randomization, key, slots), model, slots, task, PANDA)
    return fields["geom_rgba"][slots.geoms[prop.name]]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_the_ledger_alone_rebuilds_the_fields(preset: Randomization) -> None:
    ledger = ledger_of(preset, 0)
    fields, rebuilt = fields_of(ledger), fields_of(json.loads(json.dumps(ledger)))
    assert tuple(fields) == tuple(rebuilt) == FIELDS
    for name, values in fields.items():
        np.testing.assert_array_equal(rebuilt[name], values)


def test_fields_fit_the_batch() -> None:
    for name, values in drawn(DEFAULT, 0).items():
        assert name in MODEL_FIELDS
        assert values.shape == getattr(LIFT.model, name).shape
        assert values.dtype == getattr(LIFT.model, name).dtype


def test_the_nominal_cameras_are_the_compiled_ones() -> None:
    fields = drawn(NONE, 0)
    for name in ("cam_pos", "cam_quat", "cam_fovy"):
        np.testing.assert_allclose(fields[name], getattr(LIFT.model, name), atol=1e-6)


def test_the_model_is_not_changed() -> None:
    before = LIFT.model.geom_rgba.copy()
    assert (drawn(DEFAULT, 0)["geom_rgba"] != before).any()
    np.testing.assert_array_equal(LIFT.model.geom_rgba, before)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_word_is_nearest_to_its_own_hue(preset: Randomization, colour: str) -> None:
    for key in range(30):
        rgba = paint(cube("cube_1", colour, 0.0468, 0.08), preset, key)[0]
        hue, saturation, value = colorsys.rgb_to_hsv(*map(float, rgba[:3]))
        away = {word: abs((hue - centre + 0.5) % 1.0 - 0.5) for word, centre in COLOURS.items()}
        assert min(away, key=lambda word: away[word]) == colour
        assert sorted(away.values())[1] > 2 * away[colour]
        assert saturation > 0.6
        assert value > 0.5


def test_shapes_of_their_own_colour_keep_it_nearly() -> None:
    label = (0.95, 0.2, 0.1, 1.0)
    carton = Prop(
        "carton",
        "carton",
        None,
        (Shape("box", (0.03, 0.03, 0.05), mass=0.1, rgba=(0.9, 0.9, 0.9, 1.0)),
         Shape("box", (0.031, 0.031, 0.02), mass=0.01, rgba=label)),
        (0.031, 0.031, 0.05),
    )  # fmt: skip
    np.testing.assert_allclose(paint(carton, NONE, 0), [[0.9, 0.9, 0.9, 1.0], label], atol=1e-6)
    seen = [paint(carton, DEFAULT, key) for key in range(20)]
    assert len({float(rgba[1, 0]) for rgba in seen}) > 10
    for rgba in seen:
        assert np.ptp(rgba[0, :3]) < 1e-6
        assert rgba[1, 0] > 2 * rgba[1, 1:3].max()


def test_camera_jitter_stays_within_its_range() -> None:
    angles = []
    for key in range(200):
        fields = drawn(DEFAULT, key)
        for name, metres, degrees in (("front", 0.03, 3.0), ("wrist", 0.005, 1.5)):
            camera = LIFT.model.camera(name).id
            assert np.abs(fields["cam_pos"][camera] - cameras(PANDA)[name].pos).max() <= metres + 1e-12
            assert abs(fields["cam_fovy"][camera] - cameras(PANDA)[name].fovy) <= 2.0 + 1e-9
            cosine = abs(fields["cam_quat"][camera] @ cameras(PANDA)[name].quat)
            angle = np.degrees(2 * np.arccos(min(1.0, cosine)))
            assert angle <= degrees * np.sqrt(3)
            angles.append(angle / degrees)
    assert max(angles) > 1.0


def test_every_table_material_is_drawn() -> None:
    table = LIFT.model.geom("table_top").id
    found = {int(drawn(DEFAULT, key)["geom_matid"][table]) for key in range(100)}
    assert found == {LIFT.model.material(str(name)).id for name in DEFAULT["table_material"].support}


def test_lamps_are_off_unless_drawn() -> None:
    lamps = [LIFT.model.light(name).id for name in LAMPS]
    assert not LIFT.model.light_active[lamps].any()
    for count in (0, 1, 2):
        active = drawn(NONE.with_({"lamps": count}), 0)["light_active"][lamps]
        assert active.tolist() == [i < count for i in range(2)]


def test_a_distractor_never_has_a_hue_of_the_tasks_objects() -> None:
    workspace = build_workspace("lift:D1")
    slots, hues = workspace.slots, []
    for key in range(200):
        ledger = draw(DEFAULT, slots.elements, key, key)
        fields = fields_from_ledger(ledger, workspace.model, slots, workspace.task, PANDA)
        for name in slots.distractors:
            rgba = fields["geom_rgba"][slots.geoms[name][0]]
            hues.append(colorsys.rgb_to_hsv(*map(float, rgba[:3]))[0])
    taken = [hue_of(colour) for colour in workspace.task.colours.values()]
    nearest = [min(abs((hue - t + 0.5) % 1.0 - 0.5) for t in taken) for hue in hues]
    assert min(nearest) > 0.055
    assert len(np.unique(np.round(np.array(hues), 1))) >= 8  # and yet they are of all kinds


def extreme(preset: Randomization, corner: tuple[int, ...]) -> Randomization:
    """The front camera pinned to one corner of its jitter and its narrowest view."""
    axes = ("camera_x", "camera_y", "camera_z", "camera_pitch", "camera_yaw", "camera_roll")
    ends = {axis: preset[axis].support[-end] for axis, end in zip(axes, corner, strict=True)}
    return preset.with_({**ends, "camera_fovy": preset["camera_fovy"].support[0]})


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_cubes_are_in_front_view_in_the_worst_corner(preset: Randomization) -> None:
    """Centres of cubes at the reset ranges' corners, and of the topmost of a stack of three, project into the image."""
    points = np.array([(x, y, z) for x in (0.4, 0.6) for y in (-0.1, 0.1) for z in (0.02, 0.114)])
    camera = LIFT.model.camera("front").id
    for corner in itertools.product((0, 1), repeat=6):
        fields = drawn(extreme(preset, corner), 0)
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, fields["cam_quat"][camera])
        seen = (points - fields["cam_pos"][camera]) @ rotation.reshape(3, 3)
        half = np.tan(np.radians(fields["cam_fovy"][camera] / 2))
        assert (np.abs(seen[:, :2]) < half * -seen[:, 2:]).all()


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_cubes_look_their_colour_in_the_frames(preset: Randomization) -> None:
    """Where a cube is seen, by either camera, the picture is of its colour."""
    model = LIFT.model
    data = mujoco.MjData(model)
    home, _ = PANDA.joint_addresses(model)
    data.qpos[home] = PANDA.home
    for (name, column), (x, y) in zip(LIFT.object_qpos.items(), ((0.45, -0.08), (0.5, 0.08), (0.58, 0.0)), strict=True):
        data.qpos[column : column + 7] = [x, y, 0.0203, 1.0, 0.0, 0.0, 0.0]
        assert name in LIFT.task.colours
    state = np.zeros(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    with FrameRenderer(model, 84, 84) as renderer:
        for key, (name, colour) in itertools.product(range(10), LIFT.task.colours.items()):
            scene = apply(model, drawn(preset, key))
            shown = renderer.render(scene, state, ["front", "wrist"])
            scene.geom_rgba[scene.geom(f"{name}_geom").id, 3] = 0.0
            hidden = renderer.render(scene, state, ["front", "wrist"])
            for camera in ("front", "wrist"):
                covered = (shown[camera] != hidden[camera]).any(axis=2)
                if camera == "wrist" and covered.sum() < 20:
                    continue  # out of the hand's view
                assert covered.sum() >= 20
                mean = shown[camera][covered].mean(axis=0)
                own = ("red", "green", "blue").index(colour)
                assert mean[own] > 1.2 * np.delete(mean, own).max(), (camera, colour, key)


def test_the_world_can_be_written_to_xml() -> None:
    spec = mujoco.MjSpec()
    add_world(spec)
    model = mujoco.MjModel.from_xml_string(spec.to_xml())
    assert model.ntex == spec.compile().ntex
    np.testing.assert_array_equal(model.tex_data, spec.compile().tex_data)


def test_nothing_in_the_room_touches_anything() -> None:
    for name in ("floor", "wall_back", "wall_front", "wall_left", "wall_right"):
        assert LIFT.model.geom(name).contype == 0
        assert LIFT.model.geom(name).conaffinity == 0


def test_unknown_colours_are_refused() -> None:
    wrong = replace(cube("cube_1", "red", 0.0468, 0.08), colour="gren")
    with pytest.raises(InputError, match=r"unknown colour 'gren'.*Did you mean 'green'"):
        paint(wrong, DEFAULT, 0)


def test_cameras_need_the_hand() -> None:
    with pytest.raises(InputError, match="camera 'wrist' sits on body 'hand', which this spec does not have"):
        add_cameras(mujoco.MjSpec(), PANDA)
