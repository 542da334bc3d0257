"""The report: what is gathered, what the page shows, that it is one file which fetches nothing and hides nothing."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.evaluation import blind_study
from ghibli_studio.reporting import (
    evaluation_plot,
    evaluation_result,
    html_page,
    image_selection,
    report,
    sweep_plot,
    training_plot,
)
from ghibli_studio.workspace.files import read_json, write_json
from tests.conftest import CHROMIUM
from tests.support.evaluation_sample import BASE, LORA, TI, dynamics, efficiency, evaluated, result, study_outcome
from tests.support.study_project import with_dataset
from tests.support.study_sample import LANDMARKS

VOID = {"meta", "link", "img", "br", "input", "hr"}


@pytest.fixture
def measured(monkeypatch):
    """Trainings and a study without having trained or asked anybody."""
    monkeypatch.setattr(report, "trainings", lambda runs: {"efficiency": efficiency(), "dynamics": dynamics()})
    monkeypatch.setattr(blind_study, "closed_outcome", lambda project: study_outcome())


def finished(project, method, seed=0, base_model="tiny", **changes):
    """A run that has finished an epoch, as far as a report looks before it reads the events."""
    run = project.new_run(preset("quick", method, base_model=base_model, **{"training.seed": seed, **changes}))
    write_json(run.metrics_file, {"best_epoch": 1})
    run.adapter_file.write_bytes(method.encode())
    return run


class Page(HTMLParser):
    """Tags that are closed in order, ids, links, and everything that could fetch something."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.tags, self.words = [], [], [], [], set(), []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [named["id"]] if "id" in named else []
        self.links += [named["href"]] if tag == "a" else []
        self.sources += [value for name, value in attributes if name in ("src", "srcset", "poster", "data")]
        self.sources += [named["href"]] if tag == "link" else []
        if tag == "img":
            assert named["alt"]

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)


@pytest.fixture
def written(workspace, measured):
    """(project, evaluation, page as text, values)."""
    project, folder = evaluated(workspace, seeds=1)
    path = report.write(project, folder)
    return project, folder, path.read_text(), json.loads(path.with_suffix(".json").read_text())


def test_the_report_lies_in_the_project_and_nothing_half_written_beside_it(written):
    project, _, _, _ = written
    assert sorted(path.name for path in project.folder.glob("*report*")) == ["report.html", "report.json"]


def test_the_report_can_lie_elsewhere(workspace, measured, tmp_path):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    assert report.write(project, folder, tmp_path / "new" / "place") == tmp_path / "new" / "place" / "report.html"
    assert (tmp_path / "new" / "place" / "report.json").exists()
    assert not project.report_file.exists()


def test_the_values_hold_everything(written):
    _, folder, _, values = written
    assert list(values) == [
        "schema",
        "project",
        "created",
        "evaluation",
        "efficiency",
        "dynamics",
        "study",
        "runs",
        "dataset",
        "versions",
        "machine",
        "findings",
    ]
    assert values["evaluation"] == {**read_json(folder / "result.json"), "folder": folder.name}
    assert [one["question"] for one in values["findings"]] == [
        "style",
        "landmark",
        "prompt",
        "speed",
        "overfitting",
        "people",
        "limits",
    ]
    assert (values["efficiency"], values["dynamics"]) == (efficiency(), dynamics())
    assert (values["dataset"]["train"], values["dataset"]["validation"]) == (2, 8)
    assert {"torch", "diffusers"} <= set(values["versions"])
    assert {"system", "cores", "memory_bytes"} <= set(values["machine"])


def test_the_page_is_one_whole_file_without_script(written):
    _, _, text, _ = written
    page = Page(text)
    assert not page.tags & {"script", "iframe", "object", "embed", "form", "button"}
    assert all(source.startswith("data:") for source in page.sources)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(page.ids) == len(set(page.ids))


