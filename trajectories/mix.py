"""Which source of a blend gives which window, by weight, known for any window at once."""

from collections.abc import Sequence

import numpy as np

from handful import InputError

# Windows after which the mix of sources repeats; every source gives its exact share of them.
PERIOD = 1 << 16
# Windows of a schedule that are given by the same weights.
GRAIN = 1 << 6


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
        self._source = np.searchsorted(np.cumsum(self._counts), _places(seed, stream), side="right")
        by_source = np.argsort(self._source, kind="stable")
        self._before = np.empty(PERIOD, np.int64)
        self._before[by_source] = np.arange(PERIOD) - np.repeat(np.cumsum(self._counts) - self._counts, self._counts)

    def locate(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Source of each of `count` windows from the `first` on, and its place among that source's, (count,) each."""
        period, place = np.divmod(np.arange(first, first + count), PERIOD)
        source = self._source[place]
        return source, period * self._counts[source] + self._before[place]


class ScheduledMix:
    """The same for shares that change in the course of a run: linearly from those at its start to those at its end.

    They are held for GRAIN windows at a time. A source whose share is 0 gives none. How many windows each source gave
    before every such stretch is counted once, so that any window is known at once here too.
    """

    def __init__(
        self,
        starts: Sequence[float],
        ends: Sequence[float],
        windows: tuple[int, int],
        seed: int,
        stream: tuple[int, ...],
    ) -> None:
        """Args:
        starts: shares up to the first window of the schedule, adding up to 1.
        ends: shares from its last window on, likewise.
        windows: number of the first window of the schedule, and of the first after it.
        seed: see `Mix`.
        stream: see `Mix`.
        """
        begin, end = windows
        if not 0 <= begin < end:
            raise InputError(f"a schedule goes from one window to a later one, got {begin} and {end}")
        self._starts, self._change = np.asarray(starts, np.float64), np.subtract(ends, starts)
        # What was given before the schedule begins must not depend on it.
        self._begin = -(-begin // GRAIN) * GRAIN
        self._end = max(end, self._begin + GRAIN)
        self._places = _places(seed, stream).reshape(-1, GRAIN)
        # Up to the end of the period that the schedule ends in, and one more, which is what repeats from there on.
        self._period = PERIOD // GRAIN
        self._settled = -(-self._end // PERIOD) * self._period
        counts = [np.zeros((1, len(starts)), np.int64)]
        for stretch in range(0, self._settled + self._period, self._period):
            drawn = self._sources(np.arange(stretch, stretch + self._period))
            counts.append((drawn[:, :, None] == np.arange(len(starts))).sum(1))
        self._before = np.cumsum(np.concatenate(counts), axis=0)

    def locate(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See `Mix.locate`."""
        low, high = first // GRAIN, -(-(first + count) // GRAIN)
        source = self._sources(np.arange(low, high)).ravel()
        rank = np.empty(len(source), np.int64)
        for number, before in enumerate(self._given(low)):
            mine = np.flatnonzero(source == number)
            rank[mine] = before + np.arange(len(mine))
        wanted = slice(first - low * GRAIN, first - low * GRAIN + count)
        return source[wanted], rank[wanted]

    def _sources(self, stretches: np.ndarray) -> np.ndarray:
        """Source of each window of some stretches, (stretches, GRAIN)."""
        middle = (stretches + 0.5) * GRAIN
        share = np.clip((middle - self._begin) / (self._end - self._begin), 0, 1)
        limits = np.cumsum(self._starts + share[:, None] * self._change, axis=1)[:, :-1] * PERIOD
        places = self._places[stretches % self._period]
        return (places[:, :, None] + 0.5 >= limits[:, None, :]).sum(-1)

    def _given(self, stretch: int) -> np.ndarray:
        """Windows that each source gave before a stretch, (sources,)."""
        periods, place = divmod(max(stretch - self._settled, 0), self._period)
        each = self._before[self._settled + self._period] - self._before[self._settled]
        found: np.ndarray = self._before[min(stretch, self._settled) + place] + periods * each
        return found


def _places(seed: int, stream: tuple[int, ...]) -> np.ndarray:
    """Where each window of a period falls among the cumulated shares, (PERIOD,) int64 in [0, PERIOD)."""
    shift = np.random.SeedSequence(seed, spawn_key=stream).generate_state(1)[0] % PERIOD
    turned = np.zeros(PERIOD, np.int64)
    for bit in range(PERIOD.bit_length() - 1):
        turned |= ((np.arange(PERIOD) >> bit) & 1) << (PERIOD.bit_length() - 2 - bit)
    return turned ^ int(shift)


def _apportion(shares: np.ndarray) -> np.ndarray:
    """Windows of each source in a period: its share by largest remainder, at least one."""
    exact = shares / shares.sum() * PERIOD
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    while counts.sum() < PERIOD:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > PERIOD:
        counts[np.argmax(np.where(counts > 1, counts - exact, -np.inf))] -= 1
    return counts
