"""How often and how soon a person at the page sees what the robot does.

    python benchmarks/teleoperation.py [--long] [--resolution 256]

Runs `handful record --device browser` in a process of its own, drives the arm to and fro over the page's websocket, and
notes each picture as it comes. Prints one JSON object: `value` pictures of both cameras per second, `limit` how many
the same machine draws and encodes where it does nothing else, `ratio` of the two; beside them the control rate that was
held, the milliseconds from a command to the picture that shows it, and the cores that the command was busy on. Decoding
in the browser is not in it: the page shows its own, measured there.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from handful import JobError
from pipelines.web.drawing import pack
from pipelines.web.teleoperation import CAMERAS
from scenes.domains import get_domain
from scenes.scene import draw_scene, load_scenes
from scenes.workspace import build_workspace
from sim.batch import BatchSim
from sim.rendering import FrameRenderer

ROOT = Path(__file__).resolve().parent.parent
# Seconds of driving before anything is counted.
_WARM_UP = 3.0
_PERIOD = 0.04


def draw_alone(resolution: int, seconds: float) -> float:
    """Pictures of both cameras per second, drawn and encoded by a bare loop."""
    workspace, lane = build_workspace("lift"), np.array([0])
    scene = draw_scene(workspace, get_domain("sim"), "recording", 0, 0)
    sim = BatchSim(workspace.model, workspace.embodiment, 1)
    load_scenes(sim, workspace, lane, [scene])
    model, count = sim.batch.get_model(0), 0
    with FrameRenderer(workspace.model, resolution, resolution) as renderer:
        pack(renderer.render(model, sim.state[0], CAMERAS), 0)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            pack(renderer.render(model, sim.state[0], CAMERAS), 0)
            count += 1
        return count / (time.perf_counter() - start)


def busy(process: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def drive(address: str, process: int, seconds: float) -> dict[str, Any]:
    """Drive up and down for a while, and note every picture and status."""
    begun = time.perf_counter()
    arrivals: list[float] = []
    delays: list[float] = []
    rates: list[float] = []
    seen = 0.0
    load = [0.0, 0.0]

    async def steer(socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            now = time.perf_counter() - begun
            axes = [0.0, 0.0, 0.3 if int(now) % 2 else -0.3, 0.0, 0.0, 0.0]
            await socket.send_json({"type": "steer", "axes": axes, "clutch": False, "at": 1000 * now})
            await asyncio.sleep(_PERIOD)

    async with aiohttp.ClientSession() as session:
        origin = address.rstrip("/")
        async with session.ws_connect(f"{origin}/socket", headers={"Origin": origin}, max_msg_size=0) as socket:
            await socket.send_json({"type": "hello", "tab": "benchmark"})
            hand = asyncio.create_task(steer(socket))
            async for frame in socket:
                now = time.perf_counter() - begun
                if now < _WARM_UP:
                    load[0], warm = busy(process), now
                    continue
                if now > _WARM_UP + seconds:
                    load[1] = busy(process)
                    break
                if frame.type is aiohttp.WSMsgType.TEXT:
                    status = json.loads(frame.data)
                    rates += [status["rate"]] if status["type"] == "status" else []
                    continue
                arrivals.append(now)
                _, echo, _, _ = struct.unpack_from("<IdfI", frame.data)
                if echo != seen:
                    delays.append(1000 * now - echo)
                seen = echo
            hand.cancel()
    gaps = 1000 * np.diff(arrivals)
    return {
        "pictures": len(arrivals),
        "rate": (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]),
        "gap_ms": {"median": float(np.median(gaps)), "p95": float(np.quantile(gaps, 0.95))},
        "control_rate": float(np.mean(rates)),
        "latency_ms": {"median": float(np.median(delays)), "p95": float(np.quantile(delays, 0.95)), "n": len(delays)},
        "cores_busy": (load[1] - load[0]) / (now - warm),
    }


def measure(long: bool, resolution: int = 256) -> dict[str, Any]:
    """Serve, drive and count; see the module."""
    seconds = 120.0 if long else 15.0
    with tempfile.TemporaryDirectory() as folder:
        words = ["record", "--task", "lift", "--device", "browser", "--port", "0", "--out", f"{folder}/s"]
        words += ["--resolution", str(resolution)]
        command = [sys.executable, "-c", "from pipelines.entry import main; main()", *words]
        server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        try:
            assert server.stderr is not None
            said = next((m[1] for line in server.stderr if (m := re.search(r"open (\S+) and drive", line))), None)
            if said is None:
                raise JobError("handful record ended before it served a page")
            seen = asyncio.run(drive(said, server.pid, seconds))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
    limit = draw_alone(resolution, 5.0)
    return {
        "value": seen.pop("rate"),
        "limit": limit,
        "ratio": seen["pictures"] / seconds / limit,
        "resolution": resolution,
        "seconds": seconds,
        **seen,
    }


def main() -> None:
    """Print the figures of this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--resolution", type=int, default=256)
    given = parser.parse_args()
    print(json.dumps(measure(given.long, given.resolution)))


if __name__ == "__main__":
    main()
