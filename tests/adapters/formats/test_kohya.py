"""The layout of kohya's sd-scripts: written for other programs, read back bit for bit, and predicted with as by us.

The reader in here is written from the public description of the layout and shares nothing with `adapters`.
"""

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from safetensors.torch import load_file, save_file

from adapters import registry
from adapters.base import Host
from adapters.formats import compatibility, reader
from adapters.formats.kohya import kohya_key, layer_path
from adapters.methods.textual_inversion import TextualInversionSettings
from adapters.registry import attach_file
from adapters.registry import load_file as load_adapter
from adapters.settings import StudioError
from benchmarks import sd15
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation.model_cache import with_adapter
from ghibli_studio.generation.pipeline import generate
from tests.support.adapter_files import ATTENTION, LORA_VARIANTS, export_trained, kohya_file, lora_settings
from tests.support.adapter_training import CAPTIONS, diffusers_pipeline, pipeline_prediction, predict


def apply_kohya_file(path, unet, text_encoder):
    """Do as sd-scripts and its readers: module names with underscores, up @ down * alpha / rank added to weights.

    DoRA on the output side: the sum is scaled to the magnitude `dora_scale`, row by row.
    """
    tensors, used = load_file(path), set()
    for prefix, root in (("lora_unet", unet), ("lora_te", text_encoder)):
        for name, module in root.named_modules():
            inside = name if prefix == "lora_unet" or name.startswith("text_model.") else f"text_model.{name}"
            key = f"{prefix}_{inside.replace('.', '_')}"
            if f"{key}.lora_down.weight" not in tensors:
                continue
            down, up = tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"]
            rank, alpha = down.shape[0], tensors[f"{key}.alpha"]
            assert alpha.shape == ()
            update = (up.flatten(1) @ down.flatten(1)).reshape(module.weight.shape) * (alpha / rank)
            weight = module.weight.data + update
            if f"{key}.dora_scale" in tensors:
                scale = tensors[f"{key}.dora_scale"]
                assert scale.shape == (weight.shape[0], *[1] * (weight.dim() - 1))
                norms = weight.flatten(1).norm(dim=1).reshape(scale.shape)
                weight = weight * scale / norms
            module.weight.data = weight
            used |= {found for found in tensors if found.startswith(f"{key}.")}
    assert used == set(tensors)


@pytest.mark.parametrize("name", LORA_VARIANTS)
def test_a_reader_of_the_kohya_layout_predicts_what_we_predict(tiny, tiny_folder, tmp_path, name):
    expected, folder, _ = export_trained(tiny, tmp_path, "lora", lora_settings(name))
    pipeline = diffusers_pipeline(tiny_folder)
    apply_kohya_file(folder / "my-style.safetensors", pipeline.unet, pipeline.text_encoder)
    found = pipeline_prediction(pipeline, tiny, f"{CAPTIONS[0]}, my words")
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", LORA_VARIANTS)
def test_plain_diffusers_predicts_from_the_exported_file_what_we_predict(tiny, tiny_folder, tmp_path, name):
    expected, folder, _ = export_trained(tiny, tmp_path, "lora", lora_settings(name))
    files = ["pytorch_lora_weights.safetensors"]
    if name == "lora":
        files.append("my-style.safetensors")  # diffusers reads kohya's layout too
    for file in files:
        pipeline = diffusers_pipeline(tiny_folder)
        pipeline.load_lora_weights(folder, weight_name=file, local_files_only=True)
        pipeline.unet.eval()
        pipeline.text_encoder.eval()
        assert torch.allclose(pipeline_prediction(pipeline, tiny, f"{CAPTIONS[0]}, my words"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "file"),
    [
        ("lora", "pytorch_lora_weights.safetensors"),
        ("lora", "my-style.safetensors"),
        ("ti", "learned_embeds.safetensors"),
        ("ti", "my-word.safetensors"),
    ],
)
def test_plain_diffusers_generates_our_image(tiny, tiny_folder, tmp_path, method, file):
    settings = (
        lora_settings("lora-conv")
        if method == "lora"
        else TextualInversionSettings(num_vectors=2, placeholder_token="<my-word>")
    )
    _, folder, ours = export_trained(tiny, tmp_path, method, settings)
    chosen = GenerationSettings(num_inference_steps=3, guidance_scale=4, seed=9)
    with with_adapter(tiny, ours) as loaded:
        *_, last = generate(loaded, CAPTIONS[0], chosen)
    pipeline = diffusers_pipeline(tiny_folder)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    if method == "lora":
        pipeline.load_lora_weights(folder, weight_name=file, local_files_only=True)
        pipeline.unet.eval()
    else:
        token = None if file == "learned_embeds.safetensors" else "<my-word>"
        pipeline.load_textual_inversion(folder, weight_name=file, token=token, local_files_only=True)
    noise = torch.randn((1, *tiny.description.latent_shape), generator=torch.Generator().manual_seed(9))
    trigger = "my words" if method == "lora" else "<my-word>"
    theirs = pipeline(f"{CAPTIONS[0]}, {trigger}", num_inference_steps=3, guidance_scale=4, latents=noise).images[0]
    assert np.abs(np.asarray(theirs, int) - np.asarray(last.image, int)).max() <= 1


