"""A figure of the study of predictivity: success in each simulator against success in twins, a panel for each."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.charts import GRID, HUES, svg, text_at
from pipelines.studies.figures import as_file

_WIDTH, _LEFT, _TOP, _HEIGHT, _GAP = 760, 58, 34, 210, 22
# Where marks of an x axis are written: share of the axis -> which end of the text is there.
_ANCHORS = {0: "start", 0.5: "middle", 1: "end"}


@dataclass(frozen=True)
class Spot:
    """One policy in one panel: rates in [0, 1], each with its interval."""

    name: str
    # What its colour tells; and whether its disc is filled.
    hue: str
    filled: bool
    x: tuple[float, float, float]  # rate, low, high
    y: tuple[float, float, float]


def panels(title: str, drawn: Sequence[tuple[str, Sequence[Spot]]], y_label: str, filled: str) -> str:
    """Panels side by side with one scale upwards, and the diagonal on which both rates are equal.

    Args:
        title: of the figure.
        drawn: label of the x axis, spots.
        y_label: of the common y axis.
        filled: what filled and hollow discs tell.

    Returns:
        A whole SVG file.
    """
    hues = list(dict.fromkeys(spot.hue for _, spots in drawn for spot in spots))
    highest = max((spot.y[2] for _, spots in drawn for spot in spots), default=1.0)
    most = next(top for top in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if highest <= top)
    side = (_WIDTH - _LEFT - 12 - _GAP * (len(drawn) - 1)) / len(drawn)
    bottom = _TOP + _HEIGHT
    parts = [text_at(_LEFT, 16, title, strong=True)]
    for number, (x_label, spots) in enumerate(drawn):
        left = _LEFT + number * (side + _GAP)
        for share in (0, 0.25, 0.5, 0.75, 1):
            x, y = left + side * share, bottom - _HEIGHT * share
            parts.append(f'<path d="M{x:.1f} {_TOP}V{bottom}M{left:.1f} {y:.1f}h{side:.1f}" stroke="{GRID}"/>')
            if share in _ANCHORS:
                parts.append(text_at(x, bottom + 17, f"{100 * share:.0f} %", _ANCHORS[share]))
            if number == 0:
                parts.append(text_at(left - 7, y + 4, f"{100 * most * share:.0f} %", "end"))
        end = f"L{left + side * most:.1f} {_TOP}"
        parts.append(f'<path d="M{left:.1f} {bottom}{end}" stroke="#b9b6ad" stroke-dasharray="5 4" fill="none"/>')
        parts.append(text_at(left + side / 2, bottom + 36, x_label, "middle"))
        for spot in spots:
            hue = HUES[hues.index(spot.hue) % len(HUES)]
            (x, x1, x2), (y, y1, y2) = (
                [left + side * value for value in spot.x],
                [bottom - _HEIGHT * value / most for value in spot.y],
            )
            lines = f"M{x1:.1f} {y:.1f}H{x2:.1f}M{x:.1f} {y1:.1f}V{y2:.1f}"
            fill = hue if spot.filled else "#fff"
            parts.append(f'<path d="{lines}" stroke="{hue}" stroke-width="1.3" opacity="0.6"/>')
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{hue}" stroke-width="1.8">'
                f"<title>{spot.name}</title></circle>"
            )
    parts.append(
        f'<g transform="rotate(-90 14 {_TOP + _HEIGHT / 2})">{text_at(14, _TOP + _HEIGHT / 2, y_label, "middle")}</g>'
    )
    x, y = float(_LEFT), bottom + 60
    for number, hue in enumerate(hues):
        parts.append(f'<circle cx="{x + 5:.1f}" cy="{y - 4}" r="4.5" fill="{HUES[number % len(HUES)]}"/>')
        parts.append(text_at(x + 15, y, hue))
        x += 34 + 7 * len(hue)
    parts.append(text_at(_LEFT, y + 20, filled))
    described = "; ".join(
        f"{spot.name}: {label} {spot.x[0]:.0%}, {y_label} {spot.y[0]:.0%}" for label, spots in drawn for spot in spots
    )
    return as_file(svg(_WIDTH, bottom + 90, title, described, parts))
