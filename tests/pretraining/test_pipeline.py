"""The recipe, end to end in miniature: a minute on one core, once for all tests."""

import json
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.miniature.landmarks.painting import STYLES
from ghibli_studio.miniature.landmarks.scene import sample_scene
from ghibli_studio.miniature.photo_credits import PHOTOGRAPHS
from ghibli_studio.pretraining import __main__
from ghibli_studio.pretraining import pipeline as pretraining_pipeline
from ghibli_studio.pretraining.__main__ import argument_parser, chosen_settings, main
from ghibli_studio.pretraining.checkpoint import Budget, Training
from ghibli_studio.pretraining.data.photographs import captions_of, crop_of, read_photographs
from ghibli_studio.pretraining.data.renderer import Painting
from ghibli_studio.pretraining.data.scenes import described_row, names_style, style_odds, subject, training_caption
from ghibli_studio.pretraining.evaluation import comparison, metrics, model_card
from ghibli_studio.pretraining.loop import duration, learning_rate, picture_batches
from ghibli_studio.pretraining.pipeline import STAGES, pretrain
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import QUICK, Settings, WrongInput
from ghibli_studio.pretraining.stages import autoencoder, clip, style_teacher, tokenizer, unet

NAMES = [stage.name for stage in STAGES]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A run that is cut off in the middle of CLIP's training, and its continuation from the command line."""
    out, before, after = tmp_path_factory.mktemp("recipe") / "result", [], []
    patch = pytest.MonkeyPatch()
    run = Run(QUICK, out)

    def power_cut(_: np.ndarray) -> None:
        raise KeyboardInterrupt

    patch.setattr(clip, "contrastive_loss", power_cut)
    with pytest.raises(KeyboardInterrupt):
        before.extend(name for name, _ in pretrain(run))
    patch.undo()
    before_times = {path: path.stat().st_mtime_ns for path in (out / "stages/captions").rglob("*.json")}
    patch.setattr(__main__, "quiet", lambda: None)  # it would silence the libraries for all tests
    patch.setattr(pretraining_pipeline, "described", lambda name, figures: after.append(name) or name)
    # the rerun must not read them: its pictures are there
    code = main(["--quick", "--out", str(out), "--device", "cpu", "--photos", "/no/photographs"])
    patch.undo()
    story = namedtuple("Story", "out before after before_times code")
    return story(out, before, after, before_times, code)


def test_a_rerun_continues_with_the_first_stage_that_was_not_finished(story):
    assert story.code == 0
    assert (story.before, story.after) == (NAMES[:2], NAMES[2:])
    assert {path: path.stat().st_mtime_ns for path in story.before_times} == story.before_times
    assert story.before_times
    assert not list(story.out.rglob("*.partial"))
    assert not list((story.out / "stages/checkpoints").glob("*"))
    assert list(json.loads((story.out / "done.json").read_text())) == NAMES


def test_a_finished_run_is_left_alone_and_other_settings_are_refused(story):
    assert list(pretrain(Run(QUICK, story.out))) == []
    with pytest.raises(WrongInput, match=r"begun with clip_steps 3 instead of 4, seed 7 instead of 8: repeat"):
        list(pretrain(Run(replace(QUICK, clip_steps=4, seed=8), story.out)))


def test_the_result_has_the_layout_of_the_published_weights(story):
    made = {
        path.relative_to(story.out)
        for part in ("base", "clip", "style_teacher")
        for path in (story.out / part).rglob("*")
        if path.is_file()
    }
    assert made == {path.relative_to(WEIGHTS) for path in WEIGHTS.glob("*/**/*") if path.is_file()}
    assert max((story.out / path).stat().st_size for path in made) < 10_000_000
    assert not any(str(story.out) in (story.out / path).read_text() for path in made if path.suffix == ".json")


