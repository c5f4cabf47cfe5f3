"""A small data set with everything that the browser shows, and the demos that it was made of."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.pipelines.run_folder import make_episode
from trajectories import Episode, Store

COLOURS = ("red", "green", "blue")


def make_demos(path: Path, episodes: int = 3) -> Store:
    """Demos with pictures, so that nothing has to be drawn."""
    store = Store.create(path, {"kind": "test demos", "episodes": episodes})
    store.commit(0, [make_episode(50 + i, operator="human") for i in range(episodes)], [])
    store.seal(None)
    return Store.open(path)


def make_gallery(path: Path, demos: Store | None = None, episodes: int = 24, per_part: int = 10) -> Store:
    """Episodes of two domains, with a ledger; some scenes took several attempts, some gave none."""
    store = Store.create(path, {"kind": "test gallery", "episodes": episodes})
    sources = tuple({"store": demos.plan_digest, "episode": i, "operator": "human"} for i in range(3)) if demos else ()
    for part, start in enumerate(range(0, episodes, per_part)):
        scenes = range(start, min(start + per_part, episodes))
        made = [_episode(scene, sources) for scene in scenes]
        records: list[dict[str, Any]] = [
            {"scene": s, "outcome": "success", "attempts": ["grasp_missed"] * (s % 3) + ["success"], "steps": 12}
            for s in scenes
        ]
        records.append({"scene": 1000 + part, "outcome": "collided", "attempts": ["collided", "collided"], "steps": 5})
        store.commit(part, made, records)
    store.seal(None)
    return Store.open(path)


def _episode(scene: int, sources: tuple[dict[str, Any], ...]) -> Episode:
    x, y = 0.4 + 0.01 * (scene % 6), -0.1 + 0.01 * scene
    ledger = {
        "physics": {"friction": round(0.4 + 0.02 * scene, 3)},
        "poses": {"cube": [x, y, 0.02, 1.0, 0.0, 0.0, 0.0]},
        "look": {"colour": COLOURS[scene % 3]},
    }
    episode = make_episode(
        scene,
        ledger=ledger,
        attempts=scene % 3 + 1,
        domain="sim" if scene % 4 else "twin/dev-0",
        sources=sources,
        seeds={"namespace": "generation", "seed": 7, "attempt": scene % 3, "keys": {}},
        versions={"handful": "0.1.0"},
    )
    demo = np.where(np.arange(len(episode)) < 3, -1, scene % 3).astype(np.int32)
    episode.arrays["source/demo"] = demo
    episode.arrays["source/step"] = np.where(demo < 0, -1, np.arange(len(episode))).astype(np.int32)
    episode.arrays["objects/cube"] = np.tile(np.array([x, y, 0.02, 1, 0, 0, 0], np.float32), (len(episode), 1))
    episode.arrays["signals/held"] = np.arange(len(episode)) > 6
    return episode


def hurt(store: Path, part: int, name: str, place: float = 0.5) -> None:
    """Flip a byte of one file of a part."""
    file = store / "parts" / f"{part:08d}" / name
    data = bytearray(file.read_bytes())
    data[int(len(data) * place)] ^= 0xFF
    file.write_bytes(bytes(data))
