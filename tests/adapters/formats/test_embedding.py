"""Textual Inversion files for diffusers and AUTOMATIC1111, and theirs read by us."""

import torch
from safetensors.torch import load_file, save_file

from adapters.formats import embedding
from adapters.methods.textual_inversion import TextualInversionSettings
from adapters.registry import attach_file
from adapters.registry import load_file as load_adapter
from tests.support.adapter_files import export_trained, header_of
from tests.support.adapter_training import CAPTIONS, diffusers_pipeline, pipeline_prediction


def read_webui_embedding(path):
    """Do as AUTOMATIC1111 and ComfyUI: return the file's name and its one tensor."""
    tensors = load_file(path)
    assert list(tensors) == ["emb_params"]
    return path.stem, tensors["emb_params"]


def test_an_embedding_is_exported_for_diffusers_and_for_automatic1111(tiny, tiny_folder, tmp_path):
    settings = TextualInversionSettings(num_vectors=3, negative_vectors=2, placeholder_token="<my-word>")
    expected, folder, ours = export_trained(tiny, tmp_path, "ti", settings)
    _, state = load_adapter(ours)
    assert sorted(path.name for path in folder.iterdir()) == [
        "learned_embeds.safetensors",
        "learned_embeds_negative.safetensors",
        "my-word-negative.safetensors",
        "my-word.safetensors",
    ]
    assert list(load_file(folder / "learned_embeds.safetensors")) == ["<my-word>"]
    pipeline = diffusers_pipeline(tiny_folder)
    pipeline.load_textual_inversion(folder, weight_name="learned_embeds.safetensors", local_files_only=True)
    assert torch.allclose(pipeline_prediction(pipeline, tiny, f"{CAPTIONS[0]}, <my-word>"), expected, atol=1e-6)
    for word in ("my-word", "my-word-negative"):
        name, vectors = read_webui_embedding(folder / f"{word}.safetensors")
        assert torch.equal(vectors, state[f"<{name}>"])
        keys = header_of(folder / f"{word}.safetensors")["__metadata__"]
        assert keys["modelspec.trigger_phrase"] == word
        assert keys["modelspec.architecture"] == "stable-diffusion-v1/textual-inversion"
        assert keys["sshs_model_hash"] in keys["modelspec.hash_sha256"]
    again = load_adapter(folder / "my-word.safetensors")
    assert torch.equal(again[1]["<my-word>"], state["<my-word>"])
    assert (again[0].settings.num_vectors, again[0].settings.negative_vectors) == (3, 0)


def test_an_automatic1111_embedding_is_named_by_its_file(tiny, tmp_path):
    path = tmp_path / "My Style v2.safetensors"
    vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    save_file({"emb_params": vectors}, path)
    adapter, _ = attach_file(path, tiny.host)
    assert adapter.format_prompt("Petra") == "Petra, <my-style-v2> <my-style-v2>_1"
    assert torch.equal(adapter.state()["<my-style-v2>"], vectors)
    adapter.detach()
    assert embedding.file_name_of_token("<my style>") == "my-style"