def test_the_result_loads_and_draws_with_its_teacher(story):
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        story.out / "base", dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)

    def draw() -> np.ndarray:
        noise = torch.Generator().manual_seed(0)
        return np.asarray(pipeline("Petra, photo", num_inference_steps=2, generator=noise).images[0])

    plain = draw()
    pipeline.load_lora_weights(
        str(story.out / "style_teacher"),
        weight_name="pytorch_lora_weights.safetensors",
        adapter_name="teacher",
        local_files_only=True,
    )
    pipeline.unet.eval()
    assert plain.shape == (64, 64, 3)
    assert (pipeline.unet.peft_config["teacher"].r, pipeline.unet.peft_config["teacher"].lora_alpha) == (16, 16)
    assert not np.array_equal(plain, draw())


def test_the_published_clip_looks_as_it_did_in_training(story):
    import torch
    from transformers import CLIPProcessor

    processor = CLIPProcessor.from_pretrained(story.out / "clip", local_files_only=True)
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    trained = clip.as_seen(torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1)
    given = processor(images=Image.fromarray(picture), return_tensors="pt").pixel_values
    assert given.shape == (1, 3, 128, 128)
    assert (given - trained).abs().max() < 0.03


def test_the_sheets_show_every_row(story):
    sizes = [Image.open(story.out / "sheets" / f"{name}.jpg").size for name in ("base", "teacher")]
    assert sizes == [(2 * 66, 8 * 66), (2 * 66, 6 * 66)]


def test_the_tokenizer_gives_back_what_it_was_given(story):
    words = Run(QUICK, story.out).tokenizer()
    text = "eiffel tower, paris, france, at night, ghibli style"
    ids = tokenizer.token_ids(words, [[text, "Petra"], ["Taj Mahal", "é 東京"]])
    assert ids.shape == (2, 2, 77)
    assert words.decode(ids[0, 0], skip_special_tokens=True).replace(" ,", ",") == text
    assert words.decode(ids[1, 1], skip_special_tokens=True) == "é 東京"
    assert (ids[..., 0] == words.bos_token_id).all()
    assert (ids[..., -1] == words.eos_token_id).all()
    assert tokenizer.empty_ids(words).shape == (1, 77)
    assert words.convert_tokens_to_ids(["!", "!</w>", "<|startoftext|>", "<|endoftext|>"]) == [
        0,
        256,
        len(words) - 2,
        len(words) - 1,
    ]


def test_captions_call_the_target_style_by_its_word(story):
    pictures = Run(QUICK, story.out).pictures()
    target = [
        text for style, captions in zip(pictures.styles, pictures.captions) if style == "ghiblivis" for text in captions
    ]
    assert (pictures.count, len(pictures.captions), len(pictures.images)) == (96, 116, 116)
    assert target
    assert all("ghibli style" in text and "ghiblivis" not in text for text in target)
    assert np.flatnonzero(pictures.styles == "real photo").tolist() == [92, 93, 94, 95]


@pytest.mark.parametrize(("drop", "may_drop"), [("photo", {"photo"}), ("any", set(STYLES))])
def test_only_the_captions_of_chosen_styles_lose_the_style_word(drop, may_drop):
    lost = set()
    for number in range(600):
        rng = np.random.default_rng(number)
        style = STYLES[number % len(STYLES)]
        text = training_caption(sample_scene(rng), style, rng, replace(QUICK, drop_style_word=drop))
        if not names_style(text, style.replace("ghiblivis", "ghibli style")):
            lost.add(style)
    assert lost == may_drop


def test_the_learning_rate_rises_in_a_line_and_falls_on_a_cosine():
    assert [learning_rate(done, 1.0) for done in (0, 0.02, 0.04, 1, 2)] == [0, 0.5, 1, 0.03, 0.03]
    assert learning_rate(0.52, 1.0) == pytest.approx(0.515)
    assert learning_rate(0.52, 5e-4) == pytest.approx(2.575e-4)


def test_durations_are_told_in_words():
    assert [duration(seconds) for seconds in (0, 89, 90, 3000, 7500)] == ["0 s", "89 s", "2 min", "50 min", "2 h 5 min"]


