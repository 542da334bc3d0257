"""Plots as inline SVG: positions match the numbers, alt texts describe them, and names never become markup."""

import re
import xml.etree.ElementTree as xml

import pytest

from ghibli_studio.plotting import charts
from ghibli_studio.plotting.charts import Line, Point, Trajectory
from ghibli_studio.plotting.figures import LABEL, WIDTH, Axis, Bar, axis, interval_chart, precise_format, table

BARS = [
    Bar("LoRA", 0.75, 0.6, 0.9, "#2f9e63"),
    Bar("Textual Inversion", 0.0, None, None, "#d0672f"),
    Bar("None", None, None, None, "#7a8794"),
]


def svg_of(figure):
    """Return the SVG of a figure as a tree; fails if it is not well formed."""
    (svg,) = re.findall(r"<svg.*?</svg>", figure, re.DOTALL)
    return xml.fromstring(svg)


def x(share):
    """Return the x position of a share, px."""
    return LABEL + (WIDTH - LABEL - 30) * share


def test_a_point_and_its_interval_are_at_their_shares():
    tree = svg_of(interval_chart("Buy", BARS, mark=0.5))
    points = [(float(one.get("cx")), one.get("fill")) for one in tree.iter("circle")]
    assert points == [(pytest.approx(x(0.75)), "#2f9e63"), (pytest.approx(x(0)), "#d0672f")]
    wide = [one for one in tree.iter("line") if one.get("stroke") == "#2f9e63"]
    spans = [(float(one.get("x1")), float(one.get("x2"))) for one in wide]
    assert spans == [(pytest.approx(x(0.6)), pytest.approx(x(0.9)))]
    marks = [float(one.get("x1")) for one in tree.iter("line") if one.get("stroke-dasharray")]
    assert marks == [pytest.approx(x(0.5))]
    assert not [one for one in svg_of(interval_chart("Buy", BARS)).iter("line") if one.get("stroke-dasharray")]


def test_nothing_is_drawn_outside_the_figure():
    bars = [Bar("a", 0.0, 0.0, 1.0, "red"), Bar("b", 1.0, 1.0, 1.0, "red")]
    tree = svg_of(interval_chart("Ends", bars))
    _, _, width, height = map(float, tree.get("viewBox").split())
    for one in tree.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(one.get(name, 0)) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(one.get(name, 0)) <= height


def test_a_figure_has_an_alt_text():
    figure = interval_chart("Would buy", BARS, "12 people")
    description = "Would buy: LoRA 75% (60% to 90%); Textual Inversion 0%; None no data"
    assert svg_of(figure).get("aria-label") == description
    assert svg_of(figure).get("role") == "img"
    assert "<figcaption>Would buy<br><small>12 people</small></figcaption>" in figure
    assert "no data" in [one.text for one in svg_of(figure).iter("text")]


def test_names_never_become_markup():
    name = '"><script>alert(1)</script>'
    figure = interval_chart(name, [Bar(name, 0.5, 0.4, 0.6, "red")], name)
    assert "<script" not in figure
    assert name in svg_of(figure).get("aria-label")


def test_a_long_name_is_cut_and_complete_in_the_alt_text():
    name = "The Cathedral of Saint Basil the Blessed on the Red Square"
    tree = svg_of(interval_chart("Style", [Bar(name, 0.5, 0.4, 0.6, "red")]))
    (label,) = [one for one in tree.iter("text") if one.get("text-anchor") == "end"]
    assert label.text == "The Cathedral of Sain…"
    assert name in tree.get("aria-label")


@pytest.mark.parametrize(
    ("values", "include", "ticks", "texts"),
    [
        ([0.612, 0.788], (), (0.6, 0.65, 0.7, 0.75, 0.8), ["0.60", "0.65", "0.70", "0.75", "0.80"]),
        ([-0.3, 1.2], (), (-0.5, 0, 0.5, 1, 1.5), ["−0.5", "0.0", "0.5", "1.0", "1.5"]),
        ([13.1, 16.9], (0.0,), (0, 5, 10, 15, 20), ["0", "5", "10", "15", "20"]),
        ([None, float("nan"), float("inf")], (), (0, 0.5, 1), ["0.0", "0.5", "1.0"]),
        ([1500, 9000], (), (0, 2000, 4000, 6000, 8000, 10000), ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]),
        ([0.0497, 0.0720], (), (0.04, 0.05, 0.06, 0.07, 0.08), ["0.04", "0.05", "0.06", "0.07", "0.08"]),
    ],
)
def test_an_axis_has_round_numbers_around_its_values(values, include, ticks, texts):
    scale = axis(values, include=include)
    assert scale.ticks == pytest.approx(ticks)
    assert (scale.low, scale.high) == pytest.approx((ticks[0], ticks[-1]))
    assert [scale.form(tick) for tick in scale.ticks] == texts


