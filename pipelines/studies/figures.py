"""The figures of a study as SVG: on the page, and as files for a paper."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipelines.charts import BLUE, GRID, HUES, ORANGE, svg, text_at, ticks

_WIDTH = 760


@dataclass(frozen=True)
class Spot:
    """A value with its interval; rates and differences of rates as shares of 1."""

    value: float
    low: float
    high: float


def heat(title: str, n_real: Sequence[int], n_sim: Sequence[int], rates: Mapping[tuple[int, int], Spot]) -> Markup:
    """Success over the grid: a row per number of real demos, a column per number of synthetic ones."""
    left, top, height = 110, 58, 52
    wide = min(120.0, (_WIDTH - left - 20) / max(1, len(n_sim)))
    parts = [text_at(left, 16, title, strong=True), text_at(left, 38, "synthetic demos")]
    parts += [text_at(left + wide * (i + 0.5), 54, f"{n:,}", "middle") for i, n in enumerate(n_sim)]
    said = []
    for row, real in enumerate(sorted(n_real, reverse=True)):
        y = top + height * row
        parts.append(text_at(left - 10, y + height / 2 + 4, f"{real:,} real", "end"))
        for column, sim in enumerate(n_sim):
            x, spot = left + wide * column, rates.get((real, sim))
            box = f'x="{x:.1f}" y="{y}" width="{wide - 3:.1f}" height="{height - 3}"'
            if spot is None:
                parts.append(f'<rect {box} fill="none" stroke="{GRID}"/>')
                continue
            parts.append(f'<rect {box} fill="{_shade(spot.value)}"/>')
            ink = "#fff" if spot.value > 0.55 else "#222428"
            middle = x + (wide - 3) / 2
            parts.append(_inked(middle, y + 23, f"{100 * spot.value:.0f} %", ink, 15))
            parts.append(_inked(middle, y + 40, f"{100 * spot.low:.0f} to {100 * spot.high:.0f}", ink, 11))
            said.append(f"{real} real and {sim} synthetic: {spot.value:.0%} ({spot.low:.0%} to {spot.high:.0%})")
    return svg(_WIDTH, top + height * len(n_real) + 6, title, "; ".join(said), parts)


def differences(title: str, rows: Sequence[tuple[str, Spot, str]]) -> Markup:
    """Differences of rates with their intervals, and the line of no difference; each with a note at the right."""
    left, right, height, top = 270, 190, 30, 30
    bottom, span = top + height * len(rows), _WIDTH - 270 - 190
    marks = ticks(min(0.0, *(s.low for _, s, _ in rows)), max(0.0, *(s.high for _, s, _ in rows)))
    low, high = marks[0], marks[-1]

    def place(value: float) -> float:
        return left + span * (min(max(value, low), high) - low) / (high - low)

    parts = [text_at(left, 16, title, strong=True)]
    for mark in marks:
        x = place(mark)
        stroke = "#8d8b84" if abs(mark) < 1e-9 else GRID
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{stroke}"/>')
        parts.append(text_at(x, bottom + 18, f"{100 * mark:+.0f}" if mark else "0", "middle"))
    parts.append(text_at(left + span / 2, bottom + 36, "points of success", "middle"))
    for number, (label, spot, note) in enumerate(rows):
        y = top + height * (number + 0.5)
        hue = BLUE if spot.low > 0 else ORANGE if spot.high < 0 else "#8d8b84"
        parts.append(text_at(left - 12, y + 4, label, "end"))
        parts.append(_line(place(spot.low), y, place(spot.high), y, hue, 2.5))
        parts.append(f'<circle cx="{place(spot.value):.1f}" cy="{y}" r="4.5" fill="{hue}"/>')
        parts.append(text_at(_WIDTH - right + 12, y + 4, note))
    said = "; ".join(f"{name}: {s.value:+.1%}, interval {s.low:+.1%} to {s.high:+.1%}" for name, s, _ in rows)
    return svg(_WIDTH, bottom + 44, title, said, parts)


def rates_by_number(
    title: str, n_sim: Sequence[int], series: Mapping[str, Mapping[int, Spot]], surrogate: bool
) -> Markup:
    """Success over the number of synthetic demos, a line per number of real ones; numbers stand evenly apart."""
    left, right, top, bottom = 64, 150, 34, 290
    span = _WIDTH - left - right

    def across(n: int, shift: float = 0.0) -> float:
        return left + span * (list(n_sim).index(n) + 0.5) / len(n_sim) + shift

    def up(rate: float) -> float:
        return bottom - (bottom - top) * rate

    where = ", surrogate reality" if surrogate else ""
    parts = [text_at(left, 16, title + where, strong=True)]
    for percent in range(0, 101, 20):
        y = up(percent / 100)
        parts.append(_line(left, y, _WIDTH - right, y, GRID, 1))
        parts.append(text_at(left - 8, y + 4, f"{percent} %", "end"))
    parts += [text_at(across(n), bottom + 18, f"{n:,}", "middle") for n in n_sim]
    parts.append(text_at(left + span / 2, bottom + 38, "synthetic demos", "middle"))
    ends: list[tuple[float, str, str]] = []
    for number, (name, spots) in enumerate(series.items()):
        hue, shift = HUES[number % len(HUES)], 5.0 * (number - (len(series) - 1) / 2)
        points = [(across(n, shift), spot) for n, spot in sorted(spots.items())]
        line = " ".join(f"{x:.1f},{up(spot.value):.1f}" for x, spot in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{hue}" stroke-width="1.8"/>')
        for x, spot in points:
            parts.append(_line(x, up(spot.low), x, up(spot.high), hue, 1.6))
            parts.append(f'<circle cx="{x:.1f}" cy="{up(spot.value):.1f}" r="4" fill="{hue}"/>')
        ends.append((up(points[-1][1].value), name, hue))
    last = -math.inf
    for y, name, hue in sorted(ends):
        last = max(y + 4, last + 17)
        x = _WIDTH - right + 10
        parts.append(_line(x, last - 4, x + 14, last - 4, hue, 3))
        parts.append(text_at(x + 20, last, name))
    said = "; ".join(
        f"{name}: " + ", ".join(f"{s.value:.0%} at {n:,}" for n, s in sorted(spots.items()))
        for name, spots in series.items()
    )
    return svg(_WIDTH, bottom + 46, title, said, parts)


def exchange(title: str, rows: Sequence[tuple[str, Spot, bool]]) -> Markup:
    """What synthetic demos are worth in real ones, with intervals; those without an end leave the picture."""
    left, right, height, top = 270, 190, 34, 30
    bottom, span = top + height * len(rows), _WIDTH - 270 - 190
    finite = [v for _, s, _ in rows for v in (s.value, s.low, s.high) if 0 < v < math.inf]
    low, high = (min(finite) / 2, max(finite) * 2) if finite else (0.1, 10.0)

    def place(value: float) -> float:
        clipped = min(max(value, low), high)
        return left + span * math.log(clipped / low) / math.log(high / low)

    parts = [text_at(left, 16, title, strong=True)]
    for mark in _marks(low, high):
        x = place(mark)
        parts.append(_line(x, top, x, bottom, GRID, 1))
        parts.append(text_at(x, bottom + 18, f"{mark:,.3g}", "middle"))
    parts.append(text_at(left + span / 2, bottom + 36, "worth in real demos (logarithmic)", "middle"))
    for number, (label, spot, known) in enumerate(rows):
        y, hue = top + height * (number + 0.5), BLUE if known else "#8d8b84"
        parts.append(text_at(left - 12, y + 4, label, "end"))
        parts.append(_line(place(spot.low), y, place(spot.high), y, hue, 2.5))
        for value, turn in ((spot.low, 1), (spot.high, -1)):
            if value <= 0 or math.isinf(value):
                x = place(low if turn > 0 else high)
                arrow = f"{x:.1f},{y} {x + 9 * turn:.1f},{y - 5} {x + 9 * turn:.1f},{y + 5}"
                parts.append(f'<polygon points="{arrow}" fill="{hue}"/>')
        if known:
            parts.append(f'<circle cx="{place(spot.value):.1f}" cy="{y}" r="4.5" fill="{hue}"/>')
        ends = f"{_short(spot.low)} to {_short(spot.high)}"
        parts.append(
            text_at(_WIDTH - right + 12, y + 4, f"{_short(spot.value)} ({ends})" if known else "not identifiable")
        )
    said = "; ".join(f"{name}: {_short(s.value)} ({_short(s.low)} to {_short(s.high)})" for name, s, _ in rows)
    return svg(_WIDTH, bottom + 44, title, said, parts)


def iso(title: str, curves: Sequence[tuple[str, Sequence[float], Sequence[Spot]]], tried: float) -> Markup:
    """Mixes that do equally well: synthetic demos (logarithmic) that it takes with so many real ones.

    Args:
        title: what it is of.
        curves: name, numbers of real demos, synthetic demos that go with each, with their band.
        tried: the most synthetic demos that were tried; nothing is drawn beyond ten times as many.
    """
    left, right, top, bottom, least = 74, 190, 54, 320, 1.0
    span, most = _WIDTH - left - right, 10 * tried
    real = max((n for _, numbers, _ in curves for n in numbers), default=1.0)

    def place(n_real: float, n_sim: float) -> tuple[float, float]:
        up = math.log(min(max(n_sim, least), most) / least) / math.log(most / least)
        return left + span * n_real / real, bottom - (bottom - top) * up

    parts = [text_at(left, 16, title, strong=True)]
    for mark in _marks(least, most):
        y = place(0, mark)[1]
        parts.append(_line(left, y, left + span, y, GRID, 1))
        parts.append(text_at(left - 8, y + 4, f"{mark:,.0f}", "end"))
    y = place(0, tried)[1]
    parts.append(f'<path d="M{left} {y:.1f} H{left + span}" stroke="#8d8b84" stroke-dasharray="4 4"/>')
    parts.append(text_at(left + span + 8, y + 4, "most that were tried"))
    for mark in ticks(0, real):
        if mark <= real:
            parts.append(text_at(place(mark, 1)[0], bottom + 18, f"{mark:g}", "middle"))
    parts.append(text_at(left + span / 2, bottom + 38, "real demos", "middle"))
    said = []
    for number, (name, numbers, spots) in enumerate(curves):
        hue = HUES[number % len(HUES)]
        pairs = list(zip(numbers, spots, strict=True))
        band = [place(n, spot.low) for n, spot in pairs] + [place(n, spot.high) for n, spot in reversed(pairs)]
        outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in band)
        parts.append(f'<polygon points="{outline}" fill="{hue}" fill-opacity="0.13"/>')
        line = " ".join("{:.1f},{:.1f}".format(*place(n, s.value)) for n, s in pairs if s.value <= most)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{hue}" stroke-width="2"/>')
        y = bottom + 62 + 19 * number
        parts.append(_line(left, y - 4, left + 24, y - 4, hue, 3))
        parts.append(text_at(left + 32, y, name))
        said.append(f"{name}: " + ", ".join(f"{_short(s.value)} with {n:.0f}" for n, s in pairs))
    return svg(_WIDTH, bottom + 52 + 19 * len(curves), title, "; ".join(said), parts)


def frontier(title: str, points: Sequence[tuple[str, float, Spot, bool]]) -> Markup:
    """Success against cost (logarithmic); mixes that no cheaper one beats are filled, and joined by a line.

    Args:
        title: what it is of.
        points: name, cost, success, whether it is on the frontier.
    """
    left, right, top, bottom = 64, 40, 34, 330
    span = _WIDTH - left - right
    costs = [max(cost, 1e-9) for _, cost, _, _ in points]
    low, high = min(costs) / 1.3, max(costs) * 1.3

    def place(cost: float, rate: float) -> tuple[float, float]:
        along = math.log(max(cost, 1e-9) / low) / math.log(high / low)
        return left + span * along, bottom - (bottom - top) * rate

    parts = [text_at(left, 16, title, strong=True)]
    for percent in range(0, 101, 20):
        y = place(low, percent / 100)[1]
        parts.append(_line(left, y, _WIDTH - right, y, GRID, 1))
        parts.append(text_at(left - 8, y + 4, f"{percent} %", "end"))
    parts += [text_at(place(mark, 0)[0], bottom + 18, f"{mark:,.3g}", "middle") for mark in _marks(low, high)]
    parts.append(text_at(left + span / 2, bottom + 38, "cost (logarithmic)", "middle"))
    best = sorted((cost, spot.value) for _, cost, spot, on in points if on)
    line = " ".join("{:.1f},{:.1f}".format(*place(*each)) for each in best)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="1.6" stroke-dasharray="5 4"/>')
    for name, cost, spot, on in points:
        x, y = place(cost, spot.value)
        hue = BLUE if on else "#8d8b84"
        parts.append(_line(x, place(cost, spot.low)[1], x, place(cost, spot.high)[1], hue, 1.4))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{hue if on else "#fff"}" stroke="{hue}">'
            f"<title>{escape(name)}: {spot.value:.1%} for {cost:,.2f}</title></circle>"
        )
    y = bottom + 64.0
    for number, (name, cost, spot, _) in enumerate(kept := sorted((p for p in points if p[3]), key=lambda p: p[1]), 1):
        x, top_of = place(cost, spot.high)
        parts.append(text_at(x, top_of - 5, str(number), "middle", strong=True))
        parts.append(text_at(left, y + 19 * (number - 1), f"{number}  {name}: {spot.value:.0%} for {cost:,.2f}"))
    said = "; ".join(f"{name}: {spot.value:.0%} for {cost:,.2f}" for name, cost, spot, _ in points)
    return svg(_WIDTH, y + 19 * len(kept), title, said, parts)


def as_file(figure: Markup) -> str:
    """A figure as the text of an SVG file, which needs what a page gives it: a namespace, a font, a white ground."""
    head, rest = str(figure).split(">", 1)
    space = ' xmlns="http://www.w3.org/2000/svg" font-family="DejaVu Sans, Arial, sans-serif">'
    return f'{head}{space}<rect width="100%" height="100%" fill="#fff"/>{rest}\n'


def _marks(low: float, high: float) -> list[float]:
    """Marks of a logarithmic axis: 1, 2 and 5 times powers of ten, powers alone where these are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 1000 else (1,)
    return [mark for power in powers for factor in factors if low <= (mark := factor * 10.0**power) <= high]


def _shade(rate: float) -> str:
    """Pale to blue, evenly in rate."""
    pale, full = (238, 242, 246), (31, 86, 135)
    mixed = (round(a + (b - a) * rate) for a, b in zip(pale, full, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def _inked(x: float, y: float, text: str, ink: str, size: int) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{ink}" font-size="{size}">{text}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, hue: str, width: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{hue}" stroke-width="{width}"/>'


def _short(value: float) -> str:
    if math.isinf(value):
        return "no end"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
