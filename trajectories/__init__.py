"""The record of what happened: the episode schema, the store, the loader, and formats in and out."""

from trajectories.dataset import Dataset, open_dataset
from trajectories.loader import Blend
from trajectories.photometric import Photometric
from trajectories.prefetch import prefetch
from trajectories.schema import FORMAT_VERSION, Episode, EpisodeMeta, validate
from trajectories.sources import Source, WindowSpec
from trajectories.statistics import Statistics, store_statistics
from trajectories.store import Store
from trajectories.views import View

__all__ = [
    "FORMAT_VERSION",
    "Blend",
    "Dataset",
    "Episode",
    "EpisodeMeta",
    "Photometric",
    "Source",
    "Statistics",
    "Store",
    "View",
    "WindowSpec",
    "open_dataset",
    "prefetch",
    "store_statistics",
    "validate",
]
