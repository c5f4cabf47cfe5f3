"""Milliseconds from a look to its chunk of actions, and by how much a 50 Hz loop beside it is ever late.

    python benchmarks/latency.py [--long] [--preset small] [--device cpu] [--threads 2]

Prints one JSON object: `value` the 95th percentile of what one decision takes, from two cameras' images to joint
targets: normalising, the network at its Euler steps, smoothing, inverse kinematics; `limit` the milliseconds of its
matrix products and convolutions at the rate of one large bare matrix product on the same threads; `ratio` of the two.
Median, the network alone and processor time beside it. Then a robot's loop at 50 Hz, with the policy deciding in
another thread (`policies.realtime`): the longest that a turn was kept by the controller, and how often a turn came
later than a period after the one before.

The weights are untrained, which changes nothing of the time. Times are the clock's: on a machine that does something
else they say little, and the processor time of the same decisions says more.
"""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import SIDE, make_store, open_blend
from pipelines.deciding import Decider, joint_limits
from policies.config import load_config
from policies.cpu import prepare_process, resolve_device
from policies.description import describe_run
from policies.execution import Pace
from policies.policy import Policy, build_network
from policies.realtime import Controller
from sim.panda import PANDA

CAMERAS = ("front", "wrist")
CONTROL_RATE = 50.0


def make_policy(preset: str, device: torch.device) -> Policy:
    """A policy for the Panda as it is before training."""
    with TemporaryDirectory() as folder:
        make_store(Path(folder) / "data.zarr")
        config = load_config(preset, ["minutes=null"])
        record = describe_run(config, open_blend(Path(folder) / "data.zarr", config), None, ())
    network = build_network(record).to(device).eval()
    return Policy(network, record, batch_size=1)


def look(rng: np.random.Generator) -> dict[str, Any]:
    """What a robot sees and feels at rest."""
    images = {camera: rng.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8) for camera in CAMERAS}
    return {"images": images, "joints": PANDA.home[None], "opening": np.ones(1), "instructions": ["lift the red cube"]}


def bare_rate(device: torch.device) -> float:
    """Operations per second of a matrix product in fp32."""
    size = 1024 if device.type == "cpu" else 8192
    a = torch.randn(size, size, device=device)
    best = 0.0
    for _ in range(20):
        started = time.perf_counter()
        torch.mm(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def loop_beside(decide: Callable[[dict[str, Any], np.ndarray], np.ndarray], policy: Policy, seconds: float) -> Any:
    """A loop at 50 Hz, with the policy beside it."""
    seen = look(np.random.default_rng(1))
    start = np.append(PANDA.home, 1.0)
    pace = Pace("asynchronous", policy.horizon, policy.execute)
    late, turns = 0, round(seconds * CONTROL_RATE)
    with Controller(
        decide, pace, policy.control_rate, 1 / CONTROL_RATE, start, joint_limits(PANDA, 10.0)
    ) as controller:
        due = time.perf_counter()
        for _ in range(turns):
            controller.step(lambda: seen)
            due += 1 / CONTROL_RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            late += time.perf_counter() > due + 1 / CONTROL_RATE
    held = dict(controller.execution.held)
    return {
        "turns": turns,
        "decisions": len(controller.latencies),
        "longest_turn_ms": 1e3 * controller.longest,
        "late_turns": late,
        "held_turns_at_the_start": held.pop("waiting", 0),
        "held_turns": sum(held.values()),
        "latency_p95_ms": 1e3 * float(np.percentile(list(controller.latencies), 95)),
    }


def measure(long: bool, preset: str = "small", device: str = "cpu", threads: int = 2) -> dict[str, Any]:
    """Decide again and again, then beside a loop.

    Args:
        long: 2,000 decisions and 60 s of the loop instead of 200 and 6 s.
        preset: of the policy.
        device: "cpu" or "cuda".
        threads: on a processor.
    """
    prepare_process(threads)
    where = resolve_device(device)
    policy, rng = make_policy(preset, where), np.random.default_rng(0)
    decider = Decider(policy, PANDA)

    def decide(seen: dict[str, Any], command: np.ndarray) -> np.ndarray:
        noise = rng.standard_normal((1, *decider.noise_shape), dtype=np.float32)
        return decider(**seen, command=command[None, :-1], noise=noise)[0]

    start, seen = np.append(PANDA.home, 1.0), [look(rng) for _ in range(8)]
    counter = FlopCounterMode(display=False)
    for counting in (counter, nullcontext()):
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), counting:
            decide(seen[0], start)
    clock, processor = [], []
    for turn in range(10 + (2000 if long else 200)):
        before = time.perf_counter(), time.process_time()
        decide(seen[turn % len(seen)], start)
        clock.append(1e3 * (time.perf_counter() - before[0]))
        processor.append(1e3 * (time.process_time() - before[1]))
    clock, processor = clock[10:], processor[10:]
    value, limit = float(np.percentile(clock, 95)), 1e3 * counter.get_total_flops() / bare_rate(where)
    return {
        "benchmark": "latency",
        "preset": preset,
        "device": device if where.type == "cpu" else torch.cuda.get_device_name(),
        "threads": threads,
        "value": value,
        "limit": limit,
        "ratio": value / limit,
        "median_ms": float(np.median(clock)),
        "fastest_ms": min(clock),
        "processor_median_ms": float(np.median(processor)),
        "processor_p95_ms": float(np.percentile(processor, 95)),
        "decisions": len(clock),
        "cameras": list(CAMERAS),
        "euler_steps": policy.config.euler_steps,
        "loop_at_50_hz": loop_beside(decide, policy, 60.0 if long else 6.0),
    }


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="2,000 decisions and a minute of the loop")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.preset, chosen.device, chosen.threads)))


if __name__ == "__main__":
    main()
