"""Pictures: the plain loop equals diffusers' pipeline, recipes reproduce, adapters are proved to act."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from adapters.formats.safetensors_file import to_bytes
from adapters.methods.lora import LoraSettings
from adapters.methods.textual_inversion import TextualInversionSettings
from adapters.registry import build
from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation.init_image import Photograph
from ghibli_studio.generation.metadata import read_recipe, to_png
from ghibli_studio.generation.model_cache import Loaded, with_adapter
from ghibli_studio.generation.pipeline import draw
from ghibli_studio.imaging.crop import square
from ghibli_studio.runtime import environment
from tests.adapters.test_base import train_a_little

PROMPT = "Big Ben, London, a clock tower"
FEW = GenerationSettings(num_inference_steps=4, seed=3)


def picture(loaded, prompt=PROMPT, settings=FEW):
    return list(draw(loaded, prompt, settings))[-1]


@pytest.fixture(scope="module")
def adapter_files(tiny, tmp_path_factory):
    """A trained adapter file of each method."""
    files = {}
    for name, settings in (("lora", LoraSettings(rank=2)), ("ti", TextualInversionSettings(num_vectors=2))):
        adapter = build(name, settings)
        train_a_little(tiny, adapter.attach(tiny.host), adapter)
        recipe = {
            "adapter": settings.model_dump(mode="json"),
            "run": "r1",
            "epoch": 2,
            "base_model": {"spec": tiny.description.spec, "digest": tiny.digest, "shape": tiny.shape},
        }
        files[name] = tmp_path_factory.mktemp(name) / "adapter.safetensors"
        files[name].write_bytes(to_bytes(adapter, recipe))
        adapter.detach()
    return files


@pytest.mark.parametrize(("guidance_scale", "negative_prompt"), [(5.0, ""), (1.0, ""), (3.0, "blurred")])
def test_a_picture_equals_that_of_diffusers_own_pipeline(tiny, tiny_folder, guidance_scale, negative_prompt):
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(tiny_folder, local_files_only=True, safety_checker=None)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    theirs = pipeline(
        tiny.description.plain_caption(PROMPT),
        num_inference_steps=4,
        guidance_scale=guidance_scale,
        negative_prompt=negative_prompt,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    settings = FEW.changed(guidance_scale=guidance_scale, negative_prompt=negative_prompt)
    ours = picture(Loaded(tiny), settings=settings).image
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.fixture
def photograph():
    pixels = np.random.default_rng(5).integers(0, 256, (80, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels, "RGB")


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_a_picture_from_a_photograph_equals_that_of_diffusers_own_pipeline(
    tiny, tiny_folder, photograph, strength, monkeypatch
):
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    # ours starts from the mean, as the training does, and draws noise once
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean)
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(tiny_folder, local_files_only=True, safety_checker=None)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    theirs = pipeline(
        tiny.description.plain_caption(PROMPT),
        square(photograph, tiny.description.resolution),
        adapter_scale=strength,
        num_inference_steps=10,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    start = Photograph(photograph, strength)
    events = list(draw(Loaded(tiny), PROMPT, FEW.changed(num_inference_steps=10), start))
    difference = np.asarray(events[-1].image, dtype=int) - np.asarray(theirs)
    assert abs(difference).max() <= 1  # they scale 8 bits to -1..1 in two roundings, we in one
    assert (difference != 0).mean() < 0.01
    assert [event.step for event in events][-1] == events[0].steps == round(10 * strength)
    told = {"sha256": start.sha256, "strength": strength}
    assert events[-1].recipe["photograph"] == told


@pytest.mark.parametrize("strength", [0, -1, 1.01, float("nan")])
def test_a_strength_out_of_bounds_is_refused(tiny, photograph, strength):
    with pytest.raises(StudioError, match=r"denoising_strength is .*must be above 0 and at most 1"):
        next(draw(Loaded(tiny), PROMPT, FEW, Photograph(photograph, strength)))


def test_every_step_is_told_and_the_last_brings_the_picture(tiny):
    events = list(draw(Loaded(tiny), PROMPT, FEW))
    assert [(e.step, e.steps, e.image is not None) for e in events] == [
        (1, 4, False),
        (2, 4, False),
        (3, 4, False),
        (4, 4, False),
        (4, 4, True),
    ]
    side = tiny.description.resolution
    assert (events[-1].image.size, events[-1].image.mode) == ((side, side), "RGB")


def test_the_seed_decides(tiny):
    first, again, other = (picture(Loaded(tiny), settings=FEW.changed(seed=seed)).image for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_a_recipe_says_everything(tiny, adapter_files):
    with with_adapter(tiny, adapter_files["lora"]) as loaded:
        recipe = picture(loaded).recipe
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["prompt"] == PROMPT
    assert recipe["caption"] == f"{PROMPT}, {LoraSettings().trigger}"
    assert recipe["method"] == "lora"
    assert recipe["settings"] == FEW.model_dump()
    assert recipe["base_model"] == {"spec": tiny.description.spec, "digest": tiny.digest}
    assert {key: recipe["adapter"][key] for key in ("method", "file", "run", "epoch")} == {
        "method": "lora",
        "file": "adapter.safetensors",
        "run": "r1",
        "epoch": 2,
    }
    assert len(recipe["adapter"]["sha256"]) == 64
    assert recipe["versions"]["torch"] == torch.__version__.split("+")[0]
    assert recipe["machine"]["device"] == "cpu"


def test_a_png_carries_its_recipe(tiny, tmp_path):
    made = picture(Loaded(tiny))
    path = tmp_path / "p.png"
    path.write_bytes(to_png(made.image, made.recipe))
    assert read_recipe(path) == made.recipe
    made.image.save(tmp_path / "bare.png")
    with pytest.raises(StudioError, match="carries no recipe"):
        read_recipe(tmp_path / "bare.png")


@pytest.mark.parametrize("method", ["lora", "ti"])
def test_an_adapter_acts_and_leaves_the_base_as_it_was(tiny, adapter_files, method):
    base = picture(Loaded(tiny)).image
    with with_adapter(tiny, adapter_files[method]) as loaded:
        styled = picture(loaded).image
        assert loaded.method == method
    assert styled.tobytes() != base.tobytes()
    assert picture(Loaded(tiny)).image.tobytes() == base.tobytes()


@pytest.mark.parametrize("method", ["lora", "ti"])
def test_strength_changes_the_picture(tiny, adapter_files, method):
    with with_adapter(tiny, adapter_files[method]) as loaded:
        seen = [picture(loaded, settings=FEW.changed(adapter_scale=s)).image.tobytes() for s in (1.0, 0.0, 1.0)]
    assert seen[0] == seen[2] != seen[1]


def test_an_adapter_that_does_nothing_is_an_error(tiny, adapter_files, tmp_path):
    """The paper's own pictures were probably made with such a file."""
    state = load_file(adapter_files["lora"])
    silent = {name: value * 0 if "lora_B" in name else value for name, value in state.items()}
    path = tmp_path / "silent.safetensors"
    save_file(silent, path)
    with pytest.raises(StudioError, match=r"silent\.safetensors changes nothing"), with_adapter(tiny, path):
        pass
    assert not any("lora" in key for key in tiny.host.unet.state_dict())


