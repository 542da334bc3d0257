"""Images: the loop equals diffusers' pipelines, metadata is complete, adapters are checked for an effect."""

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
from ghibli_studio.generation.init_image import InitImage
from ghibli_studio.generation.metadata import read_metadata, to_png
from ghibli_studio.generation.model_cache import LoadedModel, with_adapter
from ghibli_studio.generation.pipeline import generate
from ghibli_studio.imaging.crop import square
from ghibli_studio.runtime import environment
from tests.support.adapter_training import train_briefly

PROMPT = "Big Ben, London, a clock tower"
FEW = GenerationSettings(num_inference_steps=4, seed=3)


def last_event(loaded, prompt=PROMPT, settings=FEW):
    return list(generate(loaded, prompt, settings))[-1]


@pytest.fixture(scope="module")
def adapter_files(tiny, tmp_path_factory):
    """A trained adapter file of each method."""
    files = {}
    for name, settings in (("lora", LoraSettings(rank=2)), ("ti", TextualInversionSettings(num_vectors=2))):
        adapter = build(name, settings)
        train_briefly(tiny, adapter.attach(tiny.host), adapter)
        metadata = {
            "adapter": settings.model_dump(mode="json"),
            "run": "r1",
            "epoch": 2,
            "base_model": {"model_id": tiny.description.model_id, "digest": tiny.digest, "shape": tiny.shape},
        }
        files[name] = tmp_path_factory.mktemp(name) / "adapter.safetensors"
        files[name].write_bytes(to_bytes(adapter, metadata))
        adapter.detach()
    return files


