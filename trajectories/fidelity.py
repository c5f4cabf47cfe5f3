"""How true a data set's frames are: what a lossy image codec has cost, from what each part says of itself.

Every part keeps the mean squared error between the frames it was given and those that are read back from it. A data
set's is the mean over its parts, each counted by the frames that the data set has of it.
"""

from dataclasses import dataclass

import numpy as np

from trajectories.dataset import Dataset
from trajectories.jpeg import psnr
from trajectories.store import Store
from trajectories.views import View


@dataclass(frozen=True)
class Fidelity:
    """How the frames of one camera are stored."""

    # The plans' image codecs, as "jpeg:95"; None among them: lossless.
    codecs: tuple[str | None, ...]
    # Between stored and original frames, over all pixels and channels, on the scale of 0 to 255.
    mean_squared_error: float

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio [dB]; infinite where nothing is lost."""
        return psnr(self.mean_squared_error)

    def __str__(self) -> str:
        names = ["lossless" if codec is None else codec.upper().replace(":", " ") for codec in self.codecs]
        return " and ".join(names) + ("" if names == ["lossless"] else f", {self.psnr:.1f} dB")


def fidelity(dataset: Dataset, camera: str) -> Fidelity:
    """How the frames of a camera are stored in the parts that hold the episodes of a data set.

    Raises:
        InputError: no such camera.
        JobError: what a part says of itself is missing or damaged.
    """
    dataset.row_shape(f"images/{camera}")  # refuses a camera that there is not
    index = dataset.index()
    if isinstance(dataset, View):
        stores, source, part = dataset.stores, dataset.selection.source, dataset.selection.part
    else:
        assert isinstance(dataset, Store)
        stores, source, part = [dataset], np.zeros(len(dataset), np.int64), index.part
    codecs = {store.plan.get("image_codec") for store in stores}
    error = 0.0
    for number, store in enumerate(stores):
        mine = source == number
        if store.plan.get("image_codec") is not None:
            frames = np.bincount(part[mine], weights=index.length[mine])
            error += sum(store.image_error(int(held), camera) * frames[held] for held in np.flatnonzero(frames))
    named = sorted(codecs, key=lambda codec: codec or "")
    return Fidelity(tuple(named), error / max(dataset.frames, 1))
