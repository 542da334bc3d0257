"""Describing and loading base models: folder, shards, checkpoint in the original layout, and what is refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapters.settings import StudioError
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.models.base_model import BaseModel, load
from ghibli_studio.models.description import Description, describe
from ghibli_studio.models.location import COMPONENTS
from ghibli_studio.models.text_encoder import encode, token_ids
from ghibli_studio.models.tokenizer import load_tokenizer
from ghibli_studio.runtime import device as runtime_device

ASK_PROCESSOR = runtime_device.cpu_supports_bfloat16  # before the tests' float32 replaces it
FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture
def copy(tiny_folder, tmp_path):
    """A copy of the tiny model to damage."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def refusal(call, *arguments, **named):
    with pytest.raises(StudioError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def edit_json(path, **values):
    """Replace values of a JSON file, or remove those that are `...`."""
    config = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not ...}))


def edit_weights(folder, part, change):
    tensors = load_file(folder / part / FILES[part])
    save_file(change(tensors), folder / part / FILES[part], {"format": "pt"})


@torch.no_grad()
def outputs(base: BaseModel) -> list[torch.Tensor]:
    """Return the outputs of UNet, text encoder and both halves of the autoencoder for a fixed input."""
    source = torch.Generator().manual_seed(1)
    latents = torch.randn((2, *base.description.latent_shape), generator=source).to(base.dtype)
    side = base.description.resolution
    pixels = torch.rand((1, 3, side, side), generator=source).to(base.dtype) * 2 - 1
    states = encode(base.host, token_ids(base.host, ["Big Ben, London", ""], base.description.token_limit))
    return [
        states,
        base.host.unet(latents, torch.tensor([10, 900]), states).sample,
        base.vae.encode(pixels).latent_dist.mean,
        base.vae.decode(latents[:1]).sample,
    ]


def bare(state):
    """Return weights without the prefix that some versions of transformers add to the text encoder."""
    return {name.removeprefix("text_model."): tensor for name, tensor in state.items()}


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# describing


def test_the_description_of_a_model(tiny_folder):
    assert describe("miniature") == Description("miniature", 256, (4, 32, 32), 77, "photo")
    assert describe(str(tiny_folder)) == Description(str(tiny_folder), 64, (4, 8, 8), 77, "")


def test_the_base_style_suffix_goes_to_the_end_of_a_prompt(tiny_folder):
    assert describe("miniature").base_prompt("Petra, Jordan") == "Petra, Jordan, photo"
    assert describe(str(tiny_folder)).base_prompt("Petra, Jordan") == "Petra, Jordan"


def test_resolution_and_token_limit_are_read_from_the_files(copy):
    edit_json(copy / "unet/config.json", sample_size=16)
    edit_json(copy / "vae/config.json", block_out_channels=[16, 16, 32])
    edit_json(copy / "text_encoder/config.json", max_position_embeddings=40)
    (copy / "studio.json").write_text('{"base_style_suffix": "on film"}')
    assert describe(str(copy)) == Description(str(copy), 64, (4, 16, 16), 40, "on film")


