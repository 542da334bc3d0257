"""The contract that every adapter satisfies, run on every method and its variants; a new method passes it too."""

import copy

import pytest
import torch

from adapters.base import Adapter, Host
from adapters.formats import safetensors_file
from adapters.formats.safetensors_file import to_bytes
from adapters.registry import attach_file, method, methods, open_file
from adapters.settings import StudioError
from tests.support.adapter_training import (
    CAPTIONS,
    VARIANTS,
    encode_captions,
    method_name,
    new_adapter,
    predict,
    train_briefly,
)

WRONG = {"lora": {"rank": 3}, "ti": {"num_vectors": 2}}
"""Settings that do not fit a file written with the ones in SMALL_SETTINGS."""


@pytest.fixture(params=sorted({*methods(), *VARIANTS}))
def name(request):
    return request.param


def weights(host: Host):
    """Return every weight of the base model, by a name that attaching does not change."""
    found = {}
    for part, module in (("unet", host.unet), ("text", host.text_encoder)):
        for key, value in module.state_dict().items():
            if "lora_" not in key:
                found[f"{part}.{key.replace('.base_layer', '')}"] = value.clone()
    return found


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_it_satisfies_the_protocol(name):
    assert isinstance(new_adapter(name), Adapter)
    assert new_adapter(name).method == method_name(name)


def test_base_weights_are_bit_identical_after_training_and_after_detaching(tiny, name):
    before, adapter = weights(tiny.host), new_adapter(name)
    host = adapter.attach(tiny.host, seed=0)
    train_briefly(tiny, host, adapter)
    assert same(weights(host), before)
    adapter.detach()
    assert same(weights(tiny.host), before)


def test_only_the_adapters_parameters_train(tiny, name):
    adapter = new_adapter(name)
    host = adapter.attach(tiny.host)
    own = {id(parameter) for parameter in adapter.parameters()}
    trainable = [p for module in (host.unet, host.text_encoder) for p in module.parameters() if p.requires_grad]
    assert own
    assert {id(parameter) for parameter in trainable} <= own
    assert all(parameter.dtype == torch.float32 and parameter.requires_grad for parameter in adapter.parameters())
    adapter.detach()
    assert not any(p.requires_grad for module in (tiny.host.unet, tiny.host.text_encoder) for p in module.parameters())


def test_plain_captions_encode_unchanged_while_attached_and_trained(tiny, name):
    before, adapter = encode_captions(tiny, tiny.host, CAPTIONS), new_adapter(name)
    host = adapter.attach(tiny.host)
    train_briefly(tiny, host, adapter)
    if adapter.settings.model_dump().get("text_encoder_rank"):  # attached to the text encoder: only at scale 0
        assert not torch.allclose(encode_captions(tiny, host, CAPTIONS), before, atol=1e-4)
        adapter.set_scale(0)
    assert torch.allclose(
        encode_captions(tiny, host, CAPTIONS), before, rtol=0, atol=1e-6 if "everything" in name else 0
    )
    adapter.detach()
    assert torch.equal(encode_captions(tiny, tiny.host, CAPTIONS), before)


def test_equal_seeds_give_equal_losses_and_other_seeds_do_not(tiny, name):
    losses = []
    for seed in (5, 5, 6):
        adapter = new_adapter(name)
        losses.append(train_briefly(tiny, adapter.attach(tiny.host, seed), adapter))
        adapter.detach()
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_attaching_uses_no_global_random_numbers(tiny, name):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    adapter = new_adapter(name)
    adapter.attach(tiny.host, seed=4)
    assert torch.equal(torch.rand(3), expected)
    adapter.detach()


def test_training_changes_the_prediction_and_detaching_restores_the_base(tiny, name):
    adapter = new_adapter(name)
    caption = adapter.format_prompt(CAPTIONS[0])
    before = predict(tiny, tiny.host, caption)
    host = adapter.attach(tiny.host)
    train_briefly(tiny, host, adapter)
    assert not torch.equal(predict(tiny, host, caption), before)
    adapter.detach()
    assert torch.equal(predict(tiny, tiny.host, caption), before)
    adapter.detach()  # detaching twice is harmless


def test_the_state_round_trips(tiny, name):
    adapter = new_adapter(name)
    host = adapter.attach(tiny.host, seed=1)
    train_briefly(tiny, host, adapter)
    state, prediction = adapter.state(), predict(tiny, host, adapter.format_prompt(CAPTIONS[0]))
    adapter.detach()
    other = new_adapter(name)
    host = other.attach(tiny.host, seed=2)
    other.load_state(state)
    assert same(other.state(), state)
    assert torch.equal(predict(tiny, host, other.format_prompt(CAPTIONS[0])), prediction)
    other.detach()


