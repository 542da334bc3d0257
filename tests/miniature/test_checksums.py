"""The embedded weights match their checksums, are small enough for git, and load."""

import json
import shutil

import pytest

from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.miniature.checksums import SUMS, UNHASHED, folder_digest, main, wrong_files

TEACHER = "style_teacher/pytorch_lora_weights.safetensors"


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(WEIGHTS, tmp_path / "weights")


def test_every_file_is_listed_and_matches():
    listed = [line.partition("  ")[2] for line in (WEIGHTS / SUMS).read_text().splitlines()]
    present = {path.relative_to(WEIGHTS).as_posix() for path in WEIGHTS.rglob("*") if path.is_file()}
    assert wrong_files(WEIGHTS) == []
    assert listed == sorted(present - set(UNHASHED))
    assert main([]) == 0


def test_every_file_is_below_ten_megabytes():
    miniature = WEIGHTS.parent
    assert [path for path in miniature.rglob("*") if path.is_file() and path.stat().st_size >= 10_000_000] == []


def test_a_flipped_byte_is_reported(copy):
    data = bytearray((copy / TEACHER).read_bytes())
    data[5_000_000] ^= 1
    (copy / TEACHER).write_bytes(data)
    (sentence,) = wrong_files(copy)
    assert sentence.startswith(f"{TEACHER} has changed: its SHA-256 begins ")
    assert folder_digest(copy) != folder_digest(WEIGHTS)


def test_a_missing_file_is_reported(copy):
    (copy / "clip/config.json").unlink()
    assert wrong_files(copy) == ["clip/config.json is missing."]


def test_an_extra_weights_file_is_reported_and_other_files_are_ignored(copy):
    (copy / "base/unet/more.safetensors").write_bytes(b"")
    (copy / "base/vae/model.bin").write_bytes(b"")
    (copy / "README.md").write_text("another card")
    assert wrong_files(copy) == [
        "base/unet/more.safetensors is not listed in SHA256SUMS.",
        "base/vae/model.bin is not listed in SHA256SUMS.",
    ]


def test_a_missing_or_damaged_list_is_reported(copy):
    text = (copy / SUMS).read_text()
    (copy / SUMS).write_text(text + "1234  \n")
    line = len(text.splitlines()) + 1
    assert wrong_files(copy) == [f"Line {line} of SHA256SUMS is not `<digest>  <path>`: '1234  '."]
    (copy / SUMS).unlink()
    assert wrong_files(copy) == [f"{copy / SUMS} is missing, so the folder cannot be verified."]


def test_the_digest_covers_names_and_contents_but_not_the_model_card(copy):
    digest = folder_digest(WEIGHTS)
    (copy / "README.md").write_text("another card")
    assert folder_digest(copy) == digest
    (copy / "clip/config.json").rename(copy / "clip/other.json")
    assert folder_digest(copy) != digest


def test_writing_the_list_accepts_a_changed_folder(copy, capsys):
    (copy / "clip/config.json").write_text("{}")
    assert main([str(copy)]) == 1
    assert main([str(copy), "--write"]) == 0
    assert "clip/config.json has changed" in capsys.readouterr().out


def test_clip_loads_with_its_processor():
    from PIL import Image
    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(WEIGHTS / "clip", local_files_only=True)
    processor = CLIPProcessor.from_pretrained(WEIGHTS / "clip", local_files_only=True)
    inputs = processor(text=["Petra, photo"], images=Image.new("RGB", (300, 200)), return_tensors="pt")
    assert inputs.pixel_values.shape == (1, 3, 128, 128)
    assert inputs.input_ids[0, 0] == model.config.text_config.bos_token_id == 1759
    assert len(processor.tokenizer) == model.config.text_config.vocab_size == 1761


def test_the_teacher_file_has_its_rank_alpha_and_layers():
    from safetensors import safe_open

    with safe_open(WEIGHTS / TEACHER, "pt") as file:
        metadata = json.loads(file.metadata()["lora_adapter_metadata"])
        assert len(file.keys()) == 188
        assert file.get_tensor("unet.conv_in.lora_A.weight").shape == (16, 4, 3, 3)
    assert metadata == {
        "unet.r": 16,
        "unet.lora_alpha": 16,
        "unet.target_modules": [
            "conv1",
            "conv2",
            "conv_in",
            "conv_out",
            "ff.net.0.proj",
            "ff.net.2",
            "to_k",
            "to_out.0",
            "to_q",
            "to_v",
        ],
    }


def test_the_base_loads_as_a_pipeline_with_its_teacher():
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        WEIGHTS / "base", dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    pipeline.load_lora_weights(
        str(WEIGHTS / "style_teacher"),
        weight_name="pytorch_lora_weights.safetensors",
        adapter_name="teacher",
        local_files_only=True,
    )
    assert pipeline.vae_scale_factor * pipeline.unet.config.sample_size == 256
    assert pipeline.unet.peft_config["teacher"].lora_alpha == 16
