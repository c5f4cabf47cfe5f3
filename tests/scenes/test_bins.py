"""Pick and place: where groceries and bins stand, what hands can hold, what counts as put away, how it goes wrong."""

import re
from dataclasses import replace

import numpy as np
import pytest

from generators.scripted import ScriptedOperator
from generators.teleoperation import record
from handful import random_stream
from scenes.bins import APART, BELONGS, FLOOR, HALF, HEIGHT, INSIDE, TRAY, PickPlace
from scenes.domains import get_domain
from scenes.outcome import Outcome
from scenes.scene import Scene, draw_scene
from scenes.task import World, get_task
from scenes.workspace import Workspace, build_workspace
from sim.kinematics import solve_inverse
from sim.panda import PANDA
from sim.transforms import angle_between, compose, inverse, quat_about_z, quat_from_rotvec
from tests.arm import DOWN, LANE, Arm

LEVELS = ("D0", "D1", "D2")
GROCERIES = tuple(BELONGS)
AT_REST = np.array([1.0, 0.0, 0.0, 0.0])


def level(name: str) -> PickPlace:
    task = get_task(f"pick_place:{name}")
    assert isinstance(task, PickPlace)
    return task


def draws(task: PickPlace, count: int = 60) -> list[dict[str, np.ndarray]]:
    return [task.draw_poses(np.random.default_rng(i)) for i in range(count)]


@pytest.mark.parametrize("name", LEVELS)
def test_everything_stands_apart_on_its_own_side(name: str) -> None:
    task = level(name)
    sides = set()
    for poses in draws(task):
        assert set(poses) == set(task.objects)
        groceries = np.stack([poses[g] for g in GROCERIES])
        bins = np.stack([poses[b] for b in BELONGS.values()])
        gaps = np.linalg.norm(groceries[:, None, :2] - groceries[None, :, :2], axis=2)[np.triu_indices(4, 1)]
        assert gaps.min() >= APART
        side = np.sign(bins[:, 1].mean())
        sides.add(side)
        for prop in task.props:
            pose, region = poses[prop.name], task.regions()[prop.name]
            assert region.x[0] - 1e-9 <= pose[0] <= region.x[1] + 1e-9
            assert region.y[0] - 1e-9 <= pose[1] <= region.y[1] + 1e-9
            assert pose[2] == pytest.approx(prop.half[2])
            if prop.name not in BELONGS.values():
                # Nearer to its own side of the table than any bin's middle.
                assert pose[1] * side < (bins[:, 1] * side).min()
                reach = np.hypot(*prop.half[:2])
                inside = np.abs(compose(inverse(bins), np.tile(pose, (4, 1)))[:, :2])
                assert (inside.max(axis=1) > HALF + reach * np.sqrt(0.5)).all()
    assert sides == ({-1.0, 1.0} if name == "D2" else {1.0})


@pytest.mark.parametrize("name", LEVELS)
def test_the_bins_make_one_tray(name: str) -> None:
    tables = set()
    for poses in draws(level(name), 20):
        corner = poses["bin_can"]
        tables.add(tuple(corner))
        for bin_name, offset in TRAY.items():
            place = compose(inverse(corner), poses[bin_name])
            np.testing.assert_allclose(place[:2], np.subtract(offset, TRAY["bin_can"]), atol=1e-9)
            assert angle_between(place[3:], AT_REST) == pytest.approx(0.0, abs=1e-6)
    assert (len(tables) == 1) == (name == "D0")


def test_each_grocery_is_asked_for_about_as_often_with_its_own_bin() -> None:
    task, rng = level("D0"), np.random.default_rng(0)
    drawn = [task.draw_roles(rng) for _ in range(400)]
    assert all(BELONGS[roles["target"]] == roles["bin"] for roles in drawn)
    counts = [sum(roles["target"] == name for roles in drawn) for name in GROCERIES]
    assert min(counts) > 70
    assert {tuple(roles.items()) for roles in drawn} == {tuple(cast.items()) for cast in task.casts()}


@pytest.mark.parametrize("name", GROCERIES)
def test_sentences_name_the_object_and_no_other(name: str) -> None:
    task = level("D1")
    roles = {"target": name, "bin": BELONGS[name]}
    sentences = task.instructions(roles)
    assert len(set(sentences)) == len(sentences) >= 8
    other_nouns = {prop.noun for prop in task.props if prop.noun not in ("bin", task.prop(name).noun)}
    other_bins = {task.colours[b] for b in BELONGS.values() if b != BELONGS[name]}
    for sentence in sentences:
        assert task.prop(name).noun in sentence
        assert "{" not in sentence
        assert not any(re.search(rf"\b{noun}\b", sentence) for noun in other_nouns)
        assert not any(f"{colour} bin" in sentence for colour in other_bins)