@pytest.mark.integration
def test_describing_needs_no_torch(tiny_folder):
    code = (
        "import sys; from ghibli_studio.models.description import describe\n"
        f"describe({str(tiny_folder)!r}); describe('miniature')\n"
        "print([name for name in ('torch', 'diffusers', 'gradio', 'peft') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


FAMILY = "only the Stable Diffusion 1.x and 2.x family is supported"


@pytest.mark.parametrize("part", COMPONENTS)
@pytest.mark.parametrize("found", ["SD3Transformer2DModel", None])
def test_components_of_another_family_are_refused(copy, part, found):
    edit_json(copy / "model_index.json", **{part: [found and "diffusers", found]})
    assert refusal(describe, str(copy)) == (
        f"base_model {str(copy)!r} has {found} as its {part}; {FAMILY} ({COMPONENTS[part]})"
    )
    edit_json(copy / "model_index.json", **{part: ...})
    assert refusal(describe, str(copy)).startswith(f"base_model {str(copy)!r} has None as its {part}; ")


def test_stable_diffusion_xl_is_refused(copy):
    edit_json(
        copy / "model_index.json",
        _class_name="StableDiffusionXLPipeline",
        text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
        tokenizer_2=["transformers", "CLIPTokenizer"],
    )
    assert refusal(load, str(copy)) == (
        f"base_model {str(copy)!r} has a second text encoder (StableDiffusionXLPipeline); {FAMILY}"
    )


def test_a_model_for_inpainting_is_refused(copy):
    edit_json(copy / "unet/config.json", in_channels=9)
    assert refusal(describe, str(copy)) == (
        f"base_model {str(copy)!r} takes 9 channels where latents have 4: it is for inpainting or another task; use a "
        "text-to-image model"
    )


@pytest.mark.parametrize(
    ("part", "name"),
    [("unet", "sample_size"), ("unet", "in_channels"), ("vae", "latent_channels"), ("vae", "block_out_channels")],
)
def test_an_incomplete_configuration_is_refused(copy, part, name):
    edit_json(copy / part / "config.json", **{name: ...})
    assert refusal(describe, str(copy)) == (
        f"base_model {str(copy)!r} has no {name} in its configuration; copy or download it again"
    )


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "studio.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_damaged_configuration_is_refused(copy, file):
    (copy / file).write_text("{")
    assert refusal(load, str(copy)) == (
        f"base_model {str(copy)!r} has no {file}, or it is damaged; copy or download the model again"
    )


# the tokenizer


@pytest.mark.parametrize("damage", ["remove all", "remove words", "{", ""])
def test_a_tokenizer_that_cannot_be_read_is_refused(copy, damage):
    if damage == "remove all":
        shutil.rmtree(copy / "tokenizer")
    elif damage == "remove words":
        (copy / "tokenizer/tokenizer.json").unlink()
    else:
        (copy / "tokenizer/tokenizer.json").write_text(damage)
    assert refusal(describe, str(copy)) == (
        f"base_model {str(copy)!r} has no readable tokenizer; copy or download the model again"
    )


def test_a_tokenizer_in_the_old_layout_gives_the_same_tokens(copy, tiny_folder):
    """Stable Diffusion 1.5 comes with vocab.json and merges.txt."""
    model = json.loads((copy / "tokenizer/tokenizer.json").read_text())["model"]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    (copy / "tokenizer/vocab.json").write_text(json.dumps(model["vocab"]))
    (copy / "tokenizer/merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (copy / "tokenizer/tokenizer.json").unlink()
    text = "Bab-e-Khyber, Jamrud: Pakistan's 2nd gate 🏯"
    assert load_tokenizer(str(copy))(text).input_ids == load_tokenizer(str(tiny_folder))(text).input_ids


# loading


def test_a_folder_is_loaded_and_everything_is_frozen(tiny_folder):
    tiny = load(str(tiny_folder))
    assert tiny.description == describe(str(tiny_folder))
    assert (tiny.device, tiny.dtype, tiny.shape) == (torch.device("cpu"), torch.float32, [32, 64, 32, 32])
    assert tiny.scheduler_config == json.loads((tiny_folder / "scheduler/scheduler_config.json").read_text())
    for module in (tiny.host.unet, tiny.host.text_encoder, tiny.vae):
        assert not module.training
        assert [name for name, parameter in module.named_parameters() if parameter.requires_grad] == []
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


def test_every_weight_is_the_one_in_the_file(tiny, tiny_folder):
    for part, module in (("unet", tiny.host.unet), ("vae", tiny.vae), ("text_encoder", tiny.host.text_encoder)):
        stored, found = bare(load_file(tiny_folder / part / FILES[part])), bare(module.state_dict())
        assert found.keys() == stored.keys()
        assert all(torch.equal(found[name], stored[name]) for name in stored)


def test_loading_twice_gives_the_same_answers_and_digest(tiny, tiny_folder):
    again = load(str(tiny_folder))
    assert same(outputs(again), outputs(tiny))
    assert again.digest == tiny.digest


def test_the_digest_differs_for_other_weights(tiny, copy):
    edit_weights(copy, "unet", lambda tensors: {**tensors, "conv_out.bias": tensors["conv_out.bias"] + 1})
    other = load(str(copy))
    assert other.digest != tiny.digest
    assert not torch.equal(outputs(other)[1], outputs(tiny)[1])


def test_shards_and_half_precision_files_are_read(tiny, copy):
    """The embedded miniature is stored so: shards of float16, computed in float32."""
    from diffusers import UNet2DConditionModel

    shutil.rmtree(copy / "unet")
    UNet2DConditionModel.from_pretrained(tiny.description.model_id, subfolder="unet").half().save_pretrained(
        copy / "unet", max_shard_size="200KB"
    )
    shards = sorted((copy / "unet").glob("*.safetensors"))
    assert len(shards) > 2
    base = load(str(copy))
    assert base.dtype == torch.float32
    stored = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    assert all(torch.equal(tensor, stored[name].float()) for name, tensor in base.host.unet.state_dict().items())
    shards[1].unlink()
    assert refusal(load, str(copy)).startswith(f"base_model {str(copy)!r} cannot be loaded (")


def test_the_miniature_is_loaded():
    base = load()
    assert (base.description.model_id, base.dtype, base.shape) == ("miniature", torch.float32, [96, 192, 256, 256, 256])
    stored = bare(load_file(WEIGHTS / "base/text_encoder/model.safetensors"))
    found = bare(base.host.text_encoder.state_dict())
    assert found.keys() == stored.keys()
    assert all(torch.equal(found[name], stored[name].float()) for name in stored)


def test_files_as_stable_diffusion_15_has_them_give_the_same_outputs(tiny, copy):
    """Old names of the autoencoder's attention, a prefix and a buffer in the text encoder."""
    old = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}

    def rename(name):
        for new, former in old.items():
            name = name.replace(new, former) if "attentions" in name else name
        return name

    def prefixed(tensors):
        named = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in tensors.items()}
        return {**named, "text_model.embeddings.position_ids": torch.arange(77).unsqueeze(0)}

    edit_weights(copy, "vae", lambda tensors: {rename(name): tensor for name, tensor in tensors.items()})
    edit_weights(copy, "text_encoder", prefixed)
    assert same(outputs(load(str(copy))), outputs(tiny))


