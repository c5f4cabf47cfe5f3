"""One change for all tensors of a batch: to another device, or some of its rows."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def each_tensor(value: T, change: Callable[[Tensor], Tensor]) -> T:
    """A copy of a dataclass of tensors, dicts of tensors and Nones, with a change made to each tensor."""
    return _changed(value, change)


def to_device(value: T, device: torch.device) -> T:
    """The same on a device."""
    return each_tensor(value, lambda tensor: tensor.to(device, non_blocking=True))


def take_rows(value: T, rows: slice) -> T:
    """Some rows of every tensor."""
    return each_tensor(value, lambda tensor: tensor[rows])


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: _changed(item, change) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: _changed(getattr(value, f.name), change) for f in fields(value)})
    if value is None:
        return None
    raise TypeError(f"a batch holds tensors, not {type(value).__name__}")
