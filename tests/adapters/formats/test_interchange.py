"""Files for other programs: keys and headers one by one, read back to the bit, drawn by plain diffusers as by us.

The readers in here are written from the public descriptions of the layouts and share nothing with `adapters`.
"""

import hashlib
import json
import struct

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from safetensors.torch import load_file, save, save_file

from adapters import merge, registry
from adapters.base import Host
from adapters.formats import compatibility, embedding, reader
from adapters.formats.kohya import key_of, layer_of
from adapters.formats.metadata import Facts
from adapters.methods.lora import LoraSettings
from adapters.methods.textual_inversion import TextualInversionSettings
from adapters.registry import attach_file, build
from adapters.registry import load_file as load_adapter
from adapters.settings import StudioError
from benchmarks import sd15
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation.model_cache import with_adapter
from ghibli_studio.generation.pipeline import draw
from tests.adapters.formats.test_safetensors_file import pipeline_of, pipeline_prediction, trained
from tests.adapters.test_base import PLAIN, VARIANTS, predict

LORAS = ["lora", *sorted(name for name in VARIANTS if name.startswith("lora"))]
FACTS = Facts(
    "my-style",
    resolution=64,
    date="2026-01-02T03:04:05",
    steps=30,
    pictures=8,
    license="other",
    tags={"Big Ben": 3, "sunset": 2},
)
RECIPE = {"training": {"seed": 5, "train_batch_size": 4}, "epoch": 3, "base_model": {"spec": "tiny"}}


def lora_settings(name):
    return LoraSettings(rank=2, lora_alpha=3, lora_dropout=0.5, trigger="my words", **VARIANTS.get(name, {}))


def exported(tiny, tmp_path, method, settings, **facts):
    """(prediction of ours, folder with the files for others, our own file)."""
    ours = tmp_path / "adapter.safetensors"
    expected = trained(tiny, method, settings, ours)
    adapter, state = load_adapter(ours)
    recipe = {**RECIPE, "method": method, "adapter": settings.model_dump(mode="json")}
    folder = tmp_path / "out"
    folder.mkdir()
    for name, data in registry.method(method).interchange(adapter, state, recipe, FACTS.changed(**facts)).items():
        (folder / name).write_bytes(data)
    return expected, folder, ours


def header(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])


