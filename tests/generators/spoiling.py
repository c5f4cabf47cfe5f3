"""Demos made by hand, and what goes wrong while demos are recorded, done to ones that are right: so right is known."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from generators.demos import Demo

# So far back a new approach begins, and for so long a gripper is closed on nothing [steps].
BACK, VAIN = 15, 8


@dataclass(frozen=True)
class Spoilt:
    """A demo after something went wrong.

    Attributes:
        demo: as it was recorded.
        truth: the same without errors of measurement.
        step: for each step of the demo it was made from, where it is now (its last copy).
        late: by how many steps an event may be off at most.
    """

    demo: Demo
    truth: Demo
    step: dict[int, int]
    late: int = 0


def by_hand(gripper: list[float], height: list[float], tool: list[float]) -> Demo:
    """A demo of `lift` with the cube straight below the tool; heights in metres. The fingers need three steps."""
    steps = len(gripper)
    cube = np.tile([0.5, 0.0, 0.02, 1.0, 0, 0, 0], (steps, 1))
    other = cube + np.array([0, 0.2, 0, 0, 0, 0, 0])
    hand = np.tile([0.5, 0.0, 0.02, 0.0, 1, 0, 0], (steps, 1))
    cube[:, 2], hand[:, 2] = height, tool
    return Demo(
        store="0" * 64,
        index=0,
        episode=0,
        operator="script",
        embodiment="panda",
        joints=np.zeros((steps, 7)),
        target=hand,
        tool=hand,
        gripper=np.array(gripper, float),
        opening=fingers(np.array(gripper, float), 0.2),
        objects={"cube_1": cube, "cube_2": other, "cube_3": other},
        signals={},
        roles={"target": "cube_1"},
    )


def fingers(gripper: np.ndarray, speed: float) -> np.ndarray:
    """How far fingers are open that follow a command from the step after it on, at so much per step."""
    opening = np.full(len(gripper), gripper[0])
    for t in range(1, len(gripper)):
        opening[t] = opening[t - 1] + np.clip(gripper[t - 1] - opening[t - 1], -speed, speed)
    return opening


def lifting() -> Demo:
    """Down for 10 steps, closing for 5, up for 15."""
    rise = [0.02 + 0.01 * i for i in range(1, 16)]
    down = [0.12 - 0.01 * i for i in range(10)]
    return by_hand([1.0] * 10 + [0.0] * 20, [0.02] * 15 + rise, down + [0.02] * 5 + rise)


def at_steps(demo: Demo, steps: list[int]) -> Demo:
    """A demo that does what another did at these steps, in this order."""
    return replace(
        demo,
        joints=None if demo.joints is None else demo.joints[steps],
        target=demo.target[steps],
        tool=demo.tool[steps],
        gripper=demo.gripper[steps],
        opening=demo.opening[steps],
        objects={name: poses[steps] for name, poses in demo.objects.items()},
        signals={name: signal[steps] for name, signal in demo.signals.items()},
        touched=None if demo.touched is None else {name: touch[steps] for name, touch in demo.touched.items()},
    )


def told(demo: Demo, at: slice, gripper: float, opening: float | None = None) -> Demo:
    """A demo whose gripper is told something else for some steps, and does it where `opening` is given."""
    command, measured = demo.gripper.copy(), demo.opening.copy()
    command[at] = gripper
    if opening is not None:
        measured[at] = opening
    return replace(demo, gripper=command, opening=measured)


Spoil = Callable[[Demo, list[int], np.random.Generator], Spoilt]


def _moved(demo: Demo, steps: list[int]) -> Spoilt:
    spoilt = at_steps(demo, steps)
    return Spoilt(spoilt, spoilt, {old: new for new, old in enumerate(steps)})


def _done(demo: Demo, spoilt: Spoilt) -> Spoilt:
    """Steps as they were moved before, in a demo that really did what it shows."""
    return Spoilt(demo, demo, spoilt.step)


def _same(demo: Demo, spoilt: Demo) -> Spoilt:
    return Spoilt(spoilt, demo, {t: t for t in range(len(demo))})


def chatter(demo: Demo, events: list[int], rng: np.random.Generator) -> Spoilt:
    """The command flickers for a step or two, a dozen times, though not right beside an event."""
    command = demo.gripper.copy()
    quiet = [t for t in range(4, len(demo) - 8) if all(abs(t - event) > 4 for event in events)]
    for at in rng.choice(quiet, 12, replace=False):
        if all(abs(at - other) > 4 for other in np.flatnonzero(command != demo.gripper)):
            command[at : at + rng.integers(1, 3)] = 1.0 - demo.gripper[at]
    return _same(demo, replace(demo, gripper=command))


def pauses(demo: Demo, events: list[int], rng: np.random.Generator) -> Spoilt:
    """The operator stops eight times, for a quarter of a second to one and a half."""
    extra = np.zeros(len(demo), int)
    extra[rng.choice(len(demo) - 1, 8, replace=False)] = rng.integers(5, 30, 8)
    extra[events] = 0
    return _moved(demo, [int(t) for t in np.repeat(np.arange(len(demo)), extra + 1)])


def noise(demo: Demo, events: list[int], rng: np.random.Generator) -> Spoilt:
    """Objects are seen only to 2 mm, and nothing tells what is touched."""
    blurred = {name: poses.copy() for name, poses in demo.objects.items()}
    for poses in blurred.values():
        poses[:, :3] += rng.normal(0.0, 0.002, (len(poses), 3))
    return _same(demo, replace(demo, objects=blurred, touched=None))


def delay(demo: Demo, events: list[int], rng: np.random.Generator) -> Spoilt:
    """The command is recorded up to eight steps late; fingers that squeeze take two or three to let go."""
    late = int(rng.integers(1, 9))
    gripper = np.concatenate([np.full(late, demo.gripper[0]), demo.gripper[:-late]])
    return replace(_same(demo, replace(demo, gripper=gripper)), late=3)


def no_release(demo: Demo, events: list[int], rng: np.random.Generator) -> Spoilt:
    """In the air the command says open for a while, but the fingers hardly move and nothing is lost."""
    closing, opening = events[0], events[1]
    at, length = int(rng.integers(closing + 12, opening - 12)), int(rng.integers(3, 9))
    return _same(demo, told(demo, slice(at, at + length), 1.0))


def _again(demo: Demo, first: list[int], event: int) -> list[int]:
    """After some steps that end at `event`: back from there, and on as if it were the first time."""
    back = list(range(event - 1, event - 1 - BACK, -1))
    return [*first, *back, *range(event - BACK, len(demo))]


def missed(demo: Demo, events: list[int], rng: np.random.Generator) -> Spoilt:
    """A first try closes on nothing."""
    event = int(rng.choice(events[::2]))
    first = [*range(event), *[event - 1] * VAIN]
    spoilt = _moved(demo, _again(demo, first, event))
    vain = slice(event, event + VAIN)
    return _done(told(spoilt.demo, vain, 0.0, 0.0), spoilt)


def slipped(demo: Demo, events: list[int], rng: np.random.Generator) -> Spoilt:
    """A first try lifts the object a few centimetres and loses it; it falls back to where it stood."""
    closing = int(rng.choice(events[::2]))
    top = closing + int(rng.integers(13, 17))
    first = [*range(top), *[top] * VAIN, *range(top, closing, -1)]
    steps = _again(demo, first, closing)
    spoilt = _moved(demo, steps)
    fresh = len(first)
    objects = {name: poses.copy() for name, poses in spoilt.demo.objects.items()}
    for name, poses in objects.items():
        poses[top:fresh] = demo.objects[name][closing]
    touched = spoilt.demo.touched
    if touched is not None:
        lost = (np.arange(len(steps)) >= top) & (np.arange(len(steps)) < fresh)
        touched = {name: touch & ~lost for name, touch in touched.items()}
    fell = replace(spoilt.demo, objects=objects, touched=touched)
    return _done(told(fell, slice(top + VAIN, fresh), 1.0, 1.0), spoilt)


def put_back(demo: Demo, events: list[int], rng: np.random.Generator) -> Spoilt:
    """A first try lifts the object and sets it down where it stood; a second one carries it off."""
    closing = int(rng.choice(events[::2]))
    top = closing + int(rng.integers(13, 17))
    first = [*range(top), *range(top, closing + 4, -1)]
    opened = len(first)
    steps = _again(demo, [*first, *[closing] * 4], closing)
    spoilt = _moved(demo, steps)
    return _done(told(spoilt.demo, slice(opened, opened + 4), 1.0, 1.0), spoilt)


SPOILINGS = (chatter, pauses, noise, delay, no_release, missed, slipped, put_back)


def both(first: Spoil, second: Spoil, demo: Demo, events: list[int], rng: np.random.Generator) -> Spoilt:
    """Two things go wrong in one demo."""
    once = first(demo, events, rng)
    twice = second(once.demo, [once.step[event] for event in events], rng)
    step = {old: twice.step[new] for old, new in once.step.items()}
    return Spoilt(twice.demo, twice.truth, step, max(once.late, twice.late))
