"""Images kept as a tensor on a device, where a batch is gathered without a copy through the processor's memory.

The only place of this folder that imports torch, and only once a device is asked for: reading data must not need it.
"""

from typing import Any

import numpy as np

from handful import InputError


class DeviceImages:
    """Images as a tensor on a device, where batches of them are gathered too."""

    def __init__(self, count: int, shape: tuple[int, ...], device: str) -> None:
        import torch

        self._torch = torch
        self._tensor = torch.empty((count, *shape), dtype=torch.uint8, device=device)

    def put(self, at: int, rows: np.ndarray) -> None:
        """Fill some rows, from the row `at` on."""
        self._tensor[at : at + len(rows)] = self._torch.from_numpy(np.ascontiguousarray(rows)).to(self._tensor.device)

    def take(self, rows: np.ndarray) -> Any:
        """A copy of some rows as a tensor on the device, with the shape of `rows` in front."""
        flat = self._torch.from_numpy(rows.ravel()).to(self._tensor.device)
        return self._tensor.index_select(0, flat).reshape(*rows.shape, *self._tensor.shape[1:])


def device_memory(device: str) -> int | None:
    """Free memory of one of torch's devices [bytes]; None where it has no memory of its own, or does not say.

    Raises:
        InputError: there is no such device.
    """
    import torch

    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device '{device}' cannot be used: {str(error).splitlines()[0]}") from error
    return int(torch.cuda.mem_get_info(chosen)[0]) if chosen.type == "cuda" else None
