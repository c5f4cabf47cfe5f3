"""Training steps of a preset beside the same model in plain code, and the share of the machine's arithmetic they use.

    python benchmarks/training.py [--long] [--preset small] [--device cpu] [--threads 1]

Prints one JSON object: `value` samples/s of `handful train`, `limit` samples/s if all of its matrix products and
convolutions, forward and backward, ran at the rate of one large bare matrix product on the same threads and in the same
precision, `ratio` of the two: the share of the machine's rate.

`times_plain` is the gain on plain eager code in fp32, as one writes it first: every flow time is a sample of its own,
so that its image is encoded once per flow time; images and weights lie in memory channel by channel; pixels go into
blocks by `pixel_unshuffle`, colours are joined to features; AdamW, gradient norm and average go parameter by parameter;
the C library gives freed memory back. `times_plain_encoded_once` is the gain on the same code with each image encoded
once. All three give the same loss, which is checked. They run in turns, each in a process of its own; the fastest turn
of each counts, since whatever else runs on the machine only adds. On a processor, time is that of the process and all
its threads; on a CUDA device it is the clock's.
"""

import argparse
import json
import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from handful import JobError
from policies.config import TrainConfig, load_config
from policies.cpu import resolve_device
from policies.description import describe_run
from policies.disturb import disturbed, draw_disturbance
from policies.heads import Draws
from policies.policy import build_network
from policies.prefix import Eye, Observation
from policies.samples import Preparer, Sample
from policies.tensors import to_device
from policies.train import LOG_EVERY, train
from trajectories import Blend, Episode, EpisodeMeta, Source, Store, WindowSpec

EPISODES, STEPS, SIDE = 24, 64, 84


def make_store(path: Path) -> None:
    """Episodes of two cameras in which nothing is to be learnt: how long a step takes does not depend on it."""
    store = Store.create(path, {"kind": "benchmark", "task": "lift", "episodes": EPISODES})
    episodes = []
    for scene in range(EPISODES):
        rng = np.random.default_rng(scene)
        action = rng.uniform(0, 1, (STEPS, 8)).astype(np.float32)
        pose = np.zeros((STEPS, 7), np.float32)
        pose[:, :3], pose[:, 3] = rng.uniform(0.2, 0.5, (STEPS, 3)), 1
        arrays = {
            "observation/joint_position": action[:, :7].copy(),
            "observation/joint_velocity": np.zeros((STEPS, 7), np.float32),
            "observation/gripper_opening": action[:, 7:].copy(),
            "observation/tool_pose_in_base": pose,
            "action/executed": action,
            "action/intended": action.copy(),
            "action/tool_pose_in_base": pose.copy(),
            "subtask": np.zeros(STEPS, np.int8),
            "source/demo": np.zeros(STEPS, np.int32),
            "source/step": np.arange(STEPS, dtype=np.int32),
            **{f"images/{c}": rng.integers(0, 256, (STEPS, SIDE, SIDE, 3), np.uint8) for c in ("front", "wrist")},
        }
        meta = EpisodeMeta(
            task="lift",
            embodiment="panda",
            domain="sim",
            control_rate=20.0,
            instruction=f"lift the {('red', 'green', 'blue')[scene % 3]} cube",
            paraphrases=(),
            outcome="success",
            operator="script",
            action_source="commanded",
            scene=scene,
        )
        episodes.append(Episode(arrays, meta))
    records = [{"scene": i, "outcome": "success", "attempts": ["success"], "steps": STEPS} for i in range(EPISODES)]
    store.commit(0, episodes, records)
    store.seal(None)


def open_blend(path: Path, config: TrainConfig) -> Blend:
    """The data as `train` reads it."""
    span = max((config.horizon, *(step + 1 for step in config.waypoints)))
    return Blend([Source(str(path))], WindowSpec(config.cameras, span, config.action, 0.05), config.seed, "memory")


