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
from ghibli_studio.miniature.landmarks import STYLES, sample_scene
from ghibli_studio.miniature.pretrain import __main__ as command_line
from ghibli_studio.miniature.pretrain import autoencoder, clip, denoiser, stages, tokenizer
from ghibli_studio.miniature.pretrain.__main__ import argument_parser, chosen_settings, main
from ghibli_studio.miniature.pretrain.learning import duration, learning_rate, picture_batches
from ghibli_studio.miniature.pretrain.photographs import PHOTOGRAPHS, crops, read_photographs
from ghibli_studio.miniature.pretrain.pictures import make, names_style, style_odds, training_caption
from ghibli_studio.miniature.pretrain.settings import QUICK, Settings, WrongInput
from ghibli_studio.miniature.pretrain.stages import STAGES, Run, pretrain

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
    before_times = {path: path.stat().st_mtime_ns for path in (out / "stages").rglob("*.npy")}
    patch.setattr(command_line, "quiet", lambda: None)  # it would silence the libraries for all tests
    patch.setattr(stages, "described", lambda name, figures: after.append(name) or name)
    # the rerun must not read them: its pictures are there
    code = main(["--quick", "--out", str(out), "--device", "cpu", "--photos", "/no/photographs"])
    patch.undo()
    story = namedtuple("Story", "out before after before_times code")
    return story(out, before, after, before_times, code)


def test_a_rerun_continues_with_the_first_stage_that_was_not_finished(story):
    assert story.code == 0
    assert (story.before, story.after) == (NAMES[:4], NAMES[4:])
    assert {path: path.stat().st_mtime_ns for path in story.before_times} == story.before_times
    assert not list(story.out.rglob("*.partial"))
    assert list(json.loads((story.out / "done.json").read_text())) == NAMES


def test_a_finished_run_is_left_alone_and_other_settings_are_refused(story):
    assert list(pretrain(Run(QUICK, story.out))) == []
    with pytest.raises(WrongInput, match=r"begun with clip_steps 3 instead of 4, seed 7 instead of 8: repeat"):
        list(pretrain(Run(replace(QUICK, clip_steps=4, seed=8), story.out)))


def test_the_result_has_the_layout_of_the_published_weights(story):
    made = {path.relative_to(story.out) for part in ("base", "clip", "style_teacher")
            for path in (story.out / part).rglob("*") if path.is_file()}
    assert made == {path.relative_to(WEIGHTS) for path in WEIGHTS.glob("*/**/*") if path.is_file()}
    assert max((story.out / path).stat().st_size for path in made) < 10_000_000
    assert not any(str(story.out) in (story.out / path).read_text() for path in made if path.suffix == ".json")


def test_the_result_loads_and_draws_with_its_teacher(story):
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(story.out / "base", dtype=torch.float32, safety_checker=None,
                                                       local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)

    def draw() -> np.ndarray:
        noise = torch.Generator().manual_seed(0)
        return np.asarray(pipeline("Petra, photo", num_inference_steps=2, generator=noise).images[0])

    plain = draw()
    pipeline.load_lora_weights(str(story.out / "style_teacher"), weight_name="pytorch_lora_weights.safetensors",
                               adapter_name="teacher", local_files_only=True)
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
        0, 256, len(words) - 2, len(words) - 1]


def test_captions_call_the_target_style_by_its_word(story):
    pictures = Run(QUICK, story.out).pictures()
    target = [text for style, captions in zip(pictures.styles, pictures.captions) if style == "ghiblivis"
              for text in captions]
    assert len(pictures.captions) == 96
    assert target
    assert all("ghibli style" in text and "ghiblivis" not in text for text in target)
    assert pictures.photograph_count == 4


@pytest.mark.parametrize(("drop", "may_drop"), [("photo", {"photo"}), ("any", set(STYLES))])
def test_only_the_captions_of_chosen_styles_lose_the_style_word(drop, may_drop):
    lost = set()
    for number in range(600):
        rng = np.random.default_rng(number)
        style = STYLES[number % len(STYLES)]
        text = training_caption(sample_scene(rng), style, rng, drop)
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
    assert denoiser.min_snr_weight(torch.tensor([0.5, 0.9])).tolist() == pytest.approx([1, 5 / 9])
    assert clip.contrastive_loss(torch.zeros(4, 4)).item() == pytest.approx(np.log(4))