@pytest.mark.parametrize("value", [0.0, 3.0, -0.02, 1e-9, 1e12])
def test_an_axis_of_one_value_includes_it(value):
    scale = axis([value, value])
    assert scale.low < value < scale.high
    assert 2 <= len(scale.ticks) <= 8


def test_texts_have_one_digit_more_than_ticks():
    assert precise_format(axis([0.612, 0.788]))(0.6543) == "0.654"
    assert precise_format(axis([-10, 10]))(-3.21) == "−3.2"
    assert precise_format(Axis(0, 1, (0.0,), str))(0.5) == "0.5"
    assert precise_format(axis([-10, 10]))(-0.01) == "0.0"


def test_intervals_on_any_axis():
    scale = axis([0.612, 0.788])
    bar = Bar("LoRA", 0.70, 0.65, 0.75, "#2f9e63")
    tree = svg_of(interval_chart("Similarity", [bar], mark=0.6, scale=scale))
    (point,) = tree.iter("circle")
    assert float(point.get("cx")) == pytest.approx(x(0.5))
    (wide,) = [one for one in tree.iter("line") if one.get("stroke") == "#2f9e63"]
    assert [float(wide.get(name)) for name in ("x1", "x2")] == pytest.approx([x(0.25), x(0.75)])
    (mark,) = [one for one in tree.iter("line") if one.get("stroke-dasharray")]
    assert float(mark.get("x1")) == pytest.approx(x(0))
    assert tree.get("aria-label") == "Similarity: LoRA 0.700 (0.650 to 0.750)"


def test_a_label_in_two_lines_is_one_line_in_the_alt_text():
    tree = svg_of(interval_chart("Differences", [Bar("distance to the\ntrue image *", 0.5, None, None, "red")]))
    texts = [one.text for one in tree.iter("text") if one.get("text-anchor") == "end"]
    assert texts == ["distance to the", "true image *"]
    assert tree.get("aria-label") == "Differences: distance to the true image * 50%"


def test_table_cells_are_escaped():
    text = table("<Runs>", ["<b>", "n"], [["<i>a</i>", "1"]], "<note>", numbers=1)
    assert "<figcaption>&lt;Runs&gt;<br><small>&lt;note&gt;</small></figcaption>" in text
    assert '<tr><th scope="col">&lt;b&gt;</th><th scope="col" class=n>n</th></tr>' in text
    assert "<tr><td>&lt;i&gt;a&lt;/i&gt;</td><td class=n>1</td></tr>" in text


CURVE = Line("LoRA", ((0, 0.07), (5, 0.05), (10, 0.06)), "#2f9e63", ((0, 0.06, 0.08), (10, 0.05, 0.07)))
FLAT = Line("TI", ((0, 0.07), (10, 0.07)), "#d0672f", dashed=True, marker="square")


def tree_of(figure):
    """Return the main SVG of a figure as a tree, without the legend's."""
    return xml.fromstring(re.search(r'<svg role="img".*?</svg>', figure, re.DOTALL)[0])


def test_curves_pass_through_their_points():
    figure = charts.line_chart("Loss", [CURVE, FLAT], "epoch", "loss", "Dashed: base.", mark=0.075)
    tree = tree_of(figure)
    first, second = [one.get("points").split() for one in tree.iter("polyline")]
    right, floor = charts.WIDTH - charts.RIGHT, charts.HEIGHT - charts.BOTTOM
    up = [floor - (floor - charts.TOP) * (y - 0.05) / 0.03 for y in (0.07, 0.05, 0.06)]
    middle = (charts.LEFT + right) / 2
    assert first == [f"{place:.1f},{y:.1f}" for place, y in zip((charts.LEFT, middle, right), up)]
    assert second == [f"{charts.LEFT:.1f},{up[0]:.1f}", f"{right:.1f},{up[0]:.1f}"]
    (band,) = tree.iter("polygon")
    corners = [tuple(map(float, one.split(","))) for one in band.get("points").split()]
    assert [place for place, _ in corners] == [charts.LEFT, right, right, charts.LEFT]  # there above, back below
    assert corners[0][1] < corners[3][1]
    marks = [one for one in tree.iter("line") if one.get("stroke-dasharray")]
    assert len(marks) == 1
    assert tree.get("aria-label") == (
        "Loss, loss by epoch: LoRA starts at 0.070, is lowest with 0.050 at 5.0, and ends at 0.060; "
        "TI starts at 0.070, is lowest with 0.070 at 0.0, and ends at 0.070"
    )
    assert re.findall(r"</svg>([^<]*)</li>", figure) == ["LoRA", "TI"]


