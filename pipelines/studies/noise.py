"""How far the rates of a study can be trusted: noise of training seeds and of scenes, pooled over its cells.

Three or so training seeds per cell say little about that cell's noise: resampling them (a cluster bootstrap) shows
only (S - 1) / S of their variance on average, and at S = 3 its nominal 95 % interval covers 75 %. So the noise is
pooled. Rates are compared as z = arcsin(sqrt(rate)), on which noise that is proportional to p (1 - p), binomial or
beta-binomial, is the same at every rate (Anscombe 1948, with his 3/8). Then

- one training run's z varies with variance s^2 about its cell's: its own luck on S scenes, and that of its training.
  It is pooled over all cells with several seeds, and has `freedom` degrees of freedom, sum of (seeds - 1);
- scenes are the same everywhere, so that an easier sample of them shifts a cell by variance rho / (4 scenes), where
  rho is the correlation over scenes of two of its runs, and two cells together by as much with their runs' correlation.

Intervals take quantiles of Student's t with `freedom` degrees of freedom. Where noise differs between mixes by more
than chance, the interval of one with noisy runs is wider (`shrinkage`); none is narrower than pooled noise makes it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from handful import InputError
from pipelines.studies.results import Mix, Table
from pipelines.studies.shrinkage import shrunk

# Rates outside are too near 0 or 1 for the spread of their runs to say anything on the common scale.
_TELLING = (0.03, 0.97)


@dataclass(frozen=True, eq=False)
class Means:
    """Measured rates of C mixes, and their noise on the scale z = arcsin(sqrt(rate)) [rad].

    Attributes:
        mixes: C of them, sorted.
        rates: (C,) over all seeds and scenes.
        seeds: (C,) training seeds of each.
        scenes: that each seed was tried in.
        z: (C,) rates on the scale, drawn away from its ends as Anscombe does.
        run_variance: s^2, of one run's z about its cell's.
        freedom: degrees of freedom of `run_variance`; infinite where no cell had two seeds, and it is binomial.
        own_variance: (C,) the same of each mix; above the common one where its runs lie apart beyond chance.
        own_freedom: (C,) its degrees of freedom.
        scene_share: correlation over scenes of the outcomes of two runs of one mix, [0, 1].
        paired_share: the same of two runs of different mixes, at most `scene_share`.
        seed_share: share of `run_variance` that is not the binomial luck of scenes; NaN where no cell had two seeds.
    """

    mixes: tuple[Mix, ...]
    rates: np.ndarray
    seeds: np.ndarray
    scenes: int
    z: np.ndarray
    run_variance: float
    freedom: float
    own_variance: np.ndarray
    own_freedom: np.ndarray
    scene_share: float
    paired_share: float
    seed_share: float

    @property
    def covariance(self) -> np.ndarray:
        """(C, C) of `z`."""
        return self._covariance(np.full(len(self.mixes), self.run_variance))

    @property
    def own_covariance(self) -> np.ndarray:
        """(C, C) of `z`, each mix with the noise of its own."""
        return self._covariance(self.own_variance)

    def _covariance(self, of_runs: np.ndarray) -> np.ndarray:
        own = (self.scene_share - self.paired_share) / (4 * self.scenes)
        return np.asarray(np.diag(of_runs / self.seeds + own) + self.paired_share / (4 * self.scenes))

    def quantile(self, confidence: float = 0.95) -> float:
        """How many standard errors a two-sided interval of what is pooled reaches."""
        return float(reach(confidence, self.freedom))

    def place(self, n_real: int, n_sim: int) -> int | None:
        """Number of the mix of these demos, where there is one."""
        found = [i for i, mix in enumerate(self.mixes) if (mix.n_real, mix.n_sim) == (n_real, n_sim)]
        return found[0] if found else None

    def only(self, kept: np.ndarray) -> "Means":
        """Some of the mixes, (C,) bool; their noise stays as pooled over all."""
        mixes = tuple(mix for mix, keep in zip(self.mixes, kept, strict=True) if keep)
        cut = {name: getattr(self, name)[kept] for name in ("rates", "seeds", "z", "own_variance", "own_freedom")}
        return Means(**{**vars(self), **cut, "mixes": mixes})


def means(table: Table) -> Means:
    """Average a study's runs and pool their noise."""
    runs = [table.runs[mix] for mix in table.mixes]
    scenes = runs[0].shape[1]
    seeds = np.array([len(run) for run in runs])
    rates = np.array([run.mean() for run in runs])
    telling = (rates > _TELLING[0]) & (rates < _TELLING[1]) & (seeds > 1)
    arcs = [angle(run.mean(axis=1), scenes) for run, use in zip(runs, telling, strict=True) if use]
    spreads = [float(((z - z.mean()) ** 2).sum()) for z in arcs]
    binomial = 1 / (4 * scenes)
    freedom = float((seeds[telling] - 1).sum()) or np.inf
    variance = float(np.sum(spreads) / freedom) if spreads else binomial
    share, paired = scene_shares(runs)
    # Pooled luck of scenes alone, without what all runs share of it.
    luck = binomial * (1 - share)
    variance = max(variance, luck)
    own_variance, own_freedom = np.full(len(runs), variance), np.full(len(runs), freedom)
    if len(spreads) > 1:
        # A mix whose runs happen to agree to the last scene has no logarithm.
        measured = np.maximum(np.array(spreads) / (seeds[telling] - 1), luck / 100)
        drawn, of_drawn = shrunk(measured, seeds[telling] - 1.0)
        wider = reach(0.95, of_drawn) * np.sqrt(drawn) > reach(0.95, freedom) * np.sqrt(variance)
        own_variance[telling] = np.where(wider, drawn, variance)
        own_freedom[telling] = np.where(wider, of_drawn, freedom)
    return Means(
        mixes=table.mixes,
        rates=rates,
        seeds=seeds,
        scenes=scenes,
        z=angle(rates, np.minimum(seeds / (4 * variance), seeds * scenes)),
        run_variance=variance,
        freedom=freedom,
        own_variance=own_variance,
        own_freedom=own_freedom,
        scene_share=share,
        paired_share=paired,
        seed_share=1 - luck / variance if spreads else np.nan,
    )