@pytest.mark.parametrize("part", FILES)
@pytest.mark.parametrize("keep", [0, 100, 0.5, -1])
def test_truncated_weights_are_refused(copy, part, keep):
    file = copy / part / FILES[part]
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    sentence = refusal(load, str(copy))
    assert sentence.startswith(f"base_model {str(copy)!r} cannot be loaded (")
    assert sentence.endswith("); copy or download it again, or use 'miniature'")
    assert str(copy) not in sentence.partition("(")[2], "the reason has only the path within the model folder"


@pytest.mark.parametrize("part", FILES)
def test_missing_weights_are_refused(copy, part):
    (copy / part / FILES[part]).unlink()
    assert refusal(load, str(copy)) == (
        f"base_model {str(copy)!r} cannot be loaded (Error no file named {FILES[part]} found in directory {part}.); "
        "copy or download it again, or use 'miniature'"
    )


@pytest.mark.parametrize("part", FILES)
def test_pickled_weights_are_not_read(copy, part):
    file = copy / part / FILES[part]
    pickled = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save(load_file(file), copy / part / pickled)
    file.unlink()
    assert f"(Error no file named {FILES[part]} found in directory {part}.)" in refusal(load, str(copy))


@pytest.mark.parametrize("part", FILES)
def test_incomplete_weights_are_refused_and_never_filled_with_random_values(copy, part):
    first = min(load_file(copy / part / FILES[part]))
    edit_weights(copy, part, lambda tensors: {name: tensor for name, tensor in tensors.items() if name != first})
    assert refusal(load, str(copy)) == (
        f"base_model {str(copy)!r} cannot be loaded ({part} lacks 1 of its weights, first {first}); "
        "copy or download it again, or use 'miniature'"
    )


@pytest.mark.parametrize("part", FILES)
def test_weights_of_another_shape_are_refused(copy, part):
    first = min(load_file(copy / part / FILES[part]))
    edit_weights(copy, part, lambda tensors: {**tensors, first: torch.zeros(3, 3)})
    assert refusal(load, str(copy)).startswith(f"base_model {str(copy)!r} cannot be loaded (")


# device, precision, attention


