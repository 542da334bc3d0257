"""LoRA with convolutions, text encoder and DoRA, and that other programs agree with us about it."""

import json

import pytest
import torch
from safetensors.torch import save_file

from adapters.formats.diffusers_lora import HEADER
from adapters.methods.lora import LoraSettings
from adapters.registry import attach_file, build, open_file
from adapters.settings import StudioError
from ghibli_studio.models import base_model
from tests.support.adapter_files import without_our_metadata
from tests.support.adapter_training import (
    CAPTIONS,
    VARIANTS,
    diffusers_pipeline,
    encode_captions,
    pipeline_prediction,
    predict,
    save_trained,
    train_briefly,
)

LORA_VARIANTS = sorted(name for name in VARIANTS if name.startswith("lora"))


def variant_settings(name):
    return LoraSettings(rank=2, lora_alpha=6, lora_dropout=0.5, **VARIANTS[name])


@pytest.mark.parametrize("name", LORA_VARIANTS)
def test_plain_diffusers_loads_every_lora_with_its_scale(tiny, tiny_folder, tmp_path, name):
    settings = variant_settings(name)
    expected = save_trained(tiny, "lora", settings, tmp_path / "adapter.safetensors")
    pipeline = diffusers_pipeline(tiny_folder)
    pipeline.load_lora_weights(tmp_path, weight_name="adapter.safetensors", local_files_only=True)
    pipeline.unet.eval()
    pipeline.text_encoder.eval()
    found = pipeline_prediction(pipeline, tiny, f"{CAPTIONS[0]}, {settings.trigger}")
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, pipeline_prediction(diffusers_pipeline(tiny_folder), tiny, CAPTIONS[0]), atol=1e-3)


