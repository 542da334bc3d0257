"""Plots of a closed study: their numbers are those of the result, and every figure is well formed."""

import re
import xml.etree.ElementTree as xml

from ghibli_studio.reporting import study_plot
from study.analysis.preregistered import analyze
from tests.support.study_answers import attention_check, board_rows, participant_rows, study_definition


def svg_of(figure):
    """Return the SVG of a figure as a tree; fails if it is not well formed."""
    (svg,) = re.findall(r"<svg.*?</svg>", figure, re.DOTALL)
    return xml.fromstring(svg)


def answered(people, **values):
    rows = []
    for number in range(people):
        who = f"person {number:02d}"
        rows += participant_rows(who, "lltlu", buy="lltl-", landmark="lbntl", style="lltlt", **values)
        rows += [attention_check(who, 99, right=True)]
    return rows


def test_plots_of_a_triad_study_have_its_numbers():
    result = analyze(study_definition(), answered(12))
    shown = study_plot.study_plots(result)
    for name, title in study_plot.TITLES.items():
        shares = result["all"]["questions"][name]["shares"]
        (figure,) = [one for one in figures_of(shown) if f"<figcaption>{title}<br>" in one]
        for key, share in shares.items():
            only = " only" if name == "landmark" and key in ("lora", "ti") else ""
            assert f"{study_plot.NAMES[key]}{only} {share['mean']:.0%}" in svg_of(figure).get("aria-label")
    assert f"correct {result['all']['blinding_check']['correct']['mean']:.0%}" in shown
    assert (
        "<figcaption>Would buy as artwork: number of participants by how often they chose LoRA, of 5 times</figcaption>"
        in shown
    )
    assert "<td>12</td>" in shown
    seen = result["all"]["questions"]["landmark"]["by_landmark"]["Colosseum"]["recognizable"]["lora"]["share"]
    (figure,) = [one for one in figures_of(shown) if "preserved: LoRA or both, by landmark<" in one]
    assert seen == 1  # all chose "both" there
    assert "Colosseum 100% (" in figure
    for landmark in result["landmarks"]:
        assert shown.count(f">{landmark}</text>") >= 2


def figures_of(shown):
    return re.findall(r'<figure class="figure">.*?</figure>', shown, re.DOTALL)


def test_every_figure_of_every_instrument_is_well_formed():
    nobody = analyze(study_definition(), [])
    paper = analyze(
        study_definition(instrument="paper"),
        [*board_rows("a", buy="l", landmark="-", style="t"), *board_rows("b", buy="o", landmark="l", style="t")],
    )
    for result in (analyze(study_definition(), answered(3)), nobody, paper):
        shown = study_plot.study_plots(result)
        assert "nan" not in shown
        assert "None" not in re.sub(r"None( \d|</text>| no data)", "", shown)
        for figure in figures_of(shown):
            xml.fromstring(figure.replace("<br>", "<br/>"))


def test_plots_of_a_paper_study_have_its_numbers():
    result = analyze(
        study_definition(instrument="paper"),
        [
            row
            for number in range(8)
            for row in board_rows(f"{number}", buy="lllltt-o"[number], style="l", landmark="-")
        ],
    )
    shown = study_plot.study_plots(result)
    assert "LoRA 50% (22% to 78%); Textual Inversion 25% (7% to 59%); None 12%" in shown