@pytest.mark.parametrize(("guidance_scale", "negative_prompt"), [(5.0, ""), (1.0, ""), (3.0, "blurred")])
def test_txt2img_equals_diffusers_pipeline(tiny, tiny_folder, guidance_scale, negative_prompt):
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(tiny_folder, local_files_only=True, safety_checker=None)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    theirs = pipeline(
        tiny.description.base_prompt(PROMPT),
        num_inference_steps=4,
        guidance_scale=guidance_scale,
        negative_prompt=negative_prompt,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    settings = FEW.changed(guidance_scale=guidance_scale, negative_prompt=negative_prompt)
    ours = last_event(LoadedModel(tiny), settings=settings).image
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.fixture
def photo():
    pixels = np.random.default_rng(5).integers(0, 256, (80, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels, "RGB")


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_img2img_equals_diffusers_pipeline(tiny, tiny_folder, photo, strength, monkeypatch):
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionImg2ImgPipeline
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    # ours starts from the mean of the posterior, like the training, and samples noise once
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean)
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(tiny_folder, local_files_only=True, safety_checker=None)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    theirs = pipeline(
        tiny.description.base_prompt(PROMPT),
        square(photo, tiny.description.resolution),
        strength=strength,
        num_inference_steps=10,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    start = InitImage(photo, strength)
    events = list(generate(LoadedModel(tiny), PROMPT, FEW.changed(num_inference_steps=10), start))
    difference = np.asarray(events[-1].image, dtype=int) - np.asarray(theirs)
    assert abs(difference).max() <= 1  # diffusers scales 8 bits to -1..1 with two roundings, this loop with one
    assert (difference != 0).mean() < 0.01
    assert [event.step for event in events][-1] == events[0].steps == round(10 * strength)
    assert events[-1].metadata["init_image"] == {"sha256": start.sha256, "strength": strength}


@pytest.mark.parametrize("strength", [0, -1, 1.01, float("nan")])
def test_a_strength_out_of_bounds_is_refused(tiny, photo, strength):
    with pytest.raises(StudioError, match=r"strength is .*must be above 0 and at most 1"):
        next(generate(LoadedModel(tiny), PROMPT, FEW, InitImage(photo, strength)))


def test_every_step_is_an_event_and_the_last_has_the_image(tiny):
    events = list(generate(LoadedModel(tiny), PROMPT, FEW))
    assert [(e.step, e.steps, e.image is not None) for e in events] == [
        (1, 4, False),
        (2, 4, False),
        (3, 4, False),
        (4, 4, False),
        (4, 4, True),
    ]
    side = tiny.description.resolution
    assert (events[-1].image.size, events[-1].image.mode) == ((side, side), "RGB")


def test_the_seed_determines_the_image(tiny):
    first, again, other = (last_event(LoadedModel(tiny), settings=FEW.changed(seed=seed)).image for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_the_metadata_is_complete(tiny, adapter_files):
    with with_adapter(tiny, adapter_files["lora"]) as loaded:
        values = last_event(loaded).metadata
    assert json.loads(json.dumps(values)) == values
    assert values["prompt"] == PROMPT
    assert values["caption"] == f"{PROMPT}, {LoraSettings().trigger}"
    assert values["method"] == "lora"
    assert values["settings"] == FEW.model_dump()
    assert values["base_model"] == {"model_id": tiny.description.model_id, "digest": tiny.digest}
    assert {key: values["adapter"][key] for key in ("method", "file", "run", "epoch")} == {
        "method": "lora",
        "file": "adapter.safetensors",
        "run": "r1",
        "epoch": 2,
    }
    assert len(values["adapter"]["sha256"]) == 64
    assert values["versions"]["torch"] == torch.__version__.split("+")[0]
    assert values["machine"]["device"] == "cpu"


def test_a_png_has_its_metadata(tiny, tmp_path):
    event = last_event(LoadedModel(tiny))
    path = tmp_path / "p.png"
    path.write_bytes(to_png(event.image, event.metadata))
    assert read_metadata(path) == event.metadata
    event.image.save(tmp_path / "bare.png")
    with pytest.raises(StudioError, match="has no generation metadata"):
        read_metadata(tmp_path / "bare.png")


@pytest.mark.parametrize("method", ["lora", "ti"])
def test_an_adapter_has_an_effect_and_leaves_the_base_unchanged(tiny, adapter_files, method):
    base = last_event(LoadedModel(tiny)).image
    with with_adapter(tiny, adapter_files[method]) as loaded:
        stylized = last_event(loaded).image
        assert loaded.method == method
    assert stylized.tobytes() != base.tobytes()
    assert last_event(LoadedModel(tiny)).image.tobytes() == base.tobytes()


@pytest.mark.parametrize("method", ["lora", "ti"])
def test_adapter_scale_changes_the_image(tiny, adapter_files, method):
    with with_adapter(tiny, adapter_files[method]) as loaded:
        images = [last_event(loaded, settings=FEW.changed(adapter_scale=s)).image.tobytes() for s in (1.0, 0.0, 1.0)]
    assert images[0] == images[2] != images[1]


def test_an_adapter_without_effect_is_an_error(tiny, adapter_files, tmp_path):
    """The paper's own images were probably generated with such a file."""
    state = load_file(adapter_files["lora"])
    silent = {name: value * 0 if "lora_B" in name else value for name, value in state.items()}
    path = tmp_path / "silent.safetensors"
    save_file(silent, path)
    with pytest.raises(StudioError, match=r"silent\.safetensors has no effect"), with_adapter(tiny, path):
        pass
    assert not any("lora" in key for key in tiny.host.unet.state_dict())


def test_an_adapter_of_another_base_model_is_refused(tiny, tmp_path):
    adapter = build("lora", LoraSettings(rank=2))
    adapter.attach(tiny.host)
    metadata = {
        "adapter": adapter.settings.model_dump(mode="json"),
        "base_model": {"model_id": "somebody/elses-model", "digest": "0", "shape": [320, 640, 1280, 1280, 768, 768]},
    }
    path = tmp_path / "other.safetensors"
    path.write_bytes(to_bytes(adapter, metadata))
    adapter.detach()
    with pytest.raises(StudioError) as caught, with_adapter(tiny, path):
        pass
    assert str(caught.value) == (
        f"other.safetensors was trained on 'somebody/elses-model', not on {tiny.description.model_id!r}; "
        "choose that base model"
    )


def test_wrong_prompts_are_reported(tiny):
    with pytest.raises(StudioError, match="the prompt is empty"):
        last_event(LoadedModel(tiny), prompt="  ")
    with pytest.raises(StudioError, match="has 402 tokens, at most 77 are allowed; shorten it"):
        last_event(LoadedModel(tiny), prompt="tower " * 400)


def test_prompts_with_emoji_and_other_scripts(tiny):
    assert last_event(LoadedModel(tiny), prompt="🏯 برج القاهرة, a tower").image is not None


def test_closing_a_generation_halfway_detaches_the_adapter(tiny, adapter_files):
    before = last_event(LoadedModel(tiny)).image.tobytes()

    def half():
        with with_adapter(tiny, adapter_files["lora"]) as loaded:
            yield from generate(loaded, PROMPT, FEW)

    events = half()
    next(events)
    events.close()
    assert last_event(LoadedModel(tiny)).image.tobytes() == before


def test_versions_are_the_installed_ones():
    assert environment.versions()["diffusers"] == __import__("diffusers").__version__
