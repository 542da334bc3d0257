"""The steps of building a dataset from photos, without a browser: what each shows, does and refuses."""

import io

import gradio as gr
import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.config.stylization import StylizationSettings
from ghibli_studio.curation import build as building
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation import ingest, review
from ghibli_studio.curation.review import collection_statistics
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.statistics import Bin
from ghibli_studio.data.statistics_plot import bars, statistics_figures
from ghibli_studio.generation import metadata
from ghibli_studio.generation import stylization as generation_stylization
from ghibli_studio.ui.dataset import build, crop, inspection, photo_list, prompts, style_photo, stylization
from ghibli_studio.ui.dataset import photos as dataset_photos
from tests.support.collection_project import encoded, scene, stylize

NAMES = ("Big Ben", "Petra", "Colosseum")
FEW = StylizationSettings(source="prompt", style_words="pastel", num_inference_steps=4, strength=0.5, seed=7)
SKIP = gr.skip()


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    for number, name in enumerate(NAMES, 1):
        (place / f"{name}.png").write_bytes(encoded(scene(number)))
    (place / "broken.png").write_bytes(b"not an image")
    return place


@pytest.fixture
def project(workspace, folder, tiny_folder):
    project = workspace.project("p", new=True)
    list(ingest.add_photos(project, folder, str(tiny_folder)))
    return project


@pytest.mark.parametrize("view", [dataset_photos.view, prompts.view, crop.view, stylization.view, build.view])
def test_without_photos_every_step_says_what_to_do(workspace, project, view):
    empty = workspace.project("empty", new=True)
    assert len(view(None)) == len(view(empty)) == len(view(project))
    text = view(empty)[0]
    assert "No photos yet" in (text if isinstance(text, str) else text["value"])


@pytest.mark.parametrize(
    ("kind", "files", "path", "sentence"),
    [
        ("files", None, "", "no files are selected; drop photos or a ZIP into the field"),
        ("folder", None, " ", "no folder is given; enter the folder of the photos, such as ~/photos"),
    ],
)
def test_a_source_that_is_not_named_is_asked_for(kind, files, path, sentence):
    with pytest.raises(StudioError) as caught:
        dataset_photos.source_of(kind, files, path)
    assert str(caught.value) == sentence


def test_sources_are_what_gathering_takes(tmp_path):
    assert dataset_photos.source_of("landmarks", None, "") == "landmarks"
    assert dataset_photos.source_of("folder", None, f" {tmp_path} ") == tmp_path
    assert dataset_photos.source_of("files", [str(tmp_path / "a.png")], "") == [tmp_path / "a.png"]


def test_photos_are_shown_with_what_was_skipped(project):
    summary, gallery, page, gone, _ = dataset_photos.view(project)
    assert "<b>3</b> photos" in summary
    assert "broken.png" in summary
    assert [label for _, label in gallery["value"]] == ["0001 Big Ben", "0002 Colosseum", "0003 Petra"]
    assert {image.size for image, _ in gallery["value"]} == {(192, 192)}
    assert page == gr.update(value=1, maximum=2, visible=False)
    assert gone["choices"] == [("0001 Big Ben", "0001"), ("0002 Colosseum", "0002"), ("0003 Petra", "0003")]


def test_a_page_beyond_the_last_is_the_last():
    photos = list(range(50))
    assert photo_list.page_of(photos, 99) == (photos[48:], gr.update(value=3, maximum=3, visible=True))
    assert photo_list.page_of(photos, 0)[0] == photos[:24]


def test_names_from_outside_never_become_markup(project):
    collections.change(
        project,
        lambda old: collections.replace(
            old, skipped=({"file": "x", "reason": "<script>x</script>"},), notes=("<b>y</b>",)
        ),
    )
    text = photo_list.summary(collections.load(project))
    assert "<script>" not in text
    assert "<b>y</b>" not in text


def test_prompts_show_parts_and_a_gauge(project):
    collections.edit(project, "0001", location="London", description="a tower", composition="wide shot")
    _, box, rows, _, text = prompts.view(project)
    assert box == gr.update(visible=True)
    assert rows[0][:5] == ["0001", "Big Ben", "London", "a tower", "wide shot"]
    tokens = int(rows[0][5].split()[0])
    assert rows[0][5] == prompts.gauge_text(tokens, collections.load(project).token_limit)
    assert "3 of 3 photos." in text