def kohya_reader(path, unet, text_encoder):
    """As sd-scripts and its readers do it: module names with underscores, up @ down * alpha / rank added to weights.

    DoRA on the output side: the sum is brought to the length `dora_scale`, row by row.
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
            change = (up.flatten(1) @ down.flatten(1)).reshape(module.weight.shape) * (alpha / rank)
            weight = module.weight.data + change
            if f"{key}.dora_scale" in tensors:
                scale = tensors[f"{key}.dora_scale"]
                assert scale.shape == (weight.shape[0], *[1] * (weight.dim() - 1))
                lengths = weight.flatten(1).norm(dim=1).reshape(scale.shape)
                weight = weight * scale / lengths
            module.weight.data = weight
            used |= {found for found in tensors if found.startswith(f"{key}.")}
    assert used == set(tensors)


@pytest.mark.parametrize("name", LORAS)
def test_a_reader_of_kohya_s_layout_draws_what_we_draw(tiny, tiny_folder, tmp_path, name):
    expected, folder, _ = exported(tiny, tmp_path, "lora", lora_settings(name))
    pipeline = pipeline_of(tiny_folder)
    kohya_reader(folder / "my-style.safetensors", pipeline.unet, pipeline.text_encoder)
    found = pipeline_prediction(pipeline, tiny, f"{PLAIN[0]}, my words")
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", LORAS)
def test_plain_diffusers_draws_from_the_exported_file_what_we_draw(tiny, tiny_folder, tmp_path, name):
    expected, folder, _ = exported(tiny, tmp_path, "lora", lora_settings(name))
    files = ["pytorch_lora_weights.safetensors"]
    if name == "lora":
        files.append("my-style.safetensors")  # diffusers reads kohya's layout too
    for file in files:
        pipeline = pipeline_of(tiny_folder)
        pipeline.load_lora_weights(folder, weight_name=file, local_files_only=True)
        pipeline.unet.eval()
        pipeline.text_encoder.eval()
        assert torch.allclose(pipeline_prediction(pipeline, tiny, f"{PLAIN[0]}, my words"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "file"),
    [
        ("lora", "pytorch_lora_weights.safetensors"),
        ("lora", "my-style.safetensors"),
        ("ti", "learned_embeds.safetensors"),
        ("ti", "my-word.safetensors"),
    ],
)
def test_a_picture_that_plain_diffusers_draws_is_ours(tiny, tiny_folder, tmp_path, method, file):
    settings = (
        lora_settings("lora-conv")
        if method == "lora"
        else TextualInversionSettings(num_vectors=2, placeholder_token="<my-word>")
    )
    _, folder, ours = exported(tiny, tmp_path, method, settings)
    chosen = GenerationSettings(num_inference_steps=3, guidance_scale=4, seed=9)
    with with_adapter(tiny, ours) as loaded:
        *_, last = draw(loaded, PLAIN[0], chosen)
    pipeline = pipeline_of(tiny_folder)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    if method == "lora":
        pipeline.load_lora_weights(folder, weight_name=file, local_files_only=True)
        pipeline.unet.eval()
    else:
        token = None if file == "learned_embeds.safetensors" else "<my-word>"
        pipeline.load_textual_inversion(folder, weight_name=file, token=token, local_files_only=True)
    noise = torch.randn((1, *tiny.description.latent_shape), generator=torch.Generator().manual_seed(9))
    trigger = "my words" if method == "lora" else "<my-word>"
    theirs = pipeline(f"{PLAIN[0]}, {trigger}", num_inference_steps=3, guidance_scale=4, latents=noise).images[0]
    assert np.abs(np.asarray(theirs, int) - np.asarray(last.image, int)).max() <= 1


@pytest.mark.parametrize("name", LORAS)
def test_diffusers_to_kohya_and_back_is_the_same_to_the_bit(tiny, tmp_path, name):
    _, folder, ours = exported(tiny, tmp_path, "lora", lora_settings(name))
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


def test_keys_of_kohya_s_layout_one_by_one(tiny, tmp_path):
    _, folder, _ = exported(tiny, tmp_path, "lora", lora_settings("lora-everything"))
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


def test_the_header_one_by_one(tiny, tmp_path):
    _, folder, _ = exported(tiny, tmp_path, "lora", lora_settings("lora-conv"), parents=("a", "b"))
    path = folder / "my-style.safetensors"
    told = header(path)["__metadata__"]
    assert all(isinstance(value, str) for value in told.values())
    expected = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": "2",
        "ss_network_alpha": "3",
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_output_name": "my-style",
        "ss_resolution": "(64, 64)",
        "ss_num_train_images": "8",
        "ss_num_epochs": "10",
        "ss_epoch": "3",
        "ss_steps": "30",
        "ss_learning_rate": "0.002",
        "ss_seed": "5",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": "my-style",
        "modelspec.date": "2026-01-02T03:04:05",
        "modelspec.resolution": "64x64",
        "modelspec.trigger_phrase": "my words",
        "modelspec.merged_from": "a, b",
        "ss_total_batch_size": "4",
    }
    assert {key: told.get(key) for key in expected} == expected
    assert json.loads(told["ss_tag_frequency"]) == {"train": {"Big Ben": 3, "sunset": 2}}
    assert json.loads(told["ss_network_args"]) == {"conv_dim": "1", "conv_alpha": "1.5"}
    # the hashes, from the description: the file as saved with the ss_ keys alone
    training = {key: value for key, value in told.items() if key.startswith("ss_")}
    alone = save(load_file(path), training)
    body = alone[8 + struct.unpack("<Q", alone[:8])[0] :]
    assert told["sshs_model_hash"] == hashlib.sha256(body).hexdigest()
    assert told["sshs_legacy_hash"] == hashlib.sha256(alone[0x100000:0x110000]).hexdigest()[:8]
    assert told["modelspec.hash_sha256"] == "0x" + told["sshs_model_hash"]
    assert path.read_bytes().endswith(body)
    assert json.loads((folder / "my-style.json").read_text())["activation text"] == "my words"


def test_the_layer_names_go_there_and_back(tiny):
    for module, prefix in ((tiny.host.unet, "unet."), (tiny.host.text_encoder, "text_encoder.text_model.")):
        names = [
            name.removeprefix("text_model.")
            for name, layer in module.named_modules()
            if hasattr(layer, "weight") and layer.weight.dim() > 1 and "embeddings" not in name
        ]
        assert len(names) > 10
        for name in names:
            assert layer_of(key_of(prefix + name)) == prefix + name
    with pytest.raises(StudioError, match="has no name in kohya's layout"):
        key_of("unet.my_block.to_q")


def webui_reader(path):
    """As AUTOMATIC1111 and ComfyUI do it: the one tensor of the file, called by the file's name."""
    tensors = load_file(path)
    assert list(tensors) == ["emb_params"]
    return path.stem, tensors["emb_params"]


