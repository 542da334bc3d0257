"""Files for another base model or of another method are refused in one sentence."""

import pytest
import torch
from safetensors.torch import save_file

from adapters import registry
from adapters.registry import attach_file
from adapters.settings import StudioError
from tests.support.adapter_files import ATTENTION, kohya_file


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
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
            "magnitudes of a weight's columns",
        ),
    ],
)
def test_unsupported_files_are_refused_in_one_sentence(tmp_path, tensors, metadata, message):
    path = tmp_path / "theirs.safetensors"
    save_file({name: torch.ones(shape) for name, shape in tensors.items()}, path, metadata)
    with pytest.raises(StudioError, match=message) as raised:
        registry.open_file(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("width", "family"),
    [
        (768, "Stable Diffusion 1.x"),
        (1024, "Stable Diffusion 2.x"),
        (2048, "Stable Diffusion XL"),
        (99, "another base model"),
    ],
)
def test_a_lora_for_another_base_model_is_refused_by_its_widths(tiny, tmp_path, width, family):
    path = kohya_file(tmp_path / "theirs.safetensors", {f"{ATTENTION}attn2_to_k": (2, width, 320)}, {})
    with pytest.raises(StudioError) as raised:
        attach_file(path, tiny.host)
    assert str(raised.value) == (
        f"theirs.safetensors was made for {family} (its text is {width} wide, this base model's 32); choose the base "
        "model that the adapter was trained on"
    )


def test_a_lora_with_layers_that_the_model_lacks_is_refused(tiny, tmp_path):
    path = kohya_file(
        tmp_path / "theirs.safetensors",
        {f"{ATTENTION}attn1_to_q": (2, 32, 32), "lora_unet_down_blocks_3_resnets_0_conv1": (2, 32, 32)},
        {},
    )
    with pytest.raises(StudioError, match=r"1 of its 2 layers are missing .* unet\.down_blocks\.3"):
        attach_file(path, tiny.host)
    assert not any("lora" in key for key in tiny.host.unet.state_dict())
