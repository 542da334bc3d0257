"""The Study tab's functions without a browser: from no project over a draft and a live study to results and export."""

import csv
import hashlib
import html
import io
import json
import zipfile
from pathlib import Path

import gradio as gr
import pytest

from ghibli_studio.evaluation import blind_study
from ghibli_studio.ui.app import build
from ghibli_studio.ui.components import html_parts
from ghibli_studio.ui.study import status_card
from ghibli_studio.ui.study import tab as study_tab
from study import StudyError
from study.analysis.result import study_result
from study.design.definition import CONSENT
from study.store import Store
from tests.support.study_project import add_set, study_project, with_dataset
from tests.support.study_sample import LANDMARKS, answer_all

WHERE = "http://studio.example/study"
SHOWN, HIDDEN, SKIP = gr.update(visible=True), gr.update(visible=False), gr.skip()
FIELDS = {
    "instrument": "triad",
    "participants": 6,
    "title": "Images of landmarks",
    "consent": CONSENT,
    "contact": "",
    "seed": 0,
}
BOXES = ("first", "form", "sets", "landmarks", "box", "card", "draft", "preview", "live", "link", "closed")
OF_ONE = ("sure", "really", "words", "plots", "file")


@pytest.fixture
def project(workspace):
    return study_project(workspace)


@pytest.fixture
def press(workspace, monkeypatch):
    """Press a button of the tab by its id: run its handler with the given values."""
    monkeypatch.setattr(gr, "Info", lambda text: None)
    with gr.Blocks() as page:
        name, tab = gr.Dropdown([]), gr.Tab("Study")
        with tab:
            study_tab.build(workspace, name, tab, "pilot-key")
    ids = {component.elem_id: number for number, component in page.blocks.items() if getattr(component, "elem_id", "")}

    def run(button, *values):
        (handler,) = [one for one in page.fns.values() if (ids[button], "click") in one.targets]
        updates = handler.fn(*values)
        if not isinstance(updates, list):
            return updates
        return dict(zip((*BOXES, *OF_ONE) if len(updates) > 2 else OF_ONE[2:4], updates, strict=True))

    return run


def shows_error(sentence, call, *arguments):
    """Assert that the handler shows exactly this message."""
    with pytest.raises(gr.Error) as raised:
        call(*arguments)
    assert html.unescape(raised.value.message) == sentence


def make(press, project, landmarks=LANDMARKS, **changes):
    values = {**FIELDS, **changes}
    return press("study-create", project.name, project.image_sets()[0].name, list(landmarks), WHERE, *values.values())


def opened(press, project, participants=3, mode="live", **changes):
    """A live study that some participants have answered."""
    make(press, project, **changes)
    press("study-lock", project.name, True, WHERE)
    store = blind_study.require_study(project)
    codes = []
    for _ in range(participants):
        token = store.join(mode, "1").token
        codes.append(answer_all(store, token, client_ms=3000).withdrawal_code)
    return store, codes


def closed(press, project, **values):
    store, codes = opened(press, project, **values)
    press("study-close", project.name, True, WHERE)
    return store, codes


def test_without_a_project_the_tab_says_what_comes_first():
    update = study_tab.form_view(None)
    assert update == [gr.update(value=html_parts.empty(study_tab.TRAIN_FIRST), visible=True), HIDDEN, SKIP, SKIP]
    assert study_tab.study_view(None, WHERE, "key") == [HIDDEN, *[SKIP] * 6]


def test_without_a_usable_set_the_tab_says_what_comes_first(workspace):
    bare = workspace.project("bare", new=True)
    bare.register()
    assert study_tab.form_view(bare) == study_tab.form_view(None)
    full = with_dataset(workspace.project("full", new=True))
    assert study_tab.form_view(full) == study_tab.form_view(None)
    add_set(full, LANDMARKS[:4])
    assert study_tab.form_view(full) == study_tab.form_view(None)


