"""The quick start in headless Chromium: create the sample project, train both methods, generate images."""

import re

import pytest

from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.sample_dataset import create_sample
from ghibli_studio.generation.image_set import load_set
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.workspace.project import Workspace
from tests.support.browsing import BROWSER_MARKS, MINUTE, open_tab, opened, screenshot
from tests.support.servers import studio

pytestmark = [*BROWSER_MARKS, pytest.mark.integration]
FEW_LANDMARKS = 25
"""Enough to train on: five of them are held out."""


def test_the_quick_start_creates_the_sample_project(browser, tmp_path):
    root = tmp_path / "workspace"
    with studio(root, tmp_path / "log.txt") as address, opened(browser, address) as page:
        page.click("#start-sample")
        page.wait_for_selector("#start-train", state="visible", timeout=2 * MINUTE)
        summary = page.inner_text("#dataset-summary .facts")
        assert re.sub(r"\s+", " ", summary).startswith("115 images 92 for training 23 for validation")
        screenshot(page, tmp_path, "dataset")
    validation = datasets.load(Workspace(root).project("sample")).part("validation")
    assert set(PAPER_LANDMARKS) <= {item.landmark for item in validation}


@pytest.mark.slow
def test_the_quick_start_trains_both_methods_and_images_are_generated(browser, tmp_path):
    root = tmp_path / "workspace"
    project = Workspace(root).project("sample", new=True)
    list(create_sample(project, count=FEW_LANDMARKS))
    with studio(root, tmp_path / "log.txt") as address:
        with opened(browser, address) as page:
            page.wait_for_selector("#dataset-summary .facts", timeout=MINUTE)
            page.get_by_role("button", name="Quick start").click()
            page.click("#start-sample")  # opens the project that is there
            page.wait_for_selector("#start-train", state="visible", timeout=MINUTE)
            page.click("#start-train")
            page.wait_for_selector("#start-generate", state="visible", timeout=MINUTE)
            page.wait_for_selector("#validation-plot canvas, #validation-plot svg", timeout=4 * MINUTE)
            screenshot(page, tmp_path, "train")

        with opened(browser, address) as page:  # the runs go on when the page is closed
            open_tab(page, "Train")
            page.wait_for_selector("#validation-plot canvas, #validation-plot svg", timeout=MINUTE)
            page.wait_for_function("document.querySelectorAll('#runs .chip.done').length == 2", timeout=4 * MINUTE)
            screenshot(page, tmp_path, "trained")

            open_tab(page, "Generate")
            page.wait_for_selector("#generate-models input:checked >> nth=2", timeout=MINUTE)
            page.fill("#generate-num_inference_steps input", "6")
            page.click("#generate")
            page.wait_for_selector("#images img >> nth=14", timeout=2 * MINUTE)
            page.wait_for_function("!document.querySelector('#generate-progress .bar')", timeout=2 * MINUTE)
            captions = page.locator("#images .caption-label").all_inner_texts()
            screenshot(page, tmp_path, "generated")

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
