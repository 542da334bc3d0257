"""The report: its values, what the page shows, and that the page is one file without external requests."""

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
from tests.support.evaluation_sample import (
    BASE,
    LORA,
    TI,
    evaluated,
    result,
    sample_study_result,
    sample_training_cost,
    sample_training_dynamics,
)
from tests.support.study_project import with_dataset
from tests.support.study_sample import LANDMARKS

VOID = {"meta", "link", "img", "br", "input", "hr"}


@pytest.fixture
def made_up_results(monkeypatch):
    """Replace training and the study by made-up results."""
    training = {"training_cost": sample_training_cost(), "training_dynamics": sample_training_dynamics()}
    monkeypatch.setattr(report, "training_summaries", lambda runs: training)
    monkeypatch.setattr(blind_study, "closed_study_result", lambda project: sample_study_result())


def finished(project, method, seed=0, base_model="tiny", **changes):
    """Return a run with a finished epoch, without the events that training writes."""
    run = project.new_run(preset("quick", method, base_model=base_model, **{"training.seed": seed, **changes}))
    write_json(run.metrics_file, {"best_epoch": 1})
    run.adapter_file.write_bytes(method.encode())
    return run


class Page(HTMLParser):
    """Parse a page: checks that tags are closed in order, and collects ids, links and external sources."""

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
def written(workspace, made_up_results):
    """Return (project, evaluation, page as text, values)."""
    project, folder = evaluated(workspace, seeds=1)
    path = report.write(project, folder)
    return project, folder, path.read_text(), json.loads(path.with_suffix(".json").read_text())


def test_the_report_is_written_into_the_project_without_partial_files(written):
    project, _, _, _ = written
    assert sorted(path.name for path in project.folder.glob("*report*")) == ["report.html", "report.json"]


def test_the_report_can_be_written_elsewhere(workspace, made_up_results, tmp_path):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    assert report.write(project, folder, tmp_path / "new" / "place") == tmp_path / "new" / "place" / "report.html"
    assert (tmp_path / "new" / "place" / "report.json").exists()
    assert not project.report_file.exists()


def test_the_values_are_complete(written):
    _, folder, _, values = written
    assert list(values) == [
        "schema",
        "project",
        "created",
        "evaluation",
        "training_cost",
        "training_dynamics",
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
        "training_cost",
        "overfitting",
        "participants",
        "limitations",
    ]
    assert (values["training_cost"], values["training_dynamics"]) == (
        sample_training_cost(),
        sample_training_dynamics(),
    )
    assert (values["dataset"]["train"], values["dataset"]["validation"]) == (2, 8)
    assert {"torch", "diffusers"} <= set(values["versions"])
    assert {"system", "cores", "memory_bytes"} <= set(values["machine"])


def test_the_page_is_one_complete_file_without_scripts(written):
    _, _, text, _ = written
    page = Page(text)
    assert not page.tags & {"script", "iframe", "object", "embed", "form", "button"}
    assert all(source.startswith("data:") for source in page.sources)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert len(page.ids) == len(set(page.ids))


def test_the_page_has_every_finding_and_every_section(written):
    _, _, text, values = written
    words = " ".join(" ".join(Page(text).words).split())
    for one in values["findings"]:
        for sentence in (one["title"], one["answer"], *one["results"], *one["certainty"], *one["not_claimed"]):
            assert " ".join(sentence.split()) in words
    assert {"findings", "images", "metrics", "training", "study", "provenance"} <= set(Page(text).ids)
    assert "Proxy networks. miniature CLIP" in words
    assert "c" * 64 in words  # the network's digest
    assert "l" * 64 in words  # the adapter's
    for metric in values["evaluation"]["metrics"].values():
        assert metric["label"] in words
        assert metric["description"] in words


def test_published_names_are_always_labeled_as_proxies(written):
    """No CLIP score, LPIPS, FID or KID of the proxy is shown without a label that says so."""
    _, _, text, _ = written
    words = " ".join(" ".join(Page(text).words).split())
    figures = " ".join(re.findall(r'aria-label="([^"]*)"', text))
    for where in (words, figures):
        for name in ("CLIP score", "LPIPS"):
            assert not re.findall(rf"{name}(?! proxy| \*)", where)
        assert not re.findall(r"(?<!a proxy for )\b[FK]ID\b", where)


def test_images_are_small_and_embedded(written):
    _, _, text, _ = written
    sources = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    # two tasks: five landmarks with photo, ground truth and three variants; four best and four worst of three variants
    assert len(sources) == 2 * (5 * 5 + 3 * 8)
    for source in sources:
        with Image.open(io.BytesIO(base64.b64decode(source))) as image:
            assert image.format == "WEBP"
            assert max(image.size) <= image_selection.SIDE


def test_large_images_are_scaled_down(tmp_path):
    Image.effect_noise((900, 600), 40).save(tmp_path / "large.png")
    uri = image_selection.data_uri(tmp_path / "large.png")
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        assert (image.size, image.mode) == ((256, 171), "RGB")
    assert len(uri) < 60_000


