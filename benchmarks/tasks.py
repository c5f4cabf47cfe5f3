"""In how many scenes of a task and level the scripted operator succeeds.

    python benchmarks/tasks.py [--long] [--tasks lift,lift:D1] [--scenes 200] [--domain sim] [--embodiment panda]

Prints one JSON object: `value` the lowest share of scenes that succeeded at the first attempt, `limit` all of them,
`tasks` the share, n, outcomes and failed scenes of each. The scenes are those that `handful record --seed 0` draws.
"""

import argparse
import json
import multiprocessing
from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from generators.scripted import ScriptedOperator
from generators.teleoperation import Limits, integrate, track
from handful import random_stream
from pipelines.doctor import cores
from scenes.domains import get_domain
from scenes.monitor import Monitor
from scenes.outcome import Outcome
from scenes.scene import draw_scene, load_scenes
from scenes.task import World
from scenes.workspace import TABLE_TOP, build_workspace
from sim.batch import BatchSim

_LANES = 25
TASKS = tuple(f"{task}{level}" for task in ("lift", "stack", "stack_three", "square") for level in ("", ":D1"))


def attempt(indices: list[int], task: str, domain: str, embodiment: str) -> list[str]:
    """Outcome labels of the operator's attempts at scenes of a recording, all at once.

    The commands are followed as `generators.teleoperation.Session` follows them.
    """
    workspace = build_workspace(task, embodiment)
    robot, ids = workspace.embodiment, np.arange(len(indices))
    scenes = [draw_scene(workspace, get_domain(domain), "recording", 0, i) for i in indices]
    sim = BatchSim(workspace.model, robot, len(ids))
    load_scenes(sim, workspace, ids, scenes)
    monitor = Monitor(workspace, sim)
    monitor.begin(ids, scenes)
    world, joints = workspace.observe(sim, ids), sim.joint_position(ids)
    target = robot.chain.forward(joints)
    limits = [Limits().over(float(height) - TABLE_TOP) for height in world.table_height]
    operators = [ScriptedOperator() for _ in ids]
    for i, scene in enumerate(scenes):
        rng = random_stream("recording", 0, workspace.task.name, scene.index, "operator")
        operators[i].begin(scene, workspace, rng)
    for _ in range(2 * workspace.task.horizon):
        live = ids[[monitor.outcome[i] is None for i in ids]]
        if len(live) == 0:
            break
        world = workspace.observe(sim, live)
        commands = [operators[i].read(_row(world, row), target[i]) for row, i in enumerate(live)]
        wanted = np.stack(
            [integrate(target[i], c, limits[i], 1.0 / sim.timing.rate) for i, c in zip(live, commands, strict=True)]
        )
        joints[live], target[live], _ = track(robot, joints[live], target[live], wanted, sim.timing.rate)
        gripper = np.array([[c.gripper] for c in commands])
        sim.step(live, np.concatenate([joints[live], gripper], axis=1).astype(np.float32).astype(float))
        monitor.update(live)
    monitor.give_up(ids)
    return [outcome.label for outcome in monitor.outcome if outcome is not None]


def _row(world: World, row: int) -> World:
    """One scene of many, as a batch of one."""
    one = slice(row, row + 1)
    return World(
        {name: pose[one] for name, pose in world.objects.items()},
        {name: speed[one] for name, speed in world.speeds.items()},
        *(part[one] for part in (world.tool, world.opening, world.table_height)),
    )


def measure(
    long: bool,
    tasks: tuple[str, ...] = TASKS,
    scenes: int | None = None,
    domain: str = "sim",
    embodiment: str = "panda",
) -> dict[str, object]:
    """The operator's rates.

    Args:
        long: 200 scenes per task instead of 25.
        tasks: names, with levels.
        scenes: per task, in place of what `long` says.
        domain: what scenes are drawn from.
        embodiment: the robot.
    """
    count = scenes or (200 if long else 25)
    rows = {task: rate(task, count, domain, embodiment) for task in tasks}
    value = min(row["rate"] for row in rows.values())
    return {
        "benchmark": "tasks",
        "value": value,
        "limit": 1.0,
        "ratio": value,
        "scenes": count,
        "domain": domain,
        "embodiment": embodiment,
        "tasks": rows,
    }


def rate(task: str, scenes: int, domain: str, embodiment: str) -> dict[str, Any]:
    """The operator's rate on the first scenes of a task and level."""
    chunks = [list(range(first, min(first + _LANES, scenes))) for first in range(0, scenes, _LANES)]
    with multiprocessing.get_context("spawn").Pool(cores()) as pool:
        made = pool.map(partial(attempt, task=task, domain=domain, embodiment=embodiment), chunks)
    outcomes = [label for chunk in made for label in chunk]
    return {
        "rate": outcomes.count(Outcome.SUCCESS.label) / scenes,
        "n": scenes,
        "outcomes": dict(Counter(outcomes)),
        "failed": [i for i, label in enumerate(outcomes) if label != Outcome.SUCCESS.label],
    }


def main() -> None:
    """Measure as the command line says, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--scenes", type=int)
    parser.add_argument("--domain", default="sim")
    parser.add_argument("--embodiment", default="panda")
    options = parser.parse_args()
    tasks = tuple(options.tasks.split(","))
    print(json.dumps(measure(options.long, tasks, options.scenes, options.domain, options.embodiment)))


if __name__ == "__main__":
    main()
