"""A comparison of two policies that may be looked at after every rollout and stops as soon as it is decided.

Testing anew after every rollout until something is significant finds a difference between equal policies sooner or
later. An *e-process* may be looked at always: it is a bet against "they are equal" that nobody can expect to win, so
that it ever reaches 1 / alpha has probability alpha at most (Ville 1939; Ramdas et al., "Game-Theoretic Statistics and
Safe Anytime-Valid Inference", 2023).

The bet here: both policies meet the same scene. Where both succeed or both fail nothing is learnt. Of the other pairs,
were the policies equal, half would be won by each, whatever the rate and however much a scene's difficulty ties the two
together (McNemar's condition). With q the share that the better one wins,

    E = mean over a prior of q of (2 q)^wins (2 - 2 q)^losses, both policies equally likely the better one.

The prior has an atom at odds of 2 : 1, one at 4 : 1, which decide differences of tens of percent soonest, and a uniform
part, by which any difference is found in the end.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.special import betaln, logsumexp

from handful import InputError

# Share of wins q, and its prior weight; the rest of the weight is uniform on [0, 1].
_ATOMS = ((2 / 3, 0.4), (4 / 5, 0.4))

Verdict = Literal["a", "b", "undecided"]


def log_evidence(wins: np.ndarray | int, losses: np.ndarray | int) -> np.ndarray:
    """log E against "equal", from how many differing pairs A won and lost, broadcast together."""
    won, lost = np.broadcast_arrays(np.asarray(wins, float), np.asarray(losses, float))
    n = won + lost
    rest = 1 - sum(weight for _, weight in _ATOMS)
    terms = [n * np.log(2) + betaln(won + 1, lost + 1) + np.log(rest)]
    for q, weight in _ATOMS:
        good, bad = np.log(2 * q), np.log(2 - 2 * q)
        either = np.logaddexp(won * good + lost * bad, lost * good + won * bad) - np.log(2)
        terms.append(either + np.log(weight))
    return np.asarray(logsumexp(np.stack(terms), axis=0))


@dataclass
class SequentialTest:
    """Which of two policies is better? Tell it each pair of rollouts as it comes, and ask whenever you like.

    Args:
        alpha: bound on the probability of ever naming a better one when they are equal.
        most: pairs after which an undecided comparison ends.

    Attributes:
        wins: pairs so far in which A alone succeeded.
        losses: pairs so far in which B alone succeeded.
        pairs: pairs so far.
        p_value: 1 over the most evidence so far, at most 1; valid whenever one stops.
        verdict: "a", "b", or "undecided" so far; once decided, it stays.
    """

    alpha: float = 0.05
    most: int = 200
    wins: int = field(default=0, init=False)
    losses: int = field(default=0, init=False)
    pairs: int = field(default=0, init=False)
    p_value: float = field(default=1.0, init=False)
    verdict: Verdict = field(default="undecided", init=False)

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise InputError(f"alpha must lie between 0 and 1, got {self.alpha}")
        if self.most < 1:
            raise InputError(f"most must be at least 1 pair, got {self.most}")

    @property
    def over(self) -> bool:
        """Whether it is decided, or has come to its end."""
        return self.verdict != "undecided" or self.pairs >= self.most

    def add(self, a: bool, b: bool) -> Verdict:
        """Tell the outcomes of one pair.

        Raises:
            InputError: the comparison is over; a pair that came later would be picked by its result.
        """
        if self.over:
            raise InputError(f"the comparison was over after {self.pairs} pairs: {self.verdict}")
        self.pairs += 1
        self.wins += bool(a) and not b
        self.losses += bool(b) and not a
        self.p_value = min(self.p_value, float(np.exp(-log_evidence(self.wins, self.losses))))
        if self.p_value <= self.alpha:
            self.verdict = "a" if self.wins > self.losses else "b"
        return self.verdict


def decide(a: np.ndarray, b: np.ndarray, alpha: float = 0.05, most: int = 200) -> SequentialTest:
    """Run the test over (n,) outcomes of pairs in their order, to its end or theirs."""
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"outcomes must be one per pair, got shapes {a.shape} and {b.shape}")
    test = SequentialTest(alpha, most)
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        if test.over:
            break
        test.add(bool(x), bool(y))
    return test