def test_the_architectures_are_those_of_the_published_weights():
    from transformers import CLIPTokenizer

    def published(part: str) -> dict:
        return json.loads((WEIGHTS / part / "config.json").read_text())

    words = CLIPTokenizer.from_pretrained(WEIGHTS / "base" / "tokenizer", local_files_only=True)
    made = {"base/unet": dict(denoiser.build(32).config), "base/vae": dict(autoencoder.build(256).config),
            "clip": clip.build(words).config.to_dict()}
    apart = {"_class_name", "_diffusers_version", "scaling_factor", "architectures", "dtype", "transformers_version"}
    for part, config in made.items():
        for key in published(part).keys() - apart:
            wanted, got = published(part)[key], config[key]
            if isinstance(wanted, dict):
                got = {inner: got[inner] for inner in wanted if inner not in apart}
                wanted = {inner: value for inner, value in wanted.items() if inner not in apart}
            assert (list(got) if isinstance(got, tuple) else got) == wanted, (part, key)
    assert dict(denoiser.scheduler().config).items() >= {
        key: value for key, value in json.loads(
            (WEIGHTS / "base/scheduler/scheduler_config.json").read_text()).items() if key not in apart}.items()


def test_a_worker_process_paints_what_this_one_would(tmp_path):
    settings = replace(QUICK, picture_count=64, photograph_share=0)
    for workers in (0, 1):
        (tmp_path / str(workers)).mkdir()
        make(settings, [], tmp_path / str(workers), workers)
    for file in ("pictures.npy", "captions.json"):
        assert (tmp_path / "0" / file).read_bytes() == (tmp_path / "1" / file).read_bytes()


def test_batches_do_not_depend_on_which_reader_is_quicker():
    images = np.arange(40, dtype=np.uint8).repeat(12).reshape(40, 2, 2, 3)
    first, again = ([(rows.tolist(), shown) for rows, shown in picture_batches(
        images, np.arange(10, 40), batch=4, count=9, seed=1, device="cpu")] for _ in range(2))
    assert [rows for rows, _ in first] == [rows for rows, _ in again]
    assert len(first) == 9
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
    (pixels, captions), *_ = crops(photographs[:1], 2, 64, seed=0)
    assert pixels.shape == (64, 64, 3)
    assert captions == [photographs[0].caption, f"{photographs[0].caption}, photo", "a real photograph, photo"]


@pytest.mark.parametrize(("lines", "told"), [
    (None, "captions.txt cannot be read"),
    ("", "names no photograph"),
    ("a.png", r"line 1 of .* not `file\|caption`: mend it, choose another --photos, or .* --no-photos"),
    ("missing.png|Petra", "missing.png is not a picture"),
    ("small.png|Petra", "small.png has 63x200 pixels, but 64 a side is the least"),
])
def test_a_bad_folder_of_photographs_is_refused(tmp_path, lines, told):
    Image.new("RGB", (63, 200)).save(tmp_path / "small.png")
    if lines is not None:
        (tmp_path / "captions.txt").write_text(lines)
    with pytest.raises(WrongInput, match=told):
        read_photographs(tmp_path)


@pytest.mark.parametrize(("change", "told"), [
    ({"vocabulary": 600}, "vocabulary is 600, but must be 1027 to 49408: choose another --vocabulary"),
    ({"clip_batch": 1}, "clip_batch is 1, but must be 2 or more: choose another --clip-batch"),
    ({"picture_size": 100}, "picture_size is 100, but must be a multiple of 32: 96 is near"),
    ({"drop_style_word": "all"}, "drop_style_word is 'all', but must be 'any' or 'photo'"),
])
def test_settings_out_of_bounds_are_refused(change, told):
    with pytest.raises(WrongInput, match=told):
        Settings(**change)


def test_a_full_disk_and_a_foreign_folder_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**10, 9 * 10**9, 10**9))
    with pytest.raises(WrongInput, match=r"has 1\.0 GB of free disk, but 50,000 pictures and the models need 10\.7 GB"):
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
