"""The pretraining end to end with tiny settings: a minute on one core, once for all tests."""

import json
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.pretraining.__main__ import argument_parser, main, read_settings
from ghibli_studio.pretraining.evaluation import model_card
from ghibli_studio.pretraining.pipeline import STAGES, pretrain
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import QUICK, InvalidInput, Settings
from ghibli_studio.pretraining.stages import clip

NAMES = [stage.name for stage in STAGES]


def test_a_rerun_continues_with_the_first_unfinished_stage(interrupted_run):
    assert interrupted_run.code == 0
    assert (interrupted_run.before, interrupted_run.after) == (NAMES[:2], NAMES[2:])
    assert {path: path.stat().st_mtime_ns for path in interrupted_run.before_times} == interrupted_run.before_times
    assert interrupted_run.before_times
    assert not list(interrupted_run.out.rglob("*.partial"))
    assert not list((interrupted_run.out / "stages/checkpoints").glob("*"))
    assert list(json.loads((interrupted_run.out / "done.json").read_text())) == NAMES


def test_a_finished_run_is_not_changed_and_other_settings_are_rejected(interrupted_run):
    assert list(pretrain(Run(QUICK, interrupted_run.out))) == []
    with pytest.raises(InvalidInput, match=r"started with clip_steps 3 instead of 4, seed 7 instead of 8: use"):
        list(pretrain(Run(replace(QUICK, clip_steps=4, seed=8), interrupted_run.out)))


def test_the_result_has_the_layout_of_the_published_weights(interrupted_run):
    files = {
        path.relative_to(interrupted_run.out)
        for part in ("base", "clip", "style_teacher")
        for path in (interrupted_run.out / part).rglob("*")
        if path.is_file()
    }
    assert files == {path.relative_to(WEIGHTS) for path in WEIGHTS.glob("*/**/*") if path.is_file()}
    assert max((interrupted_run.out / path).stat().st_size for path in files) < 10_000_000
    assert not any(
        str(interrupted_run.out) in (interrupted_run.out / path).read_text() for path in files if path.suffix == ".json"
    )


def test_the_result_loads_and_generates_with_its_teacher(interrupted_run):
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        interrupted_run.out / "base", dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)

    def generate() -> np.ndarray:
        noise = torch.Generator().manual_seed(0)
        return np.asarray(pipeline("Petra, photo", num_inference_steps=2, generator=noise).images[0])

    base = generate()
    pipeline.load_lora_weights(
        str(interrupted_run.out / "style_teacher"),
        weight_name="pytorch_lora_weights.safetensors",
        adapter_name="teacher",
        local_files_only=True,
    )
    pipeline.unet.eval()
    assert base.shape == (64, 64, 3)
    assert (pipeline.unet.peft_config["teacher"].r, pipeline.unet.peft_config["teacher"].lora_alpha) == (16, 16)
    assert not np.array_equal(base, generate())


def test_the_published_processor_equals_the_preprocessing_in_training(interrupted_run):
    import torch
    from transformers import CLIPProcessor

    processor = CLIPProcessor.from_pretrained(interrupted_run.out / "clip", local_files_only=True)
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    trained = clip.preprocess(torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1)
    published = processor(images=Image.fromarray(image), return_tensors="pt").pixel_values
    assert published.shape == (1, 3, 128, 128)
    assert (published - trained).abs().max() < 0.03


def test_the_published_folders_are_hashed_and_small_enough(interrupted_run, tmp_path):
    listed = dict(line.split("  ")[::-1] for line in (interrupted_run.out / "SHA256SUMS").read_text().splitlines())
    files = {
        path.relative_to(interrupted_run.out).as_posix(): path
        for part in model_card.PUBLISHED
        for path in (interrupted_run.out / part).rglob("*")
        if path.is_file()
    }
    assert listed.keys() == files.keys()
    published = shutil.copytree(
        interrupted_run.out, tmp_path / "weights", ignore=lambda *_: ["stages", "sheets", "metrics"]
    )
    from ghibli_studio.miniature.checksums import wrong_files

    assert wrong_files(published) == []
    assert sum(path.stat().st_size for path in files.values()) < 75_000_000


def test_too_large_weights_are_rejected_before_anything_is_written(tmp_path):
    with pytest.raises(InvalidInput, match=r"the weights would have about 8\d MB, but the maximum is 75 MB"):
        list(pretrain(Run(replace(QUICK, teacher_rank=90), tmp_path / "new")))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocabulary": 600}, "vocabulary is 600, but must be 1027 to 49408: choose another --vocabulary"),
        ({"clip_batch": 1}, "clip_batch is 1, but must be at least 2: choose another --clip-batch"),
        ({"image_size": 100}, "image_size is 100, but must be a multiple of 32: the nearest is 96"),
        ({"latent_factor": 2}, "latent_factor is 2, but must be 4 or 8: choose another --latent-factor"),
        ({"measured_images": 30, "held_out": 20}, "measured_images is 30, but only 20 images are held out"),
        ({"drop_style_word": "all"}, "drop_style_word is 'all', but must be 'any' or 'photo'"),
    ],
)
def test_settings_out_of_bounds_are_rejected(change, message):
    with pytest.raises(InvalidInput, match=message):
        Settings(**change)


def test_a_full_disk_and_a_foreign_folder_are_rejected_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**10, 9 * 10**9, 10**9))
    with pytest.raises(InvalidInput, match=r"has 1\.0 GB of free disk, but 51,024 images and the models need 11\.9 GB"):
        list(pretrain(Run(Settings(), tmp_path / "new")))
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="is not empty and is not a pretraining run"):
        list(pretrain(Run(QUICK, tmp_path)))
    assert list(tmp_path.iterdir()) == [tmp_path / "letter.txt"]


def test_the_command_line_has_a_documented_option_for_every_setting(capsys):
    with pytest.raises(SystemExit):
        argument_parser().parse_args(["--help"])
    assert "--denoiser-steps" in capsys.readouterr().out
    parse = argument_parser().parse_args
    assert read_settings(parse(["--out", "x"])) == Settings()
    chosen = read_settings(parse(["--out", "x", "--quick", "--no-photos", "--drop-style-word", "any"]))
    assert chosen == replace(QUICK, photo_share=0, drop_style_word="any")


def test_invalid_input_is_reported_in_one_sentence_with_an_exit_code(tmp_path, capsys):
    assert main(["--quick", "--out", str(tmp_path / "new"), "--workers", "-1"]) == 2
    assert capsys.readouterr().err == "--workers is -1, but must be at least 0: 0 renders without other processes\n"
    assert not Path(tmp_path / "new").exists()