def test_losses_have_the_values_of_their_formulas():
    import torch

    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    # error 0, 1, .. 7: mean 3.5 at every size; slope 1, 2, 4 across and 0 down
    assert autoencoder.pyramid_loss(ramp, torch.zeros(1, 1, 8, 8)).item() == pytest.approx(3 * 3.5 + 0.5 * (1 + 2 + 4))
    assert autoencoder.kl_divergence(torch.zeros(4), torch.zeros(4)).item() == 0
    assert autoencoder.kl_divergence(torch.tensor([2.0]), torch.zeros(1)).item() == 2
    assert unet.min_snr_weight(torch.tensor([0.5, 0.9])).tolist() == pytest.approx([1, 5 / 9])
    assert clip.contrastive_loss(torch.zeros(4, 4)).item() == pytest.approx(np.log(4))


def test_the_architectures_are_those_of_the_published_weights():
    """But for what is settled anew: eight numbers a latent, and an innermost level of the autoencoder of 160."""
    from transformers import CLIPTokenizer

    def published(part: str) -> dict:
        return json.loads((WEIGHTS / part / "config.json").read_text())

    words = CLIPTokenizer.from_pretrained(WEIGHTS / "base" / "tokenizer", local_files_only=True)
    as_then = Settings(latent_channels=4)
    made = {
        "base/unet": dict(unet.build(as_then).config),
        "base/vae": dict(autoencoder.build(as_then).config),
        "clip": clip.build(words).config.to_dict(),
    }
    assert list(made["base/vae"].pop("block_out_channels")) == [32, 64, 128, 160]
    apart = {"_class_name", "_diffusers_version", "scaling_factor", "architectures", "dtype", "transformers_version"}
    for part, config in made.items():
        for key in published(part).keys() & config.keys() - apart:
            wanted, got = published(part)[key], config[key]
            if isinstance(wanted, dict):
                got = {inner: got[inner] for inner in wanted if inner not in apart}
                wanted = {inner: value for inner, value in wanted.items() if inner not in apart}
            assert (list(got) if isinstance(got, tuple) else got) == wanted, (part, key)
    assert (
        dict(unet.scheduler().config).items()
        >= {
            key: value
            for key, value in json.loads((WEIGHTS / "base/scheduler/scheduler_config.json").read_text()).items()
            if key not in apart
        }.items()
    )


@pytest.mark.parametrize(("factor", "channels"), [(8, 4), (8, 8), (4, 4)])
def test_every_shape_of_latents_goes_through_autoencoder_and_denoiser(factor, channels):
    import torch

    settings = replace(QUICK, latent_factor=factor, latent_channels=channels)
    with torch.no_grad():
        latents = autoencoder.build(settings).encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean
        assert latents.shape == (1, channels, settings.latent_size, settings.latent_size)
        told = unet.build(settings)(latents, 500, torch.zeros(1, 77, 256)).sample
    assert told.shape == latents.shape


# -- painting ahead ------------------------------------------------------------
def test_a_worker_process_paints_what_this_one_would(tmp_path):
    settings = replace(QUICK, picture_count=44)
    for workers in (0, 1):
        with Painting(settings, PHOTOGRAPHS, tmp_path / str(workers), workers) as painting:
            painting.wait(settings.total_count)
    here, there = ((tmp_path / folder / "pictures.npy").read_bytes() for folder in "01")
    assert here == there
    assert np.load(tmp_path / "0" / "painted.npy").tolist() == [1, 1]


def test_painting_goes_on_where_it_stopped_and_no_further_than_asked(tmp_path):
    settings = replace(QUICK, photograph_share=0)
    with Painting(settings, None, tmp_path) as painting:
        painting.wait(33)
        assert painting.done.tolist() == [1, 1, 0, 0]
        first = painting.images[:64].copy()
    (tmp_path / "pictures.npy").chmod(0o644)
    with Painting(settings, None, tmp_path) as painting:
        assert (painting.images[:64] == first).all()
        assert first.reshape(64, -1).std(1).min() > 5
        assert not painting.images[64:].any()
        painting.wait(settings.total_count)
        assert painting.images.reshape(116, -1).std(1).min() > 5


def test_what_a_worker_cannot_do_is_told_to_who_waits(tmp_path):
    with Painting(replace(QUICK, photograph_share=0.5), tmp_path / "none", tmp_path) as painting:
        with pytest.raises(WrongInput, match=r"captions\.txt cannot be read"):
            painting.wait(96)
        assert painting.done.tolist() == [1, 0, 0, 0]


