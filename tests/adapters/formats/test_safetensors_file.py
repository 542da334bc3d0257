"""Adapter files: other programs read ours, we read theirs or refuse them in one sentence; nothing is unpickled."""

import json
import pickle
import struct

import pytest
import torch
from safetensors.torch import save_file

from adapters.formats.safetensors_file import read_header, read_tensors
from adapters.methods.lora import LoraSettings
from adapters.methods.textual_inversion import TextualInversionSettings
from adapters.registry import attach_file, open_file
from adapters.settings import StudioError
from tests.support.adapter_training import CAPTIONS, diffusers_pipeline, pipeline_prediction, predict, save_trained


def test_plain_diffusers_loads_our_lora_with_its_alpha(tiny, tiny_folder, tmp_path):
    settings = LoraSettings(rank=2, lora_alpha=6, lora_dropout=0.5)
    expected = save_trained(tiny, "lora", settings, tmp_path / "adapter.safetensors")
    pipeline = diffusers_pipeline(tiny_folder)
    pipeline.load_lora_weights(tmp_path, weight_name="adapter.safetensors", local_files_only=True)
    pipeline.unet.eval()
    found = pipeline_prediction(pipeline, tiny, f"{CAPTIONS[0]}, {settings.trigger}")
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, pipeline_prediction(diffusers_pipeline(tiny_folder), tiny, CAPTIONS[0]), atol=1e-4)


def test_plain_diffusers_loads_our_textual_inversion(tiny, tiny_folder, tmp_path):
    settings = TextualInversionSettings(num_vectors=3)
    expected = save_trained(tiny, "ti", settings, tmp_path / "adapter.safetensors")
    pipeline = diffusers_pipeline(tiny_folder)
    pipeline.load_textual_inversion(tmp_path, weight_name="adapter.safetensors", local_files_only=True)
    # diffusers adds the tokens of the other vectors itself
    found = pipeline_prediction(pipeline, tiny, f"{CAPTIONS[0]}, {settings.placeholder_token}")
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_lora_that_diffusers_wrote_is_read_with_its_alpha(tiny, tiny_folder, tmp_path):
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipeline = diffusers_pipeline(tiny_folder)
    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=6, init_lora_weights=False, target_modules=["to_q", "to_v"])
    pipeline.unet.add_adapter(config)
    pipeline.unet.eval()
    expected = pipeline_prediction(pipeline, tiny, CAPTIONS[0])
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(pipeline.unet),
        unet_lora_adapter_metadata=pipeline.unet.peft_config["default"].to_dict(),
    )
    adapter, host = attach_file(tmp_path / "pytorch_lora_weights.safetensors", tiny.host)
    assert (adapter.settings.rank, adapter.settings.lora_alpha) == (2, 6)
    assert torch.allclose(predict(tiny, host, CAPTIONS[0]), expected, atol=1e-6)
    adapter.detach()


def test_the_embedded_style_teacher_is_read():
    from ghibli_studio.miniature import WEIGHTS

    adapter = open_file(WEIGHTS / "style_teacher/pytorch_lora_weights.safetensors")
    assert (adapter.method, adapter.settings.rank, adapter.settings.lora_alpha) == ("lora", 16, 16)


def test_a_textual_inversion_of_another_program_is_read(tiny, tmp_path):
    path = tmp_path / "learned_embeds.safetensors"
    vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    save_file({"<monet>": vectors}, path)
    adapter, _ = attach_file(path, tiny.host)
    assert adapter.format_prompt("Petra") == "Petra, <monet> <monet>_1"
    assert torch.equal(adapter.state()["<monet>"], vectors)
    adapter.detach()


def test_vectors_of_another_width_are_refused(tiny, tmp_path):
    path = tmp_path / "learned_embeds.safetensors"
    save_file({"<monet>": torch.randn(1, 768)}, path)
    with pytest.raises(StudioError) as raised:
        attach_file(path, tiny.host)
    assert str(raised.value) == (
        "learned_embeds.safetensors was made for Stable Diffusion 1.x (its text is 768 wide, this base model's 32); "
        "choose the base model that the adapter was trained on"
    )


def test_a_layout_that_would_be_a_silent_no_op_is_refused(tmp_path):
    path = tmp_path / "peft.safetensors"
    save_file({"base_model.model.down.to_q.lora_A.weight": torch.zeros(2, 4)}, path)
    with pytest.raises(StudioError, match="in an unknown layout; known are LoRA, Textual Inversion"):
        open_file(path)


class Trap:
    """Fails the test when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".ckpt", ".safetensors"])
def test_a_pickle_is_never_loaded(tmp_path, suffix):
    path = tmp_path / f"adapter{suffix}"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(StudioError, match=r"is a pickle|is not a safetensors file"):
        open_file(path)


def header(**entries):
    data = json.dumps(entries).encode()
    return struct.pack("<Q", len(data)) + data


COMPLETE = header(**{"<a>": {"dtype": "F32", "shape": [1, 4], "data_offsets": [0, 16]}}) + bytes(16)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        struct.pack("<Q", 2**60) + b"{}",
        COMPLETE[:-1],
        COMPLETE + b"x",
        header(a=3),
        header(a={"shape": [1]}),
        struct.pack("<Q", 4) + b"nope",
    ],
    ids=["empty", "short", "endless header", "cut", "too long", "no entry", "half an entry", "no JSON"],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, data):
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(data)
    with pytest.raises(StudioError) as raised:
        read_header(path)
    assert str(raised.value) == (
        f"adapter.safetensors is not a safetensors file or is cut short ({len(data)} bytes); "
        "download or export it again"
    )


def test_a_missing_file_and_values_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(StudioError, match="there is no adapter file"):
        open_file(tmp_path / "nothing.safetensors")
    path = tmp_path / "adapter.safetensors"
    save_file({"<a>": torch.tensor([[1.0, float("nan")]])}, path)
    with pytest.raises(StudioError, match=r"tensor <a> of adapter\.safetensors holds values that are not finite"):
        read_tensors(path)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "adapter.safetensors"
    with path.open("wb") as file:
        file.truncate(5 * 2**30)  # sparse: uses no disk space
    with pytest.raises(StudioError, match=r"is 5.0 GB; an adapter may be at most 4 GB"):
        read_header(path)