def test_the_page_says_every_finding_and_shows_every_section(written):
    _, _, text, values = written
    words = " ".join(" ".join(Page(text).words).split())
    for one in values["findings"]:
        for sentence in (one["title"], one["answer"], *one["found"], *one["sure"], *one["not_shown"]):
            assert " ".join(sentence.split()) in words
    assert {"findings", "pictures", "measures", "training", "study", "made"} <= set(Page(text).ids)
    assert "Stand-in networks. miniature CLIP" in words
    assert "c" * 64 in words  # the network's digest
    assert "l" * 64 in words  # the adapter's
    for metric in values["evaluation"]["metrics"].values():
        assert metric["label"] in words
        assert metric["what"] in words


def test_published_names_never_stand_bare(written):
    """No CLIP score, LPIPS, FID or KID that the stand-in computed without a word that says so."""
    _, _, text, _ = written
    words = " ".join(" ".join(Page(text).words).split())
    figures = " ".join(re.findall(r'aria-label="([^"]*)"', text))
    for where in (words, figures):
        for name in ("CLIP score", "LPIPS"):
            assert not re.findall(rf"{name}(?! stand-in| \*)", where)
        assert not re.findall(r"(?<!a stand-in for )\b[FK]ID\b", where)


def test_pictures_are_small_and_inside(written):
    _, _, text, _ = written
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    # two tasks: five landmarks by photograph, truth and three variants; four best and four worst of three variants
    assert len(found) == 2 * (5 * 5 + 3 * 8)
    for one in found:
        with Image.open(io.BytesIO(base64.b64decode(one))) as image:
            assert image.format == "WEBP"
            assert max(image.size) <= image_selection.SIDE


def test_large_pictures_are_made_smaller(tmp_path):
    Image.effect_noise((900, 600), 40).save(tmp_path / "large.png")
    uri = image_selection.data_uri(tmp_path / "large.png")
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        assert (image.size, image.mode) == ((256, 171), "RGB")
    assert len(uri) < 60_000


def test_what_is_gone_is_said_to_be_gone(workspace, measured):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    told = read_json(folder / "result.json")
    (folder / told["rows"][0]["file"]).unlink()
    (folder / told["rows"][1]["file"]).write_bytes(b"no picture")
    text = report.write(project, folder).read_text()
    assert f'aria-label="Big Ben, {BASE}: not there"' in text
    assert f'aria-label="Big Ben, {LORA}: not there"' in text
    Page(text)
    project.manifest_file.unlink()
    Page(report.write(project, folder).read_text())


def test_another_data_set_lends_no_pictures(workspace, measured):
    """The item's number may by now belong to another landmark."""
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    told = read_json(folder / "result.json")
    told["subjects"][0]["item"] = told["subjects"][1]["item"]
    known = image_selection.truths(project, told)
    assert known[LANDMARKS[0]] == (None, None)
    assert known[LANDMARKS[1]] == (project.sources / "0002.png", project.dataset / "0002.png")


def test_where_a_file_lies_on_this_machine_is_not_told(workspace, measured):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    told = read_json(folder / "result.json")
    told["variants"][1]["file"] = "/home/somebody/secret/adapter.safetensors"
    told["settings"]["clip_model"] = "/home/somebody/clip-large"
    write_json(folder / "result.json", told)
    finished(project, "lora", base_model="/home/somebody/models/sd15")
    page = report.write(project, folder)
    values = page.with_suffix(".json").read_text()
    assert "somebody" not in page.read_text() + values
    assert {"sd15", "clip-large"} <= set(re.findall(r"[\w-]+", values))


def test_without_intervals_figures_say_that_it_may_be_luck():
    told = result(landmarks=("Petra",), seeds=1, sweeps=False)
    for figure in (*evaluation_plot.means(told, "prompt"), *sweep_plot.planes(told)):
        assert evaluation_plot.NO_INTERVAL in figure
    assert evaluation_plot.forests(told) == []
    assert evaluation_plot.NO_INTERVAL not in "".join(evaluation_plot.means(result(sweeps=False), "prompt"))


