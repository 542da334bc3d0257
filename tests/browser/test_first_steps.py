"""The page in headless Chromium: a newcomer's way from nothing to pictures side by side, and wrong input."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.curation import collection as collections
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation.image_set import load_set
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.workspace.project import Workspace
from tests.conftest import CHROMIUM
from tests.support.collection_project import encoded, scene

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
MINUTE = 60_000


@contextmanager
def studio(root, log):
    """The app as a person starts it, on a free port; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # as many threads as a person's own start would take
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), "--workspace", str(root)],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
        )
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def opened(browser, address, **options):
    """A page that fails the test on any error in the browser's console."""
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#tabs", timeout=MINUTE)
    yield page
    page.close()
    assert errors == []


def tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def shot(page, folder, name):
    page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.mark.slow
def test_a_newcomers_way_from_nothing_to_images(browser, tmp_path):
    root = tmp_path / "workspace"
    with studio(root, tmp_path / "log.txt") as address:
        with opened(browser, address) as page:
            page.click("#start-sample")
            page.wait_for_selector("#start-train", state="visible", timeout=2 * MINUTE)
            summary = page.inner_text("#dataset-summary .facts")
            assert re.sub(r"\s+", " ", summary).startswith("115 pictures 92 to train on 23 to validate on")
            shot(page, tmp_path, "data")

            page.click("#start-train")
            page.wait_for_selector("#start-generate", state="visible", timeout=MINUTE)
            page.wait_for_selector("#validation-plot canvas, #validation-plot svg", timeout=4 * MINUTE)
            shot(page, tmp_path, "train")

        with opened(browser, address) as page:  # nothing is lost with the page
            tab(page, "Train")
            page.wait_for_selector("#validation-plot canvas, #validation-plot svg", timeout=MINUTE)
            page.wait_for_function("document.querySelectorAll('#runs .chip.done').length == 2", timeout=10 * MINUTE)
            shot(page, tmp_path, "trained")

            tab(page, "Generate")
            page.wait_for_selector("#generate-models input:checked >> nth=2", timeout=MINUTE)
            page.click("#generate")
            page.wait_for_selector("#images img >> nth=14", timeout=2 * MINUTE)
            page.wait_for_function("!document.querySelector('#generate-progress .bar')", timeout=5 * MINUTE)
            captions = page.locator("#images .caption-label").all_inner_texts()
            shot(page, tmp_path, "generated")

        project = Workspace(root).project("sample")
        made = load_set(project.image_sets()[0])
        assert len(made.files) == 15
        assert sorted(made.titles) == sorted(PAPER_LANDMARKS)
        assert captions == [f"{method} · {title}" for title in made.titles for method in ("Base", "LoRA", "TI")]
        seeds = {(index, read_metadata(path)["settings"]["seed"]) for (index, _), path in made.files.items()}
        assert sorted(seeds) == [(index, index) for index in range(5)]
        held_out = {item.landmark for item in datasets.load(project).part("validation")}
        assert set(PAPER_LANDMARKS) <= held_out
        for run in project.runs():
            metrics = run.metrics()
            assert metrics["best_validation_loss"] < metrics["base_validation_loss"]


