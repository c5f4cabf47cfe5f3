"""Drawn looks: rebuilt from the ledger, within their ranges, true to the colour words, with every cube in view."""

import colorsys
import itertools
import json
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import pytest
from mujoco.batch import MODEL_FIELDS

from handful import InputError
from scenes import appearance
from scenes.appearance import (
    COLOURS,
    DEFAULT,
    NONE,
    TEXTURES,
    TWIN_DEV_0,
    AppearanceRanges,
    add_cameras,
    add_world,
    cameras,
    draw,
    fields_from_ledger,
)
from scenes.props import cube
from sim.panda import PANDA
from sim.panda_shell import add_materials
from sim.rendering import FrameRenderer

CUBES = {"cube_1": "blue", "cube_2": "red", "cube_3": "green"}
PROPS = [cube(name, colour, 0.0468, 0.08) for name, colour in CUBES.items()]
PRESETS = {"NONE": NONE, "DEFAULT": DEFAULT, "TWIN_DEV_0": TWIN_DEV_0}


def world() -> mujoco.MjSpec:
    """A table with three cubes on it, and a hand without a robot, pointing down at them."""
    spec = mujoco.MjSpec()
    add_world(spec)
    add_materials(spec)
    box = mujoco.mjtGeom.mjGEOM_BOX
    table = spec.worldbody.add_body(name="table")
    table.add_geom(name="table_top", type=box, size=[0.5, 0.6, 0.02], pos=[0.45, 0, -0.0231])
    for i, (x, y) in enumerate(((0.45, -0.08), (0.5, 0.08), (0.58, 0.0)), start=1):
        body = spec.worldbody.add_body(name=f"cube_{i}", pos=[x, y, 0.0203])
        body.add_geom(name=f"cube_{i}_geom", type=box, size=[0.0234] * 3)
    spec.worldbody.add_body(name="hand", pos=[0.46, 0, 0.37], quat=[0, 1, 0, 0])
    add_cameras(spec, PANDA)
    return spec


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return world().compile()


def apply(model: mujoco.MjModel, fields: dict[str, np.ndarray]) -> mujoco.MjModel:
    scene = model.__copy__()
    for name, values in fields.items():
        getattr(scene, name)[:] = values
    return scene


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("ranges", PRESETS.values(), ids=PRESETS)
def test_the_ledger_alone_rebuilds_the_fields(model: mujoco.MjModel, ranges: AppearanceRanges) -> None:
    ledger, fields = draw(ranges, seeded(0), model, PROPS, PANDA)
    rebuilt = fields_from_ledger(json.loads(json.dumps(ledger)), model)
    assert rebuilt.keys() == fields.keys()
    for name, values in fields.items():
        np.testing.assert_array_equal(rebuilt[name], values)


def test_rebuilding_on_an_already_changed_model_gives_the_same(model: mujoco.MjModel) -> None:
    ledger, fields = draw(DEFAULT, seeded(0), model, PROPS, PANDA)
    for name, values in fields_from_ledger(ledger, apply(model, fields)).items():
        np.testing.assert_array_equal(values, fields[name])


def test_fields_fit_the_batch(model: mujoco.MjModel) -> None:
    _, fields = draw(DEFAULT, seeded(0), model, PROPS, PANDA)
    for name, values in fields.items():
        assert name in MODEL_FIELDS
        assert values.shape == getattr(model, name).shape
        assert values.dtype == getattr(model, name).dtype


def test_equal_streams_draw_equal_looks_and_others_do_not(model: mujoco.MjModel) -> None:
    assert draw(DEFAULT, seeded(3), model, PROPS, PANDA)[0] == draw(DEFAULT, seeded(3), model, PROPS, PANDA)[0]
    assert draw(DEFAULT, seeded(3), model, PROPS, PANDA)[0] != draw(DEFAULT, seeded(4), model, PROPS, PANDA)[0]


def test_none_draws_the_same_scene_from_every_stream(model: mujoco.MjModel) -> None:
    assert draw(NONE, seeded(1), model, PROPS, PANDA)[0] == draw(NONE, seeded(2), model, PROPS, PANDA)[0]