def test_best_and_worst_follow_the_measures_direction():
    told = result(sweeps=False)
    for key, first in (("style_similarity", max), ("style_distance", min)):
        best, worst = image_selection.extremes(told, "prompt", TI, key, 3)
        scores = [row["scores"][key] for row in told["rows"] if (row["task"], row["variant"]) == ("prompt", TI)]
        assert best[0]["scores"][key] == first(scores)
        assert worst[0]["scores"][key] == (min if first is max else max)(scores)
        assert not {id(row) for row in best} & {id(row) for row in worst}


def test_a_single_picture_is_shown_as_the_best():
    told = result(seeds=1, sweeps=False)
    told["rows"] = [row for row in told["rows"] if row["landmark"] == LANDMARKS[0]]
    best, worst = image_selection.extremes(told, "prompt", TI, "style_similarity")
    assert (len(best), worst) == (1, [])


def test_pictures_side_by_side_are_not_chosen_by_score():
    told = result(seeds=2, sweeps=True)
    shown = image_selection.side_by_side(told, "photo", 3)
    assert [landmark for landmark, _ in shown] == list(LANDMARKS[:3])
    assert all(list(rows) == [BASE, LORA, TI] for _, rows in shown)
    assert all(row["seed"] == 0 for _, rows in shown for row in rows.values())


def test_names_from_outside_never_become_markup(workspace, measured):
    name = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    project, folder = evaluated(workspace, landmarks=(name, "Petra"), sweeps=False, seeds=1)
    told = read_json(folder / "result.json")
    told["warnings"].append(name)
    told["metrics"]["style_similarity"]["label"] = name
    told["networks"]["clip"]["name"] = name
    write_json(folder / "result.json", told)
    page = Page(report.write(project, folder).read_text())
    assert "script" not in page.tags
    assert all(source.startswith("data:") for source in page.sources)


def test_numbers_that_are_none_become_none(workspace, measured):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    told = read_json(folder / "result.json")
    told["rows"][0]["scores"]["style_similarity"] = float("nan")
    write_json(folder / "result.json", told)
    values = json.loads(report.write(project, folder).with_suffix(".json").read_text())
    assert values["evaluation"]["rows"][0]["scores"]["style_similarity"] is None


def test_without_anything_the_report_says_what_is_missing(workspace):
    project = with_dataset(workspace.project("sample", new=True))
    path = report.write(project)
    page = Page(path.read_text())
    words = " ".join(" ".join(page.words).split())
    assert "No evaluation. No pictures have been evaluated" in words
    assert "Nothing can be said: no run has finished an epoch yet." in words
    assert "Nobody has been asked: there is no closed study." in words
    assert not {"pictures", "measures", "training", "study"} & set(page.ids)
    assert read_json(path.with_suffix(".json"))["evaluation"] is None


def test_an_unfinished_evaluation_makes_no_report(workspace):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    (folder / "result.json").unlink()
    with pytest.raises(StudioError) as error:
        report.write(project, folder)
    assert str(error.value) == (
        "the evaluation 20250102-030405 is not finished (it has no result.json); go on with it first"
    )
    assert not project.report_file.exists()


def test_the_runs_of_a_report_are_those_evaluated_and_their_repetitions(workspace):
    project = with_dataset(workspace.project("sample", new=True))
    first, again, other = (
        finished(project, "lora"),
        finished(project, "lora", 1),
        finished(project, "lora", **{"adapter.rank": 2}),
    )
    ti = finished(project, "ti")
    project.new_run(preset("quick", "ti", base_model="tiny"))  # nothing in it yet
    chosen = {"variants": [{"run": None}, {"run": first.id}]}
    assert report.runs_of(project, chosen) == [first, again]
    assert report.runs_of(project, None) == [other, ti]
    assert report.runs_of(project, {"variants": [{"run": "gone"}]}) == [other, ti]


def test_a_run_is_described_with_settings_and_hash(workspace, measured):
    project = with_dataset(workspace.project("sample", new=True))
    run = finished(project, "lora")
    (told,) = report.build(project)["runs"]
    assert told == {
        "run": run.id,
        "method": "lora",
        "settings": run.config().model_dump(mode="json"),
        "adapter_sha256": hashlib.sha256(b"lora").hexdigest(),
    }
    text = html_page.page(report.build(project), project, None)
    assert told["adapter_sha256"] in text