def test_clip_draws_from_few_pictures_at_first_and_from_all_in_the_second_half():
    allowed = clip.growing(50_000, 512, 1_800)
    assert (allowed(0), allowed(449), allowed(899), allowed(1799)) == (2048, 25_000, 50_000, 50_000)


# -- what nobody trains on -----------------------------------------------------
def test_held_out_pictures_take_the_styles_in_turn_and_no_stage_is_given_one(story):
    run = Run(QUICK, story.out)
    shown = run.pictures()
    assert shown.styles[96:].tolist() == [*STYLES, *STYLES]
    assert shown.held_out_rows.tolist() == list(range(96, 116))
    source, target = (run.noisy_latents(target_style=target) for target in (False, True))
    rows = sorted([*source.rows.tolist(), *target.rows.tolist()])
    assert rows == list(range(96))
    assert len(source.latents) == len(source.ids) == 96
    assert {shown.styles[row] for row in target.rows.tolist()} == {"ghiblivis"}


def test_a_held_out_picture_is_called_by_its_whole_caption():
    scene, style, _ = subject(QUICK, 103)
    about = described_row(QUICK, [], 103)
    assert (about["style"], style) == ("pixel art", "pixel art")
    assert about["captions"] == [f"{scene.landmark.name}, {about['captions'][0].partition(', ')[2]}"] * 3
    assert about["captions"][0].endswith(", pixel art")


def test_some_captions_are_as_short_as_a_prompt():
    settings, short, bare = replace(QUICK, short_captions=0.25), 0, 0
    for number in range(800):
        rng = np.random.default_rng(number)
        scene = sample_scene(rng)
        text = training_caption(scene, "photo", rng, settings)
        short += text == f"{scene.landmark.name}, photo"
        bare += text == scene.landmark.name
    assert 0.09 < short / 800 < 0.17
    assert 0.09 < bare / 800 < 0.17


# -- going on inside a stage ---------------------------------------------------
@pytest.mark.parametrize(
    ("stage", "make", "loop", "weights"),
    [
        ("clip", pretraining_pipeline.make_clip, clip, "model.safetensors"),
        ("autoencoder", pretraining_pipeline.make_autoencoder, autoencoder, "diffusion_pytorch_model.safetensors"),
        ("denoiser", pretraining_pipeline.make_denoiser, unet, "diffusion_pytorch_model.safetensors"),
        ("teacher", pretraining_pipeline.make_teacher, style_teacher, "pytorch_lora_weights.safetensors"),
    ],
)
def test_a_stage_that_was_cut_off_ends_as_an_unbroken_one(story, tmp_path, monkeypatch, stage, make, loop, weights):
    """Cut off in its third step, after two checkpoints: the same weights to the last bit, without the first steps."""
    from safetensors.torch import load_file

    run, steps = Run(QUICK, story.out, checkpoint_seconds=0), []

    def rate(done: float, peak: float) -> float:
        if len(steps) == 2:
            raise KeyboardInterrupt
        steps.append(done)
        return learning_rate(done, peak)

    monkeypatch.setattr(loop, "learning_rate", rate)
    with pytest.raises(KeyboardInterrupt):
        make(run, tmp_path)
    assert run.checkpoint(stage).is_file()
    monkeypatch.setattr(loop, "learning_rate", lambda done, peak: steps.append(done) or learning_rate(done, peak))
    make(run, tmp_path)
    run.checkpoint(stage).unlink()
    total = getattr(QUICK, f"{stage}_steps")
    assert steps == [number / total for number in range(total)]
    unbroken = story.out / ("style_teacher" if stage == "teacher" else f"stages/{stage}") / weights
    resumed, whole = load_file(tmp_path / weights), load_file(unbroken)
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if not resumed[name].equal(whole[name])] == []