def test_the_nominal_cameras_are_the_compiled_ones(model: mujoco.MjModel) -> None:
    _, fields = draw(NONE, seeded(0), model, PROPS, PANDA)
    for name in ("cam_pos", "cam_quat", "cam_fovy"):
        np.testing.assert_allclose(fields[name], getattr(model, name), atol=1e-6)


def test_the_model_is_not_changed(model: mujoco.MjModel) -> None:
    before = model.geom_rgba.copy()
    _, fields = draw(DEFAULT, seeded(0), model, PROPS, PANDA)
    assert (fields["geom_rgba"] != before).any()
    np.testing.assert_array_equal(model.geom_rgba, before)


@pytest.mark.parametrize("ranges", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_word_is_nearest_to_its_own_hue(model: mujoco.MjModel, ranges: AppearanceRanges, colour: str) -> None:
    for seed in range(30):
        ledger, _ = draw(ranges, seeded(seed), model, [cube("cube_1", colour, 0.0468, 0.08)], PANDA)
        hue, saturation, value = colorsys.rgb_to_hsv(*ledger["cubes"]["cube_1_geom"]["rgba"][:3])
        away = {word: abs((hue - centre + 0.5) % 1.0 - 0.5) for word, centre in COLOURS.items()}
        assert min(away, key=lambda word: away[word]) == colour
        assert sorted(away.values())[1] > 2 * away[colour]
        assert saturation > 0.6
        assert value > 0.5


def test_camera_jitter_stays_within_its_range(model: mujoco.MjModel) -> None:
    angles = []
    for seed in range(200):
        _, fields = draw(DEFAULT, seeded(seed), model, PROPS, PANDA)
        for name, metres, degrees in (("front", 0.03, 3.0), ("wrist", 0.005, 1.5)):
            camera = model.camera(name).id
            assert np.abs(fields["cam_pos"][camera] - cameras(PANDA)[name].pos).max() <= metres
            assert abs(fields["cam_fovy"][camera] - cameras(PANDA)[name].fovy) <= 2.0
            cosine = abs(fields["cam_quat"][camera] @ cameras(PANDA)[name].quat)
            angle = np.degrees(2 * np.arccos(min(1.0, cosine)))
            assert angle <= degrees * np.sqrt(3)
            angles.append(angle / degrees)
    assert max(angles) > 1.0


def test_every_table_material_is_drawn(model: mujoco.MjModel) -> None:
    table = model.geom("table_top").id
    found = {int(draw(DEFAULT, seeded(s), model, PROPS, PANDA)[1]["geom_matid"][table]) for s in range(100)}
    assert found == {model.material(name).id for name in DEFAULT.table_materials}


def test_the_twin_is_disjoint_wherever_it_differs() -> None:
    ours, theirs = DEFAULT.intervals(), TWIN_DEV_0.intervals()
    differing = [name for name in ours if ours[name] != theirs[name]]
    assert {"table_value", "light_diffuse", "light_warmth", "front.position.y", "wrist.fovy"} <= set(differing)
    for name in differing:
        assert theirs[name][0] > ours[name][1] or theirs[name][1] < ours[name][0], name
    assert not set(DEFAULT.table_materials) & set(TWIN_DEV_0.table_materials)


def extreme(ranges: AppearanceRanges, corner: tuple[int, ...]) -> AppearanceRanges:
    """`ranges` with the front camera pinned to one corner of its jitter and its narrowest view."""
    jitter = ranges.front
    ends = [r[i] for r, i in zip((*jitter.position, *jitter.rotation), corner, strict=True)]
    pinned = [(end, end) for end in ends]
    narrowest = (jitter.fovy[0], jitter.fovy[0])
    position: Any = tuple(pinned[:3])
    rotation: Any = tuple(pinned[3:])
    front = replace(jitter, position=position, rotation=rotation, fovy=narrowest)
    return replace(ranges, front=front)


@pytest.mark.parametrize("ranges", PRESETS.values(), ids=PRESETS)
def test_cubes_are_in_front_view_in_the_worst_corner(model: mujoco.MjModel, ranges: AppearanceRanges) -> None:
    """Centres of cubes at the reset ranges' corners, and of the topmost of a stack of three, project into the image."""
    points = np.array([(x, y, z) for x in (0.4, 0.6) for y in (-0.1, 0.1) for z in (0.02, 0.114)])
    camera = model.camera("front").id
    for corner in itertools.product((0, 1), repeat=6):
        _, fields = draw(extreme(ranges, corner), seeded(0), model, PROPS, PANDA)
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, fields["cam_quat"][camera])
        seen = (points - fields["cam_pos"][camera]) @ rotation.reshape(3, 3)
        half = np.tan(np.radians(fields["cam_fovy"][camera] / 2))
        assert (np.abs(seen[:, :2]) < half * -seen[:, 2:]).all()