def test_missing_images_are_reported(workspace, made_up_results):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    evaluation = read_json(folder / "result.json")
    (folder / evaluation["rows"][0]["file"]).unlink()
    (folder / evaluation["rows"][1]["file"]).write_bytes(b"no image")
    text = report.write(project, folder).read_text()
    assert f'aria-label="Big Ben, {BASE}: missing"' in text
    assert f'aria-label="Big Ben, {LORA}: missing"' in text
    Page(text)
    project.manifest_file.unlink()
    Page(report.write(project, folder).read_text())


def test_images_of_another_dataset_are_not_shown(workspace, made_up_results):
    """The item id may meanwhile belong to another landmark."""
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    evaluation = read_json(folder / "result.json")
    evaluation["subjects"][0]["item"] = evaluation["subjects"][1]["item"]
    known = image_selection.reference_images(project, evaluation)
    assert known[LANDMARKS[0]] == (None, None)
    assert known[LANDMARKS[1]] == (project.sources / "0002.png", project.dataset / "0002.png")


def test_paths_on_this_machine_are_not_published(workspace, made_up_results):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    evaluation = read_json(folder / "result.json")
    evaluation["variants"][1]["file"] = "/home/somebody/secret/adapter.safetensors"
    evaluation["settings"]["clip_model"] = "/home/somebody/clip-large"
    write_json(folder / "result.json", evaluation)
    finished(project, "lora", base_model="/home/somebody/models/sd15")
    page = report.write(project, folder)
    values = page.with_suffix(".json").read_text()
    assert "somebody" not in page.read_text() + values
    assert {"sd15", "clip-large"} <= set(re.findall(r"[\w-]+", values))


def test_figures_without_intervals_warn_of_chance():
    evaluation = result(landmarks=("Petra",), seeds=1, sweeps=False)
    for figure in (*evaluation_plot.mean_plots(evaluation, "txt2img"), *sweep_plot.style_landmark_plots(evaluation)):
        assert evaluation_plot.NO_INTERVAL in figure
    assert evaluation_plot.forest_plots(evaluation) == []
    assert evaluation_plot.NO_INTERVAL not in "".join(evaluation_plot.mean_plots(result(sweeps=False), "txt2img"))


def test_best_and_worst_follow_the_metrics_direction():
    evaluation = result(sweeps=False)
    for key, first in (("style_similarity", max), ("style_distance", min)):
        best, worst = image_selection.extremes(evaluation, "txt2img", TI, key, 3)
        scores = [row["scores"][key] for row in evaluation["rows"] if (row["task"], row["variant"]) == ("txt2img", TI)]
        assert best[0]["scores"][key] == first(scores)
        assert worst[0]["scores"][key] == (min if first is max else max)(scores)
        assert not {id(row) for row in best} & {id(row) for row in worst}


def test_a_single_image_is_shown_as_the_best():
    evaluation = result(seeds=1, sweeps=False)
    evaluation["rows"] = [row for row in evaluation["rows"] if row["landmark"] == LANDMARKS[0]]
    best, worst = image_selection.extremes(evaluation, "txt2img", TI, "style_similarity")
    assert (len(best), worst) == (1, [])


def test_images_side_by_side_are_not_selected_by_score():
    evaluation = result(seeds=2, sweeps=True)
    shown = image_selection.side_by_side(evaluation, "img2img", 3)
    assert [landmark for landmark, _ in shown] == list(LANDMARKS[:3])
    assert all(list(rows) == [BASE, LORA, TI] for _, rows in shown)
    assert all(row["seed"] == 0 for _, rows in shown for row in rows.values())


def test_names_are_escaped(workspace, made_up_results):
    name = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    project, folder = evaluated(workspace, landmarks=(name, "Petra"), sweeps=False, seeds=1)
    evaluation = read_json(folder / "result.json")
    evaluation["warnings"].append(name)
    evaluation["metrics"]["style_similarity"]["label"] = name
    evaluation["networks"]["clip"]["name"] = name
    write_json(folder / "result.json", evaluation)
    page = Page(report.write(project, folder).read_text())
    assert "script" not in page.tags
    assert all(source.startswith("data:") for source in page.sources)


def test_nan_becomes_null(workspace, made_up_results):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    evaluation = read_json(folder / "result.json")
    evaluation["rows"][0]["scores"]["style_similarity"] = float("nan")
    write_json(folder / "result.json", evaluation)
    values = json.loads(report.write(project, folder).with_suffix(".json").read_text())
    assert values["evaluation"]["rows"][0]["scores"]["style_similarity"] is None


def test_an_empty_report_names_what_is_missing(workspace):
    project = with_dataset(workspace.project("sample", new=True))
    path = report.write(project)
    page = Page(path.read_text())
    words = " ".join(" ".join(page.words).split())
    assert "No evaluation. No images have been evaluated" in words
    assert "Unknown: no run has finished an epoch yet." in words
    assert "Unknown: there is no closed study." in words
    assert not {"images", "metrics", "training", "study"} & set(page.ids)
    assert read_json(path.with_suffix(".json"))["evaluation"] is None