def test_words_for_diffusers_and_for_automatic1111(tiny, tiny_folder, tmp_path):
    settings = TextualInversionSettings(num_vectors=3, negative_vectors=2, placeholder_token="<my-word>")
    expected, folder, ours = exported(tiny, tmp_path, "ti", settings)
    _, state = load_adapter(ours)
    assert sorted(path.name for path in folder.iterdir()) == [
        "learned_embeds.safetensors",
        "learned_embeds_negative.safetensors",
        "my-word-negative.safetensors",
        "my-word.safetensors",
    ]
    assert list(load_file(folder / "learned_embeds.safetensors")) == ["<my-word>"]
    pipeline = pipeline_of(tiny_folder)
    pipeline.load_textual_inversion(folder, weight_name="learned_embeds.safetensors", local_files_only=True)
    assert torch.allclose(pipeline_prediction(pipeline, tiny, f"{PLAIN[0]}, <my-word>"), expected, atol=1e-6)
    for word in ("my-word", "my-word-negative"):
        name, vectors = webui_reader(folder / f"{word}.safetensors")
        assert torch.equal(vectors, state[f"<{name}>"])
        told = header(folder / f"{word}.safetensors")["__metadata__"]
        assert told["modelspec.trigger_phrase"] == word
        assert told["modelspec.architecture"] == "stable-diffusion-v1/textual-inversion"
        assert told["sshs_model_hash"] in told["modelspec.hash_sha256"]
    again = load_adapter(folder / "my-word.safetensors")
    assert torch.equal(again[1]["<my-word>"], state["<my-word>"])
    assert (again[0].settings.num_vectors, again[0].settings.negative_vectors) == (3, 0)


def test_a_word_of_automatic1111_is_called_by_its_file(tiny, tmp_path):
    path = tmp_path / "My Style v2.safetensors"
    vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    save_file({"emb_params": vectors}, path)
    adapter, _ = attach_file(path, tiny.host)
    assert adapter.caption("Petra") == "Petra, <my-style-v2> <my-style-v2>_1"
    assert torch.equal(adapter.state()["<my-style-v2>"], vectors)
    adapter.detach()
    assert embedding.file_name_of("<my style>") == "my-style"


def kohya_file(path, layers, alphas, metadata=None):
    """A file as sd-scripts would write it: key -> (rank, in, out), alphas by key."""
    source, state = torch.Generator().manual_seed(4), {}
    for key, (rank, width, out) in layers.items():
        state[f"{key}.lora_down.weight"] = torch.randn(rank, width, generator=source)
        state[f"{key}.lora_up.weight"] = torch.randn(out, rank, generator=source)
        if key in alphas:
            state[f"{key}.alpha"] = torch.tensor(float(alphas[key]))
    save_file(state, path, metadata)
    return path


ATTENTION = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_"


