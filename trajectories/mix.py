"""Which source of a blend gives which window, by weight, known for any window at once."""

from collections.abc import Sequence

import numpy as np

from handful import InputError

# Windows after which the mix of sources repeats; every source gives its exact share of them.
PERIOD = 1 << 16


class Mix:
    """Which source each window of a blend comes from, and how many it gave before.

    The bits of a window's number within a period, reversed, are compared with the cumulated shares (van der Corput's
    sequence): over a period every source gives its exact share, rounded to 1 / PERIOD, and over any run of windows
    nearly that.
    """

    def __init__(self, shares: Sequence[float], seed: int, stream: tuple[int, ...]) -> None:
        """Args:
        shares: of each source, adding up to 1.
        seed: shifts the sequence.
        stream: sets the shift apart from every other use of the seed.
        """
        if len(shares) > PERIOD:
            raise InputError(f"a blend takes at most {PERIOD} sources, got {len(shares)}; merge some of them first")
        self._counts = _apportion(np.asarray(shares, np.float64))
        shift = np.random.SeedSequence(seed, spawn_key=stream).generate_state(1)[0] % PERIOD
        turned = np.zeros(PERIOD, np.int64)
        for bit in range(PERIOD.bit_length() - 1):
            turned |= ((np.arange(PERIOD) >> bit) & 1) << (PERIOD.bit_length() - 2 - bit)
        self._source = np.searchsorted(np.cumsum(self._counts), turned ^ int(shift), side="right")
        by_source = np.argsort(self._source, kind="stable")
        self._before = np.empty(PERIOD, np.int64)
        self._before[by_source] = np.arange(PERIOD) - np.repeat(np.cumsum(self._counts) - self._counts, self._counts)

    def locate(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Source of each of `count` windows from the `first` on, and its place among that source's, (count,) each."""
        period, place = np.divmod(np.arange(first, first + count), PERIOD)
        source = self._source[place]
        return source, period * self._counts[source] + self._before[place]


def _apportion(shares: np.ndarray) -> np.ndarray:
    """Windows of each source in a period: its share by largest remainder, at least one."""
    exact = shares / shares.sum() * PERIOD
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    while counts.sum() < PERIOD:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > PERIOD:
        counts[np.argmax(np.where(counts > 1, counts - exact, -np.inf))] -= 1
    return counts
