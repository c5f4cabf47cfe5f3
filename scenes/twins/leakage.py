"""Has training met a twin? What is drawn for training, held against what a twin is."""

from collections.abc import Sequence
from dataclasses import dataclass

from scenes.randomization import AXES, DEFAULT, Randomization


@dataclass(frozen=True)
class Leak:
    """How far a training randomisation reaches into a twin.

    Attributes:
        differs: axes by which the twin is another world than `default`.
        met: those of them on which training can draw a value that the twin has.
    """

    differs: tuple[str, ...]
    met: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of the axes that were met."""
        return len(self.met) / len(self.differs) if self.differs else 0.0

    def sentence(self, twin: str, training: str) -> str | None:
        """What a report says of it; None where nothing was met."""
        if not self.met:
            return None
        shown = ", ".join(self.met[:5]) + (", ..." if len(self.met) > 5 else "")
        return (
            f"'{training}' draws values of {twin} on {len(self.met)} of the {len(self.differs)} axes by which it is "
            f"another world ({shown}): a policy trained on it has met part of that twin"
        )


def leak(training: Randomization | Sequence[Randomization], twin: Randomization) -> Leak:
    """Compare what training drew from with a twin.

    Args:
        training: what scenes of training data were drawn from, one or several.
        twin: what the twin's scenes are drawn from.
    """
    sources = [training] if isinstance(training, Randomization) else list(training)
    differs = tuple(name for name in AXES if DEFAULT[name] != twin[name])
    met = tuple(name for name in differs if any(source[name].overlaps(twin[name]) for source in sources))
    return Leak(differs, met)