def test_a_forest_points_to_who_is_better():
    """A lower measure that favors LoRA lies to the right of the line as well."""
    told = result(sweeps=False)
    figure = evaluation_plot.forest(told, "photo", (LORA, TI))
    spoken = re.search(r'aria-label="([^"]*)"', figure)[1]
    values = {name: float(value.replace("−", "-")) for name, value in re.findall(r"([^;:]+?) (−?[\d.]+) \(", spoken)}
    comparisons = {
        one["metric"]: one for one in told["comparisons"] if (one["task"], one["a"], one["b"]) == ("photo", LORA, TI)
    }
    assert values[" Style distance *"] == pytest.approx(-comparisons["style_distance"]["effect"], abs=0.06)
    assert values[" Style similarity *"] == pytest.approx(comparisons["style_similarity"]["effect"], abs=0.06)
    assert comparisons["style_distance"]["effect"] < 0
    assert "* rests on a stand-in network (miniature CLIP)." in figure


def test_all_comparisons_are_in_the_table_adapters_first():
    told = result(sweeps=False)
    rows = evaluation_plot.compared_rows(told)
    assert len(rows) == len(told["comparisons"])
    assert all(len(row) == len(evaluation_result.COMPARED) for row in rows)
    assert [row[2] for row in rows[:14]] == [f"{LORA} − {TI}"] * 14
    assert {row[2] for row in rows[14:]} == {f"{LORA} − {BASE}", f"{TI} − {BASE}"}


def test_strength_curves_begin_at_the_base_model_and_pass_through_what_is_compared():
    figure = sweep_plot.strengths(result())[0]
    drawn = re.findall(r"<polyline points=\"([^\"]+)\"", figure)[:2]
    assert [len(points.split()) for points in drawn] == [6, 6]  # 0, .25, .5, .75, 1, 1.25
    assert drawn[0].split()[0] == drawn[1].split()[0]
    assert sweep_plot.strengths(result(sweeps=False)) == []


def test_without_sweeps_the_plane_has_points_alone():
    told = sweep_plot.planes(result(sweeps=False))
    assert len(told) == 2
    assert all("<polyline" not in figure for figure in told)
    assert len(sweep_plot.planes(result())) == 4  # by strength and by epoch, for both tasks


def test_a_second_run_of_a_method_has_a_color_of_its_own():
    found = evaluation_result.looks(
        [
            {"name": name, "method": method, "group": group}
            for name, method, group in (
                ("LoRA 1", "lora", "compare"),
                ("LoRA 2", "lora", "compare"),
                ("LoRA x 0.5", "lora", "adapter_scale"),
                ("DoRA", "dora", "compare"),
            )
        ]
    )
    assert list(found) == ["LoRA 1", "LoRA 2", "DoRA"]
    assert len({color for color, _ in found.values()}) == 3


def test_trainings_are_drawn_and_told():
    curve, profile, table = training_plot.training(efficiency(), dynamics())
    assert curve.count("<polygon") == 2
    assert "Textual Inversion begins at 0.072" in curve
    assert "stroke-dasharray" in curve
    assert "% against the base model" in profile
    assert table.count("<tr>") == 5
    assert "Loss 0.0512 is the best loss that every run reaches." in table
    assert "<td>37 s, 120 steps</td>" in table
    assert training_plot.training(None, None) == []


def test_runs_on_different_ground_have_no_common_base_line():
    told = dynamics()
    told[0]["base_loss"] = 0.09
    assert "dashed" not in training_plot.training(None, told)[0].split("<svg")[0]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light")])
def test_the_page_fits_and_asks_for_nothing(browser, written, width, scheme):
    project, _, _, _ = written
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(project.report_file.absolute().as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert [url for url in asked if not url.startswith("data:")] == [project.report_file.absolute().as_uri()]
    assert errors == []
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
