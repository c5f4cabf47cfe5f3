"""What scenes are drawn from, as a value: a distribution for each axis, composed, compared and printed."""

from collections.abc import Iterator, Mapping
from typing import Any

from scenes.randomization.axes import AXES, GROUPS, axes_called, get_axis
from scenes.randomization.distributions import Distribution, Fixed

_NOMINAL: dict[str, Distribution] = {axis.name: Fixed(axis.nominal) for axis in AXES.values()}


class Randomization(Mapping[str, Distribution]):
    """A distribution for every axis; those that are not given keep their nominal value. Equal if all of them are.

    Args:
        given: axis -> distribution, or how people write one, see `Axis.distribution`.

    Raises:
        InputError: a name that is no axis; a distribution that is empty, inverted or beyond the axis' bounds.
    """

    __slots__ = ("_drawn_from", "_hash")

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        made = {name: get_axis(name).distribution(value) for name, value in (given or {}).items()}
        self._drawn_from = tuple((_NOMINAL | made).values())
        self._hash = hash(self._drawn_from)

    def __getitem__(self, name: str) -> Distribution:
        return self._drawn_from[_PLACES[get_axis(name).name]]

    def __iter__(self) -> Iterator[str]:
        return iter(AXES)

    def __len__(self) -> int:
        return len(AXES)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Randomization) and self._drawn_from == other._drawn_from

    def with_(self, changes: Mapping[str, Any]) -> "Randomization":
        """The same with other distributions for some axes."""
        return Randomization({**self, **changes})

    def only(self, *names: str) -> "Randomization":
        """These axes or groups as here, every other nominal."""
        return Randomization({axis.name: self[axis.name] for axis in axes_called(names)})

    def without(self, *names: str) -> "Randomization":
        """These axes or groups nominal, every other as here."""
        return self.with_({axis.name: _NOMINAL[axis.name] for axis in axes_called(names)})

    def __or__(self, other: "Randomization") -> "Randomization":
        """Both together: where the other says more than "nominal", it decides."""
        return self.with_({name: drawn for name, drawn in other.items() if drawn != _NOMINAL[name]})

    def differences(self, other: "Randomization") -> tuple[str, ...]:
        """The axes that are drawn otherwise in the other."""
        return tuple(name for name in self if self[name] != other[name])

    def shared_with(self, other: "Randomization") -> tuple[str, ...]:
        """The axes of which both could draw the same value, though they are drawn otherwise."""
        return tuple(name for name in self.differences(other) if self[name].overlaps(other[name]))

    @property
    def varied(self) -> tuple[str, ...]:
        """The axes that differ from scene to scene."""
        return tuple(name for name, drawn in self.items() if drawn.varies)

    def to_plain(self) -> dict[str, Any]:
        """Every axis that is not nominal, as JSON and YAML have it; the constructor reads it back."""
        return {name: drawn.to_plain() for name, drawn in self.items() if drawn != _NOMINAL[name]}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The table of all axes: group, axis, what it is drawn from, unit."""
        ordered = sorted(AXES.values(), key=lambda axis: GROUPS.index(axis.group))
        return [(axis.group, axis.name, str(self[axis.name]), axis.unit) for axis in ordered]

    def __str__(self) -> str:
        lines, group = [], ""
        for heading, name, drawn, unit in self.rows():
            if heading != group:
                lines.append(heading)
                group = heading
            lines.append(f"  {name:22} {drawn}{f' [{unit}]' if unit else ''}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Randomization({self.to_plain()!r})"


_PLACES = {name: place for place, name in enumerate(AXES)}
