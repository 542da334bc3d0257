"""The contract that makes something an adapter, run on every method and its variants; a new method passes it too."""

import copy

import pytest
import torch

from adapters.base import Adapter, Host
from adapters.formats import safetensors_file
from adapters.formats.safetensors_file import to_bytes
from adapters.registry import attach_file, build, method, methods, open_file
from adapters.settings import StudioError
from ghibli_studio.models.text_encoder import encode, token_ids

PLAIN = ["Big Ben, London, a clock tower", "Petra, a temple in a cliff, wide shot"]
SMALL = {"lora": {"rank": 2, "lora_alpha": 6}, "ti": {"num_vectors": 3, "initializer_token": "photo"}}
WRONG = {"lora": {"rank": 3}, "ti": {"num_vectors": 2}}
"""Settings that do not fit a file written with the ones in SMALL."""
TEXT = {"text_encoder_rank": 3}
VARIANTS = {
    "lora-conv": {"conv_rank": 1},
    "lora-text": TEXT,
    "lora-dora": {"use_dora": True},
    "lora-everything": {"conv_rank": 1, "use_dora": True, **TEXT},
    "ti-negative": {"negative_vectors": 2},
}
"""A method's short name, a dash, and what is special; each keeps the whole contract."""


@pytest.fixture(params=sorted({*methods(), *VARIANTS}))
def name(request):
    return request.param


def method_of(name):
    return name.partition("-")[0]


def made(name, **changes):
    method_name = method_of(name)
    values = {**SMALL.get(method_name, {}), **VARIANTS.get(name, {}), **changes}
    return build(method_name, method(method_name).SETTINGS.checked(values))


def weights(host: Host):
    """Every number that the base model computes with, by a name that a graft does not change."""
    found = {}
    for part, module in (("unet", host.unet), ("text", host.text_encoder)):
        for key, value in module.state_dict().items():
            if "lora_" not in key:
                found[f"{part}.{key.replace('.base_layer', '')}"] = value.clone()
    return found


def predict(base, host, caption):
    latents = torch.randn((1, *base.description.latent_shape), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return host.unet(latents, torch.tensor(500), text(base, host, [caption]), return_dict=False)[0]


def text(base, host, captions):
    return encode(host, token_ids(host, captions, base.description.token_limit))


def train_a_little(base, host, adapter, steps=3):
    """A few steps of a real loss; returns the losses."""
    host.unet.eval()
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=0.05)
    source, losses = torch.Generator().manual_seed(1), []
    for _ in range(steps):
        latents = torch.randn((2, *base.description.latent_shape), generator=source)
        states = text(base, host, [adapter.caption(PLAIN[0]), adapter.unconditional()])
        prediction = host.unet(latents, torch.tensor([300, 700]), states, return_dict=False)[0]
        loss = (prediction - latents).pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_it_satisfies_the_protocol(name):
    assert isinstance(made(name), Adapter)
    assert made(name).method == method_of(name)


def test_base_weights_are_bit_identical_after_training_and_after_detaching(tiny, name):
    before, adapter = weights(tiny.host), made(name)
    host = adapter.attach(tiny.host, seed=0)
    train_a_little(tiny, host, adapter)
    assert same(weights(host), before)
    adapter.detach()
    assert same(weights(tiny.host), before)


def test_only_the_adapters_parameters_train(tiny, name):
    adapter = made(name)
    host = adapter.attach(tiny.host)
    own = {id(parameter) for parameter in adapter.parameters()}
    trainable = [p for module in (host.unet, host.text_encoder) for p in module.parameters() if p.requires_grad]
    assert own
    assert {id(parameter) for parameter in trainable} <= own
    assert all(parameter.dtype == torch.float32 and parameter.requires_grad for parameter in adapter.parameters())
    adapter.detach()
    assert not any(p.requires_grad for module in (tiny.host.unet, tiny.host.text_encoder) for p in module.parameters())


def test_plain_captions_encode_unchanged_while_attached_and_trained(tiny, name):
    before, adapter = text(tiny, tiny.host, PLAIN), made(name)
    host = adapter.attach(tiny.host)
    train_a_little(tiny, host, adapter)
    if adapter.settings.model_dump().get("text_encoder_rank"):  # grafted on the text encoder: at strength 0 only
        assert not torch.allclose(text(tiny, host, PLAIN), before, atol=1e-4)
        adapter.set_scale(0)
    assert torch.allclose(text(tiny, host, PLAIN), before, rtol=0, atol=1e-6 if "everything" in name else 0)
    adapter.detach()
    assert torch.equal(text(tiny, tiny.host, PLAIN), before)


def test_equal_seeds_give_equal_losses_and_other_seeds_do_not(tiny, name):
    losses = []
    for seed in (5, 5, 6):
        adapter = made(name)
        losses.append(train_a_little(tiny, adapter.attach(tiny.host, seed), adapter))
        adapter.detach()
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_attaching_draws_nothing_from_the_global_generator(tiny, name):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    adapter = made(name)
    adapter.attach(tiny.host, seed=4)
    assert torch.equal(torch.rand(3), expected)
    adapter.detach()


def test_training_changes_the_prediction_and_detaching_restores_the_base(tiny, name):
    adapter = made(name)
    caption = adapter.caption(PLAIN[0])
    before = predict(tiny, tiny.host, caption)
    host = adapter.attach(tiny.host)
    train_a_little(tiny, host, adapter)
    assert not torch.equal(predict(tiny, host, caption), before)
    adapter.detach()
    assert torch.equal(predict(tiny, tiny.host, caption), before)
    adapter.detach()  # a second time does no harm


