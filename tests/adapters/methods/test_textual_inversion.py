"""Textual Inversion: its token, its negative token, and how diffusers loads them."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters.methods.textual_inversion import TextualInversionSettings
from adapters.registry import attach_file, build, method, open_file
from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation.metadata import read_metadata, to_png
from ghibli_studio.generation.model_cache import LoadedModel
from ghibli_studio.generation.pipeline import generate
from ghibli_studio.models import base_model
from tests.support.adapter_files import without_our_metadata
from tests.support.adapter_training import (
    diffusers_pipeline,
    encode_captions,
    pipeline_prediction,
    predict,
    save_trained,
    train_briefly,
)

NEGATIVE = TextualInversionSettings(num_vectors=3, negative_vectors=2)


FEW = GenerationSettings(num_inference_steps=2, seed=7)


def test_the_negative_token_begins_as_the_empty_prompt(tiny):
    adapter = build("ti", NEGATIVE)
    host = adapter.attach(tiny.host, seed=0)
    assert adapter.unconditional() == "<ghiblivis-negative> <ghiblivis-negative>_1"
    assert adapter.unconditional("blurred") == "<ghiblivis-negative> <ghiblivis-negative>_1, blurred"
    empty = encode_captions(tiny, tiny.host, [""])
    assert torch.equal(encode_captions(tiny, host, [adapter.unconditional()]), empty)
    train_briefly(tiny, host, adapter)
    assert not torch.allclose(encode_captions(tiny, host, [adapter.unconditional()]), empty, atol=1e-3)
    adapter.set_scale(0)
    assert torch.equal(encode_captions(tiny, host, [adapter.unconditional()]), empty)
    adapter.detach()


def test_without_a_negative_token_the_negative_prompt_is_unchanged(tiny):
    for name in ("lora", "ti"):
        adapter = build(name, method(name).SETTINGS())
        assert adapter.unconditional() == ""
        assert adapter.unconditional(" as it is ") == " as it is "


def test_each_token_learns_from_its_own_captions_alone(tiny):
    adapter = build("ti", NEGATIVE)
    host = adapter.attach(tiny.host)
    count = NEGATIVE.num_vectors
    for caption, own, other in (
        (adapter.format_prompt("Petra"), slice(count), slice(count, None)),
        (adapter.unconditional(), slice(count, None), slice(count)),
    ):
        (vectors,) = adapter.parameters()
        vectors.grad = None
        states = encode_captions(tiny, host, [caption])
        states.pow(2).mean().backward()
        assert vectors.grad[own].abs().sum(1).min() > 0
        assert not vectors.grad[other].any()
    adapter.detach()


def test_diffusers_loads_both_tokens_and_predicts_our_unconditional(tiny, tiny_folder, tmp_path):
    path = tmp_path / "adapter.safetensors"
    save_trained(tiny, "ti", NEGATIVE, path)
    adapter, host = attach_file(without_our_metadata(path, tmp_path / "theirs.safetensors"), tiny.host)
    assert (adapter.settings.num_vectors, adapter.settings.negative_vectors) == (3, 2)
    expected = predict(tiny, host, adapter.unconditional())
    adapter.detach()
    pipeline = diffusers_pipeline(tiny_folder)
    for token, vectors in load_file(path).items():
        pipeline.load_textual_inversion({token: vectors})
    found = pipeline_prediction(pipeline, tiny, "<ghiblivis-negative>")
    assert torch.allclose(found, expected, atol=1e-6)


def test_generation_steers_away_from_the_learned_negative_token(tiny, tmp_path):
    adapter = build("ti", NEGATIVE)
    host = adapter.attach(tiny.host)
    loaded = LoadedModel(base_model.BaseModel(**{**vars(tiny), "host": host}), "ti", adapter, {})
    untrained = list(generate(loaded, "Petra", FEW))[-1]
    with torch.no_grad():
        (vectors,) = adapter.parameters()
        # not the same number everywhere, which the first layer norm would remove
        vectors[NEGATIVE.num_vectors :] += torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    steered = list(generate(loaded, "Petra", FEW.changed(negative_prompt="fog")))[-1]
    alone = list(generate(loaded, "Petra", FEW))[-1]
    adapter.detach()
    assert len({event.image.tobytes() for event in (untrained, steered, alone)}) == 3
    path = tmp_path / "generated.png"
    path.write_bytes(to_png(steered.image, steered.metadata))
    assert read_metadata(path)["negative_caption"] == "<ghiblivis-negative> <ghiblivis-negative>_1, fog"


def test_two_unrelated_tokens_are_refused(tmp_path):
    path = tmp_path / "learned_embeds.safetensors"
    save_file({"<monet>": torch.zeros(2, 32), "<renoir>": torch.zeros(2, 32)}, path)
    with pytest.raises(StudioError, match="in an unknown layout"):
        open_file(path)
    save_file({"monet": torch.zeros(2, 32), "monet-negative": torch.zeros(1, 32)}, path)
    found = open_file(path)
    assert (found.settings.placeholder_token, found.settings.negative_vectors) == ("monet", 1)


def test_an_existing_token_cannot_be_the_placeholder(tiny):
    existing = next(iter(tiny.host.tokenizer.get_vocab()))
    with pytest.raises(StudioError, match="is already a token of the model"):
        build("ti", TextualInversionSettings(placeholder_token=existing)).attach(tiny.host)
    with pytest.raises(StudioError, match="must be one word"):
        TextualInversionSettings.checked({"placeholder_token": "two words"})
