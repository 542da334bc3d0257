"""Plots as inline SVG: everything stands where its number says, is told in words as well, and is never markup."""

import re
import xml.etree.ElementTree as xml

import pytest

from ghibli_studio import study_figures
from ghibli_studio.figures import LABEL, WIDTH, Bar, intervals
from study.analysis import analyse
from tests.study_answers import board, catch, person, study

BARS = [
    Bar("LoRA", 0.75, 0.6, 0.9, "#2f9e63"), Bar("Textual Inversion", 0.0, None, None, "#d0672f"),
    Bar("None", None, None, None, "#7a8794"),
]


def drawn(figure):
    """The SVG of a figure as a tree; fails where it is not well formed."""
    (svg,) = re.findall(r"<svg.*?</svg>", figure, re.DOTALL)
    return xml.fromstring(svg)


def x(share):
    """Where a share stands, px."""
    return LABEL + (WIDTH - LABEL - 30) * share


def test_a_point_and_its_interval_stand_at_their_shares():
    tree = drawn(intervals("Buy", BARS, mark=0.5))
    points = [(float(one.get("cx")), one.get("fill")) for one in tree.iter("circle")]
    assert points == [(pytest.approx(x(0.75)), "#2f9e63"), (pytest.approx(x(0)), "#d0672f")]
    wide = [one for one in tree.iter("line") if one.get("stroke") == "#2f9e63"]
    spans = [(float(one.get("x1")), float(one.get("x2"))) for one in wide]
    assert spans == [(pytest.approx(x(0.6)), pytest.approx(x(0.9)))]
    marks = [float(one.get("x1")) for one in tree.iter("line") if one.get("stroke-dasharray")]
    assert marks == [pytest.approx(x(0.5))]
    assert not [one for one in drawn(intervals("Buy", BARS)).iter("line") if one.get("stroke-dasharray")]


def test_nothing_is_drawn_outside_the_figure():
    bars = [Bar("a", 0.0, 0.0, 1.0, "red"), Bar("b", 1.0, 1.0, 1.0, "red")]
    tree = drawn(intervals("Ends", bars))
    _, _, width, height = map(float, tree.get("viewBox").split())
    for one in tree.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(one.get(name, 0)) <= width
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(one.get(name, 0)) <= height


def test_a_figure_is_told_in_words():
    figure = intervals("Would buy", BARS, "12 people")
    told = "Would buy: LoRA 75% (60% to 90%); Textual Inversion 0%; None cannot be said"
    assert drawn(figure).get("aria-label") == told
    assert drawn(figure).get("role") == "img"
    assert "<figcaption>Would buy<br><small>12 people</small></figcaption>" in figure
    assert "cannot be said" in [one.text for one in drawn(figure).iter("text")]


def test_names_never_become_markup():
    name = '"><script>alert(1)</script>'
    figure = intervals(name, [Bar(name, 0.5, 0.4, 0.6, "red")], name)
    assert "<script" not in figure
    assert name in drawn(figure).get("aria-label")


def test_a_long_name_is_cut_and_told_whole():
    name = "The Cathedral of Saint Basil the Blessed on the Red Square"
    tree = drawn(intervals("Style", [Bar(name, 0.5, 0.4, 0.6, "red")]))
    (label,) = [one for one in tree.iter("text") if one.get("text-anchor") == "end"]
    assert label.text == "The Cathedral of Sain…"
    assert name in tree.get("aria-label")


def answered(people, **values):
    rows = []
    for number in range(people):
        who = f"person {number:02d}"
        rows += person(who, "lltlu", buy="lltl-", landmark="lbntl", style="lltlt", **values)
        rows += [catch(who, 99, right=True)]
    return rows


def test_a_triads_plots_have_its_numbers():
    result = analyse(study(), answered(12))
    shown = study_figures.plots(result)
    for name, title in study_figures.TITLES.items():
        shares = result["all"]["questions"][name]["shares"]
        (figure,) = [one for one in figures_of(shown) if f"<figcaption>{title}<br>" in one]
        for key, told in shares.items():
            only = " only" if name == "landmark" and key in ("lora", "ti") else ""
            assert f"{study_figures.NAMES[key]}{only} {told['mean']:.0%}" in drawn(figure).get("aria-label")
    assert f"right {result['all']['guess']['right']['mean']:.0%}" in shown
    assert "<figcaption>Would buy as artwork: how many people chose LoRA so often, of 5 times</figcaption>" in shown
    assert "<td>12</td>" in shown
    seen = result["all"]["questions"]["landmark"]["landmarks"]["Colosseum"]["recognisable"]["lora"]["share"]
    (figure,) = [one for one in figures_of(shown) if "preserved: LoRA or both, by landmark<" in one]
    assert seen == 1  # all chose "both" there
    assert "Colosseum 100% (" in figure
    for landmark in result["landmarks"]:
        assert shown.count(f">{landmark}</text>") >= 2


def figures_of(shown):
    return re.findall(r'<figure class="figure">.*?</figure>', shown, re.DOTALL)


def test_every_figure_of_every_instrument_is_well_formed():
    nobody = analyse(study(), [])
    paper = analyse(study(instrument="paper"), [
        *board("a", buy="l", landmark="-", style="t"), *board("b", buy="o", landmark="l", style="t"),
    ])
    for result in (analyse(study(), answered(3)), nobody, paper):
        shown = study_figures.plots(result)
        assert "nan" not in shown
        assert "None" not in re.sub(r"None( \d|</text>| cannot)", "", shown)
        for figure in figures_of(shown):
            xml.fromstring(figure.replace("<br>", "<br/>"))


def test_papers_plots_have_their_numbers():
    result = analyse(study(instrument="paper"), [
        row for number in range(8) for row in board(f"{number}", buy="lllltt-o"[number], style="l", landmark="-")
    ])
    shown = study_figures.plots(result)
    assert "LoRA 50% (22% to 78%); Textual Inversion 25% (7% to 59%); None 12%" in shown