def test_a_file_of_kohya_s_with_any_rank_and_alpha_by_layer(tiny, tiny_folder, tmp_path):
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
    }  # two are missing: the scale is 1 there
    path = kohya_file(tmp_path / "theirs.safetensors", layers, alphas)
    adapter, host = attach_file(path, tiny.host)
    assert (adapter.settings.rank, adapter.settings.text_encoder_rank, adapter.settings.trigger) == (5, 4, "")
    found = predict(tiny, host, PLAIN[0])
    adapter.detach()
    pipeline, tensors = pipeline_of(tiny_folder), load_file(path)
    for key in layers:
        rank = torch.tensor(float(tensors[f"{key}.lora_down.weight"].shape[0]))
        tensors.setdefault(f"{key}.alpha", rank)
    save_file(tensors, tmp_path / "whole.safetensors")
    kohya_reader(tmp_path / "whole.safetensors", pipeline.unet, pipeline.text_encoder)
    assert torch.allclose(found, pipeline_prediction(pipeline, tiny, PLAIN[0]), atol=1e-4)
    assert not torch.allclose(found, predict(tiny, tiny.host, PLAIN[0]), atol=1e-2)


def test_the_trigger_is_read_from_the_header_and_from_notes_beside_the_file(tmp_path):
    path = kohya_file(
        tmp_path / "theirs.safetensors",
        {f"{ATTENTION}attn1_to_q": (2, 32, 32)},
        {},
        {"modelspec.trigger_phrase": "by header"},
    )
    assert registry.open_file(path).caption("Petra") == "Petra, by header"
    path.with_suffix(".json").write_text(json.dumps({"activation text": "by hand"}))
    assert registry.open_file(path).caption("Petra") == "Petra, by hand"
    path.with_suffix(".json").write_text("no JSON")
    assert registry.open_file(path).caption("Petra") == "Petra, by header"


def test_diffusers_names_of_2023_are_read(tiny, tmp_path):
    values = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    save_file(
        {
            f"{layer}.processor.to_out_lora.down.weight": values,
            f"{layer}.processor.to_out_lora.up.weight": values.T.contiguous(),
            f"{layer}.to_q.lora.down.weight": values + 1,
            f"{layer}.to_q.lora.up.weight": values.T.contiguous() - 1,
        },
        path := tmp_path / "pytorch_lora_weights.safetensors",
    )
    adapter, _ = attach_file(path, tiny.host)
    inside = layer.removeprefix("unet.")
    assert adapter.settings.target_modules == (f"{inside}.to_out.0", f"{inside}.to_q")
    assert torch.equal(adapter.state()[f"{layer}.to_out.0.lora_A.weight"], values)
    adapter.detach()