def test_given_ticks_are_used():
    tree = tree_of(charts.line_chart("Strength", [CURVE], "adapter_scale", "style", ticks=[0, 5, 10]))
    bottom = [one.text for one in tree.iter("text") if one.get("y") == str(charts.HEIGHT - charts.BOTTOM + 17)]
    assert bottom == ["0", "5", "10"]


def test_powers_of_ten_are_evenly_spaced():
    figure = charts.line_chart(
        "Range",
        [
            Line("LoRA", ((1e-4, 0.0), (1e-3, 1.0), (1e-2, 0.0)), "#2f9e63", marker=""),
            Line("chosen", ((1e-3, 1.0),), "#2f9e63"),
        ],
        "rate",
        "change",
        logarithmic=True,
    )
    tree = tree_of(figure)
    bottom = [one.text for one in tree.iter("text") if one.get("y") == str(charts.HEIGHT - charts.BOTTOM + 17)]
    assert bottom == ["0.0001", "0.001", "0.01"]
    curve = next(tree.iter("polyline")).get("points").split()
    right = charts.WIDTH - charts.RIGHT
    places = (charts.LEFT, (charts.LEFT + right) / 2, right)
    assert [one.split(",")[0] for one in curve] == [f"{place:.1f}" for place in places]
    assert tree.get("aria-label").endswith(
        "LoRA starts at 0.00, is lowest with 0.00 at 0.0001, and ends at 0.00; chosen, 1.00 at 0.001"
    )


POINTS = [
    Point("Base", 0.7, 0.6, "#7a8794", "diamond"),
    Point("LoRA", 0.65, 0.75, "#2f9e63", "circle", ((0.62, 0.68), (0.7, 0.8))),
]
PATH = Trajectory("LoRA by strength", ((0.7, 0.6, "0"), (0.68, 0.66, "0.5"), (0.65, 0.75, "1")), "#2f9e63")


def test_a_scatter_plot_has_points_crosses_and_paths():
    figure = charts.scatter_plot("Style and landmark", POINTS, "landmark", "style", paths=[PATH])
    tree = tree_of(figure)
    crosses = [one for one in tree.iter("line") if one.get("stroke") == "#2f9e63"]
    assert [one.get("y1") == one.get("y2") for one in crosses] == [True, False]
    (path,) = tree.iter("polyline")
    assert len(path.get("points").split()) == 3
    assert tree.get("aria-label") == (
        "Style and landmark, landmark across and style up: Base at 0.700, 0.600; LoRA at 0.650, 0.750; "
        "LoRA by strength from 0.700, 0.600 to 0.650, 0.750"
    )
    assert re.findall(r"</svg>([^<]*)</li>", figure) == ["Base", "LoRA", "LoRA by strength"]


def test_small_labels_never_overlap():
    crowd = Trajectory(
        "TI", tuple((0.66 + number / 400, 0.66 + number / 500, f"{number}.25") for number in range(12)), "red"
    )
    tree = tree_of(charts.scatter_plot("Crowd", POINTS, "x", "y", paths=[PATH, crowd]))
    boxes = [
        (float(one.get("x")), float(one.get("y")), charts.LETTER * len(one.text))
        for one in tree.iter("text")
        if one.get("font-size") == "11"
    ]
    assert 3 <= len(boxes) < 15
    for place, (left, base, wide) in enumerate(boxes):
        for other_left, other_base, other_wide in boxes[:place]:
            assert (
                left >= other_left + other_wide
                or other_left >= left + wide
                or abs(base - other_base) >= charts.TALL - 0.11
            )


def test_charts_escape_names_and_stay_inside():
    name = '"><script>alert(1)</script>'
    figures = [
        charts.line_chart(
            name, [Line(name, ((0, 1), (1, 2)), "red", ((0, 0.5, 1.5), (1, 1.5, 2.5)))], name, name, name
        ),
        charts.scatter_plot(
            name, [Point(name, 1, 2, "red", "triangle")], name, name, name, [Trajectory(name, ((1, 2, name),), "red")]
        ),
    ]
    for figure in figures:
        assert "<script" not in figure
        tree = tree_of(figure)
        assert name in tree.get("aria-label")
        for one in tree.iter():
            for attribute, most in (
                ("x", charts.WIDTH),
                ("x1", charts.WIDTH),
                ("x2", charts.WIDTH),
                ("y", charts.HEIGHT),
                ("y1", charts.HEIGHT),
                ("y2", charts.HEIGHT),
            ):
                assert 0 <= float(one.get(attribute, 0)) <= most


def test_an_empty_chart_can_be_svg_of():
    assert "has no points" in charts.line_chart("Loss", [Line("LoRA", (), "red")], "epoch", "loss")
    assert "nan" not in charts.scatter_plot("Nothing", [], "x", "y")
