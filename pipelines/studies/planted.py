"""Studies whose truth is known: rollouts drawn from a law, with the noise of training seeds and of scenes.

They show how often intervals hold the truth (`handful bench studies`), and what a planned study could tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from pipelines.studies.laws import Law
from pipelines.studies.results import UNWEIGHTED, Cell, Table


@dataclass(frozen=True, eq=False)
class Truth:
    """A law and the noise about it.

    Attributes:
        law: its form.
        theta: (5,) its parameters.
        seed_share: of the variance of what decides a rollout, what a training run shares over scenes, [0, 1).
        scene_share: what a scene shares over training runs, [0, 1); both together below 1.
    """

    law: Law
    theta: np.ndarray
    seed_share: float = 0.03
    scene_share: float = 0.2

    def rate(self, n_real: float, n_sim: float) -> float:
        """Expected success of a mix."""
        return float(self.law.success(self.theta, np.array([n_real], float), np.array([n_sim], float))[0])

    def worth(self, n_sim: float) -> float:
        """What so many synthetic demos are worth in real ones."""
        return float(self.law.effective(self.theta, np.array([0.0]), np.array([n_sim], float))[0])


def drawn(
    truth: Truth,
    n_real: Sequence[int],
    n_sim: Sequence[int],
    seeds: int,
    scenes: int,
    rng: np.random.Generator,
    weight: str = "natural",
) -> Table:
    """Draw a study's rollouts.

    A rollout succeeds where a normal number, of which scene and training run each decide a share, falls below the
    quantile of its mix's rate. So the rate is the law's exactly, whatever the noise.
    """
    scene = rng.standard_normal(scenes)
    rest = 1 - truth.seed_share - truth.scene_share
    cells = []
    for real in n_real:
        for sim in n_sim:
            if not real + sim:
                continue
            level = norm.ppf(truth.rate(real, sim))
            for seed in range(seeds):
                luck = (
                    np.sqrt(truth.scene_share) * scene
                    + np.sqrt(truth.seed_share) * rng.standard_normal()
                    + np.sqrt(rest) * rng.standard_normal(scenes)
                )
                rule = weight if real and sim else UNWEIGHTED
                share = real / (real + sim)
                cells.append(Cell(real, sim, rule, share, seed, "planted", "planted", np.arange(scenes), luck < level))
    return Table(tuple(cells))
