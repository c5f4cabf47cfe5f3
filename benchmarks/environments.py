"""Control steps per second of the vector environment, beside a bare `mujoco.batch` loop at the same control rate.

    python benchmarks/environments.py [--long] [--task stack_three] [--envs 64] [--threads 1] [--cameras front,wrist]

Prints one JSON object: `value` control steps/s of all environments together, without images unless asked for, `limit`
those of the same scenes under the same setpoints in a loop that only steps the batch, `ratio` of the two; and what it
costs to start a scene. Both advance in turn from the same states, and the fastest of each turn counts: whatever else
runs on the machine only adds. On one thread, time is the process's own.
"""

import argparse
import json
import time

import numpy as np

from scenes.vector import VectorTaskEnvironment

_TURN = 1  # control steps of each turn


def actions_of(env: VectorTaskEnvironment, t: int) -> np.ndarray:
    """Arms that sway above their objects, grippers that open and close, (N, J + 1)."""
    home = env._stage.workspace.embodiment.home
    phase = 0.1 * t + np.arange(env.num_envs)[:, None]
    sway = home + 0.2 * np.sin(phase + np.arange(len(home)))
    return np.concatenate([sway, 0.5 + 0.5 * np.cos(phase)], axis=1).astype(np.float32)


def measure(
    long: bool, task: str = "stack_three", envs: int = 64, threads: int = 1, cameras: tuple[str, ...] = ()
) -> dict[str, object]:
    """Step the environment and the bare batch in turn.

    Args:
        long: 200 turns instead of 30.
        task: name of the task.
        envs: number of environments.
        threads: of the physics, in both.
        cameras: to render; the bare loop renders nothing.
    """
    turns = 200 if long else 30
    clock = time.process_time if threads == 1 else time.perf_counter
    env = VectorTaskEnvironment(envs, task, cameras=cameras, namespace="generation", threads=threads)
    sim, lanes = env._stage.sim, np.arange(envs)
    begin = clock()
    env.reset(seed=0)
    started = (clock() - begin) / envs
    substeps = sim.steps_per_control()
    ours, bare, step = [], [], 0
    for _ in range(turns):
        before = sim.snapshot(lanes)
        begin, inputs = clock(), []
        for _ in range(_TURN):
            ended = env.step(actions_of(env, step))[2:4]
            inputs.append(sim.ctrl.copy())
            step += 1
        ours.append(clock() - begin)
        after = sim.snapshot(lanes)
        sim.restore(lanes, before)
        begin = clock()
        for ctrl in inputs:
            sim.ctrl[:] = ctrl
            sim.batch.step(nstep=substeps)
        bare.append(clock() - begin)
        sim.restore(lanes, after)
        if np.any(ended):  # touched something, or came to the horizon
            env.reset()
    env.close()
    steps = envs * _TURN
    value, limit = steps / min(ours), steps / min(bare)
    horizon = env._stage.horizon
    return {
        "benchmark": "environments",
        "task": task,
        "envs": envs,
        "threads": threads,
        "cameras": list(cameras),
        "value": value,
        "limit": limit,
        "ratio": value / limit,
        "ratio_of_all": sum(bare) / sum(ours),
        "start_ms_per_scene": 1e3 * started,
        "with_starts_at_the_horizon": horizon / (horizon / value + started),
        "control_steps": turns * steps,
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="200 turns instead of 30")
    parser.add_argument("--task", default="stack_three")
    parser.add_argument("--envs", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cameras", default="")
    chosen = parser.parse_args()
    cameras = tuple(name for name in chosen.cameras.split(",") if name)
    print(json.dumps(measure(chosen.long, chosen.task, chosen.envs, chosen.threads, cameras)))


if __name__ == "__main__":
    main()