class PlainEye:
    """The forward pass of `Eye`, written down as it is drawn."""

    def __init__(self, eye: Eye) -> None:
        self.eye = eye

    def __call__(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """See `Eye.forward`."""
        eye = self.eye
        colours = nnf.pixel_unshuffle(image * 4 - 2, 2)
        x = nnf.relu(eye.norms[0](eye.convolutions[0](colours)))
        for convolution, norm, film in zip(eye.convolutions[1:], eye.norms[1:], eye.film, strict=True):
            scale, shift = film(text)[:, :, None, None].chunk(2, 1)
            x = nnf.relu(norm(convolution(x)) * (1 + scale) + shift)
        x = torch.cat([x, nnf.pixel_unshuffle(colours, 2)], 1)
        query = eye.query(text).unflatten(-1, (eye.named, eye.KEY)) / math.sqrt(eye.KEY)
        logits = torch.cat([eye.maps(x).flatten(2), query @ eye.key(x).flatten(2)], 1)
        attention = (eye.SHARPNESS * logits).softmax(-1)
        where = attention @ eye.grid
        what = attention @ x.flatten(2).transpose(1, 2)
        return eye.token(torch.cat([what, 2 * where], -1)) + eye.name, where


class Step:
    """A training step of a configuration, ours or in plain code, without the trainer around it."""

    def __init__(self, path: Path, config: TrainConfig, plain: bool, encode_once: bool) -> None:
        self.config, self.plain, self.encode_once = config, plain, encode_once
        self.blend = open_blend(path, config)
        self.device = resolve_device(config.device)
        record = describe_run(config, self.blend, None, ())
        self.preparer = Preparer.from_json(record)
        self.network = build_network(record).to(self.device)
        self.average = build_network(record).to(self.device)
        if plain:
            for parameter in self.network.parameters():
                parameter.data = parameter.data.contiguous()
            for eye in self.network.prefix.eyes.values():  # type: ignore[union-attr, operator]
                eye.forward = PlainEye(eye)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, (0.9, 0.95), foreach=False, fused=False
        )
        self.count = 0

    def loss(self) -> Tensor:
        """The loss of the next batch."""
        config = self.config
        generator = torch.Generator().manual_seed(self.count)
        sample = self.preparer.prepare(self.blend.batch(self.count, config.batch_size))
        draws = to_device(self.network.draw(sample, generator), self.device)
        drawn = to_device(draw_disturbance(config, sample, generator), self.device)
        sample = to_device(sample, self.device)
        seen = disturbed(config, sample, drawn)
        self.count += 1
        if not self.encode_once:
            seen, sample, draws = repeated(seen, sample, draws)
        return self.network.loss(seen, sample, draws).total

    def __call__(self) -> None:
        """A whole step."""
        self.optimiser.zero_grad()
        self.loss().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip, foreach=False)
        self.optimiser.step()
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - self.config.ema)


def repeated(seen: Observation, sample: Sample, draws: Draws) -> tuple[Observation, Sample, Draws]:
    """Each flow time of each sample as a sample of its own."""
    times = draws.time.shape[1]

    def each(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: each(item) for key, item in value.items()}
        return value.repeat_interleave(times, 0) if isinstance(value, Tensor) else value

    seen = Observation(**{name: each(value) for name, value in vars(seen).items()})
    sample = Sample(**{name: each(value) for name, value in vars(sample).items()})
    return seen, sample, Draws(draws.noise.flatten(0, 1)[:, None], draws.time.flatten(0, 1)[:, None])


def serve(kind: str, path: Path, config: TrainConfig, pipe: Connection) -> None:
    """Steps of one kind, a turn at a time: each message is answered by the seconds of a step.

    `kind` is "ours", `handful train` itself; "plain" or "plain_once", the plain code; or "bare", matrix products, which
    are answered by operations per second.
    """
    cpu = resolve_device(config.device).type == "cpu"
    clock = time.process_time if cpu else _synchronised
    torch.set_num_threads(config.threads or torch.get_num_threads())
    if kind == "ours":
        last = [0.0, 0.0]

        def turn(progress: Any) -> None:
            taken = (clock() - last[0]) / (progress.step - last[1])
            pipe.send(taken)
            pipe.recv()
            last[:] = [clock(), progress.step]

        pipe.recv()
        train(config, [Source(str(path))], path.parent / "run", turn)
        return
    if kind == "bare":
        work = _bare(cpu)
    else:
        step = Step(path, config, plain=True, encode_once=kind == "plain_once")
        work = _timed(step, clock, 2 if cpu else LOG_EVERY)
    while True:
        pipe.recv()
        pipe.send(work())


