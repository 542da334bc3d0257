"""Files in the layouts of other programs, read with their trigger and their old names."""

import json

import torch
from safetensors.torch import save_file

from adapters import registry
from adapters.registry import attach_file
from tests.support.adapter_files import ATTENTION, kohya_file


def test_the_trigger_is_read_from_the_header_and_from_the_json_file_beside_it(tmp_path):
    path = kohya_file(
        tmp_path / "theirs.safetensors",
        {f"{ATTENTION}attn1_to_q": (2, 32, 32)},
        {},
        {"modelspec.trigger_phrase": "by header"},
    )
    assert registry.open_file(path).format_prompt("Petra") == "Petra, by header"
    path.with_suffix(".json").write_text(json.dumps({"activation text": "by hand"}))
    assert registry.open_file(path).format_prompt("Petra") == "Petra, by hand"
    path.with_suffix(".json").write_text("no JSON")
    assert registry.open_file(path).format_prompt("Petra") == "Petra, by header"


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