def test_a_state_is_a_copy(tiny, name):
    adapter = new_adapter(name)
    host = adapter.attach(tiny.host)
    state = copy.deepcopy(kept := adapter.state())
    train_briefly(tiny, host, adapter)
    assert same(kept, state)
    adapter.detach()


def test_a_state_of_other_names_or_shapes_is_refused(tiny, name):
    adapter = new_adapter(name)
    adapter.attach(tiny.host)
    state = adapter.state()
    first = sorted(state)[0]
    with pytest.raises(StudioError, match=f"lacks 1 of {len(state)} expected tensors"):
        adapter.load_state({key: value for key, value in state.items() if key != first})
    with pytest.raises(StudioError, match="1 unexpected tensors"):
        adapter.load_state({**state, "more": torch.zeros(1)})
    with pytest.raises(StudioError, match="has shape"):
        adapter.load_state({**state, first: torch.zeros(7, 7)})
    adapter.detach()


def test_trigger_tokens_are_counted_correctly(tiny, name):
    adapter = new_adapter(name)
    host = adapter.attach(tiny.host)
    plain = len(tiny.host.tokenizer("Petra").input_ids)
    prompted = len(host.tokenizer(adapter.format_prompt("Petra")).input_ids)
    assert adapter.trigger_tokens(tiny.host.tokenizer) == prompted - plain
    adapter.detach()


def test_the_adapter_scale_is_linear_from_the_untrained_start(tiny, name):
    """At 0 the prediction is that of the freshly attached adapter, at 1 that of the trained one."""
    adapter = new_adapter(name)
    host = adapter.attach(tiny.host, seed=1)
    caption = adapter.format_prompt(CAPTIONS[0])
    fresh = predict(tiny, host, caption)
    train_briefly(tiny, host, adapter)
    trained = predict(tiny, host, caption)
    predictions = []
    for adapter_scale in (0.0, 1.0, 0.5):
        adapter.set_scale(adapter_scale)
        predictions.append(predict(tiny, host, caption))
    assert torch.allclose(predictions[0], fresh, atol=1e-6)
    assert torch.equal(predictions[1], trained)
    assert not torch.allclose(predictions[2], fresh, atol=1e-5)
    assert not torch.allclose(predictions[2], trained, atol=1e-5)
    adapter.detach()


def test_a_saved_file_opens_as_the_same_adapter(tiny, name, tmp_path):
    adapter = new_adapter(name)
    host = adapter.attach(tiny.host)
    train_briefly(tiny, host, adapter)
    caption = adapter.format_prompt(CAPTIONS[0])
    prediction, state = predict(tiny, host, caption), adapter.state()
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(to_bytes(adapter, {"adapter": adapter.settings.model_dump(mode="json"), "epoch": 3}))
    adapter.detach()
    assert safetensors_file.read_adapter_metadata(path)["epoch"] == 3
    loaded, host = attach_file(path, tiny.host)
    assert loaded.settings == adapter.settings
    assert loaded.method == method_name(name)
    assert same(loaded.state(), state)
    assert torch.equal(predict(tiny, host, caption), prediction)
    loaded.detach()


def test_a_file_that_does_not_fit_leaves_the_host_unchanged(tiny, name, tmp_path):
    adapter = new_adapter(name)
    adapter.attach(tiny.host)
    before = predict(tiny, tiny.host, "a")
    path = tmp_path / "adapter.safetensors"
    wrong = adapter.settings.changed(**WRONG[method_name(name)])
    path.write_bytes(to_bytes(adapter, {"adapter": wrong.model_dump(mode="json")}))
    adapter.detach()
    before = predict(tiny, tiny.host, "a")
    with pytest.raises(StudioError, match=r"has shape|lacks"):
        attach_file(path, tiny.host)
    assert torch.equal(predict(tiny, tiny.host, "a"), before)
    assert not any("lora" in key for key in tiny.host.unet.state_dict())


def test_each_method_recognizes_only_its_own_files(tiny, name, tmp_path):
    adapter = new_adapter(name)
    adapter.attach(tiny.host)
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(to_bytes(adapter, {"adapter": adapter.settings.model_dump(mode="json")}))
    adapter.detach()
    shapes, _ = safetensors_file.read_header(path)
    assert [other for other, module in methods().items() if module.recognizes(shapes)] == [method_name(name)]
    assert open_file(path).method == method_name(name)


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(StudioError, match=r"^there is no method 'hyper'; known are lora, ti$"):
        method("hyper")


def test_the_prompt_ends_with_the_trigger_once(name):
    adapter = new_adapter(name)
    prompt = adapter.format_prompt("Big Ben, London")
    assert prompt.startswith("Big Ben, London, ")
    assert adapter.format_prompt(prompt) == prompt
    assert adapter.format_prompt("Big Ben, London, ") == prompt