@pytest.mark.parametrize("name", LORA_VARIANTS)
def test_a_lora_is_read_without_our_metadata(tiny, tmp_path, name):
    settings = variant_settings(name)
    expected = save_trained(tiny, "lora", settings, tmp_path / "ours.safetensors")
    theirs = without_our_metadata(tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors")
    adapter, host = attach_file(theirs, tiny.host)
    settings_read = adapter.settings
    for field in ("rank", "lora_alpha", "conv_rank", "text_encoder_rank", "use_dora"):
        assert getattr(settings_read, field) == getattr(settings, field)
    adapter.settings = settings  # for the trigger, which a file of another program lacks
    assert torch.equal(predict(tiny, host, adapter.format_prompt(CAPTIONS[0])), expected)
    adapter.detach()


def test_a_dora_of_both_parts_that_diffusers_wrote_is_read(tiny, tiny_folder, tmp_path):
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig, inject_adapter_in_model
    from peft.utils import get_peft_model_state_dict

    pipeline, parts = diffusers_pipeline(tiny_folder), {}
    torch.manual_seed(0)
    for part, rank, modules in (("unet", 2, ["to_q", "conv1"]), ("text_encoder", 4, ["q_proj", "fc1"])):
        model = getattr(pipeline, part)
        # random, so that it changes something; peft's own start would be the base model's prediction
        config = LoraConfig(r=rank, lora_alpha=3 * rank, init_lora_weights=False, target_modules=modules, use_dora=True)
        inject_adapter_in_model(config, model, adapter_name="default")
        model.eval()
        parts[f"{part}_lora_layers"] = get_peft_model_state_dict(model)
        parts[f"{part}_lora_adapter_metadata"] = model.peft_config["default"].to_dict()
    expected = pipeline_prediction(pipeline, tiny, CAPTIONS[0])
    StableDiffusionPipeline.save_lora_weights(tmp_path, **parts)
    adapter, host = attach_file(tmp_path / "pytorch_lora_weights.safetensors", tiny.host)
    assert (adapter.settings.rank, adapter.settings.lora_alpha, adapter.settings.text_encoder_rank) == (2, 6, 4)
    assert adapter.settings.use_dora
    assert torch.allclose(predict(tiny, host, CAPTIONS[0]), expected, atol=1e-5)
    adapter.detach()


def zero_lora_file(tmp_path, header=None, **shapes):
    """Write a LoRA file of zeros with these matrices: name -> (rank, 4-d or not)."""
    state = {}
    for name, (rank, convolution) in shapes.items():
        more = (1, 1) if convolution else ()
        state[f"{name}.lora_A.weight"] = torch.zeros(rank, 3, *more)
        state[f"{name}.lora_B.weight"] = torch.zeros(3, rank, *more)
    path = tmp_path / "adapter.safetensors"
    save_file(state, path, {HEADER: json.dumps(header)} if header else None)
    return path


def test_a_lora_with_one_rank_for_convolutions_is_read_without_any_header(tmp_path):
    found = open_file(
        zero_lora_file(tmp_path, **{"unet.a.to_q": (2, False), "unet.a.proj_in": (2, True), "unet.a.conv1": (5, True)})
    ).settings
    assert (found.rank, found.lora_alpha, found.target_modules) == (2, 2, ("a.proj_in", "a.to_q"))
    assert (found.conv_rank, found.conv_modules, found.text_encoder_rank) == (5, ("a.conv1",), 0)


def test_alpha_is_read_by_the_rules_of_the_header(tmp_path):
    layers = {"unet.a.to_q": (4, False), "unet.a.conv1": (2, True)}
    header = {"unet.lora_alpha": 8, "unet.alpha_pattern": {"conv1": 4}}
    assert open_file(zero_lora_file(tmp_path, header, **layers)).settings.lora_alpha == 8
    header = {"unet.lora_alpha": 8, "unet.use_rslora": True}  # 8 / sqrt(4) is 4 times the matrices
    assert open_file(zero_lora_file(tmp_path, header, **{"unet.a.to_q": (4, False)})).settings.lora_alpha == 16


@pytest.mark.parametrize(
    ("layers", "header", "read"),
    [
        ({"unet.a.to_q": (2, False), "unet.a.to_k": (4, False)}, None, (4, 4, 0, 0)),
        ({"unet.a.to_q": (2, False), "unet.a.c": (3, True), "unet.a.d": (4, True)}, None, (4, 4, 0, 0)),
        (
            {"unet.a.to_q": (2, False), "text_encoder.b.q_proj": (2, False), "text_encoder.b.v_proj": (3, False)},
            None,
            (2, 2, 0, 3),
        ),
        ({"unet.a.to_q": (2, False), "unet.a.conv1": (4, True)}, {"unet.lora_alpha": 2}, (2, 2, 4, 0)),
    ],
    ids=["matrices", "convolutions", "text encoder", "scales"],
)
def test_a_mixed_file_is_read_with_the_largest_rank_and_one_scale(tmp_path, layers, header, read):
    found = open_file(zero_lora_file(tmp_path, header, **layers)).settings
    assert (found.rank, found.lora_alpha, found.conv_rank, found.text_encoder_rank) == read


def test_a_file_for_the_text_encoder_alone_is_refused(tmp_path):
    with pytest.raises(StudioError, match="updates only the text encoder"):
        open_file(zero_lora_file(tmp_path, **{"text_encoder.b.q_proj": (2, False)}))


def test_the_defaults_are_the_attention_lora_of_peft(tiny):
    """Old runs stay reproducible: the tensors equal those of peft's own attention LoRA with the same seed."""
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    adapter = build("lora", LoraSettings())
    adapter.attach(tiny.host, seed=3)
    ours = adapter.state()
    adapter.detach()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tiny.host.unet.add_adapter(
            LoraConfig(
                r=8, lora_alpha=8, init_lora_weights="gaussian", target_modules=["to_q", "to_k", "to_v", "to_out.0"]
            )
        )
    theirs = {f"unet.{name}": value for name, value in get_peft_model_state_dict(tiny.host.unet).items()}
    tiny.host.unet.unload_lora()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not adapter.changes_text


def test_each_switch_adds_its_layers_and_nothing_else(tiny):
    def names(**changes):
        adapter = build("lora", LoraSettings(rank=2, lora_alpha=2, **changes))
        adapter.attach(tiny.host)
        state = adapter.state()
        adapter.detach()
        return state

    plain = set(names())
    convolutions = names(conv_rank=3)
    added = {name for name in convolutions if name not in plain}
    assert added
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in added} == {"conv1", "conv2", "conv"}
    assert all(convolutions[name].shape[0] == 3 for name in added if "lora_A" in name)
    added = {name for name in names(text_encoder_rank=3) if name not in plain}
    assert added
    assert all(name.startswith("text_encoder.text_model.encoder.layers.") for name in added)
    added = {name for name in names(use_dora=True) if name not in plain}
    assert len(added) == len(plain) // 2
    assert all(name.endswith(".lora_magnitude_vector") for name in added)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"conv_rank": 2, "conv_modules": ("conv1", "convolution")},
            r"\['conv1', 'convolution'\] do not fit this UNet "
            r"\(it has no convolution\); the default is conv1, conv2",
        ),
        ({"text_encoder_rank": 2, "text_encoder_modules": ("to_q",)}, r"this text encoder \(it has no to_q\)"),
        ({"target_modules": ("to_q", "o_q")}, r"do not fit this UNet \(it has no o_q\)"),
    ],
)
def test_a_missing_layer_is_named_and_the_host_stays_unchanged(tiny, changes, message):
    before = predict(tiny, tiny.host, CAPTIONS[0])
    with pytest.raises(StudioError, match=message):
        build("lora", LoraSettings(**changes)).attach(tiny.host)
    assert torch.equal(predict(tiny, tiny.host, CAPTIONS[0]), before)
    assert not any("lora" in name for part in (tiny.host.unet, tiny.host.text_encoder) for name in part.state_dict())


