"""`handful distance`: how far the images of two stores lie apart, and whether a classifier tells them apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from handful import InputError, unknown_name
from pipelines.metrics.distances import frechet_distance, frechet_floor, kernel_distance, two_sample
from pipelines.metrics.features import policy_encoder, random_convolution
from pipelines.statistics import wilson_interval
from trajectories import open_dataset
from trajectories.dataset import Dataset

# What images are described by where no policy is given.
RANDOM = "random convolution"
# What the classifier needs of each set.
_LEAST = 10


def run(
    a: Path, b: Path, cameras: Sequence[str] = (), policy: Path | None = None, images: int = 500, seed: int = 0
) -> dict[str, Any]:
    """Measure the distance of two stores' images.

    Args:
        a: a store or view.
        b: another.
        cameras: to compare; all that both have if empty. With a policy: those that it looks through.
        policy: a run whose first look is the feature; None: fixed random convolutions, of each camera on its own.
        images: of each store at most, one of each episode: frames of one episode are no independent images.
        seed: which episodes, and which of their frames.

    Returns:
        "a", "b"; "feature"; "distances": per camera, or all that the policy sees together, `camera`, `n` (of each set),
        `frechet` and `floor`, the mean of what two halves of a set score (null where there are too few images for the
        feature), `kernel`, `accuracy` with `ci`, `auc`, `p_value` and `held_out`.

    Raises:
        InputError: a store has no such camera or too few episodes, or the images of a camera differ in size.
    """
    stores = [open_dataset(path) for path in (a, b)]
    for path, store in zip((a, b), stores, strict=True):
        if len(store) < _LEAST:
            raise InputError(f"'{path}' has {len(store)} episodes; a distance needs at least {_LEAST} of each store")
    rngs = [np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(k,)))) for k in range(2)]
    if policy is not None:
        if cameras:
            raise InputError("the policy says which cameras are compared; leave --cameras out")
        features, named = _by_policy(policy, stores, (a, b), images, rngs)
    else:
        chosen = _cameras(stores, (a, b), cameras)
        places = [_places(store, images, rng) for store, rng in zip(stores, rngs, strict=True)]
        features = {
            camera: [random_convolution(_frames(*each, camera)) for each in zip(stores, places, strict=True)]
            for camera in chosen
        }
        named = RANDOM
    rows = [{"camera": camera, **_distances(sets[0], sets[1], seed)} for camera, sets in features.items()]
    return {"a": str(a), "b": str(b), "feature": named, "distances": rows}


def _by_policy(
    run: Path, stores: Sequence[Dataset], paths: Sequence[Path], images: int, rngs: Sequence[np.random.Generator]
) -> tuple[dict[str, list[np.ndarray]], str]:
    from policies.policy import Policy

    policy = Policy.load(run)
    _cameras(stores, paths, policy.cameras)
    robot = next(iter(policy.preparer.normalisers))
    sentence = stores[0].meta(0).instruction
    sets = []
    for store, rng in zip(stores, rngs, strict=True):
        place = _places(store, images, rng)
        seen = {camera: _frames(store, place, camera) for camera in policy.cameras}
        sets.append(policy_encoder(policy, seen, sentence, robot))
    return {", ".join(policy.cameras): sets}, f"first look of the policy in {run}"


def _cameras(stores: Sequence[Dataset], paths: Sequence[Path], wanted: Sequence[str]) -> list[str]:
    shared = [camera for camera in stores[0].cameras() if camera in stores[1].cameras()]
    for path, store in zip(paths, stores, strict=True):
        for camera in wanted:
            if camera not in store.cameras():
                raise unknown_name(f"camera in '{path}'", camera, store.cameras())
    if not shared:
        had = " and ".join(", ".join(store.cameras()) or "none" for store in stores)
        raise InputError(f"'{paths[0]}' and '{paths[1]}' have no camera in common; they have {had}")
    return list(wanted) or shared


def _places(store: Dataset, most: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(episode, step) of the images to take, one of each episode."""
    chosen = np.sort(rng.permutation(len(store))[:most])
    lengths = store.index().length[chosen]
    return [
        (int(episode), int(share * length))
        for episode, share, length in zip(chosen, rng.random(len(chosen)), lengths, strict=True)
    ]


def _frames(store: Dataset, places: Sequence[tuple[int, int]], camera: str) -> np.ndarray:
    return np.concatenate([store.read(episode, f"images/{camera}", t, t + 1) for episode, t in places])


def _distances(a: np.ndarray, b: np.ndarray, seed: int) -> dict[str, Any]:
    rng = np.random.Generator(np.random.PCG64(seed))
    # Halves of a set must be larger than the feature, or there is nothing to hold the distance against.
    enough = min(len(a), len(b)) // 2 > a.shape[1]
    told = two_sample(a, b, rng)
    n = sum(told.held_out)
    return {
        "n": [len(a), len(b)],
        "width": a.shape[1],
        "frechet": frechet_distance(a, b) if enough else None,
        "floor": float(np.mean([frechet_floor(each, rng) for each in (a, b)])) if enough else None,
        "kernel": kernel_distance(a, b),
        "accuracy": told.accuracy,
        "ci": list(wilson_interval(told.accuracy * n, n)),
        "auc": told.auc,
        "p_value": told.p_value,
        "held_out": list(told.held_out),
    }


def distance_table(result: Mapping[str, Any]) -> RenderableType:
    """The distances as a person reads them."""
    table = Table(box=None)
    for heading in ("camera", "images", "Fréchet", "of two halves", "kernel (KID)", "told apart", "p"):
        table.add_column(heading)
    needed = None
    for row in result["distances"]:
        low, high = (100 * end for end in row["ci"])
        if row["frechet"] is None:
            needed = 2 * (row["width"] + 1)
        table.add_row(
            Text(row["camera"]),
            " and ".join(f"{n:,}" for n in row["n"]),
            *("-" if row[name] is None else f"{row[name]:.4g}" for name in ("frechet", "floor")),
            f"{row['kernel']:.4g}",
            f"{100 * row['accuracy']:.1f} % (of {sum(row['held_out']):,}; 95 % interval {low:.1f} to {high:.1f} %)",
            f"{row['p_value']:.2g}",
        )
    lines = [Text(f"feature: {result['feature']}; a classifier that guesses tells 50 % apart")]
    if needed is not None:
        lines.append(Text(f"the Fréchet distance needs {needed:,} episodes of each store for a feature of this size"))
    return Group(table, *lines)
