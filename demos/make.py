"""Record the bundled demonstrations again: run as `python demos/make.py [TASK ...]` after a task's model has
changed.

They come from the scripted operator, through the same teleoperation path as a person's, and say so. All ten of a task
are put into one part, so that a checkout has few files.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from pipelines.progress import Reporter
from pipelines.record import run
from trajectories import Store

HERE = Path(__file__).resolve().parent
# Task -> seed of its scenes: one whose first ten ask for every object more than once, where a task has several.
SEEDS = {"lift": 0, "stack": 0, "stack_three": 0, "square": 0, "pick_place": 1}


def main() -> None:
    """Record ten demos of each task, or of those named, without randomisation, and replace the bundled ones."""
    for task in sys.argv[1:] or SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            recorded = Path(folder) / "recorded"
            run(task, "script", recorded, 10, SEEDS[task], "none", [], Reporter())
            store = Store.open(recorded)
            whole = Store.create(Path(folder) / task, store.plan)
            whole.commit(0, [store.episode(i) for i in range(len(store))], store.scene_records())
            whole.seal(None)
            shutil.rmtree(HERE / task, ignore_errors=True)
            shutil.copytree(Path(folder) / task, HERE / task)


if __name__ == "__main__":
    main()