def test_a_rank_without_layers_is_refused():
    with pytest.raises(StudioError, match="conv_rank is 2 and conv_modules is empty"):
        LoraSettings.checked({"conv_rank": 2, "conv_modules": ()})


def test_at_another_scale_the_state_is_still_the_trained_one(tiny):
    adapter = build("lora", variant_settings("lora-everything"))
    host = adapter.attach(tiny.host)
    train_briefly(tiny, host, adapter)
    state = adapter.state()
    adapter.set_scale(0.5)
    adapter.set_scale(-1.0)
    assert all(torch.equal(value, state[name]) for name, value in adapter.state().items())
    prediction = predict(tiny, host, CAPTIONS[0])
    adapter.load_state(state)
    assert torch.equal(predict(tiny, host, CAPTIONS[0]), prediction)
    adapter.detach()


def test_every_variant_runs_on_a_half_precision_base_model(tiny_folder):
    base = base_model.load(str(tiny_folder), mixed_precision="bf16")
    adapter = build("lora", variant_settings("lora-everything"))
    host = adapter.attach(base.host)
    assert all(parameter.dtype == torch.float32 for parameter in adapter.parameters())
    latents = torch.randn((1, *base.description.latent_shape)).to(base.dtype)
    with torch.autocast("cpu", torch.bfloat16):
        out = host.unet(latents, torch.tensor(500), encode_captions(base, host, CAPTIONS[:1]), return_dict=False)[0]
    out.float().pow(2).mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in adapter.parameters() if p.grad is not None)
    assert sum(p.grad is not None for p in adapter.parameters()) == len(adapter.parameters())
    adapter.detach()


def test_missing_target_modules_are_named(tiny):
    with pytest.raises(StudioError, match=r"target_modules \['to_nowhere'\] do not fit this UNet"):
        build("lora", LoraSettings(target_modules=("to_nowhere",))).attach(tiny.host)


def test_an_adapter_can_be_built_without_a_file():
    assert build("lora", LoraSettings()).metadata()["lora_adapter_metadata"]