def test_a_checkpoint_keeps_parameters_moments_and_time(tmp_path):
    import torch

    def training() -> tuple[Training, torch.Tensor]:
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.AdamW([weight], lr=0.1)
        return Training(
            tmp_path / "c.safetensors", {"model": [weight]}, {"optimizer": optimizer}, Budget(6), 1, every=0
        ), weight

    def go(training: Training, weight: torch.Tensor, until: int) -> list[int]:
        made = []
        for step, _ in training.steps():
            if step == until:
                break
            made.append(step)
            training.optimizers["optimizer"].zero_grad()
            (weight * torch.rand(3)).sum().backward()
            training.optimizers["optimizer"].step()
        return made

    whole, weight = training()
    assert go(whole, weight, 6) == [0, 1, 2, 3, 4, 5]
    unbroken = weight.detach().clone()
    (tmp_path / "c.safetensors").unlink()
    assert go(*training(), 4) == [0, 1, 2, 3]
    second, weight = training()
    assert second.first == 4
    assert second.budget.spent > 0
    assert go(second, weight, 6) == [4, 5]
    assert torch.equal(weight, unbroken)


def test_a_budget_is_over_when_its_steps_or_its_seconds_are(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert [Budget(4).done(step) for step in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    bounded = Budget(1000, seconds=20, spent=5, began=100.0)
    assert bounded.done(0) == 0.25
    now[0] = 110.0
    assert (bounded.done(10), bounded.elapsed()) == (0.75, 15)
    now[0] = 130.0
    assert bounded.done(10) == 1


def test_time_steps_serve_the_noisy_end():
    import torch

    torch.manual_seed(0)
    even, noisy = (unet.drawn_time_steps(20_000, share, torch.device("cpu")) for share in (0.0, 1.0))
    assert (even >= 875).float().mean() == pytest.approx(0.125, abs=0.01)
    assert (noisy >= 875).float().mean() == pytest.approx(0.5, abs=0.015)
    assert (int(noisy.min()) >= 0, int(noisy.max()), int(even.max())) == (True, 999, 999)


def test_an_error_on_an_outline_counts_more_than_one_beside_it():
    import torch

    true = torch.zeros(1, 3, 32, 32)
    true[..., 16] = 1
    on, beside = true.clone(), true.clone()
    on[..., 16] -= 0.5
    beside[..., 5] += 0.5
    assert autoencoder.edge_loss(true, true) == 0
    assert autoencoder.edge_loss(beside, true) == 0
    assert autoencoder.edge_loss(on, true) == pytest.approx(autoencoder.STRONGEST_EDGE * 0.5 / 32)


def test_pictures_are_unlike_in_the_eyes_of_clip_by_as_much_as_they_are_changed(story):
    import torch

    run = Run(QUICK, story.out)
    true = torch.from_numpy(run.pictures().images[:2].copy()).permute(0, 3, 1, 2) / 127.5 - 1
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        none, little, much = (clip.distance(run.clip(), true + share * noise, true) for share in (0, 0.1, 0.6))
    assert none.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert (little < much).all()
    assert (little > 1e-4).all()


# -- what comes out at the end -------------------------------------------------
def test_decibels_are_of_all_pictures_together():
    true = np.zeros((2, 4, 4, 3), np.uint8)
    made = true.copy()
    made[1] = 51  # a fifth of the range in every second picture
    errors = metrics.squared_errors(made, true)
    assert errors.tolist() == pytest.approx([0, 0.04])
    assert metrics.decibels(errors.mean()) == pytest.approx(-10 * np.log10(0.02))
    assert metrics.decibels(0.0) == 60


def test_the_card_counts_what_there_is_and_lists_what_was_measured(story):
    text = (story.out / "README.md").read_text()
    measured = json.loads((story.out / "measured/measured.json").read_text())
    styles = Run(QUICK, story.out).pictures().styles[:96]
    assert f"| style: ghibli style | {(styles == 'ghiblivis').sum()} |" in text
    assert "| style: real photo | 4 |" in text
    assert "96 pictures with 288 captions" in text
    assert set(measured) == {"all", *STYLES}
    for style in STYLES:
        assert measured[style].keys() >= {
            "peak_signal_to_noise_decibels",
            "own_clip_distance",
            "own_caption_first",
            "own_clip_frechet_distance",
        }
    assert measured["ghiblivis"]["outlines_kept"] < 0.5, "an untrained autoencoder keeps no outline"
    assert f"| watercolor | {measured['watercolor']['peak_signal_to_noise_decibels']:.1f} |" in text
    assert str(story.out) not in text


def test_the_published_folders_are_hashed_and_small_enough(story, tmp_path):
    listed = dict(line.split("  ")[::-1] for line in (story.out / "SHA256SUMS").read_text().splitlines())
    files = {
        path.relative_to(story.out).as_posix(): path
        for part in model_card.PUBLISHED
        for path in (story.out / part).rglob("*")
        if path.is_file()
    }
    assert listed.keys() == files.keys()
    published = shutil.copytree(story.out, tmp_path / "weights", ignore=lambda *_: ["stages", "sheets", "measured"])
    from ghibli_studio.miniature.checksums import wrong_files

    assert wrong_files(published) == []
    assert sum(path.stat().st_size for path in files.values()) < 75_000_000


def test_weights_that_would_be_too_large_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(WrongInput, match=r"the weights would have about 8\d MB, but 75 MB are the most"):
        list(pretrain(Run(replace(QUICK, teacher_rank=90), tmp_path / "new")))
    assert not (tmp_path / "new").exists()


def test_old_and_new_are_compared_on_the_same_scenes(story, monkeypatch):
    """The lessons are the studio's own training, which has tests of its own."""
    gray = [np.full((64, 64, 3), 128, np.uint8)] * 5
    lessons = [comparison.Lesson(1.0, 0.5, gray, gray), comparison.Lesson(1.0, 0.75, gray, gray)]
    monkeypatch.setattr(comparison, "taught", lambda *_: iter(lessons))
    run = Run(QUICK, story.out)
    lines = list(comparison.compare(run, story.out, comparison.extent("quick", quick=True)))
    folder = story.out / "comparison"
    table = json.loads((folder / "table.json").read_text())
    assert table["old"].keys() == table["new"].keys() == comparison.MEASURES.keys()
    same = {name: value for name, value in table["old"].items() if name != "seconds"}
    assert same == {name: value for name, value in table["new"].items() if name != "seconds"}, "a model is as itself"
    assert same["ti_loss"] == 0.75
    sizes = {name: Image.open(folder / f"{name}.jpg").size for name in ("copies", "drawings", "landmarks")}
    assert sizes == {"copies": (12 * 66, 6 * 66), "drawings": (12 * 66, 3 * 66), "landmarks": (5 * 66, 5 * 66)}
    assert "| validation loss with Textual Inversion | 0.75 | 0.75 |" in (folder / "README.md").read_text()
    assert lines[-1] == f"compared: {folder}"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--compare", "nowhere"], "--compare is nowhere, but there is no base/model_index.json in it"),
        (
            ["--compare", str(WEIGHTS)],
            f"{WEIGHTS} draws 256 pixels a side, but this run 64: compare with weights of the",
        ),
        (
            ["--compare", str(WEIGHTS), "--compare-preset", "fast"],
            "--compare-preset is 'fast', but the presets are quick",
        ),
        (["--checkpoint-seconds", "-1"], "--checkpoint-seconds is -1.0, but must be 0 or more"),
    ],
)
def test_a_wrong_comparison_is_told_before_anything_is_trained(tmp_path, capsys, arguments, told):
    assert main(["--quick", "--out", str(tmp_path / "new"), *arguments]) == 2
    assert capsys.readouterr().err.startswith(told)
    assert not (tmp_path / "new").exists()


