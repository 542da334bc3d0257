"""The evaluation of the trained model: metrics, contact sheets, model card and comparison."""

import json

import numpy as np
import pytest
from PIL import Image

from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.miniature.landmarks.painting import STYLES
from ghibli_studio.pretraining.__main__ import main
from ghibli_studio.pretraining.evaluation import comparison, metrics
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import QUICK


def test_the_contact_sheets_have_every_row(interrupted_run):
    sizes = [Image.open(interrupted_run.out / "sheets" / f"{name}.jpg").size for name in ("base", "teacher")]
    assert sizes == [(2 * 66, 8 * 66), (2 * 66, 6 * 66)]


def test_psnr_is_of_the_mean_error_over_all_images():
    true = np.zeros((2, 4, 4, 3), np.uint8)
    output = true.copy()
    output[1] = 51  # a fifth of the range in every second image
    errors = metrics.squared_errors(output, true)
    assert errors.tolist() == pytest.approx([0, 0.04])
    assert metrics.psnr(errors.mean()) == pytest.approx(-10 * np.log10(0.02))
    assert metrics.psnr(0.0) == 60


def test_the_model_card_has_counts_and_metrics(interrupted_run):
    text = (interrupted_run.out / "README.md").read_text()
    table = json.loads((interrupted_run.out / "metrics/metrics.json").read_text())
    styles = Run(QUICK, interrupted_run.out).training_images().styles[:96]
    assert f"| style: ghibli style | {(styles == 'ghiblivis').sum()} |" in text
    assert "| style: real photo | 4 |" in text
    assert "96 images with 288 captions" in text
    assert set(table) == {"all", *STYLES}
    for style in STYLES:
        assert table[style].keys() >= {"psnr", "clip_distance", "caption_top_1", "clip_frechet_distance"}
    assert table["ghiblivis"]["outline_retention"] < 0.5, "an untrained autoencoder preserves no outlines"
    assert f"| watercolor | {table['watercolor']['psnr']:.1f} |" in text
    assert str(interrupted_run.out) not in text


def test_old_and_new_are_compared_on_the_same_scenes(interrupted_run, monkeypatch):
    """The training with the studio is replaced, because it has its own tests."""
    gray = [np.full((64, 64, 3), 128, np.uint8)] * 5
    results = [comparison.TrainingResult(1.0, 0.5, gray, gray), comparison.TrainingResult(1.0, 0.75, gray, gray)]
    monkeypatch.setattr(comparison, "train_methods", lambda *_: iter(results))
    run = Run(QUICK, interrupted_run.out)
    lines = list(comparison.compare(run, interrupted_run.out, comparison.extent("quick", quick=True)))
    folder = interrupted_run.out / "comparison"
    table = json.loads((folder / "table.json").read_text())
    assert table["old"].keys() == table["new"].keys() == comparison.METRICS.keys()
    same = {name: value for name, value in table["old"].items() if name != "seconds"}
    assert same == {name: value for name, value in table["new"].items() if name != "seconds"}, "a model equals itself"
    assert same["ti_loss"] == 0.75
    sheets = ("reconstructions", "generated", "landmarks")
    sizes = [Image.open(folder / f"{name}.jpg").size for name in sheets]
    assert sizes == [(12 * 66, 6 * 66), (12 * 66, 3 * 66), (5 * 66, 5 * 66)]
    assert "| validation loss with Textual Inversion | 0.75 | 0.75 |" in (folder / "README.md").read_text()
    assert lines[-1] == f"compared: {folder}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compare", "nowhere"], "--compare is nowhere, but it has no base/model_index.json"),
        (
            ["--compare", str(WEIGHTS)],
            f"{WEIGHTS} generates 256 pixels per side, but this run 64: compare with weights of the",
        ),
        (
            ["--compare", str(WEIGHTS), "--compare-preset", "fast"],
            "--compare-preset is 'fast', but the presets are quick",
        ),
        (["--checkpoint-seconds", "-1"], "--checkpoint-seconds is -1.0, but must be at least 0"),
    ],
)
def test_an_invalid_comparison_is_rejected_before_any_training(tmp_path, capsys, arguments, message):
    assert main(["--quick", "--out", str(tmp_path / "new"), *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)
    assert not (tmp_path / "new").exists()
