"""Rollouts per hour of `handful evaluate`, beside a plain loop over one Gymnasium environment with the same policy.

    python benchmarks/evaluation.py [--long] [--task lift] [--run RUN] [--batch 32]

Prints one JSON object: `value` rollouts per hour of processor time on one thread, as `handful evaluate` makes them
(scenes in batches, two cameras of 84x84); `limit` those that the bare `mj_step`, network and render calls of the same
rollouts would allow; `ratio` of the two; and `times_plain`, how many times as many as a plain loop makes:
`gymnasium.make("handful/Lift-v0")` with the same cameras, size and rendering, `reset`, a policy asked for one scene at
a time, and `step` until the episode is over. Gymnasium's contract has the loop draw both cameras in every step, though
the policy looks at one in `execute` of them; `times_plain_drawing_looks` leaves the bare time of
the other frames out.

The scenes are the same, and both go on to the horizon unless an episode ends before. Without `--run` the policy is a
`small` one with untrained weights, which lasts to the horizon. Both take turns; times are the process's own, so that
whatever else runs on the machine matters little, and so that two cores make about twice the rollouts in an hour.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import torch

import scenes  # noqa: F401  registers the environments
from benchmarks.latency import make_policy
from benchmarks.rendering import BareLoop, groups_in_view
from handful import random_stream
from pipelines.deciding import Decider
from pipelines.rollouts import plain_conditions
from pipelines.runner import Rollout, RolloutConfig
from policies.policy import Policy
from sim.rendering import FrameRenderer
from sim.robots import get_embodiment

_SEED = 0


def plain(env: gymnasium.Env, decider: Decider, task: str, scene: int) -> tuple[int, int]:
    """One episode as one would write it; returns control steps and decisions."""
    policy = decider.policy
    seen, info = env.reset(seed=_SEED, options={"scene": scene})
    noise = random_stream("evaluation", _SEED, task, scene, "policy")
    command, steps, looks, over = seen["joint_position"].astype(float), 0, 0, False
    while not over:
        looks += 1
        (chunk,) = decider(
            {camera: seen[f"images/{camera}"][None] for camera in policy.cameras},
            seen["joint_position"][None].astype(float),
            seen["gripper_opening"].astype(float),
            [info["instruction"]],
            command[None],
            noise.standard_normal((1, *decider.noise_shape), dtype=np.float32),
        )
        for action in chunk[: policy.execute]:
            seen, _, terminated, truncated, info = env.step(action.astype(np.float32))
            command, steps, over = action[:-1], steps + 1, terminated or truncated
            if over:
                break
    return steps, looks


def bare_seconds(rollout: Rollout, policy: Policy, looks: int, steps: int) -> dict[str, float]:
    """Processor time of nothing but the engine, the network and the drawing of a batch's rollouts [s]."""
    sim, lanes = rollout.sim, rollout.lanes
    turns = 12
    before = time.process_time()
    for _ in range(turns):
        sim.batch.step(nstep=sim.steps_per_control())
    physics = (time.process_time() - before) / (turns * len(lanes)) * steps
    size, rows = next(iter(policy.resolution.values())), policy.batch_size
    images = {camera: np.zeros((rows, *size, 3), np.uint8) for camera in policy.cameras}
    robot = rollout.workspace.embodiment
    joints = np.zeros((rows, len(robot.joints) + 10), np.float32)
    joints[:, -6:] = (1, 0, 0, 0, 1, 0)  # upright
    noise = np.zeros((rows, *rollout.decider.noise_shape), np.float32)
    sentences = [rollout.scenes[0].instruction] * rows
    before = time.process_time()
    for _ in range(4):
        policy.act(images, joints, sentences, robot.name, None, noise)
    network = (time.process_time() - before) / (4 * rows) * looks
    model, states = sim.batch.get_model(0), np.stack(rollout.states[0][:: policy.execute])
    with FrameRenderer(model, *size) as renderer:
        groups = groups_in_view(model, states, renderer, policy.cameras)
        loop = BareLoop(model, states, renderer._gpu, renderer._scene, size[0], groups, policy.cameras)
        loop.run(1)
        before = time.process_time()
        loop.run(len(states))
        frames = (time.process_time() - before) / len(states) * looks
    return {"physics": physics, "network": network, "frames": frames}


def measure(long: bool, task: str = "lift", run: Path | None = None, batch: int = 32) -> dict[str, Any]:
    """Measure.

    Args:
        long: three batches and twelve plain episodes; otherwise one batch and two.
        task: name of the task.
        run: of a trained policy; None: an untrained `small`.
        batch: scenes that advance together.
    """
    torch.set_num_threads(1)
    together = make_policy("small", torch.device("cpu")) if run is None else Policy.load(run)
    alone = Policy(together.network, together.record, batch_size=1)
    together.batch_size = batch
    (condition,) = plain_conditions(task, ["sim"], "panda")
    config = RolloutConfig(batch=batch, threads=1)
    resolution = next(iter(together.resolution.values()))[0]
    name = "".join(part.capitalize() for part in task.split("_"))
    env = gymnasium.make(
        f"handful/{name}-v0", domain="sim", cameras=together.cameras, resolution=resolution, quality="fast"
    )
    told = "sim" if "sim" in together.domains else None
    decider = Decider(alone, get_embodiment("panda"), told, config.rest)
    plain(env, decider, task, 1000)  # warms up
    ours: list[float] = []
    others: list[float] = []
    steps = looks = plain_steps = plain_looks = successes = 0
    bare = {"physics": 0.0, "network": 0.0, "frames": 0.0}
    for turn in range(3 if long else 1):
        before = time.process_time()
        rollout = Rollout(condition, together, list(range(turn * batch, (turn + 1) * batch)), _SEED, config)
        rows = rollout.run()
        ours.append(time.process_time() - before)
        successes += sum(row["outcome"] == "success" for row in rows)
        taken = sum(row["steps"] for row in rows)
        seen = sum(-(-row["steps"] // together.execute) for row in rows)
        steps, looks = steps + taken, looks + seen
        for part, spent in bare_seconds(rollout, together, seen, taken).items():
            bare[part] += spent
        for scene in range(turn * batch, turn * batch + (4 if long else 2)):
            before = time.process_time()
            found = plain(env, decider, task, scene)
            others.append(time.process_time() - before)
            plain_steps, plain_looks = plain_steps + found[0], plain_looks + found[1]
    env.close()
    needless = bare["frames"] / looks * (plain_steps - plain_looks)
    episodes = batch * len(ours)
    # Per control step, since a trained policy's first few episodes may be longer or shorter than the others.
    mine, plains = sum(ours) / steps, sum(others) / plain_steps
    value, limit = 3600 * episodes / sum(ours), 3600 * episodes / sum(bare.values())
    return {
        "benchmark": "evaluation",
        "task": task,
        "value": value,
        "limit": limit,
        "ratio": value / limit,
        "times_plain": plains / mine,
        "times_plain_drawing_looks": (sum(others) - needless) / plain_steps / mine,
        "seconds_of_200": 200 * sum(ours) / episodes,
        "episodes": episodes,
        "successes": successes,
        "plain_episodes": len(others),
        "control_steps_per_episode": steps / episodes,
        "bare_seconds": bare,
        "seconds": sum(ours),
        "batch": batch,
        "mujoco": mujoco.__version__,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="three batches and twelve plain episodes")
    parser.add_argument("--task", default="lift")
    parser.add_argument("--run", type=Path, help="a trained policy; else an untrained `small`")
    parser.add_argument("--batch", type=int, default=32)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.task, chosen.run, chosen.batch)))


if __name__ == "__main__":
    main()
