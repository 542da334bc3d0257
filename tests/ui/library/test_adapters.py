"""The library of adapters on the page: what its buttons do, by their handlers, without a browser."""

import re

import gradio as gr
import pytest

from ghibli_studio.adapter_library import catalog, comparison
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation import image_set
from ghibli_studio.ui.library import adapter_table, adapters
from tests.support.adapter_files import small_kohya_file
from tests.support.adapter_runs import adapter_run
from tests.support.fake_model_hub import TOKEN

NAMES = ["table", "one", "other", "several", "handed"]
FORM = ["", "other", "", 2]


@pytest.fixture
def stocked(project, tiny):
    """(project, run of a LoRA, run of another LoRA), with a picture drawn with the first."""
    one, other = adapter_run(project, tiny, "lora"), adapter_run(project, tiny, "lora", rank=3, learning_rate=0.5)
    requests = image_set.requests_for_prompts(["Petra, a <temple>"])
    list(
        image_set.generate_set(project, requests, {"lora": one.adapter_file}, GenerationSettings(num_inference_steps=1))
    )
    return project, one, other


@pytest.fixture
def pressed(stocked):
    """Press a button by its handler's name: all that it showed, or the only thing."""
    with gr.Blocks() as page:
        chosen = gr.Dropdown([])
        with gr.Tab("Adapters") as tab:
            adapters.build(stocked[0].workspace, chosen, tab)
    handlers = {function.fn.__name__: function.fn for function in page.fns.values() if function.fn}
    assert all(function.api_visibility == "private" for function in page.fns.values())

    def press(name, *values):
        shown = handlers[name]("sample", *values)
        return list(shown) if hasattr(shown, "__next__") else shown

    return press


def test_the_table_has_a_row_an_adapter_with_image_and_curve(stocked, pressed, tmp_path):
    project, one, other = stocked
    project.adapters.folder.mkdir()
    project.adapters.file("broken").write_bytes(b"<b>")
    shown = dict(zip(NAMES, pressed("opened", None, None, None)))
    table = shown["table"]
    assert table.count("<tr>") == 4
    assert table.count("data:image/webp;base64,") == 1
    assert "Petra, a &lt;temple&gt;" in table
    assert table.count("<polyline") == 2
    assert "validation loss 0.5000 to 0.4100 in 2 epochs" in table
    assert "is not a safetensors file" in table
    assert set(shown["one"]["choices"]) == {one.id, other.id}  # what cannot be used cannot be compared
    assert "broken" in shown["handed"]["choices"]
    assert shown["one"]["value"] != shown["other"]["value"]


def test_without_anything_it_says_what_to_do(workspace):
    assert "Train one in the Train tab" in adapters.refreshed(None)[0]
    project = workspace.project("empty", new=True)
    project.register()
    assert adapters.refreshed(project)[0] == adapters.refreshed(None)[0]


def test_two_are_compared(stocked, pressed):
    project, one, other = stocked
    text, found = pressed("compared", one.id, other.id)
    assert re.search(r"<td>rank</td><td>2</td><td>3</td>", text["value"])
    assert re.search(r"<td>learning rate</td><td>0.002</td><td>0.5</td>", text["value"])
    assert "<td>seed</td>" not in text["value"]
    assert all(text["value"].count(run.id) > 1 for run in (one, other))
    assert "validation loss by epoch" in text["value"].casefold()
    assert len(found["value"]) == 2
    assert found["value"][1][1] == f"{other.id}: no image"
    with pytest.raises(gr.Error, match="cannot be compared with itself"):
        pressed("compared", one.id, one.id)
    rows = comparison.compare(project, *(catalog.find(project, run.id) for run in (one, other))).rows
    assert ("rank", "2", "3") in rows


def test_a_file_is_imported_and_deleted(stocked, pressed, tmp_path):
    project, *_ = stocked
    path = small_kohya_file(tmp_path)
    *_, table, one, _, _, handed = pressed("imported", str(path), "moss", "by moss")
    assert "by moss" in table
    assert one["value"] == handed["value"] == "moss"
    with pytest.raises(gr.Error, match="an adapter named &#x27;moss&#x27; exists already"):
        pressed("imported", str(path), "moss", "")
    with pytest.raises(gr.Error, match="drop a"):
        pressed("imported", None, "", "")
    with pytest.raises(gr.Error, match="tick"):
        pressed("deleted", "moss", False)
    pressed("deleted", "moss", True)
    assert project.adapters.files() == []


def test_averages_and_strengths(stocked, pressed):
    project, one, other = stocked
    pressed("saved", [one.id, other.id], "0.5,0.5", None, "mean")
    pressed("saved", [one.id], "0.5", None, "half")
    assert {entry.name: entry.origin for entry in catalog.entries(project) if entry.run is None} == {
        "mean": "merged",
        "half": "scaled",
    }
    for chosen, weights, called, sentence in (
        ([one.id], "", "x", "give one weight"),
        ([], "", "x", "name two or more"),
        ([one.id, other.id], "a", "x", "weights are"),
        ([one.id, other.id], "", "", "cannot be an adapter's name"),
    ):
        with pytest.raises(gr.Error, match=sentence.replace("'", "&#x27;")):
            pressed("saved", chosen, weights, None, called)


def test_an_export_is_one_zip_and_publishing_needs_a_token(stocked, pressed, monkeypatch):
    _, one, _ = stocked
    shown = pressed("zipped", one.id, *FORM)
    assert shown[-1][1]["value"].endswith("sample-lora.zip")
    monkeypatch.setenv("HF_TOKEN", TOKEN)  # the machine's own: nobody on the page may publish with it
    *_, text = pressed("dry_runs", one.id, "", "", False, *FORM)
    assert "`sample-lora.safetensors`" in text[1]["value"]
    with pytest.raises(gr.Error, match="no token is given"):
        pressed("pushed", one.id, "me/moss", "", False, *FORM)
    with pytest.raises(gr.Error, match="HF_HUB_OFFLINE is set") as caught:
        pressed("pushed", one.id, "me/moss", TOKEN, False, *FORM)
    assert TOKEN not in str(caught.value)


def test_a_name_with_markup_is_shown_as_text(stocked):
    project, *_ = stocked
    entry = catalog.Entry("<b>", project.adapters.folder, "", "imported", problem="<i>")
    project.adapters.folder.mkdir()
    table = adapter_table.table(project, [entry])
    assert "<b><b>" not in table
    assert "&lt;i&gt;" in table
