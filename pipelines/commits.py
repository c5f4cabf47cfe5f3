"""The chunks of a run, handed to an executor until the plan or the count is fulfilled, and what came of them."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from generators.coverage import Coverage
from handful import JobError
from pipelines.chunks import ChunkJob
from pipelines.executors import run_tasks
from pipelines.faults import Failure, Limits, Queue
from pipelines.quarantine import Quarantine, Step, Task, lacking
from pipelines.tally import Tally
from scenes.task import get_task
from trajectories import Store

# So many chunks on end without a scene that could be made, and it is not the scenes.
_BARREN = 3


class Account:
    """What is known of the run so far. With --count it also knows when to stop."""

    def __init__(self, store: Store, count: int | None) -> None:
        self.store, self.count = store, count
        self.tally = Tally()
        self.coverage = Coverage(get_task(store.plan["task"]))
        # Of finished chunks that follow the first without a gap: how many, and what they kept. Of others: what.
        self._next = self._in_order = 0
        self._ahead: dict[int, int] = {}

    def add(self, index: int, records: list[dict[str, Any]]) -> None:
        """Note a finished chunk."""
        self._count(records)
        self._ahead[index] = sum(record["outcome"] == "success" for record in records)
        while self._next in self._ahead:
            self._in_order += self._ahead.pop(self._next)
            self._next += 1

    def add_again(self, index: int, before: list[dict[str, Any]], records: list[dict[str, Any]]) -> None:
        """Note a chunk that was made again with more of its scenes."""
        self._count(before, -1)
        self._count(records)
        more = sum(
            (r["outcome"] == "success") - (b["outcome"] == "success") for b, r in zip(before, records, strict=True)
        )
        if index < self._next:
            self._in_order += more
        else:
            self._ahead[index] += more

    def _count(self, records: list[dict[str, Any]], sign: int = 1) -> None:
        self.tally.add(records, sign)
        self.coverage.add(records, sign)

    def enough(self) -> bool:
        """Whether `count` episodes are kept, in scene order."""
        return self.count is not None and self._in_order >= self.count


def commits(
    make: Callable[[ChunkJob], dict[str, Any]],
    jobs: list[ChunkJob],
    account: Account,
    done: set[int],
    workers: int,
    address: str | None,
    limits: Limits,
) -> Iterator[list[str]]:
    """Run the chunks that are missing until the plan or the count is fulfilled.

    Args:
        make: makes a chunk and commits it.
        jobs: the plan's chunks.
        account: of the run.
        done: chunks that were committed before.
        workers, address, limits: where and how; see `pipelines.executors.run_tasks`.

    Yields:
        After each, sentences about what went wrong.

    Raises:
        JobError: chunk after chunk cannot be made at all.
    """
    quarantine = Quarantine()
    by_index = {job.index: job for job in jobs}
    before = {index: account.store.part_records(index) for index in sorted(done.intersection(by_index))}
    queue: Queue = deque()
    for index, records in before.items():
        account.add(index, records)
    before = {index: records for index, records in before.items() if lacking(records)}
    if not account.store.has_deletions():
        for index, records in before.items():
            queue.extend(_jobs_of(quarantine.reopen(index, by_index[index].scenes, lacking(records)), by_index))
    if not account.enough():
        queue.extend((job.index, job) for job in jobs if job.index not in done)
    barren = 0
    with closing(run_tasks(make, queue, workers, address, limits, jobs[0].config.engine.threads)) as results:
        for key, result in results:
            failure = result if isinstance(result, Failure) else None
            said = []
            if isinstance(key, Step):
                tasks = quarantine.after(key, failure)
                if key.kind == "look" and failure is not None:
                    said = [f"scene {key.scene} is left out: {failure}"]
            elif failure is not None:
                tasks = quarantine.narrow(key, by_index[key].scenes)
                said = [f"chunk {key} is made scene by scene: {failure}"]
            else:
                tasks = []
            # What is known to be wrong goes first: a count is only reached in order.
            queue.extendleft(reversed(_jobs_of(tasks, by_index)))
            if failure is None and not (isinstance(key, Step) and key.kind == "look"):
                index = key.chunk if isinstance(key, Step) else key
                if index in before:
                    account.add_again(index, before[index], result["scenes"])
                else:
                    account.add(index, result["scenes"])
                barren = barren + 1 if len(lacking(result["scenes"])) == len(result["scenes"]) else 0
                if barren == _BARREN:
                    raise JobError(
                        f"the last {barren} chunks had no scene that could be made; the last of them: "
                        f"{result['scenes'][-1]['reason']}"
                    )
            yield said
            if account.enough():
                return


def _jobs_of(tasks: list[Task], by_index: dict[int, ChunkJob]) -> list[tuple[Any, ChunkJob]]:
    return [(step, replace(by_index[step.chunk], narrowed=narrowed)) for step, narrowed in tasks]
