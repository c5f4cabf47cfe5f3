"""The table of rates as a picture: its numbers are there to be read without colour and without a pointer."""

from xml.etree import ElementTree

from pipelines.heatmap import Cell, heatmap


def test_every_cell_says_its_rate_its_n_and_its_interval() -> None:
    cells = {("baseline", "mild"): Cell(9, 10), ("camera", "mild"): Cell(2, 10, " ▼", "-70.0 points")}
    svg = heatmap("Success", ["baseline", "camera"], ["mild", "medium"], cells)
    root = ElementTree.fromstring(svg)
    titles = [title.text for title in root.iter("title")]
    assert titles[1] == "baseline: 90.0 % (9 of 10; 95 % interval 59.6 to 98.2 %)"
    # A row with a cell in the first column alone knows no column, and lies over all.
    assert titles[2] == "camera: 20.0 % (2 of 10; 95 % interval 5.7 to 51.0 %); -70.0 points"
    words = [text.text for text in root.iter("text")]
    assert {"mild", "medium", "90 %", "60 to 98", "20 % ▼", "6 to 51"} <= set(words)
    assert all(title in root.attrib["aria-label"] for title in titles[1:])


def test_a_darker_cell_is_a_higher_rate_and_can_be_read() -> None:
    cells = {("a", str(k)): Cell(k, 4) for k in range(5)}
    root = ElementTree.fromstring(heatmap("x", ["a"], [str(k) for k in range(5)], cells))
    fills = [rect.attrib["fill"] for rect in root.iter("rect")]

    def luminance(colour: str) -> float:
        shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    found = [luminance(fill) for fill in fills]
    assert found == sorted(found, reverse=True)
    inks = [text.attrib["fill"] for group in root.iter("g") for text in group.findall("text")][::2]
    for fill, ink in zip(fills, inks, strict=True):
        dark, light = sorted([luminance(fill), luminance(ink)])
        assert (light + 0.05) / (dark + 0.05) >= 3  # WCAG 2, large text


def test_names_cannot_inject_markup() -> None:
    svg = heatmap("x", ["<b>"], ["<i>"], {("<b>", "<i>"): Cell(1, 2, note="<u>")})
    assert not any(tag in svg for tag in ("<b>", "<i>", "<u>"))


def test_a_mean_of_shares_is_no_count() -> None:
    assert "35.0 % (mean over 10; 95 % interval" in heatmap("x", ["a"], ["b"], {("a", "b"): Cell(3.5, 10)})