def _timed(step: Callable[[], None], clock: Callable[[], float], steps: int) -> Callable[[], float]:
    def work() -> float:
        started = clock()
        for _ in range(steps):
            step()
        return (clock() - started) / steps

    return work


def _bare(cpu: bool) -> Callable[[], float]:
    """Operations per second of a matrix product: in fp32 on a processor, in bf16 on a CUDA device."""
    size, times = (1024, 20) if cpu else (8192, 20)
    a = torch.randn(size, size, device="cpu" if cpu else "cuda", dtype=torch.float32 if cpu else torch.bfloat16)
    taken = _timed(lambda: torch.mm(a, a), time.process_time if cpu else _synchronised, times)
    return lambda: 2 * size**3 / taken()


def _synchronised() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def operations(path: Path, config: TrainConfig) -> float:
    """Operations of matrix products, convolutions and attention of one step of ours, forward and backward."""
    step = Step(path, config, plain=False, encode_once=True)
    # Attention as plain products, which the counter knows on every device.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step.loss().backward()
    return float(counter.get_total_flops())


def require_same_loss(path: Path, config: TrainConfig) -> None:
    """The three variants are one model.

    Raises:
        JobError: their losses differ by more than rounding.
    """
    kinds = {"ours": (False, True), "plain": (True, False), "plain, encoded once": (True, True)}
    losses = {name: float(Step(path, config, *kind).loss().detach()) for name, kind in kinds.items()}
    if max(losses.values()) - min(losses.values()) > 1e-4 * abs(losses["ours"]):
        raise JobError(f"the variants give different losses, {losses}; they are not the same model")


def measure(long: bool, preset: str = "small", device: str = "cpu", threads: int = 1) -> dict[str, Any]:
    """Train a few steps of each kind in turns.

    Args:
        long: ten turns of each kind instead of two; one goes ahead that does not count.
        preset: of the policy.
        device: "cpu" or "cuda".
        threads: on a processor.
    """
    turns = 1 + (10 if long else 2)
    steps = (turns + 1) * LOG_EVERY
    given = [f"steps={steps}", "minutes=null", "checkpoints=1", f"device={device}", f"threads={threads}"]
    config = load_config(preset, given)
    context = multiprocessing.get_context("spawn")
    kinds = ("ours", "plain", "plain_once", "bare")
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.zarr"
        make_store(path)
        require_same_loss(path, config)
        flops = operations(path, config)
        workers = {}
        for kind in kinds:
            near, far = context.Pipe()
            process = context.Process(target=serve, args=(kind, path, config, far), daemon=True)
            process.start()
            far.close()
            workers[kind] = (process, near)
        try:
            for kind, answer in _turns(workers, turns):
                found[kind].append(answer)
        finally:
            for process, near in workers.values():
                process.terminate()
                process.join()
                near.close()
    best = {kind: (max if kind == "bare" else min)(answers[1:]) for kind, answers in found.items()}
    value, limit = config.batch_size / best["ours"], config.batch_size * best["bare"] / flops
    return {
        "benchmark": "training",
        "preset": preset,
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
        "threads": threads,
        "value": value,
        "limit": limit,
        "ratio": value / limit,
        "times_plain": best["plain"] / best["ours"],
        "times_plain_encoded_once": best["plain_once"] / best["ours"],
        "step_ms": 1e3 * best["ours"],
        "plain_step_ms": 1e3 * best["plain"],
        "operations_per_step": flops,
        "bare_operations_per_s": best["bare"],
        "batch_size": config.batch_size,
        "turns": turns - 1,
        "steps_per_turn": LOG_EVERY,
    }


def _turns(workers: dict[str, tuple[Any, Connection]], turns: int) -> Iterator[tuple[str, float]]:
    for _ in range(turns):
        for kind, (process, pipe) in workers.items():
            pipe.send(None)
            while not pipe.poll(1.0):
                if not process.is_alive():
                    raise JobError(f"the process of '{kind}' ended with {process.exitcode}")
            yield kind, pipe.recv()


def main() -> None:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--long", action="store_true", help="ten turns of each kind instead of two")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.long, chosen.preset, chosen.device, chosen.threads)))


if __name__ == "__main__":
    main()