def test_a_project_with_a_set_is_offered_the_papers_five(project):
    other = add_set(project, ["Tower 0", *LANDMARKS])
    first, form, sets, landmarks = study_tab.form_view(project)
    assert (first, form) == (HIDDEN, SHOWN)
    assert sets == gr.update(choices=[other, project.image_sets()[1].name], value=other)
    assert landmarks == gr.update(choices=[*LANDMARKS, "Tower 0"], value=list(LANDMARKS))


def test_a_draft_takes_the_forms_place_and_can_be_tried(press, project):
    shown = make(press, project, contact="ask@example.org", seed=5, instrument="paper", title="<b>Castles</b>")
    definition = blind_study.require_study(project).definition()
    assert (definition.instrument, definition.seed, definition.contact) == ("paper", 5, "ask@example.org")
    assert definition.landmarks == LANDMARKS
    assert [shown[name] for name in ("first", "form", "sets", "landmarks")] == [HIDDEN, HIDDEN, SKIP, SKIP]
    assert shown["box"] == SHOWN
    assert [shown[name] for name in ("draft", "live", "closed")] == [SHOWN, HIDDEN, HIDDEN]
    assert f'href="{WHERE}?pilot=pilot-key"' in shown["preview"]
    assert shown["link"] == ""
    assert "&lt;b&gt;Castles&lt;/b&gt;" in shown["card"]
    assert "Previewed 0 times" in shown["card"]


def test_previews_of_a_draft_are_counted_apart(press, project):
    make(press, project)
    store = blind_study.require_study(project)
    answer_all(store, store.join("pilot", "1").token)
    card = status_card.card(store)
    assert "Previewed 1 time." in card
    assert ">pilot<" in card
    assert study_tab.study_view(project, WHERE, "key")[2] == SHOWN


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"landmarks": LANDMARKS[:4]}, "4 landmarks are selected; a study has 5"),
        ({"landmarks": ()}, "0 landmarks are selected; a study has 5"),
        ({"participants": 1}, "participants is 1; input should be greater than or equal to 2"),
        ({"participants": None}, "participants is None; input should be a valid integer"),
        ({"title": ""}, "title is ''; string should have at least 1 character"),
        ({"seed": -1}, "seed is -1; input should be greater than or equal to 0"),
        ({"consent": "Yes?"}, "consent is 'Yes?'; string should have at least 20 characters"),
    ],
)
def test_what_makes_no_study_is_reported(press, project, changes, sentence):
    shows_error(sentence, lambda: make(press, project, **changes))
    assert blind_study.open_study(project) is None


def test_a_study_of_landmarks_that_were_trained_on_is_refused(press, workspace):
    project = study_project(workspace, trained=LANDMARKS[:1])
    shows_error(
        "both methods were trained on Big Ben; choose a landmark that was held out for validation", make, press, project
    )


def test_fifty_participants_are_allowed_and_reported_what_would_be_better(press, project):
    shown = make(press, project, participants=50)
    assert blind_study.require_study(project).definition().participants == 50
    assert (
        "50 is not a multiple of six, so some orders are shown more often than others; with 48 or 54 "
        "participants all are shown equally often."
    ) in shown["card"]
    assert "Statistical power with 50 participants: 68% if 70:30, 90% if 75:25, 99% if 80:20." in shown["card"]


def test_a_multiple_of_six_needs_no_such_word(press, project):
    assert "multiple of six" not in make(press, project, participants=48)["card"]


def test_a_study_is_locked_only_by_who_says_so(press, project):
    make(press, project)
    shows_error(
        "a locked study cannot be changed; try it, then tick the box above the button",
        press,
        "study-lock",
        project.name,
        False,
        WHERE,
    )
    assert blind_study.require_study(project).status().state == "draft"
    shown = press("study-lock", project.name, True, WHERE)
    status = blind_study.require_study(project).status()
    assert status.state == "live"
    assert [shown[name] for name in ("draft", "live", "closed")] == [HIDDEN, SHOWN, HIDDEN]
    assert f'href="{WHERE}"' in shown["link"]
    assert "pilot" not in shown["link"]
    assert "<svg" in shown["link"]
    assert f"<code>{status.lock_sha256}</code>" in shown["card"]
    assert [shown[name] for name in OF_ONE] == [False, False, "", "", gr.update(value=None, visible=False)]