@pytest.mark.parametrize("name", LORA_VARIANTS)
def test_diffusers_to_kohya_and_back_is_bit_identical(tiny, tmp_path, name):
    _, folder, ours = export_trained(tiny, tmp_path, "lora", lora_settings(name))
    before, after = load_adapter(ours), load_adapter(folder / "my-style.safetensors")
    assert after[0].settings == before[0].settings
    assert after[1].keys() == before[1].keys()
    assert all(torch.equal(after[1][key], before[1][key]) for key in before[1])
    bare = tmp_path / "bare.safetensors"  # and without our recipe in the header
    save_file(load_file(folder / "my-style.safetensors"), bare, {"modelspec.trigger_phrase": "my words"})
    foreign = load_adapter(bare)
    assert foreign[0].settings.lora_alpha / foreign[0].settings.rank == 1.5
    assert foreign[0].settings.trigger == "my words"
    assert all(torch.equal(foreign[1][key], before[1][key]) for key in before[1])


def test_the_keys_of_the_kohya_layout(tiny, tmp_path):
    _, folder, _ = export_trained(tiny, tmp_path, "lora", lora_settings("lora-everything"))
    tensors = load_file(folder / "my-style.safetensors")
    attention = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1"
    for layer in ("to_q", "to_k", "to_v", "to_out_0"):
        assert tensors[f"{attention}_{layer}.lora_down.weight"].shape == (2, 32)
        assert tensors[f"{attention}_{layer}.lora_up.weight"].shape == (32, 2)
        assert tensors[f"{attention}_{layer}.alpha"].item() == 3
        assert tensors[f"{attention}_{layer}.dora_scale"].shape == (32, 1)
    convolution = "lora_unet_down_blocks_0_resnets_0_conv1"
    assert tensors[f"{convolution}.lora_down.weight"].shape == (1, 32, 3, 3)
    assert tensors[f"{convolution}.lora_up.weight"].shape == (32, 1, 1, 1)
    assert tensors[f"{convolution}.alpha"].item() == 1.5
    text = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    assert tensors[f"{text}.lora_down.weight"].shape == (3, 32)
    assert tensors[f"{text}.alpha"].item() == 4.5
    assert not any("lora_te1_" in key for key in tensors)


def test_layer_names_round_trip(tiny):
    for module, prefix in ((tiny.host.unet, "unet."), (tiny.host.text_encoder, "text_encoder.text_model.")):
        names = [
            name.removeprefix("text_model.")
            for name, layer in module.named_modules()
            if hasattr(layer, "weight") and layer.weight.dim() > 1 and "embeddings" not in name
        ]
        assert len(names) > 10
        for name in names:
            assert layer_path(kohya_key(prefix + name)) == prefix + name
    with pytest.raises(StudioError, match="has no name in kohya's layout"):
        kohya_key("unet.my_block.to_q")