def test_batches_do_not_depend_on_which_reader_is_quicker():
    images = np.arange(40, dtype=np.uint8).repeat(12).reshape(40, 2, 2, 3)
    first, again = (
        [
            (rows.tolist(), shown)
            for (rows, shown), _ in zip(
                picture_batches(images, lambda _: np.arange(10, 40), batch=4, first=0, seed=1, device="cpu"), range(9)
            )
        ]
        for _ in range(2)
    )
    assert [rows for rows, _ in first] == [rows for rows, _ in again]
    later = picture_batches(images, lambda _: np.arange(10, 40), batch=4, first=5, seed=1, device="cpu")
    assert next(later)[0].tolist() == first[5][0]
    later.close()
    assert min(min(rows) for rows, _ in first) >= 10
    rows, shown = first[0]
    assert shown.shape == (4, 3, 2, 2)
    assert shown[:, 0, 0, 0].tolist() == pytest.approx([row / 127.5 - 1 for row in rows])


def test_styles_are_painted_as_often_as_documented():
    names, odds = style_odds()
    assert sorted(names) == sorted(STYLES)
    assert sum(odds) == pytest.approx(1)
    assert dict(zip(names, odds))["photo"] == 0.34


def test_every_photograph_has_a_caption_of_the_form_and_is_cut_square():
    photographs = read_photographs(PHOTOGRAPHS)
    assert len(photographs) == 45 == len(list(PHOTOGRAPHS.glob("*.webp")))
    assert all(len(photograph.caption.split(", ")) >= 4 for photograph in photographs)
    assert crop_of(photographs, 3, 64, np.random.default_rng(0)).shape == (64, 64, 3)
    captions = captions_of(photographs[:1], 2)
    assert captions == [photographs[0].caption, f"{photographs[0].caption}, photo", "a real photograph, photo"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (None, "captions.txt cannot be read"),
        ("", "names no photograph"),
        ("a.png", r"line 1 of .* not `file\|caption`: mend it, choose another --photos, or .* --no-photos"),
        ("missing.png|Petra", "missing.png is not a picture"),
        ("small.png|Petra", "small.png has 63x200 pixels, but 64 a side is the least"),
    ],
)
def test_a_bad_folder_of_photographs_is_refused(tmp_path, lines, told):
    Image.new("RGB", (63, 200)).save(tmp_path / "small.png")
    if lines is not None:
        (tmp_path / "captions.txt").write_text(lines)
    with pytest.raises(WrongInput, match=told):
        read_photographs(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vocabulary": 600}, "vocabulary is 600, but must be 1027 to 49408: choose another --vocabulary"),
        ({"clip_batch": 1}, "clip_batch is 1, but must be 2 or more: choose another --clip-batch"),
        ({"picture_size": 100}, "picture_size is 100, but must be a multiple of 32: 96 is near"),
        ({"latent_factor": 2}, "latent_factor is 2, but must be 4 or 8: choose another --latent-factor"),
        ({"measured_drawings": 30, "held_out": 20}, "measured_drawings is 30, but only 20 pictures are held out"),
        ({"drop_style_word": "all"}, "drop_style_word is 'all', but must be 'any' or 'photo'"),
    ],
)
def test_settings_out_of_bounds_are_refused(change, told):
    with pytest.raises(WrongInput, match=told):
        Settings(**change)