def test_a_missing_device_is_refused(tiny_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "mps"):
        assert refusal(load, str(tiny_folder), device=name) == (
            f"device is {name!r}, which this machine does not have; use 'auto' or 'cpu'"
        )
    assert runtime_device.choose_device() == runtime_device.choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_takes_the_fastest_device(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert runtime_device.choose_device() == torch.device(chosen)


@pytest.mark.parametrize(
    ("device", "precision", "bf16", "dtype"),
    [
        ("cpu", "auto", False, torch.float32),
        ("cpu", "auto", True, torch.bfloat16),
        ("mps", "auto", True, torch.float32),
        ("cuda", "auto", True, torch.bfloat16),
        ("cuda", "auto", False, torch.float16),
        ("cuda", "fp16", True, torch.float16),
        ("cuda", "no", True, torch.float32),
        ("cpu", "no", True, torch.float32),
        ("cpu", "bf16", True, torch.bfloat16),
    ],
)
def test_precision_by_device(monkeypatch, device, precision, bf16, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    monkeypatch.setattr(runtime_device, "cpu_supports_bfloat16", lambda: bf16)
    assert runtime_device.choose_dtype(torch.device(device), precision) == dtype


@pytest.mark.parametrize(
    ("capabilities", "known"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_bf16": False}, False), ({}, False)],
)
def test_bfloat16_support_of_the_cpu_is_checked(monkeypatch, capabilities, known):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert ASK_PROCESSOR() == known


def test_half_precision_on_a_cpu_is_refused(tiny_folder):
    assert refusal(load, str(tiny_folder), device="cpu", mixed_precision="fp16") == (
        "mixed_precision is 'fp16', which a CPU cannot train in; use 'auto' or 'no'"
    )


def test_unet_and_vae_compute_in_bfloat16(tiny, tiny_folder):
    base = load(str(tiny_folder), device="cpu", mixed_precision="bf16")
    assert base.host.text_encoder.dtype == torch.float32  # learned words move in steps too small for bfloat16
    exact, rough = outputs(tiny), outputs(base)
    assert {tensor.dtype for tensor in rough} == {torch.bfloat16}
    assert all((a - b.float()).abs().mean() < 0.05 * a.abs().mean() for a, b in zip(exact, rough))


def test_xformers_on_a_cpu_is_refused(tiny_folder):
    assert refusal(load, str(tiny_folder), device="cpu", attention="xformers") == (
        "attention is 'xformers', which needs a CUDA GPU (device: cpu); use 'sdpa'"
    )


# prompts


def test_token_ids_are_padded_to_the_limit(tiny):
    ids = token_ids(tiny.host, ["tower", "", "tower " * 75], 77)
    start, end = tiny.host.tokenizer.bos_token_id, tiny.host.tokenizer.eos_token_id
    tower = ids[0, 1].item()
    assert ids.tolist() == [[start, tower, *[end] * 75], [start, *[end] * 76], [start, *[tower] * 75, end]]


def test_a_prompt_over_the_token_limit_is_refused_and_never_truncated(tiny):
    assert refusal(token_ids, tiny.host, ["tower", "tower " * 76], 77) == (
        f"the prompt {('tower ' * 76)[:60]!r}... has 78 tokens, at most 77 are allowed; shorten it"
    )


def test_prompts_are_encoded_independently(tiny):
    captions = ["Big Ben, London", "Petra", ""]
    together = encode(tiny.host, token_ids(tiny.host, captions, 77))
    assert together.shape == (3, 77, 32)
    for caption, states in zip(captions, together):
        assert torch.allclose(encode(tiny.host, token_ids(tiny.host, [caption], 77))[0], states, atol=1e-6)


# one checkpoint in the layout of the original latent diffusion code


def ldm_unet(name):
    """the original name of a UNet weight for its diffusers name, for two blocks of one layer, the first with attention.

    Numbers of the original: input 0 is conv_in, then layer and downsampling of each block in turn; each output entry is
    a layer, its attention and its upsampling. The mapping is that of CompVis' `openaimodel.py`.
    """
    names = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "down_blocks.0.resnets.0": "input_blocks.1.0",
        "down_blocks.0.attentions.0": "input_blocks.1.1",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
        "down_blocks.1.resnets.0": "input_blocks.3.0",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
        "up_blocks.0.resnets.0": "output_blocks.0.0",
        "up_blocks.0.resnets.1": "output_blocks.1.0",
        "up_blocks.0.upsamplers.0.conv": "output_blocks.1.1.conv",
        "up_blocks.1.resnets.0": "output_blocks.2.0",
        "up_blocks.1.attentions.0": "output_blocks.2.1",
        "up_blocks.1.resnets.1": "output_blocks.3.0",
        "up_blocks.1.attentions.1": "output_blocks.3.1",
    }
    inside = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "time_emb_proj": "emb_layers.1",
        "conv_shortcut": "skip_connection",
    }
    head = max((known for known in names if name.startswith(known + ".")), key=len)
    rest = name.removeprefix(head)
    if ".resnets." in head:
        _, part, kind = rest.split(".")
        rest = f".{inside[part]}.{kind}"
    return f"model.diffusion_model.{names[head]}{rest}"


def ldm_vae(name, blocks):
    """diffusers' name of an autoencoder weight -> the original's (CompVis' `model.py`); its ups count backwards."""
    side, _, rest = name.partition(".")
    rest = rest.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    rest = rest.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
    if rest.startswith("mid_block.attentions.0"):
        rest = rest.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
        for new, original in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
            rest = rest.replace(new, original)
    for number in range(blocks):
        rest = rest.replace(f"down_blocks.{number}.resnets", f"down.{number}.block")
        rest = rest.replace(f"down_blocks.{number}.downsamplers.0", f"down.{number}.downsample")
        rest = rest.replace(f"up_blocks.{number}.resnets", f"up.{blocks - 1 - number}.block")
        rest = rest.replace(f"up_blocks.{number}.upsamplers.0", f"up.{blocks - 1 - number}.upsample")
    return f"first_stage_model.{side}.{rest}"


def ldm_state(base):
    """All weights of a model by the original's names; the autoencoder's attention is a 1 x 1 convolution there."""
    state = {ldm_unet(name): tensor for name, tensor in base.host.unet.state_dict().items()}
    for name, tensor in base.vae.state_dict().items():
        is_attention = "attentions" in name and "group_norm" not in name and tensor.dim() == 2
        state[ldm_vae(name, 4)] = tensor[..., None, None].contiguous() if is_attention else tensor
    for name, tensor in base.host.text_encoder.state_dict().items():
        state[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = tensor
    return state


@pytest.fixture
def checkpoint(tiny, copy):
    """A checkpoint beside a folder of the same name with only the configuration."""
    for weights in copy.rglob("*.safetensors"):
        weights.unlink()
    path = copy.with_suffix(".safetensors")
    state = ldm_state(tiny)
    assert len(state) == sum(len(m.state_dict()) for m in (tiny.host.unet, tiny.vae, tiny.host.text_encoder))
    save_file(state, path)
    return path


def test_a_checkpoint_gives_the_same_outputs_as_the_folder(tiny, checkpoint):
    base = load(str(checkpoint))
    assert same(outputs(base), outputs(tiny))
    assert base.description == replace(tiny.description, model_id=str(checkpoint))
    assert base.digest != tiny.digest
    for module in (base.host.unet, base.host.text_encoder, base.vae):
        assert not module.training
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_a_checkpoint_beside_other_files_of_its_model_folder(tiny, checkpoint):
    """The checkpoint is inside the folder with the configuration."""
    moved = checkpoint.with_suffix("") / "v1.safetensors"
    checkpoint.rename(moved)
    assert same(outputs(load(str(moved))), outputs(tiny))


@pytest.mark.parametrize(
    ("part", "prefix"),
    [("unet", "model.diffusion_model."), ("vae", "first_stage_model."), ("text_encoder", "cond_stage_model.")],
)
def test_a_checkpoint_without_a_part_is_refused(checkpoint, part, prefix):
    save_file({k: v for k, v in load_file(checkpoint).items() if not k.startswith(prefix)}, checkpoint)
    assert refusal(load, str(checkpoint)) == (
        f"base_model {str(checkpoint)!r} cannot be loaded (it has no {part}, so it is not a complete Stable "
        "Diffusion checkpoint); copy or download it again, or use 'miniature'"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("model.diffusion_model.out.2.bias", "some of its weights are missing"),
        ("first_stage_model.decoder.conv_out.bias", "some of its weights are missing"),
        (
            "cond_stage_model.transformer.text_model.final_layer_norm.bias",
            "text_encoder lacks 1 of its weights, first final_layer_norm.bias",
        ),
    ],
)
def test_an_incomplete_checkpoint_is_refused(checkpoint, name, reason):
    save_file({k: v for k, v in load_file(checkpoint).items() if k != name}, checkpoint)
    assert refusal(load, str(checkpoint)) == (
        f"base_model {str(checkpoint)!r} cannot be loaded ({reason}); copy or download it again, or use 'miniature'"
    )


@pytest.mark.parametrize("data", [b"", b"garbage" * 100])
def test_a_checkpoint_that_is_not_a_safetensors_file_is_refused(checkpoint, data):
    checkpoint.write_bytes(data)
    assert refusal(load, str(checkpoint)).startswith(f"base_model {str(checkpoint)!r} cannot be loaded (Error while ")


def test_an_adapter_is_not_a_base_model(checkpoint):
    save_file({"unet.down_blocks.0.lora_A.weight": torch.zeros(4, 4)}, checkpoint)
    assert "(it has no unet, so it is not a complete Stable Diffusion checkpoint)" in refusal(load, str(checkpoint))
