"""`handful probe`: can a linear classifier tell from a policy's features which data it looks at?

Twice: from what the policy sums up of images, arm and sentence as they were recorded, and from what it sees alone, with
everything but the images held fixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from handful import InputError
from pipelines.metrics.features import policy_encoder, prefix_features
from pipelines.metrics.probe import LEAST, domain_probe
from pipelines.progress import Reporter
from pipelines.unseen import Unseen, unseen

if TYPE_CHECKING:
    from policies.policy import Policy

# What a probe reads.
KINDS = {"everything": "images, arm and sentence", "images": "images alone"}


def run(
    runs: Sequence[str | Path], data: Sequence[str], episodes: int, frames: int, seed: int, progress: Reporter
) -> dict[str, Any]:
    """Probe policies with the same data.

    Args:
        runs: training runs' folders, or checkpoints'.
        data: paths of two or more stores to be told apart.
        episodes: at most so many of each, of those that the policy has not learnt from; as many of each store.
        frames: of each episode, evenly spread.
        seed: which episodes fit the classifier, and which test it.
        progress: where progress is shown.

    Returns:
        "policies": per policy `policy`, `step`, `stores` (`store`, `domains`, `episodes`, `learnt`), `notes`, and
        `everything` and `images`, each as `pipelines.metrics.probe.Probe`.

    Raises:
        InputError: fewer than two stores, or a store does not fit a policy or has too few episodes.
    """
    from policies.policy import Policy

    if len(data) < 2:
        raise InputError(f"a probe tells data apart; give at least two --data, got {len(data)}")
    if frames < 1:
        raise InputError(f"at least 1 frame of each episode must be looked at, got {frames}")
    opened = []
    for path in runs:
        policy = Policy.load(path)
        stores = [unseen(policy, store, episodes) for store in data]
        for store in stores:
            if len(store.episodes) < LEAST:
                raise InputError(
                    f"'{store.path}' has {len(store.episodes)} episodes that '{path}' did not learn from; a probe "
                    f"needs at least {LEAST} of each store"
                )
        opened.append((path, policy, stores))
    found = []
    with progress("probe", len(opened)) as bar:
        for count, (path, policy, stores) in enumerate(opened, 1):
            found.append(_probed(str(path), policy, stores, frames, seed))
            bar.update(count)
    return {"policies": found}


def _probed(path: str, policy: "Policy", stores: Sequence[Unseen], frames: int, seed: int) -> dict[str, Any]:
    batches = [[store.frames(episode, frames) for episode in store.episodes.tolist()] for store in stores]
    owners = [np.repeat(np.arange(len(each)), frames) for each in batches]
    first = batches[0][0]
    sentence, robot = first["instruction"][0], first["embodiment"][0]

    def seen(batch: Mapping[str, Any]) -> np.ndarray:
        images = {camera: np.asarray(batch[f"images/{camera}"]) for camera in policy.cameras}
        return policy_encoder(policy, images, sentence, robot)

    features = {
        "everything": [np.concatenate([prefix_features(policy, batch) for batch in each]) for each in batches],
        "images": [np.concatenate([seen(batch) for batch in each]) for each in batches],
    }
    return {
        "policy": path,
        "step": policy.record["step"],
        "stores": [
            {
                "store": store.path,
                "domains": store.domains,
                "episodes": len(store.episodes),
                "learnt": store.learnt,
            }
            for store in stores
        ],
        # The same halves for both.
        **{
            kind: asdict(domain_probe(values, owners, np.random.Generator(np.random.PCG64(seed))))
            for kind, values in features.items()
        },
        "notes": list(dict.fromkeys(note for store in stores for note in store.notes)),
    }


def probe_table(result: Mapping[str, Any]) -> RenderableType:
    """The accuracies as a person reads them."""
    table = Table(box=None)
    for heading in ("policy", "step", "read from", "told apart", "95 % interval", "chance", "held-out episodes"):
        table.add_column(heading)
    for row in result["policies"]:
        for kind, called in KINDS.items():
            low, high = row[kind]["ci"]
            table.add_row(
                Text(row["policy"]),
                f"{row['step']:,}",
                called,
                f"{100 * row[kind]['accuracy']:.1f} %",
                f"{100 * low:.1f} to {100 * high:.1f} %",
                f"{100 * row[kind]['chance']:.1f} %",
                f"{row[kind]['episodes']:,}",
            )
    lines = [
        Text(f"{store['store']}: {', '.join(store['domains'])}, {store['episodes']:,} episodes")
        for store in result["policies"][0]["stores"]
    ]
    notes = dict.fromkeys(note for row in result["policies"] for note in row["notes"])
    return Group(table, *lines, *(Text(f"note: {note}") for note in notes))
