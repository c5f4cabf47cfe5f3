"""Charts are well-formed SVG that puts the numbers where they belong."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generators.coverage import Patch
from pipelines.charts import (
    BLUE,
    ORANGE,
    Interval,
    Point,
    _log_ticks,
    _thin,
    bars,
    curves,
    forest,
    places,
    ranks,
    scatter,
    ticks,
)

NAMESPACE = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in parse(svg).iter("text")]


def test_bars_put_success_first_and_scale_with_counts():
    svg = bars({"collided": 50, "success": 100, "grasp_missed": 25}, 175)
    rects = [float(rect.get("width", "nan")) for rect in parse(svg).iter("rect")]
    assert rects[1] / rects[0] == pytest.approx(0.5, abs=0.01)
    assert rects[2] / rects[0] == pytest.approx(0.25, abs=0.01)
    assert texts(svg)[::2] == ["success", "collided", "grasp missed"]
    assert texts(svg)[1] == "100 (57.1%)"


def test_names_cannot_break_the_page():
    svg = bars({'<script>"&': 1}, 1)
    assert "<script>" not in svg
    assert '<script>"&' in texts(svg)
    parse(forest([Interval('"><b>', 0.5, 0.4, 0.6, "<i>")]))


def test_a_forest_row_spans_its_interval_on_the_axis():
    svg = forest(
        [Interval("sim", 0.5, 0.25, 0.75, "10 of 20"), Interval("twin/x", 1.0, 0.8, 1.0, "4 of 4", surrogate=True)]
    )
    root = parse(svg)
    marks = {text.text: float(text.get("x", "nan")) for text in root.iter("text") if (text.text or "").endswith(" %")}
    zero, full = marks["0 %"], marks["100 %"]
    spans = [line for line in root.iter("line") if line.get("stroke-width") == "2.5"]
    assert [line.get("stroke") for line in spans] == [BLUE, ORANGE]
    ends = [(float(line.get("x1", "nan")), float(line.get("x2", "nan"))) for line in spans]
    assert (ends[0][0] - zero) / (full - zero) == pytest.approx(0.25, abs=0.002)
    assert (ends[0][1] - zero) / (full - zero) == pytest.approx(0.75, abs=0.002)
    assert float(next(root.iter("circle")).get("cx", "nan")) == pytest.approx((zero + full) / 2, abs=0.2)
    assert "sim: 50.0%, interval 25.0% to 75.0%" in root.get("aria-label", "")


def test_curves_switch_to_a_logarithmic_axis_and_name_their_last_value():
    wide = curves({"training": [(0, 1.0), (10, 0.01)]}, "step", "loss")
    assert "loss (logarithmic)" in texts(wide)
    assert "training, last 0.01" in texts(wide)
    narrow = curves({"training": [(0, 1.0), (10, 0.5)]}, "step", "loss")
    assert "loss" in texts(narrow)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e6, 1e6)), min_size=1, max_size=40),
    st.booleans(),
)
def test_curves_stay_inside_their_frame(points, positive):
    points = sorted((x, abs(y) + 1e-6 if positive else y) for x, y in points)
    root = parse(curves({"a": points}, "step", "loss"))
    for line in root.iter("polyline"):
        for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", line.get("points", "")):
            assert 63.9 <= float(x) <= 730.1
            assert 23.9 <= float(y) <= 250.1


@pytest.mark.parametrize("values", [[5e-324], [5e-324, 1.0], [1e-310, 1e-300], [3e-13, 4e-13], [-5e-324, 0.0]])
def test_the_smallest_numbers_there_are_can_be_drawn(values):
    root = parse(curves({"a": list(enumerate(values))}, "step", "loss"))
    for line in root.iter("polyline"):
        for _, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", line.get("points", "")):
            assert 23.9 <= float(y) <= 250.1


def test_values_that_are_not_finite_are_left_out():
    assert "no finite points" in texts(curves({"a": [(0, math.nan), (1, math.inf)]}, "step", "loss"))
    assert "a, last 2" in texts(curves({"a": [(0, 1.0), (1, 2.0), (2, math.nan)]}, "step", "loss"))


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_cover_the_range(low, span):
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 9
    step = found[1] - found[0]
    assert found[0] <= low + 1e-6 * max(1, abs(low))
    assert found[-1] >= low + span - 1e-6 * max(step, abs(low), span)


def test_log_ticks_are_round_and_cover_the_range():
    assert _log_ticks(0.06, 1.3) == [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
    assert _log_ticks(1.0, 100.0) == [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]


def test_long_curves_are_averaged_not_cut():
    points = [(float(x), float(x % 2)) for x in range(10_000)]
    thin = _thin(points)
    assert len(thin) == 400
    assert thin[-1][0] > 9900
    assert all(abs(y - 0.5) < 0.05 for _, y in thin)


def test_a_scatter_puts_points_and_their_intervals_where_they_belong():
    point = Point("act", 0.25, 0.75, (0.0, 0.5), (0.5, 1.0))
    svg = scatter([point], "in simulation", "real")
    root = parse(svg)
    (circle,) = root.iter("circle")
    bars_ = [line for line in root.iter("line") if line.get("opacity")]
    xs = [float(bars_[0].get(end, "nan")) for end in ("x1", "x2")]
    ys = [float(bars_[1].get(end, "nan")) for end in ("y1", "y2")]
    # The point is in the middle of both of its intervals.
    assert sum(xs) / 2 == pytest.approx(float(circle.get("cx", "nan")), abs=0.1)
    assert sum(ys) / 2 == pytest.approx(float(circle.get("cy", "nan")), abs=0.1)
    assert xs[1] - xs[0] == pytest.approx(200)
    assert ys[0] - ys[1] == pytest.approx(200)
    assert "1  act" in texts(svg)


def test_lines_of_ranks_cross_where_orders_differ():
    svg = ranks([("a", 0.9, 0.1), ("b", 0.5, 0.8), ("<c>", 0.2, 0.05)], "in simulation", "real")
    lines = [[float(line.get(end, "nan")) for end in ("y1", "y2")] for line in parse(svg).iter("line")]
    assert lines[0][0] < lines[1][0] < lines[2][0]
    assert lines[1][1] < lines[0][1] < lines[2][1]
    assert "a is number 1 and 2" in parse(svg).get("aria-label", "")
    assert "20%  <c>" not in texts(svg)
    assert "<c>  20%" in texts(svg)


def test_a_cell_is_the_darker_the_more_of_its_scenes_were_not_kept():
    corners = [((0.4, 0.5), (0.0, 0.1), 5, 5), ((0.5, 0.6), (0.0, 0.1), 1, 4), ((0.4, 0.5), (-0.1, 0.0), 0, 3)]
    svg = places("target", [(0.45, 0.05)], [(0.55, 0.05)], [Patch(*corner) for corner in corners])
    good, poor, none = parse(svg).iter("rect")
    assert [float(cell.get("fill-opacity", "nan")) for cell in (good, poor)] == [0.0, 0.6]
    assert (good.get("fill"), poor.get("fill")) == (ORANGE, ORANGE)
    assert none.get("fill") != ORANGE
    assert "1 kept of 4" in "".join(poor.itertext())
    # Further from the robot is higher up, and its left is left.
    assert float(poor.get("y", "nan")) < float(good.get("y", "nan"))
    assert float(good.get("x", "nan")) < float(none.get("x", "nan"))
    spots = list(parse(svg).iter("circle"))
    for spot, cell in zip(spots, (good, poor), strict=True):
        x, y, width, height = (float(cell.get(name, "nan")) for name in ("x", "y", "width", "height"))
        assert float(spot.get("cx", "nan")) == pytest.approx(x + width / 2, abs=0.2)
        assert float(spot.get("cy", "nan")) == pytest.approx(y + height / 2, abs=0.2)
