"""Generation in which some scenes go wrong, as it reaches worker processes: they import it by name.

Which scene does what is in a file beside the store: `<store>.faults.json`, scene -> "hang", "die", "raise" or
"diverge". A scene with a fault "once" more ("hang once") has it only until it has left a mark.
"""

import json
import os
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from generators.augment import ChunkResult, Engine
from pipelines import chunks
from scenes.scene import Scene

_make_chunk = chunks.make_chunk
_simulate = Engine.simulate
_fields = Scene.fields


def plan_faults(store: Path, faults: dict[int, str]) -> None:
    """Say what goes wrong while `store` is made."""
    _plan(store).write_text(json.dumps(faults))


def _plan(store: Path) -> Path:
    return store.with_name(f"{store.name}.faults.json")


def make_chunk(job: chunks.ChunkJob) -> dict[str, Any]:
    """`chunks.make_chunk`, with the faults."""
    path = Path(job.store)
    faults = {int(scene): what for scene, what in json.loads(_plan(path).read_text()).items()}

    def simulate(self: Engine, indices: list[int], *rest: Any) -> ChunkResult:
        for scene in indices:
            what, _, once = faults.get(scene, "").partition(" ")
            if once:
                mark = path.with_name(f"{path.name}.mark.{scene}")
                if mark.exists():
                    continue
                mark.touch()
            if what == "hang":
                time.sleep(3600)
            if what == "die":
                os._exit(7)
            if what == "raise":
                raise ValueError(f"scene {scene} is made to fail")
        return _simulate(self, indices, *rest)

    def fields(self: Scene, workspace: Any) -> dict[str, np.ndarray]:
        """Servos of a scene that diverges push joints on instead of holding them."""
        values = _fields(self, workspace)
        if faults.get(self.index) == "diverge":
            values["actuator_biasprm"][:7, 1:3] *= -1e6
        return values

    with mock.patch.object(Engine, "simulate", simulate), mock.patch.object(Scene, "fields", fields):
        return _make_chunk(job)
