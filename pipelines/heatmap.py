"""A table of rates as a picture: the darker a cell, the higher its rate, with the numbers in it for print.

One hue from light to dark, so that it stays in order on a black-and-white printer and for colour-blind eyes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipelines.charts import svg, text_at
from pipelines.statistics import wilson_interval
from pipelines.tables import rate_text

_WIDTH, _LEFT, _HEIGHT, _TOP = 760, 170, 44, 30
_LOW, _HIGH = (240, 243, 246), (30, 74, 110)


@dataclass(frozen=True)
class Cell:
    """One rate.

    Attributes:
        count: how many of `n`, or a sum of `n` values in [0, 1].
        n: of how many.
        mark: what is said behind the rate, e.g. that it is lower than another beyond chance.
        note: said as well where one points at the cell.
    """

    count: float
    n: int
    mark: str = ""
    note: str = ""


def heatmap(
    title: str, rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[str, str], Cell], spans: bool = True
) -> Markup:
    """Rates over two names.

    Args:
        title: what it is.
        rows: names, from top to bottom.
        columns: names, from left to right.
        cells: (row, column) -> rate; what is not there stays empty.
        spans: a row whose only cell is in the first column has it over all columns: there the column means nothing.
    """
    wide = (_WIDTH - _LEFT - 10) / max(1, len(columns))
    parts = [
        text_at(_LEFT + wide * (i + 0.5), _TOP - 10, name, "middle", strong=True) for i, name in enumerate(columns)
    ]
    said = []
    for k, row in enumerate(rows):
        y = _TOP + _HEIGHT * k
        parts.append(text_at(_LEFT - 12, y + _HEIGHT / 2 + 2, row, "end"))
        there = [column for column in columns if (row, column) in cells]
        over = len(columns) if spans and there == list(columns[:1]) else 1
        for i, column in enumerate(columns):
            if (row, column) not in cells:
                continue
            cell = cells[row, column]
            label = row if over > 1 or len(columns) == 1 else f"{row}, {column}"
            parts.append(_drawn(cell, label, _LEFT + wide * i, y, wide * over))
            said.append(f"{label}: {_told(cell)}")
    return svg(_WIDTH, _TOP + _HEIGHT * len(rows) + 4, title, "; ".join(said), parts)


def _drawn(cell: Cell, label: str, x: float, y: float, width: float) -> str:
    rate = cell.count / cell.n
    low, high = wilson_interval(cell.count, cell.n)
    fill = "#" + "".join(f"{round(a + rate * (b - a)):02x}" for a, b in zip(_LOW, _HIGH, strict=True))
    ink = "#ffffff" if rate > 0.5 else "#222428"
    middle = x + (width - 3) / 2
    lines = ((y + 19, 14, f"{100 * rate:.0f} %{cell.mark}"), (y + 34, 11, f"{100 * low:.0f} to {100 * high:.0f}"))
    texts = "".join(
        f'<text x="{middle:.1f}" y="{at}" text-anchor="middle" fill="{ink}" font-size="{size}">{escape(text)}</text>'
        for at, size, text in lines
    )
    return (
        f'<g><rect x="{x:.1f}" y="{y}" width="{width - 3:.1f}" height="{_HEIGHT - 3}" fill="{fill}" stroke="#c9c6bd"/>'
        f"{texts}<title>{escape(label)}: {escape(_told(cell))}</title></g>"
    )


def _told(cell: Cell) -> str:
    whole = float(cell.count).is_integer()
    low, high = wilson_interval(cell.count, cell.n)
    share = (
        f"{100 * cell.count / cell.n:.1f} % (mean over {cell.n:,}; 95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )
    return (rate_text(int(cell.count), cell.n) if whole else share) + (f"; {cell.note}" if cell.note else "")