@pytest.mark.parametrize(
    ("tokens", "limit", "text"),
    [
        (0, 77, "0 of 77 ▱▱▱▱▱▱▱▱▱▱"),
        (39, 77, "39 of 77 ▰▰▰▰▰▱▱▱▱▱"),
        (77, 77, "77 of 77 ▰▰▰▰▰▰▰▰▰▰"),
        (80, 77, "80 of 77: 3 over the limit"),
    ],
)
def test_the_gauge(tokens, limit, text):
    assert prompts.gauge_text(tokens, limit) == text


def test_typing_changes_only_what_differs(project, monkeypatch):
    rows = prompts.view(project)[2]
    rows[1][3] = "an amphitheatre"
    rows[2][1] = 12  # a table returns a number if a number was typed
    changed = []
    write = collections.edit_many
    monkeypatch.setattr(collections, "edit_many", lambda of, changes: changed.append(changes) or write(of, changes))
    made = prompts.save_rows(project, rows)
    assert changed == [{"0002": {"description": "an amphitheatre"}, "0003": {"name": "12"}}]
    assert (made.photo("0002").description, made.photo("0003").name) == ("an amphitheatre", "12")
    prompts.save_rows(project, rows)
    assert len(changed) == 1


def test_too_long_prompts_are_found_and_told(project):
    collections.edit(project, "0002", description="word " * 100)
    assert [photo.id for photo in prompts.shown(collections.load(project), "long")] == ["0002"]
    assert "1 prompts are over the limit of" in prompts.view(project, "long")[-1]


def test_many_are_changed_together(project):
    collections.edit(project, "0003", name="")
    prompts.bulk_edit(project, "all", "set", "composition", "", "wide shot")
    prompts.bulk_edit(project, "nameless", "append", "description", "", "in fog")
    made = prompts.bulk_edit(project, "all", "replace", "composition", "wide", "long")
    assert [photo.composition for photo in made.photos] == ["long shot"] * 3
    assert [photo.description for photo in made.photos] == ["", "", "in fog"]
    with pytest.raises(StudioError, match="no photo is rejected; choose another filter under Show"):
        prompts.bulk_edit(project, "rejected", "set", "name", "", "x")


def test_the_crop_follows_the_click_and_stays_inside(project):
    shown = crop.view(project, "0001")
    assert shown[2]["value"] == "0001"
    assert shown[3]["label"] == "Left to right"
    assert shown[-1] == (
        '<div class="foot">96 x 72 px, cropped to 72 x 72 px (75% kept), resampled with Lanczos to 64 x 64 px.</div>'
    )
    moved = crop.moved(project, "0001", x=0.1234, y=0.9)
    assert collections.load(project).photo("0001").center == (0.123, 0.9)
    assert moved[3]["value"] == 0.123
    assert moved[5].size == (72, 72)
    assert moved[6].size == (64, 64)
    assert moved[6].tobytes() != shown[6].tobytes()


def test_an_unknown_photo_shows_the_first_and_neighbors_go_round(project):
    assert crop.view(project, "9999")[2]["value"] == "0001"
    assert [crop.neighbor(project, "0001", by) for by in (1, -1)] == ["0002", "0003"]
    assert crop.neighbor(project, "9999", 1) == "0001"


def test_a_moved_crop_waits_for_stylization_again(project):
    stylize(project, "0001")
    crop.moved(project, "0001", x=0.0)
    assert collections.load(project).photo("0001").pending
    assert "the photo will be stylized again" in crop.view(project, "0001")[-1]
    assert "crop that was moved" in " ".join(issue.message for issue in build_step_issues(project))
    list(building.build_dataset(put_all(project)))
    item = datasets.load(project).items[0]
    with Image.open(project.sources / item.source) as source:
        assert source.size == (96, 72)  # as it came: what was stylized is its center


def build_step_issues(project):
    from ghibli_studio.curation import review

    return review.check(project)


def put_all(project):
    for id in ("0002", "0003"):
        stylize(project, id)
    return project


def test_the_stylize_step_shows_the_settings_of_the_last_batch(project):
    list(generation_stylization.stylize_photos(project, ["0001"], FEW))
    shown = stylization.view(project)
    fields = dict(zip(StylizationSettings.model_fields, shown[2:]))
    assert fields["style_words"] == "pastel"
    assert fields["num_inference_steps"] == 4
    assert fields["adapter_file"]["visible"] is False
    _, gallery, _, ids = shown[-4:]
    assert ids == ["0001", "0002", "0003"]
    assert [image.size for image, _ in gallery["value"]] == [(384, 192), (192, 192), (192, 192)]
    assert gallery["value"][0][1] == "◐ 0001 Big Ben"
    assert stylization.gallery_view(project, "new", 1)[-1] == ["0002", "0003"]