def test_held_out_sentences_are_new_and_of_known_words() -> None:
    task = level("D0")
    assert len(task.held_out) >= 4
    assert not set(task.held_out) & set(task.sentences)
    words = set(" ".join(task.sentences).replace(",", "").split())
    assert set(" ".join(task.held_out).replace(",", "").split()) <= words


def test_hands_fit_round_every_object_and_under_nothing() -> None:
    task = level("D1")
    groceries = [task.prop(name) for name in GROCERIES]
    tallest = max(2 * prop.half[2] for prop in groceries)
    # The palm's underside over the table as a hand takes hold.
    palm = PANDA.hand.palm_centre[2] + PANDA.hand.palm_half[2]
    for prop in groceries:
        for grasp in np.array(prop.grasps):
            height = grasp[2] + prop.half[2]
            assert height - palm > tallest
            # Open fingertips end above the walls of the bin that it is put into.
            assert FLOOR + height - PANDA.hand.tip_length > HEIGHT
            closing = compose(np.array([0, 0, 0, *grasp[3:]]), np.array([0.0, 1.0, 0.0, 1, 0, 0, 0]))[:3]
            across = np.abs(closing) @ np.array(prop.half)
            assert across < PANDA.hand.reach - 0.01
    # And a neighbour leaves room for an open finger.
    assert all(np.hypot(*prop.half[:2]) + PANDA.hand.reach + 0.022 < APART for prop in groceries)


@pytest.mark.parametrize("name", LEVELS)
def test_the_arm_reaches_every_grasp_and_every_bin(name: str) -> None:
    task, poses = level(name), []
    for i, drawn in enumerate(draws(task, 24)):
        target = GROCERIES[i % 4]
        for where, shift in ((drawn[target], 0.0), (drawn[BELONGS[target]], FLOOR)):
            ways = compose(where, task.prop(target).grasp_poses())
            # The nearest turn of a thing that has at least two.
            way = ways[angle_between(ways[:, 3:], np.array(DOWN)).argmin()]
            poses += [way + np.array([0, 0, up, 0, 0, 0, 0]) for up in (shift, shift + 0.12)]
    home = np.tile(PANDA.home, (len(poses), 1))
    assert solve_inverse(PANDA.chain, np.array(poses), home, PANDA.home, iterations=60).reached().mean() > 0.97


def stands(target: str, bin_name: str, offset: tuple[float, ...] = (0.0, 0.0, 0.0), tilt: float = 0.0) -> bool:
    """Whether the task is done with an object in a bin, moved [m] and tilted [degrees] from how it belongs."""
    task = level("D0")
    poses = draws(task, 1)[0]
    pose = compose(poses[bin_name], task.placement(task.subtasks[1], {"target": target, "bin": bin_name}))
    pose[:3] += offset
    lean = quat_from_rotvec([np.radians(tilt), 0.0, 0.0])
    poses[target] = compose(pose, np.array([0.0, 0.0, 0.0, *lean]))
    world = World(
        {name: found[None] for name, found in poses.items()},
        {name: np.zeros(1) for name in poses},
        np.array([[0.4, 0.0, 0.4, *DOWN]]),
        np.ones(1),
        np.zeros(1),
    )
    roles = {"target": target, "bin": BELONGS[target]}
    return bool(task.goal(world, {role: np.array([task.objects.index(n)]) for role, n in roles.items()})[0])


@pytest.mark.parametrize("name", GROCERIES)
def test_only_the_own_bin_counts(name: str) -> None:
    for bin_name in BELONGS.values():
        assert stands(name, bin_name) == (bin_name == BELONGS[name])


@pytest.mark.parametrize(
    ("offset", "tilt", "expected"),
    [
        ((0.0, 0.0, 0.002), 0.0, True),
        ((0.0, 0.0, 0.004), 0.0, False),  # still held, or on something
        ((0.0, 0.0, -0.004), 0.0, False),
        ((0.045, -0.045, 0.0), 0.0, True),
        ((INSIDE / 2 + 0.002, 0.0, 0.0), 0.0, False),  # beyond the wall
        ((0.0, 0.0, 0.0), 4.0, True),
        ((0.0, 0.0, 0.0), 6.0, False),  # leaning
        ((0.0, 0.0, 0.0), 90.0, False),  # fallen over
    ],
)
def test_it_must_stand_on_the_floor_between_the_walls(offset: tuple[float, ...], tilt: float, expected: bool) -> None:
    assert stands("milk", "bin_milk", offset, tilt) == expected