def test_the_state_round_trips(tiny, name):
    adapter = made(name)
    host = adapter.attach(tiny.host, seed=1)
    train_a_little(tiny, host, adapter)
    state, prediction = adapter.state(), predict(tiny, host, adapter.caption(PLAIN[0]))
    adapter.detach()
    other = made(name)
    host = other.attach(tiny.host, seed=2)
    other.load_state(state)
    assert same(other.state(), state)
    assert torch.equal(predict(tiny, host, other.caption(PLAIN[0])), prediction)
    other.detach()


def test_a_state_is_a_copy(tiny, name):
    adapter = made(name)
    host = adapter.attach(tiny.host)
    state = copy.deepcopy(kept := adapter.state())
    train_a_little(tiny, host, adapter)
    assert same(kept, state)
    adapter.detach()


def test_a_state_of_other_names_or_shapes_is_refused(tiny, name):
    adapter = made(name)
    adapter.attach(tiny.host)
    state = adapter.state()
    first = sorted(state)[0]
    with pytest.raises(StudioError, match=f"lacks 1 of {len(state)} expected tensors"):
        adapter.load_state({key: value for key, value in state.items() if key != first})
    with pytest.raises(StudioError, match="1 tensors that have no place here"):
        adapter.load_state({**state, "more": torch.zeros(1)})
    with pytest.raises(StudioError, match="has shape"):
        adapter.load_state({**state, first: torch.zeros(7, 7)})
    adapter.detach()


def test_the_caption_ends_with_the_trigger_once(name):
    adapter = made(name)
    dressed = adapter.caption("Big Ben, London")
    assert dressed.startswith("Big Ben, London, ")
    assert adapter.caption(dressed) == dressed
    assert adapter.caption("Big Ben, London, ") == dressed


def test_trigger_tokens_are_counted_right(tiny, name):
    adapter = made(name)
    host = adapter.attach(tiny.host)
    plain = len(tiny.host.tokenizer("Petra").input_ids)
    dressed = len(host.tokenizer(adapter.caption("Petra")).input_ids)
    assert adapter.trigger_tokens(tiny.host.tokenizer) == dressed - plain
    adapter.detach()


def test_strength_is_linear_from_the_untrained_start(tiny, name):
    """At 0 the prediction is that of the freshly attached adapter, at 1 that of the trained one."""
    adapter = made(name)
    host = adapter.attach(tiny.host, seed=1)
    caption = adapter.caption(PLAIN[0])
    fresh = predict(tiny, host, caption)
    train_a_little(tiny, host, adapter)
    trained = predict(tiny, host, caption)
    seen = []
    for strength in (0.0, 1.0, 0.5):
        adapter.set_scale(strength)
        seen.append(predict(tiny, host, caption))
    assert torch.allclose(seen[0], fresh, atol=1e-6)
    assert torch.equal(seen[1], trained)
    assert not torch.allclose(seen[2], fresh, atol=1e-5)
    assert not torch.allclose(seen[2], trained, atol=1e-5)
    adapter.detach()


def test_a_saved_file_opens_as_the_same_adapter(tiny, name, tmp_path):
    adapter = made(name)
    host = adapter.attach(tiny.host)
    train_a_little(tiny, host, adapter)
    caption = adapter.caption(PLAIN[0])
    prediction, state = predict(tiny, host, caption), adapter.state()
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(to_bytes(adapter, {"adapter": adapter.settings.model_dump(mode="json"), "epoch": 3}))
    adapter.detach()
    assert safetensors_file.recipe_of(path)["epoch"] == 3
    loaded, host = attach_file(path, tiny.host)
    assert loaded.settings == adapter.settings
    assert loaded.method == method_of(name)
    assert same(loaded.state(), state)
    assert torch.equal(predict(tiny, host, caption), prediction)
    loaded.detach()


def test_a_file_that_does_not_fit_leaves_the_host_alone(tiny, name, tmp_path):
    adapter = made(name)
    adapter.attach(tiny.host)
    before = predict(tiny, tiny.host, "a")
    path = tmp_path / "adapter.safetensors"
    wrong = adapter.settings.changed(**WRONG[method_of(name)])
    path.write_bytes(to_bytes(adapter, {"adapter": wrong.model_dump(mode="json")}))
    adapter.detach()
    before = predict(tiny, tiny.host, "a")
    with pytest.raises(StudioError, match=r"has shape|lacks"):
        attach_file(path, tiny.host)
    assert torch.equal(predict(tiny, tiny.host, "a"), before)
    assert not any("lora" in key for key in tiny.host.unet.state_dict())


def test_methods_know_each_others_files_apart(tiny, name, tmp_path):
    adapter = made(name)
    adapter.attach(tiny.host)
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(to_bytes(adapter, {"adapter": adapter.settings.model_dump(mode="json")}))
    adapter.detach()
    shapes, _ = safetensors_file.read_header(path)
    assert [other for other, module in methods().items() if module.recognizes(shapes)] == [method_of(name)]
    assert open_file(path).method == method_of(name)


def test_an_unknown_method_is_named_with_the_known_ones():
    with pytest.raises(StudioError, match=r"^there is no method 'hyper'; known are lora, ti$"):
        method("hyper")