def test_who_can_open_the_link_is_reported():
    assert "Only this computer can open the link" in status_card.invitation("http://127.0.0.1:7860/study")
    assert "Only this computer can open the link" in status_card.invitation("http://localhost:7860/study")
    assert "Only this computer" not in status_card.invitation(WHERE)
    assert "<script" not in status_card.invitation('http://x"><script>/study')


def test_before_the_page_has_reported_its_address_there_is_no_link(press, project):
    opened(press, project, participants=0)
    assert study_tab.study_view(project, "", "key")[5] == ""


def test_the_live_card_counts_and_tells_no_result(press, project):
    store, _ = opened(press, project, participants=2)
    store.join("live", "1")
    card = status_card.card(store)
    assert "2 of 6 have finished (33 %)" in card
    assert "1 answering now, 0 dropped out." in card
    assert not any(word in card for word in ("LoRA", "Textual", "lora", "original"))
    for call in (study_tab.results, study_tab.exported):
        with pytest.raises(StudyError) as error:
            call(project)
        assert str(error.value) == "the study is live; this needs a study that is closed, so close it first"
    assert [entry["action"] for entry in store.audit()] == ["created", "key opened", "locked"]


def test_a_study_is_closed_only_by_who_says_so(press, project):
    store, _ = opened(press, project)
    shows_error(
        "a closed study cannot be reopened; tick the box above the button to close it",
        press,
        "study-close",
        project.name,
        False,
        WHERE,
    )
    assert store.status().state == "live"
    shown = press("study-close", project.name, True, WHERE)
    assert store.status().state == "closed"
    assert [shown[name] for name in ("draft", "live", "closed", "link")] == [HIDDEN, HIDDEN, SHOWN, ""]


@pytest.mark.parametrize("instrument", ["triad", "paper"])
def test_results_are_the_studys_own_in_words_and_plots(press, project, instrument):
    store, _ = closed(press, project, instrument=instrument)
    shown = press("study-results", project.name)
    assert shown["words"] == study_result(store).text()
    assert shown["words"].startswith("# What may be claimed\n\n3 participants answered")
    for title in ("Would buy as artwork", "Landmark well preserved", "Closer in style", "Quality of the answers"):
        assert f"<figcaption>{title}" in shown["plots"]


def test_the_key_is_opened_once_however_often_results_are_looked_at(press, project):
    store, _ = closed(press, project)
    for _ in range(3):
        press("study-results", project.name)
    assert [entry["detail"]["purpose"] for entry in store.audit() if entry["action"] == "key opened"] == [
        "lock",
        "analysis",
    ]


def test_a_participant_who_withdraws_after_the_closing_is_gone_from_the_results(press, project):
    store, codes = closed(press, project)
    assert "3 participants answered" in press("study-results", project.name)["words"]
    store.withdraw(codes[0])
    assert "2 participants answered" in press("study-results", project.name)["words"]
    files = unpacked(press("study-export", project.name)["value"])
    assert len(list(csv.DictReader(io.StringIO(files["participants.csv"].decode())))) == 2
    assert json.loads(files["results.json"])["all"]["participants"] == 2


def test_simulated_answers_are_called_so(press, project):
    store, _ = closed(press, project, mode="simulated")
    card = status_card.card(store)
    assert "3 of 6 have finished (50 %)" in card
    assert "All answers are simulated." in card
    assert press("study-results", project.name)["words"].startswith(
        "> All answers are simulated: a program made them up, and they say nothing about any image."
    )