@pytest.mark.parametrize(
    ("tensors", "metadata", "told"),
    [
        ({"lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": (1,)}, {}, "made for Stable Diffusion XL"),
        ({"clip_l": (1, 768), "clip_g": (1, 1280)}, {}, "made for Stable Diffusion XL"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.alpha": (1,)}, {}, "made for FLUX"),
        ({"lora_unet_x.alpha": (1,)}, {"ss_base_model_version": "sdxl_base_v1-0"}, "its header says sdxl_base_v1-0"),
        ({f"{ATTENTION}attn1_to_q.hada_w1_a": (2, 2)}, {}, r"holds LoHa \(LyCORIS"),
        ({f"{ATTENTION}attn1_to_q.lokr_w1": (2, 2)}, {}, r"holds LoKr"),
        ({f"{ATTENTION}attn1_to_q.diff": (2, 2)}, {}, "a full difference of weights"),
        ({f"{ATTENTION}attn1_to_q.lora_mid.weight": (2, 2, 3, 3)}, {}, "Tucker"),
        ({f"{ATTENTION}attn1_to_q.lora_down.weight": (2, 32)}, {}, "has only one of its two matrices"),
        (
            {f"{ATTENTION}attn1_to_q.lora_down.weight": (2, 32), f"{ATTENTION}attn1_to_q.lora_up.weight": (32, 3)},
            {},
            r"matrices of the shapes \(2, 32\) and \(32, 3\)",
        ),
        (
            {
                f"{ATTENTION}attn1_to_q.lora_down.weight": (2, 32),
                f"{ATTENTION}attn1_to_q.lora_up.weight": (32, 2),
                f"{ATTENTION}attn1_to_q.alpha": (2,),
            },
            {},
            "must be one number",
        ),
        (
            {
                f"{ATTENTION}attn1_to_q.lora_down.weight": (2, 32),
                f"{ATTENTION}attn1_to_q.lora_up.weight": (32, 2),
                f"{ATTENTION}attn1_to_q.dora_scale": (1, 32),
            },
            {},
            "lengths of a weight's columns",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path, tensors, metadata, told):
    path = tmp_path / "theirs.safetensors"
    save_file({name: torch.ones(shape) for name, shape in tensors.items()}, path, metadata)
    with pytest.raises(StudioError, match=told) as caught:
        registry.open_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("width", "family"),
    [
        (768, "Stable Diffusion 1.x"),
        (1024, "Stable Diffusion 2.x"),
        (2048, "Stable Diffusion XL"),
        (99, "another base model"),
    ],
)
def test_a_lora_for_another_base_model_is_told_by_its_widths(tiny, tmp_path, width, family):
    path = kohya_file(tmp_path / "theirs.safetensors", {f"{ATTENTION}attn2_to_k": (2, width, 320)}, {})
    with pytest.raises(StudioError) as caught:
        attach_file(path, tiny.host)
    assert str(caught.value) == (
        f"theirs.safetensors was made for {family} (its text is {width} wide, this base model's 32); choose the base "
        "model that the adapter was trained on"
    )


def test_a_lora_with_layers_that_the_model_has_not(tiny, tmp_path):
    path = kohya_file(
        tmp_path / "theirs.safetensors",
        {f"{ATTENTION}attn1_to_q": (2, 32, 32), "lora_unet_down_blocks_3_resnets_0_conv1": (2, 32, 32)},
        {},
    )
    with pytest.raises(StudioError, match=r"1 of its 2 layers are not there .* unet\.down_blocks\.3"):
        attach_file(path, tiny.host)
    assert not any("lora" in key for key in tiny.host.unet.state_dict())


def saved_at(tiny, path, weight, target):
    """A file saved at a strength, and whether the base model was needed."""
    asked = []
    adapter, state = merge.at_strength(path, weight, lambda: asked.append(1) or tiny.host)
    target.write_bytes(merge.file_bytes(adapter, state, {}))
    return bool(asked)


@pytest.mark.parametrize(
    ("name", "weight"),
    [("lora", 0.6), ("lora", -0.5), ("lora-everything", 0.6), ("lora-conv", -0.5), ("ti-negative", 0.6)],
)
def test_saved_at_a_strength_it_draws_at_1_what_it_drew_at_that_strength(tiny, tmp_path, name, weight):
    method = name.partition("-")[0]
    settings = lora_settings(name) if method == "lora" else TextualInversionSettings(**VARIANTS.get(name, {}))
    path, target = tmp_path / "adapter.safetensors", tmp_path / "scaled.safetensors"
    trained(tiny, method, settings, path)
    needed = saved_at(tiny, path, weight, target)
    assert needed == (method == "ti" or settings.use_dora)
    adapter, host = attach_file(path, tiny.host)
    adapter.set_scale(weight)
    expected = predict(tiny, host, adapter.caption(PLAIN[0]))
    adapter.detach()
    adapter, host = attach_file(target, tiny.host)
    assert torch.allclose(predict(tiny, host, adapter.caption(PLAIN[0])), expected, atol=1e-5)
    adapter.detach()
    if name == "lora":  # exact: the matrices themselves
        before, after = load_adapter(path)[1], load_adapter(target)[1]
        assert all(torch.equal(before[key].abs(), after[key].abs()) for key in before)


def changes(path):
    """Layer -> up @ down * alpha / rank of a file."""
    adapter, state = load_adapter(path)
    scale = adapter.settings.lora_alpha / adapter.settings.rank
    downs = {name.removesuffix(".lora_A.weight"): down for name, down in state.items() if "lora_A" in name}
    return {
        layer: scale * state[f"{layer}.lora_B.weight"].flatten(1) @ down.flatten(1) for layer, down in downs.items()
    }


def two_loras(tiny, tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    trained(tiny, "lora", LoraSettings(rank=2, lora_alpha=3, conv_rank=1), paths[0])
    trained(tiny, "lora", LoraSettings(rank=3, lora_alpha=1.5, text_encoder_rank=2, trigger="other"), paths[1])
    return paths


def test_an_average_of_loras_is_exact_or_the_nearest_of_a_rank(tiny, tmp_path):
    paths, weights = two_loras(tiny, tmp_path), [0.7, 0.5]
    parts = [changes(path) for path in paths]
    target = tmp_path / "average.safetensors"
    for rank in (None, 3):
        adapter, state, told = merge.average(paths, weights, rank)
        target.write_bytes(merge.file_bytes(adapter, state, {}))
        attached, _ = attach_file(target, tiny.host)
        attached.detach()
        found = changes(target)
        assert found.keys() == parts[0].keys() | parts[1].keys()
        for layer, change in found.items():
            wanted = sum(w * part[layer] for w, part in zip(weights, parts) if layer in part)
            if rank is not None:  # the truth, from the decomposition of the whole matrix
                u, values, v = torch.linalg.svd(wanted.double(), full_matrices=False)
                wanted = ((u[:, :rank] * values[:rank]) @ v[:rank]).float()
            assert torch.allclose(change, wanted, atol=1e-6)
        assert adapter.settings.rank == (5 if rank is None else 3)
        assert told["weights"] == weights
        assert ("left_out" in told) == (rank is not None)
    assert adapter.settings.trigger == "ghibli style"


def test_an_average_of_words_is_that_of_their_vectors(tiny, tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path, word in zip(paths, ("<a-word>", "<b-word>")):
        trained(tiny, "ti", TextualInversionSettings(num_vectors=2, placeholder_token=word), path)
    _, state, _ = merge.average(paths, [0.25, 0.75])
    a, b = (load_adapter(path)[1] for path in paths)
    assert torch.allclose(state["<a-word>"], 0.25 * a["<a-word>"] + 0.75 * b["<b-word>"])
    assert list(state) == ["<a-word>"]
    trained(tiny, "ti", TextualInversionSettings(num_vectors=3), paths[1])
    with pytest.raises(StudioError, match="different numbers of vectors"):
        merge.average(paths)


def test_averages_that_mean_nothing_are_refused(tiny, tmp_path):
    paths = two_loras(tiny, tmp_path)
    words, dora = tmp_path / "ti.safetensors", tmp_path / "dora.safetensors"
    trained(tiny, "ti", TextualInversionSettings(), words)
    trained(tiny, "lora", LoraSettings(rank=2, use_dora=True), dora)
    for chosen, weights, told in (
        (paths[:1], None, "name two or more"),
        ([paths[0], words], None, "different methods"),
        ([paths[0], dora], None, "average of DoRA"),
        (paths, [1], "2 adapters and 1 weights"),
        (paths, [1, 3], "the weight is 3; it must be -2 to 2"),
    ):
        with pytest.raises(StudioError, match=told):
            merge.average(chosen, weights)
    with pytest.raises(StudioError, match="leaves nothing"):
        merge.at_strength(paths[0], 0, lambda: tiny.host)


def test_a_method_without_arithmetic_of_its_own_says_so(tiny, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    trained(tiny, "lora", LoraSettings(rank=2), path)
    for name in ("scaled", "averaged"):
        monkeypatch.delattr(registry.method("lora"), name)
    with pytest.raises(StudioError, match="cannot be saved at another strength"):
        merge.at_strength(path, 0.5, lambda: tiny.host)
    with pytest.raises(StudioError, match="cannot be averaged"):
        merge.average([path, path])


def test_an_adapter_of_no_file_can_be_built():
    assert build("lora", LoraSettings()).metadata()["lora_adapter_metadata"]


def test_a_file_of_the_published_size_has_kohya_s_264_modules_and_fits_only_there(tiny, tmp_path):
    """sd-scripts' default for Stable Diffusion 1.5: 192 layers of the UNet's transformers, 72 of the text encoder."""
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
    compatibility.refuse_misfit(path.name, content.shapes, host)
    with pytest.raises(StudioError, match=r"made for Stable Diffusion 1\.x \(its text is 768 wide"):
        compatibility.refuse_misfit(path.name, content.shapes, tiny.host)