def reach(confidence: float, freedom: np.ndarray | float) -> np.ndarray:
    """How many standard errors a two-sided interval reaches, by degrees of freedom; infinite ones are normal."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, got {confidence}")
    return np.asarray(stats.t.ppf((1 + confidence) / 2, freedom))


def angle(rates: np.ndarray, trials: np.ndarray | int) -> np.ndarray:
    """Rates of so many independent trials on the scale of even noise [rad]: arcsin(sqrt((k + 3/8) / (n + 3/4)))."""
    return np.asarray(np.arcsin(np.sqrt((rates * trials + 0.375) / (trials + 0.75))))


def scene_shares(runs: list[np.ndarray]) -> tuple[float, float]:
    """Correlation over scenes of two runs' outcomes: of one mix, and of two mixes; from (seeds, scenes) bool per mix.

    Of runs near 0 or 1 it cannot be told. Two mixes have no more in common than two runs of one.
    """
    every = np.concatenate(runs).astype(float)
    of = np.repeat(np.arange(len(runs)), [len(run) for run in runs])
    rate = every.mean(axis=1)
    mixed = (rate > _TELLING[0]) & (rate < _TELLING[1])
    if mixed.sum() < 2 or every.shape[1] < 2:
        return 0.0, 0.0
    together = np.corrcoef(every[mixed])
    pairs = np.triu(np.ones_like(together, bool), 1)
    own = pairs & (of[mixed][:, None] == of[mixed])
    across = pairs & ~own
    paired = float(np.clip(together[across].mean(), 0, 1)) if across.any() else 0.0
    within = float(np.clip(together[own].mean(), 0, 1)) if own.any() else paired
    return max(within, paired), paired
