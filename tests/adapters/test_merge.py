"""Scaled files and merges: exact where they can be, refused where they mean nothing."""

import pytest
import torch

from adapters import merge, registry
from adapters.methods.lora import LoraSettings
from adapters.methods.textual_inversion import TextualInversionSettings
from adapters.registry import attach_file
from adapters.registry import load_file as load_adapter
from adapters.settings import StudioError
from tests.support.adapter_files import lora_settings
from tests.support.adapter_training import CAPTIONS, VARIANTS, predict, save_trained


def save_scaled(tiny, path, weight, target):
    """Save a scaled file; return whether the base model was needed."""
    calls = []
    adapter, state = merge.scale_file(path, weight, lambda: calls.append(1) or tiny.host)
    target.write_bytes(merge.file_bytes(adapter, state, {}))
    return bool(calls)


@pytest.mark.parametrize(
    ("name", "weight"),
    [("lora", 0.6), ("lora", -0.5), ("lora-everything", 0.6), ("lora-conv", -0.5), ("ti-negative", 0.6)],
)
def test_a_scaled_file_at_scale_1_equals_the_original_at_that_scale(tiny, tmp_path, name, weight):
    method = name.partition("-")[0]
    settings = lora_settings(name) if method == "lora" else TextualInversionSettings(**VARIANTS.get(name, {}))
    path, target = tmp_path / "adapter.safetensors", tmp_path / "scaled.safetensors"
    save_trained(tiny, method, settings, path)
    needed = save_scaled(tiny, path, weight, target)
    assert needed == (method == "ti" or settings.use_dora)
    adapter, host = attach_file(path, tiny.host)
    adapter.set_scale(weight)
    expected = predict(tiny, host, adapter.format_prompt(CAPTIONS[0]))
    adapter.detach()
    adapter, host = attach_file(target, tiny.host)
    assert torch.allclose(predict(tiny, host, adapter.format_prompt(CAPTIONS[0])), expected, atol=1e-5)
    adapter.detach()
    if name == "lora":  # exact: the matrices themselves
        before, after = load_adapter(path)[1], load_adapter(target)[1]
        assert all(torch.equal(before[key].abs(), after[key].abs()) for key in before)


def layer_updates(path):
    """Return layer -> up @ down * alpha / rank of a file."""
    adapter, state = load_adapter(path)
    scale = adapter.settings.lora_alpha / adapter.settings.rank
    downs = {name.removesuffix(".lora_A.weight"): down for name, down in state.items() if "lora_A" in name}
    return {
        layer: scale * state[f"{layer}.lora_B.weight"].flatten(1) @ down.flatten(1) for layer, down in downs.items()
    }


def two_lora_files(tiny, tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    save_trained(tiny, "lora", LoraSettings(rank=2, lora_alpha=3, conv_rank=1), paths[0])
    save_trained(tiny, "lora", LoraSettings(rank=3, lora_alpha=1.5, text_encoder_rank=2, trigger="other"), paths[1])
    return paths


def test_a_merge_of_loras_is_exact_or_the_nearest_of_a_rank(tiny, tmp_path):
    paths, weights = two_lora_files(tiny, tmp_path), [0.7, 0.5]
    parts = [layer_updates(path) for path in paths]
    target = tmp_path / "average.safetensors"
    for rank in (None, 3):
        adapter, state, how = merge.merge_files(paths, weights, rank)
        target.write_bytes(merge.file_bytes(adapter, state, {}))
        attached, _ = attach_file(target, tiny.host)
        attached.detach()
        merged = layer_updates(target)
        assert merged.keys() == parts[0].keys() | parts[1].keys()
        for layer, change in merged.items():
            expected = sum(w * part[layer] for w, part in zip(weights, parts) if layer in part)
            if rank is not None:  # computed from the decomposition of the full matrix
                u, values, v = torch.linalg.svd(expected.double(), full_matrices=False)
                expected = ((u[:, :rank] * values[:rank]) @ v[:rank]).float()
            assert torch.allclose(change, expected, atol=1e-6)
        assert adapter.settings.rank == (5 if rank is None else 3)
        assert how["weights"] == weights
        assert ("truncation_error" in how) == (rank is not None)
    assert adapter.settings.trigger == "ghibli style"


def test_a_merge_of_embeddings_is_the_weighted_sum_of_their_vectors(tiny, tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path, word in zip(paths, ("<a-word>", "<b-word>")):
        save_trained(tiny, "ti", TextualInversionSettings(num_vectors=2, placeholder_token=word), path)
    _, state, _ = merge.merge_files(paths, [0.25, 0.75])
    a, b = (load_adapter(path)[1] for path in paths)
    assert torch.allclose(state["<a-word>"], 0.25 * a["<a-word>"] + 0.75 * b["<b-word>"])
    assert list(state) == ["<a-word>"]
    save_trained(tiny, "ti", TextualInversionSettings(num_vectors=3), paths[1])
    with pytest.raises(StudioError, match="different numbers of vectors"):
        merge.merge_files(paths)


def test_meaningless_merges_are_refused(tiny, tmp_path):
    paths = two_lora_files(tiny, tmp_path)
    words, dora = tmp_path / "ti.safetensors", tmp_path / "dora.safetensors"
    save_trained(tiny, "ti", TextualInversionSettings(), words)
    save_trained(tiny, "lora", LoraSettings(rank=2, use_dora=True), dora)
    for chosen, weights, message in (
        (paths[:1], None, "name two or more"),
        ([paths[0], words], None, "different methods"),
        ([paths[0], dora], None, "DoRA adapters cannot be merged"),
        (paths, [1], "2 adapters and 1 weights"),
        (paths, [1, 3], "the weight is 3; it must be -2 to 2"),
    ):
        with pytest.raises(StudioError, match=message):
            merge.merge_files(chosen, weights)
    with pytest.raises(StudioError, match="leaves nothing"):
        merge.scale_file(paths[0], 0, lambda: tiny.host)


def test_a_method_without_scale_and_merge_is_refused(tiny, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_trained(tiny, "lora", LoraSettings(rank=2), path)
    for name in ("scale", "merge"):
        monkeypatch.delattr(registry.method("lora"), name)
    with pytest.raises(StudioError, match="cannot be scaled into a new file"):
        merge.scale_file(path, 0.5, lambda: tiny.host)
    with pytest.raises(StudioError, match="adapters cannot be merged"):
        merge.merge_files([path, path])