def test_photos_become_a_dataset_step_by_step(browser, tmp_path):
    """Gathered, described, cropped, styled, one rejected, split and finished, and exported."""
    root, folder = tmp_path / "workspace", tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("Big Ben", "Petra", "Colosseum", "Taj Mahal"), 1):
        (folder / f"{name}.png").write_bytes(encoded(scene(number, (320, 240))))
    with studio(root, tmp_path / "log.txt") as address, opened(browser, address) as page:

        def typed(widget, text):
            page.fill(f"{widget} input, {widget} textarea", text)
            page.keyboard.press("Tab")
            page.wait_for_timeout(500)

        def counted(number, what):
            facts = "document.querySelector('#stylize-counts').innerText"
            page.wait_for_function(f"/{number}\\s+{what}/.test({facts})", timeout=3 * MINUTE)

        tab(page, "From photographs")
        page.get_by_role("radio", name="A folder on this machine").check()
        typed("#photos-folder", str(folder))
        page.click("#photos-add")
        page.wait_for_selector("#photos-gallery img >> nth=3", timeout=MINUTE)

        tab(page, "2 Prompts")
        page.locator("#prompts-table [data-row='0'][data-col='2']").first.dblclick(timeout=MINUTE)
        page.wait_for_selector("#prompts-table :is(input, textarea):focus", timeout=MINUTE)
        page.keyboard.type("London, England")
        page.keyboard.press("Enter")
        project = Workspace(root).project("my-style")
        for _ in range(100):
            page.wait_for_timeout(100)
            if collections.load(project).photo("0001").location == "London, England":
                break

        tab(page, "3 Crop")
        preview = page.locator("#crop-preview img")
        preview.wait_for(timeout=MINUTE)
        room = preview.bounding_box()  # the picture in it is 320 px wide; 16 of them from its left edge
        preview.click(position={"x": room["width"] / 2 - 144, "y": room["height"] / 2})
        page.wait_for_function("document.querySelector('#crop-position input').value < 0.1", timeout=MINUTE)

        tab(page, "4 Style")
        page.wait_for_selector("#stylize-gallery img >> nth=3", timeout=MINUTE)
        page.click("#stylize-go")
        counted(4, "stylized")
        page.wait_for_function("!document.querySelector('#stylize-progress .bar')", timeout=MINUTE)
        page.locator("#stylize-gallery button").nth(1).click()
        page.click("#stylize-reject", timeout=MINUTE)
        counted(1, "rejected")
        page.click("#stylize-accept-all")
        counted(3, "accepted")

        tab(page, "5 Finish")
        page.click("#build-random", timeout=MINUTE)
        page.wait_for_selector("#build-validation .token", timeout=MINUTE)
        page.click("#build")
        page.locator(".toast-body").filter(has_text="The data set is made").wait_for(timeout=MINUTE)

        tab(page, "The set")
        page.wait_for_selector("#dataset-summary .facts", timeout=MINUTE)
        page.get_by_role("button", name="Export for other programs").click()
        page.click("#export-go")
        page.wait_for_selector("#export-zip a", timeout=MINUTE)

    kept = collections.load(project)
    assert kept.photo("0001").location == "London, England"
    assert kept.photo("0001").center == pytest.approx((0.05, 0.5), abs=0.01)
    assert [photo.state for photo in kept.photos] == ["accepted", "rejected", "accepted", "accepted"]
    dataset = datasets.load(project)
    assert [item.landmark for item in dataset.items] == ["Big Ben", "Petra", "Taj Mahal"]
    assert len(dataset.part("validation")) == 1
    assert dataset.items[0].caption == "Big Ben, London, England"


def test_wrong_input_is_reported_in_the_page(browser, tmp_path, project):
    (project.folder / "runs").mkdir()
    with studio(project.workspace.root, tmp_path / "log.txt") as address, opened(browser, address) as page:
        toast = page.locator(".toast-body.error")

        def shows_error(sentence):
            toast.filter(has_text=sentence).first.wait_for(timeout=MINUTE)
            for close in page.locator(".toast-close").all():
                close.click()
            page.wait_for_function("!document.querySelector('.toast-body')", timeout=MINUTE)

        def typed(widget, text):
            """Type until it stays: a busy page that still unfolds the part starts it anew."""
            field = page.locator(f"{widget} input, {widget} textarea").first
            for _ in range(10):
                field.fill(text)
                page.keyboard.press("Tab")
                page.wait_for_timeout(1000)
                if field.input_value() == text:
                    return
            raise AssertionError(f"{widget} does not keep {text[:40]!r}")

        page.wait_for_selector("#dataset-summary .facts", timeout=MINUTE)
        page.click("#new-dataset")
        page.wait_for_timeout(2000)  # what is typed while the part still unfolds, as nobody can, is lost
        typed("#import-name", "own")
        page.click("#import")
        shows_error("no pictures are chosen; drop some files above, or name a folder on this machine")
        typed("#import-folder", str(tmp_path / "nowhere"))
        page.click("#import")
        shows_error("nowhere does not exist; give a folder or a ZIP of pictures")

        tab(page, "Train")
        page.get_by_role("button", name="LoRA settings").click()
        typed("#lora-rank", "0")
        page.click("#train")
        shows_error("rank is 0; it must be greater than or equal to 1")
        assert project.runs() == []

        tab(page, "Generate")
        typed("#prompts", "tower " * 400)
        page.click("#generate")
        shows_error("tokens, at most 77 are allowed; shorten it")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_fits_a_phone(browser, tmp_path, project, scheme):
    options = {"viewport": {"width": 390, "height": 800}, "color_scheme": scheme}
    with studio(project.workspace.root, tmp_path / "log.txt") as address, opened(browser, address, **options) as page:
        for name in ("Dataset", "Train", "Generate", "Evaluate", "Library", "Study"):
            tab(page, name)
            page.wait_for_timeout(500)
            shot(page, tmp_path, f"{name}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