@pytest.mark.parametrize("name", ["D0", "D2"])
def test_scenes_rest_still_and_hardly_touch(name: str) -> None:
    arm = Arm(f"pick_place:{name}", domain="sim", index=1)
    before = {g: arm.object(g) for g in GROCERIES}
    arm.wait(20)
    for grocery, pose in before.items():
        np.testing.assert_allclose(arm.object(grocery)[:3], pose[:3], atol=5e-4)
    world = arm.workspace.observe(arm.sim, LANE)
    assert max(world.speeds[g][0] for g in GROCERIES) < 0.002
    assert max(depth for _, _, depth, _ in arm.contacts()) < 2e-4
    for bin_name in BELONGS.values():
        stored = np.array(arm.scene.ledger["poses"][bin_name])
        np.testing.assert_allclose(world.objects[bin_name][0, :2], stored[:2], atol=1e-9)
        assert world.objects[bin_name][0, 2] - stored[2] == pytest.approx(world.table_height[0], abs=1e-9)


@pytest.mark.parametrize("name", GROCERIES)
def test_friction_alone_holds_it(name: str) -> None:
    arm = Arm("pick_place")
    height = arm.workspace.task.prop(name).grasps[0][2]
    deepest = []
    arm.go(arm.above(name, height + 0.10), 30)
    arm.go(arm.above(name, height), 20)
    arm.grip(0.0)
    held = compose(inverse(arm.tool), arm.object(name))
    arm.after_step = lambda: deepest.append(max((depth for _, _, depth, _ in arm.contacts()), default=0.0))
    arm.go(arm.tool + np.array([0, 0, 0.12, 0, 0, 0, 0]), 30)
    arm.go(np.array([0.45, 0.05, 0.2, *DOWN]), 40)
    arm.wait(20)
    now = compose(inverse(arm.tool), arm.object(name))
    assert np.linalg.norm(now[:3] - held[:3]) < 0.002
    assert angle_between(now[3:], held[3:]) < np.radians(2.0)
    assert 0.0 < max(deepest) < 1e-3
    # No weld: the only constraint in the model couples the fingers.
    assert arm.workspace.model.neq == 1


def test_prints_touch_nothing_and_weigh_nothing() -> None:
    workspace = build_workspace("pick_place")
    model, prints = workspace.model, 0
    for name in GROCERIES:
        prop = workspace.task.prop(name)
        for geom, shape in zip(prop.geoms, prop.shapes, strict=True):
            touching = bool(model.geom(geom).contype[0] | model.geom(geom).conaffinity[0])
            assert touching == shape.collides
            prints += not shape.collides
        assert model.body(name).mass[0] == pytest.approx(sum(s.mass for s in prop.shapes if s.collides))
    assert prints > 8


class Mistaken(ScriptedOperator):
    """Takes one thing for another."""

    def __init__(self, roles: dict[str, str]) -> None:
        self.roles = roles

    def begin(self, scene: Scene, workspace: Workspace, rng: np.random.Generator) -> None:
        super().begin(replace(scene, roles={**scene.roles, **self.roles}), workspace, rng)


def played(roles: dict[str, str]) -> Outcome:
    """How scene 1 of a recording ends if the operator has these roles in mind."""
    workspace = build_workspace("pick_place")
    scene = draw_scene(workspace, get_domain("none"), "recording", 1, 1)
    rng = random_stream("recording", 1, "pick_place", 1, "operator")
    _, outcome = record(workspace, scene, Mistaken({**scene.roles, **roles}), rng)
    return outcome


def test_the_operator_puts_it_away_and_a_mistake_is_called_one() -> None:
    workspace = build_workspace("pick_place")
    asked = draw_scene(workspace, get_domain("none"), "recording", 1, 1).roles
    other = next(name for name in GROCERIES if name != asked["target"])
    assert played({}) is Outcome.SUCCESS
    assert played({"bin": BELONGS[other]}) is Outcome.MISPLACED
    assert played({"target": other}) is Outcome.WRONG_OBJECT


def test_the_bins_poses_are_stored_with_the_episode() -> None:
    workspace = build_workspace("pick_place:D2")
    scene = draw_scene(workspace, get_domain("none"), "recording", 0, 3)
    episode, outcome = record(workspace, scene, ScriptedOperator(), np.random.default_rng(0))
    assert outcome is Outcome.SUCCESS
    for name in BELONGS.values():
        stored = episode.arrays[f"objects/{name}"]
        assert stored.shape == (len(episode.arrays["subtask"]), 7)
        assert (stored == stored[0]).all()
        np.testing.assert_allclose(stored[0, :2], scene.ledger["poses"][name][:2], atol=1e-6)
        np.testing.assert_allclose(np.abs(stored[0, 3:]), np.abs(scene.ledger["poses"][name][3:]), atol=1e-6)


def test_a_turned_can_is_the_same_can() -> None:
    task = level("D0")
    turns = {name: len(task.prop(name).symmetries) for name in GROCERIES}
    assert turns == {"milk": 2, "bread": 2, "cereal": 2, "can": 8}
    np.testing.assert_allclose(task.prop("can").turns[1], quat_about_z(np.pi / 4))
