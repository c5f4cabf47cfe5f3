"""`handful generate --dry-run`: what a run would make, how long it would take and how much room it would need.

The first scenes of the plan are made here, as the run would make them, into a folder that is gone afterwards; what they
take is what the others will. A figure from so few scenes says roughly how much, not exactly.
"""

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.chunks import ChunkJob
from trajectories import Store

# Scenes that are made to see how it goes.
_SAMPLE = 8


def forecast(
    make: Callable[[ChunkJob], Any], job: ChunkJob, plan: dict[str, Any], count: int | None, at_once: int
) -> dict[str, Any]:
    """Make a few scenes of a plan and work out the rest.

    Args:
        make: makes a chunk and commits it.
        job: the plan's first chunk.
        plan: the plan.
        count: episodes wanted, where it is not scenes.
        at_once: processes that have a core each.

    Returns:
        sample (scenes made), sample_kept, scenes, kept, chunks, seconds, bytes; all but the first two estimated, and
        None where no scene of the sample was kept.
    """
    sample = replace(job, scenes=job.scenes[:_SAMPLE])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        make(replace(sample, store=str(Path(folder) / "store")))
        each = (time.perf_counter() - started) / len(sample.scenes)
        store = Store.open(Path(folder) / "store")
        kept = sum(record["outcome"] == "success" for record in store.scene_records())
        size = store.bytes
    wanted = plan["scenes"]
    if wanted is None:
        assert count is not None  # one of them was asked for
        wanted = math.ceil(count * len(sample.scenes) / kept) if kept else None
    share = kept / len(sample.scenes)
    before = plan["pilot"]["scenes"] if "pilot" in plan else 0
    return {
        "sample": len(sample.scenes),
        "sample_kept": kept,
        "scenes": wanted,
        "kept": None if wanted is None else count or round(wanted * share),
        "chunks": None if wanted is None else -(-wanted // plan["config"]["chunk"]),
        "seconds": None if wanted is None else (wanted + before) * each / at_once,
        "bytes": None if wanted is None else round(size / len(sample.scenes) * wanted),
    }
