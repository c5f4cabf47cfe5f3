"""The record of what happened: the episode schema, the store, the loader, and formats in and out."""

from trajectories.schema import FORMAT_VERSION, Episode, EpisodeMeta, validate
from trajectories.store import Store

__all__ = ["FORMAT_VERSION", "Episode", "EpisodeMeta", "Store", "validate"]
