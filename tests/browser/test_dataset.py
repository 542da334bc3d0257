"""The Dataset tab in headless Chromium: a dataset built from photos, step by step, and exported; wrong input."""

import pytest

from ghibli_studio.curation import collection as collections
from ghibli_studio.data import dataset as datasets
from ghibli_studio.workspace.project import Workspace
from tests.support.browsing import BROWSER_MARKS, MINUTE, fill, open_tab, opened
from tests.support.collection_project import encoded, scene
from tests.support.servers import studio

pytestmark = [*BROWSER_MARKS, pytest.mark.integration]


def test_photos_become_a_dataset_step_by_step(browser, tmp_path):
    """Add, describe, crop, stylize, reject one, split, build and export."""
    root, folder = tmp_path / "workspace", tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("Big Ben", "Petra", "Colosseum", "Taj Mahal"), 1):
        (folder / f"{name}.png").write_bytes(encoded(scene(number, (320, 240))))
    with studio(root, tmp_path / "log.txt") as address, opened(browser, address) as page:

        def counted(number, what):
            facts = "document.querySelector('#stylize-counts').innerText"
            page.wait_for_function(f"/{number}\\s+{what}/.test({facts})", timeout=3 * MINUTE)

        open_tab(page, "Build from photos")
        page.get_by_role("radio", name="A folder on the server").check()
        fill(page, "#photos-folder", str(folder))
        page.click("#photos-add")
        page.wait_for_selector("#photos-gallery img >> nth=3", timeout=MINUTE)

        open_tab(page, "2 Prompts")
        page.locator("#prompts-table [data-row='0'][data-col='2']").first.dblclick(timeout=MINUTE)
        page.wait_for_selector("#prompts-table :is(input, textarea):focus", timeout=MINUTE)
        page.keyboard.type("London, England")
        page.keyboard.press("Enter")
        project = Workspace(root).project("my-style")
        for _ in range(100):
            page.wait_for_timeout(100)
            if collections.load(project).photo("0001").location == "London, England":
                break

        open_tab(page, "3 Crop")
        preview = page.locator("#crop-preview img")
        preview.wait_for(timeout=MINUTE)
        box = preview.bounding_box()  # the image in it is 320 px wide; click 16 px from its left edge
        preview.click(position={"x": box["width"] / 2 - 144, "y": box["height"] / 2})
        page.wait_for_function("document.querySelector('#crop-position input').value < 0.1", timeout=MINUTE)

        open_tab(page, "4 Stylize")
        page.wait_for_selector("#stylize-gallery img >> nth=3", timeout=MINUTE)
        fill(page, "#stylize-strength", "0.3")  # few denoising steps
        page.click("#stylize-go")
        counted(4, "to review")
        page.wait_for_function("!document.querySelector('#stylize-progress .bar')", timeout=MINUTE)
        page.locator("#stylize-gallery button").nth(1).click()
        page.click("#stylize-reject", timeout=MINUTE)
        counted(1, "rejected")
        page.click("#stylize-accept-all")
        counted(3, "accepted")

        open_tab(page, "5 Build")
        page.click("#build-random", timeout=MINUTE)
        page.wait_for_selector("#build-validation .token", timeout=MINUTE)
        page.click("#build")
        page.locator(".toast-body").filter(has_text="Dataset built").wait_for(timeout=MINUTE)

        open_tab(page, "Images")
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

        page.wait_for_selector("#dataset-summary .facts", timeout=MINUTE)
        page.click("#new-dataset")
        fill(page, "#import-name", "own")
        page.click("#import")
        shows_error("no images are selected; drop files above, or enter a folder on the server")
        fill(page, "#import-folder", str(tmp_path / "nowhere"))
        page.click("#import")
        shows_error("nowhere does not exist; give a folder or a ZIP of images")

        open_tab(page, "Train")
        page.get_by_role("button", name="LoRA settings").click()
        fill(page, "#lora-rank", "0")
        page.click("#train")
        shows_error("rank is 0; it must be greater than or equal to 1")
        assert project.runs() == []

        open_tab(page, "Generate")
        fill(page, "#prompts", "tower " * 400)
        page.click("#generate")
        shows_error("tokens, at most 77 are allowed; shorten it")
