"""Several processes that train one policy together, started by `torchrun`: each computes its rows of every batch.

The batch, its random numbers and the weights are those of one process; gradients are summed. So N processes train as
one would, but for rounding. Process 0 writes, validates and decides.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from handful import InputError

# Others wait while process 0 evaluates rollouts.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """This process's rows of a batch."""
        if batch_size % self.size:
            raise InputError(f"batch_size must be a multiple of the processes, {self.size}, got {batch_size}")
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, the same bits in each."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes; where there is none, there is none anywhere."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.sum(torch.cat([g.flatten() for g in gradients]))
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def agree(self, seconds: float, interrupted: bool) -> tuple[float, bool]:
        """How long process 0 has trained, and whether anyone was interrupted: all must end at the same step."""
        if self.size == 1:
            return seconds, interrupted
        told = torch.tensor([seconds if self.leads else 0.0, float(interrupted)], dtype=torch.float64)
        dist.all_reduce(told, dist.ReduceOp.MAX, group=_words())
        return float(told[0]), bool(told[1])

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier(group=_words())


_GROUPS: list[dist.ProcessGroup] = []


def _words() -> dist.ProcessGroup:
    """The group for what is no tensor on a device."""
    return _GROUPS[0]


@contextlib.contextmanager
def joined_ranks(device: str) -> Iterator[tuple[Ranks, str]]:
    """Join the processes that `torchrun` started; alone where it started none.

    Args:
        device: "auto", "cpu" or "cuda".

    Yields:
        this process among them, and the device that it computes on.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(), device
        return
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    place = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda and place >= torch.cuda.device_count():
        raise InputError(f"{size} processes need a device each, and here are {torch.cuda.device_count()}")
    if cuda:
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    _GROUPS.append(dist.new_group(backend="gloo", timeout=_PATIENCE))
    try:
        yield Ranks(dist.get_rank(), size), "cuda" if cuda else "cpu"
    finally:
        _GROUPS.clear()
        dist.destroy_process_group()