def test_an_unfinished_evaluation_cannot_be_reported(workspace):
    project, folder = evaluated(workspace, landmarks=LANDMARKS, sweeps=False, seeds=1)
    (folder / "result.json").unlink()
    with pytest.raises(StudioError) as error:
        report.write(project, folder)
    assert str(error.value) == ("evaluation 20250102-030405 is not finished (it has no result.json); resume it first")
    assert not project.report_file.exists()


def test_the_runs_of_a_report_are_the_evaluated_ones_and_their_repetitions(workspace):
    project = with_dataset(workspace.project("sample", new=True))
    first, again, other = (
        finished(project, "lora"),
        finished(project, "lora", 1),
        finished(project, "lora", **{"adapter.rank": 2}),
    )
    ti = finished(project, "ti")
    project.new_run(preset("quick", "ti", base_model="tiny"))  # still empty
    chosen = {"variants": [{"run": None}, {"run": first.id}]}
    assert report.runs_of(project, chosen) == [first, again]
    assert report.runs_of(project, None) == [other, ti]
    assert report.runs_of(project, {"variants": [{"run": "gone"}]}) == [other, ti]


def test_a_run_is_listed_with_settings_and_hash(workspace, made_up_results):
    project = with_dataset(workspace.project("sample", new=True))
    run = finished(project, "lora")
    (listed,) = report.build(project)["runs"]
    assert listed == {
        "run": run.id,
        "method": "lora",
        "settings": run.config().model_dump(mode="json"),
        "adapter_sha256": hashlib.sha256(b"lora").hexdigest(),
    }
    text = html_page.render_page(report.build(project), project, None)
    assert listed["adapter_sha256"] in text


def test_a_forest_plot_points_to_the_better_variant():
    """A lower-is-better metric that favors LoRA is to the right of the line as well."""
    evaluation = result(sweeps=False)
    figure = evaluation_plot.forest_plot(evaluation, "img2img", (LORA, TI))
    spoken = re.search(r'aria-label="([^"]*)"', figure)[1]
    values = {name: float(value.replace("−", "-")) for name, value in re.findall(r"([^;:]+?) (−?[\d.]+) \(", spoken)}
    comparisons = {
        one["metric"]: one
        for one in evaluation["comparisons"]
        if (one["task"], one["a"], one["b"]) == ("img2img", LORA, TI)
    }
    assert values[" Style distance *"] == pytest.approx(-comparisons["style_distance"]["effect_size"], abs=0.06)
    assert values[" Style similarity *"] == pytest.approx(comparisons["style_similarity"]["effect_size"], abs=0.06)
    assert comparisons["style_distance"]["effect_size"] < 0
    assert "* computed with a proxy network (miniature CLIP)." in figure


def test_the_table_has_all_comparisons_adapters_first():
    evaluation = result(sweeps=False)
    rows = evaluation_plot.comparison_rows(evaluation)
    assert len(rows) == len(evaluation["comparisons"])
    assert all(len(row) == len(evaluation_result.COMPARISON_COLUMNS) for row in rows)
    assert [row[2] for row in rows[:14]] == [f"{LORA} − {TI}"] * 14
    assert {row[2] for row in rows[14:]} == {f"{LORA} − {BASE}", f"{TI} − {BASE}"}


def test_adapter_scale_curves_start_at_the_base_model_and_include_the_compared_variants():
    figure = sweep_plot.adapter_scale_plots(result())[0]
    lines = re.findall(r"<polyline points=\"([^\"]+)\"", figure)[:2]
    assert [len(points.split()) for points in lines] == [6, 6]  # 0, .25, .5, .75, 1, 1.25
    assert lines[0].split()[0] == lines[1].split()[0]
    assert sweep_plot.adapter_scale_plots(result(sweeps=False)) == []


def test_without_sweeps_the_plot_has_only_points():
    plots = sweep_plot.style_landmark_plots(result(sweeps=False))
    assert len(plots) == 2
    assert all("<polyline" not in figure for figure in plots)
    assert len(sweep_plot.style_landmark_plots(result())) == 4  # by adapter scale and by epoch, for both tasks


def test_a_second_run_of_a_method_has_its_own_color():
    found = evaluation_result.variant_styles(
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


def test_training_is_plotted():
    curve, profile, table = training_plot.training_plots(sample_training_cost(), sample_training_dynamics())
    assert curve.count("<polygon") == 2
    assert "Textual Inversion starts at 0.072" in curve
    assert "stroke-dasharray" in curve
    assert "% vs. the base model" in profile
    assert table.count("<tr>") == 5
    assert "Loss 0.0512 is the best loss that every run reaches." in table
    assert "<td>37 s, 120 steps</td>" in table
    assert training_plot.training_plots(None, None) == []


def test_runs_on_different_base_models_have_no_common_baseline():
    entries = sample_training_dynamics()
    entries[0]["base_loss"] = 0.09
    assert "dashed" not in training_plot.training_plots(None, entries)[0].split("<svg")[0]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "light")])
def test_the_page_fits_and_makes_no_requests(browser, written, width, scheme):
    project, _, _, _ = written
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(project.report_file.absolute().as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert [url for url in requests if not url.startswith("data:")] == [project.report_file.absolute().as_uri()]
    assert errors == []
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
