"""A small run folder as the jobs leave it, with pictures that are cheap to draw."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.pictures import captioned, write_video
from pipelines.runs import video_name
from trajectories import Episode, EpisodeMeta, Store

STEPS = 12


def frames(scene: int, steps: int = STEPS, side: int = 84) -> np.ndarray:
    """A ball moving over a floor, (steps, side, side, 3) uint8."""
    rng = np.random.default_rng(scene)
    floor, ball = rng.integers(60, 200, 3), rng.integers(40, 256, 3)
    rows, columns = np.mgrid[:side, :side]
    images = np.empty((steps, side, side, 3), np.uint8)
    for step in range(steps):
        x, y = side * (0.2 + 0.6 * step / steps), side * (0.5 + 0.2 * math.sin(scene + step / 4))
        inside = (columns - x) ** 2 + (rows - y) ** 2 < (side / 8) ** 2
        images[step] = np.where(inside[..., None], ball, floor)
    return images


def make_episode(scene: int, cameras: tuple[str, ...] = ("front", "wrist"), **meta: Any) -> Episode:
    rng = np.random.default_rng(scene)
    pose = np.tile(np.array([0.4, 0, 0.2, 1, 0, 0, 0], np.float32), (STEPS, 1))
    action = np.clip(rng.normal(0.5, 0.1, (STEPS, 8)), 0, 1).astype(np.float32)
    arrays = {
        "observation/joint_position": action[:, :7].copy(),
        "observation/joint_velocity": np.zeros((STEPS, 7), np.float32),
        "observation/gripper_opening": action[:, 7:].copy(),
        "observation/tool_pose_in_base": pose,
        "action/executed": action,
        "action/intended": action.copy(),
        "action/tool_pose_in_base": pose.copy(),
        "subtask": (np.arange(STEPS) // 6).astype(np.int8),
        "source/demo": np.where(np.arange(STEPS) < 3, -1, scene % 2).astype(np.int32),
        "source/step": np.arange(STEPS, dtype=np.int32),
    }
    for number, camera in enumerate(cameras):
        arrays[f"images/{camera}"] = frames(scene + 100 * number)
    fields: dict[str, Any] = {
        "task": "lift",
        "embodiment": "panda",
        "domain": "sim",
        "control_rate": 20.0,
        "instruction": f"lift the {('red', 'green', 'blue')[scene % 3]} cube",
        "paraphrases": ("raise it",),
        "outcome": "success",
        "operator": "augmentation",
        "action_source": "commanded",
        "scene": scene,
        "sources": tuple({"episode": i, "operator": "script"} for i in range(10)),
    }
    return Episode(arrays, EpisodeMeta(**{**fields, **meta}))


def make_store(path: Path, episodes: int = 6, cameras: tuple[str, ...] = ("front", "wrist")) -> Store:
    """A store of two parts; every third scene took a second attempt, and one more scene failed."""
    store = Store.create(path, {"kind": "test", "task": "lift", "episodes": episodes})
    half = episodes // 2
    for part, scenes in enumerate((range(half), range(half, episodes))):
        records = [
            {
                "scene": scene,
                "outcome": "success",
                "attempts": ["grasp_missed", "success"] if scene % 3 == 2 else ["success"],
                "steps": STEPS,
            }
            for scene in scenes
        ]
        if part:
            records.append({"scene": episodes, "outcome": "collided", "attempts": ["collided"] * 2, "steps": STEPS})
        store.commit(part, [make_episode(scene, cameras) for scene in scenes], records)
    return store


RESULTS = [
    {
        "task": "lift",
        "domain": "sim",
        "successes": 90,
        "episodes": 100,
        "rate": 0.9,
        "ci": [0.8256, 0.9448],
        "outcomes": {"success": 90, "grasp_missed": 7, "timed_out": 3},
    },
    {
        "task": "lift",
        "domain": "twin/dev-0",
        "successes": 40,
        "episodes": 50,
        "rate": 0.8,
        "ci": [0.6696, 0.8876],
        "outcomes": {"success": 40, "grasp_missed": 6, "object_dropped": 4},
    },
]

GENERATION = {
    "attempts": 1251,
    "kept": 872,
    "scenes": 1000,
    "generation_rate": 0.872,
    "first_try_rate": 0.741,
    "seconds": 208.4,
    "kept_per_hour": 15063.3,
    "mean_duration": 8.3,
    "latched": 31,
    "outcomes": {"success": 872, "grasp_missed": 171, "collided": 96, "unreachable": 61, "object_dropped": 51},
    "coverage": {
        "unrecorded": 2,
        "roles": {
            "target": {
                "cells": 64,
                "tried": 64,
                "kept": 63,
                "share": 63 / 64,
                "lowest": {"x": [0.6, 0.65], "y": [-0.15, -0.075], "yaw": [0.5, 1.0], "kept": 0, "tried": 12},
            }
        },
    },
    "store": "store",
}


CHECKPOINT = {
    "step": 3000,
    "config": {"model": {"width": 192}, "batch_size": 64},
    "sources": [
        {"path": "/data/generated.zarr", "share": 0.75, "digest": "ab", "episodes": 872, "tasks": ["lift"]},
        {"path": "/data/human.zarr", "share": 0.25, "digest": "cd", "episodes": 10, "tasks": ["lift"]},
    ],
    "vocabulary": ["cube", "lift"],
}


def make_run(folder: Path) -> Path:
    """Everything a run folder may hold."""
    make_store(folder / "store", episodes=12)
    _write(folder / "generation.json", GENERATION)
    lines = []
    for step in range(0, 3001, 10):
        record: dict[str, Any] = {"step": step, "seconds": step / 10, "loss": 0.05 + 1.2 * math.exp(-step / 400)}
        if step % 500 == 0:
            held_out = {"/data/generated.zarr": record["loss"] * 1.1, "/data/human.zarr": record["loss"] * 1.4}
            record = {"step": step, "validation": held_out}
        lines.append(json.dumps(record))
    (folder / "training").mkdir()
    (folder / "training" / "log.jsonl").write_text("\n".join(lines) + "\n")
    _write(folder / "training" / "checkpoint-00001000" / "checkpoint.json", {"config": {"width": 1}})
    _write(folder / "training" / "checkpoint-00003000" / "checkpoint.json", CHECKPOINT)
    _write(folder / "evaluation" / "results.json", {"results": RESULTS})
    _write(folder / "machine.json", {"processor": "Test processor", "cores": 2, "mujoco": "3.17.0"})
    (folder / "commands.txt").write_text(
        "handful generate --task lift --count 872 --out store\nhandful train --data store\n"
    )
    for domain, outcome in (("sim", "success"), ("sim", "grasp_missed"), ("twin/dev-0", "success")):
        path = folder / "evaluation" / "videos" / video_name(domain, outcome)
        pictures = [captioned(frame.repeat(3, 0).repeat(3, 1), [domain, outcome]) for frame in frames(len(outcome))]
        write_video(path, pictures, 20)
    return folder


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