@pytest.mark.parametrize("ranges", PRESETS.values(), ids=PRESETS)
def test_cubes_look_their_colour_in_the_frames(model: mujoco.MjModel, ranges: AppearanceRanges) -> None:
    """Where a cube is seen, by either camera, the picture is of its colour."""
    state = np.zeros(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
    mujoco.mj_getState(model, mujoco.MjData(model), state, mujoco.mjtState.mjSTATE_INTEGRATION)
    with FrameRenderer(model, 84, 84) as renderer:
        for seed, (name, colour) in itertools.product(range(10), CUBES.items()):
            scene = apply(model, draw(ranges, seeded(seed), model, PROPS, PANDA)[1])
            shown = renderer.render(scene, state, ["front", "wrist"])
            scene.geom_rgba[scene.geom(f"{name}_geom").id, 3] = 0.0
            hidden = renderer.render(scene, state, ["front", "wrist"])
            for camera in ("front", "wrist"):
                covered = (shown[camera] != hidden[camera]).any(axis=2)
                assert covered.sum() >= 20
                mean = shown[camera][covered].mean(axis=0)
                own = ("red", "green", "blue").index(colour)
                assert mean[own] > 1.2 * np.delete(mean, own).max(), (camera, colour, seed)


def test_the_world_can_be_written_to_xml() -> None:
    assert mujoco.MjModel.from_xml_string(world().to_xml()).ntex == sum(t is not None for t in TEXTURES.values()) + 1


def test_textures_are_compiled_the_same_every_time(model: mujoco.MjModel) -> None:
    np.testing.assert_array_equal(model.tex_data, world().compile().tex_data)


def test_nothing_in_the_room_touches_anything(model: mujoco.MjModel) -> None:
    for name in ("floor", "wall_back", "wall_front", "wall_left", "wall_right"):
        assert model.geom(name).contype == 0
        assert model.geom(name).conaffinity == 0


def test_unknown_names_are_refused(model: mujoco.MjModel) -> None:
    with pytest.raises(InputError, match=r"unknown colour 'gren'.*Did you mean 'green'"):
        draw(DEFAULT, seeded(0), model, [cube("cube_1", "gren", 0.0468, 0.08)], PANDA)
    with pytest.raises(InputError, match="name geom 'cube_9_geom', which this model does not have"):
        draw(DEFAULT, seeded(0), model, [cube("cube_9", "red", 0.0468, 0.08)], PANDA)
    with pytest.raises(InputError, match=r"unknown world material 'world_chess'"):
        AppearanceRanges(table_materials=("world_chess",))


def test_reversed_ranges_are_refused() -> None:
    with pytest.raises(InputError, match=r"light_diffuse goes from 0\.9 to 0\.1"):
        AppearanceRanges(light_diffuse=(0.9, 0.1))
    with pytest.raises(InputError, match=r"front\.rotation\.yaw goes from 1 to -1"):
        AppearanceRanges(front=appearance.CameraJitter(rotation=((0, 0), (1, -1), (0, 0))))


def test_cameras_need_the_hand() -> None:
    with pytest.raises(InputError, match="camera 'wrist' sits on body 'hand', which this spec does not have"):
        add_cameras(mujoco.MjSpec(), PANDA)