def test_the_closed_card_tells_who_did_not_finish(press, project):
    store, _ = opened(press, project)
    store.join("live", "1")
    press("study-close", project.name, True, WHERE)
    card = status_card.card(store)
    assert "3 of 6 have finished (50 %)" in card
    assert "1 started but did not finish." in card
    assert "simulated" not in card


def test_a_study_without_answers_has_results(press, project):
    closed(press, project, participants=0)
    shown = press("study-results", project.name)
    assert "0 participants answered" in shown["words"]
    assert "no data" in shown["plots"]


def unpacked(path):
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")}


def test_the_export_is_a_zip_that_can_be_checked(press, project):
    store, _ = closed(press, project)
    update = press("study-export", project.name)
    assert update["visible"] is True
    assert Path(update["value"]).name == "sample-study.zip"
    files = unpacked(update["value"])
    sums = files.pop("SHA256SUMS").decode()
    assert sorted(files) == [
        "codebook.md",
        "definition.json",
        "findings.md",
        "participants.csv",
        "responses.csv",
        "results.json",
        "stimuli.csv",
        "study.db",
    ]
    assert sums == "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    found = study_result(store)
    assert files["findings.md"].decode() == found.text()
    assert json.loads(files["results.json"]) == found.values
    assert len(files["responses.csv"].splitlines()) == 1 + 3 * 27
    assert hashlib.sha256(files["definition.json"]).hexdigest() == store.status().definition_sha256


def test_what_was_shown_of_one_study_does_not_stay_for_the_next(press, project):
    store, _ = closed(press, project)
    before = store.status()
    shown = press("study-archive", project.name, WHERE)
    assert [shown[name] for name in OF_ONE] == [False, False, "", "", gr.update(value=None, visible=False)]
    assert (shown["form"], shown["box"]) == (SHOWN, HIDDEN)
    assert blind_study.open_study(project) is None
    (place,) = project.folder.glob("study-*")
    assert Store(place).status() == before


def test_a_draft_is_archived_and_another_can_be_made(press, project):
    make(press, project, seed=1)
    shown = press("study-archive-draft", project.name, WHERE)
    assert (shown["form"], shown["box"]) == (SHOWN, HIDDEN)
    assert make(press, project, seed=2)["draft"] == SHOWN
    assert blind_study.require_study(project).definition().seed == 2


def test_a_live_study_is_not_archived(press, project):
    opened(press, project, participants=0)
    shows_error(
        "the study is live; close it first, because participants may still be answering",
        press,
        "study-archive",
        project.name,
        WHERE,
    )


def test_without_a_study_every_button_says_so(press, project):
    for button, values in (
        ("study-lock", (True, WHERE)),
        ("study-close", (True, WHERE)),
        ("study-results", ()),
        ("study-export", ()),
        ("study-archive", (WHERE,)),
        ("study-archive-draft", (WHERE,)),
    ):
        shows_error("project 'sample' has no study; create one first", press, button, project.name, *values)
        shows_error("no project is selected; create one in the Dataset tab", press, button, None, *values)


def test_a_study_that_participants_cannot_meet_says_so(press, workspace, project):
    other = study_project(workspace, "other")
    opened(press, other, participants=0)
    shown = make(press, project)
    sentence = (
        '<p class="problem">Only one study is served at a time; now it is that of project &#x27;other&#x27;, '
        "which is live or newer. Close it and archive it first.</p>"
    )
    assert shown["preview"] == sentence
    shows_error(
        "project 'other' has a live study, and only one can be served; close that one first",
        press,
        "study-lock",
        project.name,
        True,
        WHERE,
    )
    assert f'href="{WHERE}"' in study_tab.study_view(other, WHERE, "key")[5]


def test_the_page_with_a_study_can_be_built(press, workspace, project):
    opened(press, project, participants=0)
    page = build(workspace, "key")
    names = {component.elem_id for component in page.blocks.values() if getattr(component, "elem_id", None)}
    assert {"study-create", "study-lock", "study-close", "study-results", "study-export", "study-landmarks"} <= names