def test_a_kohya_file_may_have_any_rank_and_alpha_per_layer(tiny, tiny_folder, tmp_path):
    layers = {
        f"{ATTENTION}attn1_to_q": (2, 32, 32),
        f"{ATTENTION}attn1_to_out_0": (5, 32, 32),
        f"{ATTENTION}attn2_to_k": (3, 32, 32),
        "lora_te_text_model_encoder_layers_1_mlp_fc1": (4, 32, 64),
        "lora_te_text_model_encoder_layers_0_self_attn_v_proj": (1, 32, 32),
    }
    alphas = {
        f"{ATTENTION}attn1_to_q": 1,
        f"{ATTENTION}attn1_to_out_0": 0.1,
        "lora_te_text_model_encoder_layers_1_mlp_fc1": 8,
    }  # two are missing, so their scale is 1
    path = kohya_file(tmp_path / "theirs.safetensors", layers, alphas)
    adapter, host = attach_file(path, tiny.host)
    assert (adapter.settings.rank, adapter.settings.text_encoder_rank, adapter.settings.trigger) == (5, 4, "")
    found = predict(tiny, host, CAPTIONS[0])
    adapter.detach()
    pipeline, tensors = diffusers_pipeline(tiny_folder), load_file(path)
    for key in layers:
        rank = torch.tensor(float(tensors[f"{key}.lora_down.weight"].shape[0]))
        tensors.setdefault(f"{key}.alpha", rank)
    save_file(tensors, tmp_path / "complete.safetensors")
    apply_kohya_file(tmp_path / "complete.safetensors", pipeline.unet, pipeline.text_encoder)
    assert torch.allclose(found, pipeline_prediction(pipeline, tiny, CAPTIONS[0]), atol=1e-4)
    assert not torch.allclose(found, predict(tiny, tiny.host, CAPTIONS[0]), atol=1e-2)


def test_a_stable_diffusion_15_file_has_the_264_kohya_modules_and_fits_only_there(tiny, tmp_path):
    """sd-scripts trains 192 layers of the UNet's transformers and 72 of the text encoder by default."""
    with torch.device("meta"):
        host = Host(sd15.build("unet"), sd15.build("text_encoder"), None)
    layers = {}
    for name, module in host.unet.named_modules():
        if "attentions" in name and type(module).__name__ in ("Linear", "Conv2d", "LoRACompatibleLinear"):
            layers[f"lora_unet_{name.replace('.', '_')}"] = module.weight.shape
    for name, module in host.text_encoder.named_modules():
        if type(module).__name__ == "Linear":
            inside = name if name.startswith("text_model.") else f"text_model.{name}"
            layers[f"lora_te_{inside.replace('.', '_')}"] = module.weight.shape
    assert sum(key.startswith("lora_unet_") for key in layers) == 192
    assert len(layers) == 264
    state = {}
    for key, (out, width, *kernel) in layers.items():
        state[f"{key}.lora_down.weight"] = torch.ones(1, width, *kernel)
        state[f"{key}.lora_up.weight"] = torch.ones(out, 1, *kernel)
        state[f"{key}.alpha"] = torch.tensor(0.5)
    save_file(state, path := tmp_path / "published.safetensors")
    content = reader.read(path)
    settings = registry.open_file(path).settings
    assert (settings.rank, settings.lora_alpha, settings.text_encoder_rank) == (1, 0.5, 1)
    assert len(settings.target_modules) == 192
    compatibility.check_fit(path.name, content.shapes, host)
    with pytest.raises(StudioError, match=r"made for Stable Diffusion 1\.x \(its text is 768 wide"):
        compatibility.check_fit(path.name, content.shapes, tiny.host)
