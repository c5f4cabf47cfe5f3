"""The report's charts as inline SVG: a few kilobytes each, sharp on paper, readable without a script.

Every function returns a whole `<svg>` element with a title and a description for screen readers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup, escape

# One hue for what was measured in simulation, one for surrogate reality; further curves take further hues.
BLUE, ORANGE = "#2f6690", "#c8553d"
HUES = (BLUE, ORANGE, "#588157", "#7d5ba6", "#b08900", "#4f5d75")
GRID, _TEXT, _EMPTY = "#e2e2de", "#55585e", "#c9c6bd"


@dataclass(frozen=True)
class Interval:
    """One row of a forest plot; rate and ends in [0, 1]."""

    label: str
    rate: float
    low: float
    high: float
    # What stands at the right end, e.g. "83 of 100".
    note: str
    # Measured in surrogate reality.
    surrogate: bool = False


def bars(counts: Mapping[str, int], total: int, good: str = "success") -> Markup:
    """Horizontal bars, the largest first; `good` comes first and in its own colour."""
    rows = sorted(counts.items(), key=lambda item: (item[0] != good, -item[1], item[0]))
    left, width, height = 170, 760, 26
    most = max(counts.values(), default=0) or 1
    scale = (width - left - 130) / most
    parts = []
    for number, (name, count) in enumerate(rows):
        y = number * height
        colour = BLUE if name == good else "#b9b6ad"
        length = max(count * scale, 1.5 if count else 0)
        share = f" ({count / total:.1%})" if total else ""
        parts.append(text_at(left - 10, y + 17, name.replace("_", " "), "end"))
        parts.append(
            f'<rect x="{left}" y="{y + 4}" width="{length:.1f}" height="{height - 8}" rx="2" fill="{colour}"/>'
        )
        parts.append(text_at(left + length + 8, y + 17, f"{count:,}{share}"))
    described = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in rows)
    return svg(width, max(1, len(rows)) * height + 4, "Outcomes by cause", described, parts)


def forest(rows: Sequence[Interval]) -> Markup:
    """Rates with their intervals on a common axis from 0 to 100 %."""
    left, right, width, height, top = 210, 150, 760, 34, 8
    bottom = top + height * len(rows)
    span = width - left - right
    parts = []
    for percent in range(0, 101, 20):
        x = left + span * percent / 100
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(text_at(x, bottom + 18, f"{percent} %", "middle"))
    for number, row in enumerate(rows):
        y = top + height * number + height / 2
        colour = ORANGE if row.surrogate else BLUE
        low, middle, high = (left + span * value for value in (row.low, row.rate, row.high))
        parts.append(text_at(left - 12, y + 4, row.label, "end", strong=True))
        parts.append(f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="2.5"/>')
        for end in (low, high):
            parts.append(
                f'<line x1="{end:.1f}" y1="{y - 5}" x2="{end:.1f}" y2="{y + 5}" stroke="{colour}" stroke-width="2"/>'
            )
        parts.append(f'<circle cx="{middle:.1f}" cy="{y}" r="5" fill="{colour}"/>')
        parts.append(text_at(width - right + 14, y + 4, row.note))
    described = "; ".join(f"{r.label}: {r.rate:.1%}, interval {r.low:.1%} to {r.high:.1%}" for r in rows)
    return svg(width, bottom + 26, "Success rates with 95 % intervals", described, parts)


def curves(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> Markup:
    """Lines through (x, y) points, y on a logarithmic axis where it spans more than a factor of 20.

    Args:
        series: name -> points in order of x; points that are not finite are left out, and what no axis can be divided
            for (nearer to 0 than 1e-300) is drawn as 0.
        x_label: below the x axis.
        y_label: what y is; stands in the description and above the axis.
    """
    finite = {
        name: kept
        for name, points in series.items()
        if (kept := [(x, _drawable(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)])
    }
    left, right, top, bottom, width = 64, 30, 24, 250, 760
    ys = [y for points in finite.values() for _, y in points]
    xs = [x for points in finite.values() for x, _ in points]
    if not xs:
        return svg(width, 40, y_label, "no points", [text_at(left, 24, "no finite points")])
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > 20
    y_ticks = _log_ticks(min(ys), max(ys)) if logarithmic else ticks(min(0.0, *ys), max(ys))
    low, high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)
    x_low, x_high = min(xs), max(*xs, min(xs) + 1e-9)

    def place(x: float, y: float) -> str:
        up = math.log(y / low) / math.log(high / low) if logarithmic else (y - low) / (high - low)
        along = (x - x_low) / (x_high - x_low)
        return f"{left + (width - left - right) * along:.1f},{bottom - (bottom - top) * up:.1f}"

    parts = [text_at(left, 14, y_label + (" (logarithmic)" if logarithmic else ""))]
    for tick in y_ticks:
        y = place(x_low, tick).split(",")[1]
        parts.append(f'<line x1="{left}" y1="{y}" x2="{width - right}" y2="{y}" stroke="{GRID}"/>')
        parts.append(text_at(left - 8, float(y) + 4, f"{tick:g}", "end"))
    for tick in ticks(x_low, x_high):
        if x_low <= tick <= x_high:
            parts.append(text_at(float(place(tick, high).split(",")[0]), bottom + 18, f"{tick:,g}", "middle"))
    parts.append(text_at((left + width - right) / 2, bottom + 38, x_label, "middle"))
    for number, (name, points) in enumerate(finite.items()):
        hue = HUES[number % len(HUES)]
        line = " ".join(place(x, y) for x, y in _thin(points))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{hue}" stroke-width="1.8"/>')
        if len(points) == 1:
            x, y = place(*points[0]).split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{hue}"/>')
        x0 = left + 20
        y0 = bottom + 62 + 20 * number
        parts.append(f'<line x1="{x0}" y1="{y0 - 4}" x2="{x0 + 24}" y2="{y0 - 4}" stroke="{hue}" stroke-width="3"/>')
        parts.append(text_at(x0 + 32, y0, f"{name}, last {points[-1][1]:.4g}"))
    described = "; ".join(f"{name} from {p[0][1]:.4g} to {p[-1][1]:.4g}" for name, p in finite.items())
    return svg(width, bottom + 52 + 20 * len(finite), y_label, described, parts)


class Cell(Protocol):
    """A part of the table: its ends in the base frame [m], and the scenes in which something started there."""

    @property
    def x(self) -> tuple[float, float]: ...

    @property
    def y(self) -> tuple[float, float]: ...

    @property
    def kept(self) -> int: ...

    @property
    def tried(self) -> int: ...


def places(
    title: str, good: Sequence[Sequence[float]], bad: Sequence[Sequence[float]], cells: Sequence[Cell]
) -> Markup:
    """Where something started in scenes that were kept and in others: the table from above, the robot below.

    Args:
        title: what it is.
        good: places (x, y) in the base frame [m], of scenes that were kept.
        bad: those of the others.
        cells: where it may start at all; the darker, the more scenes of a cell were not kept.
    """
    left, top, side, width = 44, 26, 210, 270
    both = [*good, *bad, *(corner for cell in cells for corner in zip(cell.x, cell.y, strict=True))]
    middle = [(min(p[k] for p in both) + max(p[k] for p in both)) / 2 for k in (0, 1)]
    reach = max(0.02, *(abs(p[k] - middle[k]) for p in both for k in (0, 1))) * 1.08
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 100.0) if reach / step < 3)

    def place(x: float, y: float) -> tuple[float, float]:
        # y points to the robot's left, so to the left here; x away from it, so up.
        return left + side * (0.5 - (y - middle[1]) / (2 * reach)), top + side * (0.5 - (x - middle[0]) / (2 * reach))

    parts = [text_at(left, 16, f"{title.replace('_', ' ')}: {len(good):,} kept, {len(bad):,} not", strong=True)]
    for cell in cells:
        (x1, y1), (x2, y2) = place(cell.x[1], cell.y[1]), place(cell.x[0], cell.y[0])
        hue = f'"{ORANGE}" fill-opacity="{0.8 * (1 - cell.kept / cell.tried):.2f}"' if cell.kept else f'"{_EMPTY}"'
        parts.append(
            f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill={hue} stroke="#fff">'
            f"<title>{cell.kept:,} kept of {cell.tried:,}</title></rect>"
        )
    for k in (0, 1):
        first = math.ceil((middle[k] - reach) / step)
        for tick in (step * n for n in range(first, first + 8) if step * n <= middle[k] + reach):
            x, y = place(tick, middle[1]) if k == 0 else place(middle[0], tick)
            if k == 0:
                parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + side}" y2="{y:.1f}" stroke="{GRID}"/>')
                parts.append(text_at(left - 6, y + 4, f"{tick:.2f}", "end"))
            else:
                parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + side}" stroke="{GRID}"/>')
                parts.append(text_at(x, top + side + 16, f"{tick:.2f}", "middle"))
    for spots, hue, size in ((good, BLUE, 2.0), (bad, ORANGE, 3.2)):
        for spot in spots:
            x, y = place(float(spot[0]), float(spot[1]))
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{hue}" fill-opacity="0.7"/>')
    described = (
        f"{len(good):,} places of scenes that were kept, {len(bad):,} of others, in metres from the robot's base"
    )
    return svg(width, top + side + 26, f"Where {title.replace('_', ' ')} started", described, parts)


@dataclass(frozen=True)
class Point:
    """One policy on a scatter plot: rates in [0, 1], each with its interval."""

    label: str
    x: float
    y: float
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]


def scatter(points: Sequence[Point], x_label: str, y_label: str) -> Markup:
    """Rates against rates, with intervals both ways, and the diagonal on which they are equal; points are numbered."""
    left, top, side, width = 74, 12, 400, 760
    bottom, right = top + side, left + side

    def place(x: float, y: float) -> tuple[float, float]:
        return left + side * x, bottom - side * y

    parts = []
    for percent in range(0, 101, 20):
        x, y = place(percent / 100, percent / 100)
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(text_at(x, bottom + 18, f"{percent} %", "middle"))
        parts.append(text_at(left - 8, y + 4, f"{percent} %", "end"))
    parts.append(f'<path d="M{left} {bottom} L{right} {top}" stroke="#b9b6ad" stroke-dasharray="5 4" fill="none"/>')
    parts.append(text_at((left + right) / 2, bottom + 38, x_label, "middle"))
    middle = (top + bottom) / 2
    turned = f'<g transform="rotate(-90 18 {middle:.1f})">{text_at(18, middle, y_label, "middle")}</g>'
    parts.append(turned)
    for number, point in enumerate(points):
        hue = HUES[number % len(HUES)]
        x, y = place(point.x, point.y)
        for (x1, y1), (x2, y2) in (
            (place(point.x_ends[0], point.y), place(point.x_ends[1], point.y)),
            (place(point.x, point.y_ends[0]), place(point.x, point.y_ends[1])),
        ):
            line = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
            parts.append(f'<line {line} stroke="{hue}" stroke-width="1.6" opacity="0.75"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{hue}"/>')
        parts.append(text_at(x + 7, y - 7, str(number + 1), strong=True))
        parts.append(text_at(right + 28, top + 14 + 20 * number, f"{number + 1}  {point.label}"))
    described = "; ".join(f"{p.label}: {x_label} {p.x:.1%}, {y_label} {p.y:.1%}" for p in points)
    return svg(width, max(bottom + 48, top + 20 * len(points) + 10), f"{y_label} against {x_label}", described, parts)


def ranks(rows: Sequence[tuple[str, float, float]], left_label: str, right_label: str) -> Markup:
    """Two orders side by side, best on top: a line per policy, and lines that cross where the orders differ.

    Args:
        rows: name, score on the left, score on the right.
        left_label: above the left order.
        right_label: above the right order.
    """
    width, x1, x2, top, height = 760, 290, 470, 40, 30

    def order(column: int) -> dict[int, int]:
        best = sorted(range(len(rows)), key=lambda i: (-float(rows[i][column]), i))
        return {place: rank for rank, place in enumerate(best)}

    by_left, by_right = order(1), order(2)
    parts = [text_at(x1, 18, left_label, "end", strong=True), text_at(x2, 18, right_label, strong=True)]
    for number, (name, first, second) in enumerate(rows):
        y1, y2 = (top + height * (places[number] + 0.5) for places in (by_left, by_right))
        hue = HUES[number % len(HUES)]
        parts.append(
            f'<line x1="{x1 + 12}" y1="{y1:.1f}" x2="{x2 - 12}" y2="{y2:.1f}" stroke="{hue}" stroke-width="2"/>'
        )
        parts.append(text_at(x1, y1 + 4, f"{name}  {first:.0%}", "end"))
        parts.append(text_at(x2, y2 + 4, f"{second:.0%}  {name}"))
    said = "; ".join(f"{rows[i][0]} is number {by_left[i] + 1} and {by_right[i] + 1}" for i in range(len(rows)))
    return svg(width, top + height * len(rows) + 8, f"Order {left_label} and {right_label}", said, parts)


def _thin(points: Sequence[tuple[float, float]], most: int = 400) -> list[tuple[float, float]]:
    """At most about `most` points: the mean of each run of neighbours."""
    run = -(-len(points) // most)
    groups = [points[start : start + run] for start in range(0, len(points), run)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values that cover [low, high], spaced by 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / about))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= about)
    first = math.floor(low / step)
    count = math.ceil(high / step - 1e-9) - first
    return [float(f"{(first + number) * step:.12g}") for number in range(max(count, 1) + 1)]


def _drawable(y: float) -> float:
    return y if abs(y) >= 1e-300 else 0.0


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from the last at or below `low` to the first at or above `high`."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [float(f"{factor}e{power}") for power in powers for factor in (1, 2, 5)]
    first = max(number for number, mark in enumerate(marks) if mark <= low)
    last = min(number for number, mark in enumerate(marks) if mark >= high)
    return marks[first : last + 1]


def text_at(x: float, y: float, text: str, anchor: str = "start", strong: bool = False) -> str:
    """A line of text; `anchor` says which end of it is at x: "start", "middle" or "end"."""
    weight = ' font-weight="600"' if strong else ""
    fill = "#222428" if strong else _TEXT
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}"{weight}>{escape(text)}</text>'


def svg(width: int, height: float, title: str, described: str, parts: Sequence[str]) -> Markup:
    """A whole picture of its parts, with a title and a description for those who cannot see it."""
    head = (
        f'<svg viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(title)}: {escape(described)}" font-size="13">'
    )
    return Markup(f"{head}<title>{escape(title)}</title>{''.join(parts)}</svg>")