def test_an_adapter_of_another_base_model_is_refused(tiny, tmp_path):
    adapter = build("lora", LoraSettings(rank=2))
    adapter.attach(tiny.host)
    recipe = {
        "adapter": adapter.settings.model_dump(mode="json"),
        "base_model": {"spec": "somebody/elses-model", "digest": "0", "shape": [320, 640, 1280, 1280, 768, 768]},
    }
    path = tmp_path / "other.safetensors"
    path.write_bytes(to_bytes(adapter, recipe))
    adapter.detach()
    with pytest.raises(StudioError) as caught, with_adapter(tiny, path):
        pass
    assert str(caught.value) == (
        f"other.safetensors was trained on 'somebody/elses-model', not on {tiny.description.spec!r}; "
        "choose that base model"
    )


def test_wrong_prompts_are_told(tiny):
    with pytest.raises(StudioError, match="the prompt is empty"):
        picture(Loaded(tiny), prompt="  ")
    with pytest.raises(StudioError, match="has 402 tokens, the model reads 77; shorten it"):
        picture(Loaded(tiny), prompt="tower " * 400)


def test_emoji_and_other_scripts_are_drawn(tiny):
    assert picture(Loaded(tiny), prompt="🏯 برج القاهرة, a tower").image is not None


def test_closing_a_drawing_midway_takes_the_adapter_off(tiny, adapter_files):
    before = picture(Loaded(tiny)).image.tobytes()

    def half():
        with with_adapter(tiny, adapter_files["lora"]) as loaded:
            yield from draw(loaded, PROMPT, FEW)

    going = half()
    next(going)
    going.close()
    assert picture(Loaded(tiny)).image.tobytes() == before


def test_versions_are_those_installed():
    assert environment.versions()["diffusers"] == __import__("diffusers").__version__