def test_one_photo_is_compared_decided_and_followed_by_the_next(project):
    list(generation_stylization.stylize_photos(project, ["0001", "0003"], FEW))
    _, _, title, slider, attempts, _, *own = stylization.detail(project, "0001")
    assert title == "### 0001 Big Ben: to review"
    assert attempts["choices"] == [("1: prompt, strength 0.5, seed 7", 0)]
    before, after = slider["value"]
    assert before.size == (64, 64)
    assert Image.open(after).size == (64, 64)
    assert own[0]["placeholder"] == "Big Ben"
    assert stylization.next_to_review(project, "0001") == "0003"
    review.accept(project, ["0003"])
    assert stylization.next_to_review(project, "0003") == "0001"
    review.accept(project, ["0001"])
    assert stylization.next_to_review(project, "0001") is None


def test_a_photo_without_a_image_cannot_be_accepted(project):
    shown = stylization.detail(project, "0002")
    assert (shown[3], shown[5]) == (gr.update(visible=False), gr.update(visible=False))
    assert stylization.detail(project, None)[:2] == [gr.update(visible=True), gr.update(visible=False)]


def test_own_settings_are_those_that_are_filled_in():
    values = dict.fromkeys(stylization.PHOTO_FIELDS, None) | {"prompt": "", "seed": 3.0, "strength": 0.4}
    assert stylization.photo_settings_of(values.values()) == {"seed": 3, "strength": 0.4}


def test_landmarks_are_assigned_to_validation_by_name(project):
    build.set_validation_landmarks(project, ["petra"])
    collection = collections.load(project)
    assert {photo.name: photo.split for photo in collection.photos} == {
        "Big Ben": "train",
        "Colosseum": "train",
        "Petra": "validation",
    }
    assert build.validation_landmarks(collection) == ["Petra"]
    assert build.view(project)[3] == gr.update(choices=["Big Ben", "Colosseum", "Petra"], value=["Petra"])
    build.set_validation_landmarks(project, [])
    assert {photo.split for photo in collections.load(project).photos} == {None}


def test_findings_are_reported_with_their_way_out(project):
    collections.edit(project, "0001", name="", description="")
    text = build.view(project)[2]
    assert '<span class="chip failed">error</span> 1 photo without a prompt (0001): write what they show' in text
    assert build.issues_view([]) == f'<p class="fine">{build.NO_ISSUES}</p>'


def test_bars_of_a_survey_stack_the_sides(project):
    build.set_validation_landmarks(project, ["Petra"])
    figures = statistics_figures(collection_statistics(collections.load(project)))
    assert "3: 2 training, 1 validation" in figures[0]
    assert len(figures) == 4  # one image of each landmark: bars of them would show nothing
    collections.edit(project, "0001", name="Petra")
    assert "Petra: 2" in statistics_figures(collection_statistics(collections.load(project)))[4]
    one = bars("Sizes", [Bin("small"), Bin("large", 3, 1), Bin("huge")])
    assert 'aria-label="Sizes: large: 4"' in one
    assert one.count("<rect") == 3 + 2  # the bar's parts, and the legend's two
    assert "small" not in one


def test_a_finished_set_is_reported_in_numbers(project):
    stylize(project, "0001")
    list(building.build_dataset(put_all(project)))
    text = inspection.statistics(project)
    assert "near duplicates across the split" not in text
    assert text.count("<figure") == 4


def test_one_photo_is_stylized_and_carries_its_metadata(workspace, tiny_folder, tmp_path):
    file = tmp_path / "mine.png"
    file.write_bytes(encoded(scene(1)))
    image = style_photo.open_upload(str(file))
    *bars_, (last, png) = style_photo.stylize(workspace, image, " a tower ", FEW, str(tiny_folder))
    assert last == ""
    assert all(made is None and 'role="progressbar"' in bar for bar, made in bars_)
    made = Image.open(io.BytesIO(png))
    assert made.size == (64, 64)
    out = tmp_path / "out.png"
    out.write_bytes(png)
    made_metadata = metadata.read_metadata(out)
    assert (made_metadata["prompt"], made_metadata["style_words"]) == ("a tower", "pastel")


@pytest.mark.parametrize(("file", "sentence"), [(None, "no photo is selected"), ("text.png", "text.png")])
def test_what_is_no_photo_is_reported(tmp_path, file, sentence):
    if file:
        (tmp_path / file).write_text("not an image")
    with pytest.raises(StudioError, match=sentence):
        style_photo.open_upload(file and str(tmp_path / file))


def test_a_photo_without_words_is_asked_what_it_shows(workspace, tiny_folder):
    with pytest.raises(StudioError, match="the prompt is empty"):
        list(style_photo.stylize(workspace, scene(1), " ", FEW, str(tiny_folder)))