def test_a_full_disk_and_a_foreign_folder_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**10, 9 * 10**9, 10**9))
    with pytest.raises(WrongInput, match=r"has 1\.0 GB of free disk, but 51,024 pictures and the models need 11\.9 GB"):
        list(pretrain(Run(Settings(), tmp_path / "new")))
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(WrongInput, match="is not empty and holds no run of this recipe"):
        list(pretrain(Run(QUICK, tmp_path)))
    assert list(tmp_path.iterdir()) == [tmp_path / "letter.txt"]


def test_the_command_line_has_an_explained_option_for_every_setting(capsys):
    with pytest.raises(SystemExit):
        argument_parser().parse_args(["--help"])
    assert "--denoiser-steps" in capsys.readouterr().out
    parse = argument_parser().parse_args
    assert chosen_settings(parse(["--out", "x"])) == Settings()
    chosen = chosen_settings(parse(["--out", "x", "--quick", "--no-photos", "--drop-style-word", "any"]))
    assert chosen == replace(QUICK, photograph_share=0, drop_style_word="any")


def test_wrong_input_is_one_sentence_and_an_exit_code(tmp_path, capsys):
    assert main(["--quick", "--out", str(tmp_path / "new"), "--workers", "-1"]) == 2
    assert capsys.readouterr().err == "--workers is -1, but must be 0 or more: 0 paints without other processes\n"
    assert not Path(tmp_path / "new").exists()
