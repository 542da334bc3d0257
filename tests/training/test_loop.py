"""The training loop: reproducible, the same for every method, and resumable bit for bit; validation is fixed."""

import dataclasses

import pytest
import torch

from adapters.registry import build, methods
from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.models import base_model, text_encoder
from ghibli_studio.models.text_encoder import token_ids
from ghibli_studio.training import batches, loop
from ghibli_studio.training import validation as training_validation
from ghibli_studio.training.batches import Examples, epoch_order
from ghibli_studio.training.diffusion import alphas_cumprod, generator
from ghibli_studio.training.loop import Diverged, Epoch, Step, train
from ghibli_studio.training.optimizer import learning_rate_at
from ghibli_studio.training.validation import Validation, ValidationProgress, is_improvement, validate

SMALL = {"lora": {"rank": 2}, "ti": {"num_vectors": 2}}
OPTIONS = {
    "noise_offset": {"noise_offset": 0.1},
    "caption_dropout": {"caption_dropout": 0.5},
    "flip": {"random_flip": True},
    "unconditional_dropout": {"unconditional_dropout": 0.5},
    "ema": {"ema_decay": 0.9},
    "accumulation": {"gradient_accumulation_steps": 2},
    "checkpointing": {"gradient_checkpointing": True},
    "early_stopping": {"early_stopping_patience": 5},
}


def config(method="lora", **changes):
    return preset("quick", method, **{"train_batch_size": 2, "num_train_epochs": 2, **SMALL[method], **changes})


def examples(tiny, count, format_prompt=str, unconditional=""):
    latents = torch.randn((count, *tiny.description.latent_shape), generator=torch.Generator().manual_seed(8))
    return Examples(
        latents,
        [format_prompt(f"landmark {index}, on a hill") for index in range(count)],
        format_prompt(""),
        unconditional,
        mirrored=latents.flip(-1),
    )


def run(tiny, chosen, *, after=0, adapter_state=None, optimizer_state=None, lr_schedule=None):
    """All events of a training run, and the adapter's state after each epoch."""
    adapter = build(chosen.method, chosen.adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    if adapter_state:
        adapter.load_state(adapter_state)
    events, states = [], {}
    try:
        for event in train(
            attached,
            adapter,
            examples(tiny, 5, adapter.format_prompt, adapter.unconditional()),
            examples(tiny, 3, adapter.format_prompt),
            chosen,
            finished_epochs=after,
            optimizer_state=optimizer_state,
            lr_schedule=lr_schedule,
        ):
            events.append(event)
            if isinstance(event, Epoch):
                states[event.epoch] = adapter.state()
    finally:
        adapter.detach()
    return events, states


@pytest.fixture(scope="module")
def trained(tiny):
    """`trained(method, **changes)` returns the UNet's inputs call by call, the events and the states; trained once.

    The inputs are all but the text: (training, gradients on, sample, timestep).
    """
    results = {}

    def result(method="lora", **changes):
        key = (method, repr(changes))
        if key not in results:
            calls = []
            forward = type(tiny.host.unet).forward

            def spy(self, sample, timestep, *arguments, **keywords):
                calls.append((self.training, torch.is_grad_enabled(), sample.clone(), timestep.clone()))
                return forward(self, sample, timestep, *arguments, **keywords)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(type(tiny.host.unet), "forward", spy)
                results[key] = (calls, *run(tiny, config(method, **changes)))
        return results[key]

    return result


def steps(events):
    return [(e.epoch, e.step, e.epochs, e.loss, e.learning_rate, e.grad_norm) for e in events if isinstance(e, Step)]


def losses(events):
    return [event.loss for event in events if isinstance(event, Step)]


def validations(events):
    return [e.validation for e in events if isinstance(e, Epoch)]


@pytest.mark.parametrize("method", sorted(methods()))
def test_the_same_settings_and_seed_give_the_same_numbers(tiny, trained, method):
    torch.manual_seed(1)
    _, first, states = trained(method)
    torch.manual_seed(2)  # the global generator must have no effect
    second, again = run(tiny, config(method))
    other, _ = run(tiny, config(method, seed=1, num_train_epochs=1))
    assert steps(first) == steps(second)
    assert validations(first) == validations(second)
    assert all(torch.equal(states[2][name], again[2][name]) for name in states[2])
    assert losses(first)[:3] != losses(other)


@pytest.mark.parametrize("method", sorted(methods()))
@pytest.mark.parametrize("changes", [{}, *OPTIONS.values()], ids=["none", *OPTIONS])
def test_with_every_option_a_resumed_run_continues_bit_for_bit(tiny, trained, method, changes):
    _, complete, states = trained(method, **changes)
    first = next(e for e in complete if isinstance(e, Epoch) and e.epoch == 1)
    rest, resumed = run(
        tiny, config(method, **changes), after=1, adapter_state=states[1], optimizer_state=first.optimizer_state
    )
    assert steps(rest) == steps(complete)[len(steps(complete)) // 2 :]
    assert len(steps(rest)) == (2 if "gradient_accumulation_steps" in changes else 3)
    assert validations(rest) == validations(complete)[2:]
    assert all(torch.equal(states[2][name], resumed[2][name]) for name in states[2])


@pytest.mark.parametrize("method", sorted(methods()))
def test_half_precision_learns_the_same(trained, tiny_folder, method):
    half_base = base_model.load(str(tiny_folder), device="cpu", mixed_precision="bf16")
    exact, (half, _) = trained(method)[1], run(half_base, config(method))
    assert losses(half) == pytest.approx(losses(exact), rel=0.05)
    for full_precision, half_precision in zip(validations(exact), validations(half)):
        assert full_precision.loss == pytest.approx(half_precision.loss, rel=0.02)
        assert full_precision.loss != half_precision.loss


@pytest.mark.parametrize("method", sorted(methods()))
def test_small_steps_of_an_adapter_are_not_rounded_away(tiny_folder, method):
    """One step at the paper's learning rate changes the prediction in half precision too."""
    half_base = base_model.load(str(tiny_folder), device="cpu", mixed_precision="bf16")
    measured = validations(run(half_base, config(method, learning_rate=1e-4))[0])
    assert len({validation.loss for validation in measured}) == len(measured) == 3


@pytest.mark.parametrize("method", sorted(methods()))
def test_an_lr_schedule_replaces_the_configured_one(tiny, trained, method):
    chosen = config(method)
    own, _ = run(tiny, chosen, lr_schedule=lambda step: learning_rate_at(step, 6, chosen.adapter))
    assert steps(own) == steps(trained(method)[1])
    still, states = run(tiny, chosen, lr_schedule=lambda step: 0.0)
    assert {step.learning_rate for step in still if isinstance(step, Step)} == {0.0}
    assert len({validation.loss for validation in validations(still)}) == 1
    assert all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_a_loss_that_is_not_finite_is_reported_as_divergence(tiny, monkeypatch):
    monkeypatch.setattr(loop, "min_snr_weight", lambda alpha_bar, *rest: alpha_bar * float("nan"))
    with pytest.raises(Diverged, match=r"the loss became nan at step 1; learning_rate .* is too high, try a tenth"):
        run(tiny, config())


def test_events_come_in_order(trained):
    _, events, _ = trained()
    kinds = [type(event) for event in events]
    validation = [ValidationProgress] * 3 + [Epoch]
    assert kinds == validation + [Step] * 3 + validation + [Step] * 3 + validation
    assert [e.epoch for e in events if isinstance(e, Epoch)] == [0, 1, 2]
    assert [e.step for e in events if isinstance(e, Step)] == [1, 2, 3, 4, 5, 6]
    assert [e.epochs for e in events if isinstance(e, Step)] == [1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2]
    assert all(e.images_per_second > 0 and e.peak_memory_bytes > 0 for e in events if isinstance(e, Step))


def test_both_methods_see_the_same_images_noise_timesteps_and_validation(trained):
    """Equal footing, call by call: only the text differs."""
    seen = {name: trained(name)[:2] for name in methods()}
    reference, events = seen.pop("lora")
    assert len(reference) == 6 + 3 * 3
    for calls, other in seen.values():
        assert len(calls) == len(reference)
        for left, right in zip(reference, calls):
            assert left[:2] == right[:2]
            assert torch.equal(left[2], right[2])
            assert torch.equal(left[3], right[3])
        assert [type(event) for event in events] == [type(event) for event in other]


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_every_option_is_the_same_for_both_methods(trained, changes):
    """Equal footing, call by call, with every option: only the text differs."""
    seen = {name: trained(name, **changes)[0] for name in methods()}
    reference = seen.pop("lora")
    for calls in seen.values():
        training = [[call for call in side if call[0] and call[1]] for side in (reference, calls)]
        assert len(training[0]) == len(training[1]) > 0
        for left, right in zip(*training):
            assert torch.equal(left[2], right[2])
            assert torch.equal(left[3], right[3])


def test_configurations_of_both_methods_differ_only_in_the_adapter_section():
    left, right = (preset("default", name).model_dump() for name in ("lora", "ti"))
    assert left.pop("method") != right.pop("method")
    assert left.pop("adapter") != right.pop("adapter")
    assert left == right


def test_the_validation_is_fixed_and_its_losses_can_be_computed_by_hand(tiny):
    settings = config().training
    some = examples(tiny, 3)
    first, second = (list(validate(tiny, some, settings))[-1] for _ in range(2))
    assert first == second
    assert (len(first.losses), len(first.losses[0])) == (3, 8)
    image, column = 1, 2
    timestep = torch.tensor([settings.validation_timesteps[column]])
    noise = torch.randn((8, *tiny.description.latent_shape), generator=generator(0, "validation", image))
    noise = noise[column : column + 1]
    alpha_bar = alphas_cumprod(tiny)[timestep].view(-1, 1, 1, 1)
    text = text_encoder.text_states(tiny, token_ids(tiny.host, [some.captions[image]], 77))
    with torch.no_grad():
        noisy = alpha_bar.sqrt() * some.latents[image : image + 1] + (1 - alpha_bar).sqrt() * noise
        error = (tiny.host.unet(noisy, timestep, text, return_dict=False)[0] - noise).pow(2).mean()
    assert first.losses[image][column] == pytest.approx(error.item(), rel=1e-5)


def test_the_validation_of_an_image_does_not_depend_on_other_images(tiny):
    settings = config().training
    many = list(validate(tiny, examples(tiny, 3), settings))[-1]
    alone = Examples(examples(tiny, 3).latents[:1], examples(tiny, 3).captions[:1])
    assert list(validate(tiny, alone, settings))[-1].losses[0] == many.losses[0]


def test_means_of_a_validation():
    validation = Validation((10, 20), ((1.0, 3.0), (2.0, 6.0)))
    assert validation.loss == 3.0
    assert validation.per_timestep == (1.5, 4.5)
    assert validation.per_image == (2.0, 4.0)


def test_weights_and_sampling_affect_only_the_training_loss(tiny, trained):
    one_epoch = {"num_train_epochs": 1}
    plain, _ = run(tiny, config(snr_gamma=None, timestep_sampling="uniform", **one_epoch))
    weighted, _ = run(tiny, config(snr_gamma=0.1, timestep_sampling="uniform", **one_epoch))
    sampled, _ = run(tiny, config(snr_gamma=None, timestep_sampling="cubic", **one_epoch))
    assert len({losses(events)[0] for events in (plain, weighted, sampled)}) == 3
    assert validations(plain)[0] == validations(weighted)[0] == validations(sampled)[0]
    both, _ = run(tiny, config(snr_gamma=0.1, timestep_sampling="cubic"))
    assert steps(trained()[1]) == steps(both)


def test_training_lowers_the_loss_on_its_training_images(tiny):
    """The same images for training and validation: a loop with a wrong sign or a dead gradient fails here."""
    chosen = preset("quick", "lora", train_batch_size=4, num_train_epochs=12, rank=8, learning_rate=0.02)
    adapter = build("lora", chosen.adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    some = examples(tiny, 4, adapter.format_prompt)
    measured = [e.validation.loss for e in train(attached, adapter, some, some, chosen) if isinstance(e, Epoch)]
    adapter.detach()
    assert measured[-1] < 0.97 * measured[0]


def test_gradients_are_clipped(tiny, trained):
    events, states = run(tiny, config(max_grad_norm=1e-6))
    _, unclipped, other = trained()
    assert steps(events)[0][5] == steps(unclipped)[0][5]  # the norm before clipping
    assert any(not torch.equal(states[2][name], other[2][name]) for name in other[2])


def test_a_loss_that_explodes_stops_the_run_with_advice(tiny):
    chosen = config("ti", learning_rate=9.0)
    adapter = build("ti", chosen.adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    adapter.parameters()[0].data.fill_(1e38)  # where too high a learning rate leads
    some = examples(tiny, 4, adapter.format_prompt)
    with pytest.raises(StudioError, match=r"^the loss became \w+ at step 1; learning_rate 9.0 is too high"):
        list(train(attached, adapter, some, some, chosen))
    adapter.detach()


def test_validation_timesteps_beyond_the_models_last_one_are_refused(tiny):
    timesteps = (50, 150, 250, 400, 550, 700, 850, 1000)
    with pytest.raises(StudioError) as caught:
        run(tiny, config(validation_timesteps=timesteps))
    assert str(caught.value) == (
        "validation_timesteps ends at 1000; the base model's last timestep is 999, so choose timesteps up to that"
    )


def test_to_stop_iterating_stops_training(tiny):
    chosen = config()
    adapter = build("lora", chosen.adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    some = examples(tiny, 4, adapter.format_prompt)
    events = train(attached, adapter, some, some, chosen)
    while not isinstance(next(events), Step):
        pass
    state = adapter.state()
    events.close()
    assert not tiny.host.unet.training
    assert all(torch.equal(value, state[name]) for name, value in adapter.state().items())
    adapter.detach()


@pytest.mark.parametrize("method", sorted(methods()))
def test_accumulated_batches_equal_one_large_batch(tiny, method):
    no_dropout = {"lora_dropout": 0} if method == "lora" else {}
    large, large_states = run(tiny, config(method, train_batch_size=4, **no_dropout))
    small, small_states = run(tiny, config(method, gradient_accumulation_steps=2, **no_dropout))
    assert [e.step for e in small if isinstance(e, Step)] == [1, 2, 3, 4]
    for left, right in zip(steps(large), steps(small), strict=True):
        assert left == pytest.approx(right, rel=1e-4)
    assert all(torch.allclose(large_states[2][name], small_states[2][name], atol=1e-5) for name in large_states[2])


@pytest.mark.parametrize("method", sorted(methods()))
def test_gradient_checkpointing_gives_the_same_numbers(tiny, trained, method):
    _, checkpointed, _ = trained(method, **OPTIONS["checkpointing"])
    assert losses(checkpointed) == pytest.approx(losses(trained(method)[1]), rel=1e-5)
    assert not tiny.host.unet.is_gradient_checkpointing


def test_an_image_is_mirrored_half_of_the_time(tiny, trained, monkeypatch):
    flipped = config(random_flip=True, noise_offset=0)
    flips = []
    latents = batches.Batches._latents
    monkeypatch.setattr(batches.Batches, "_latents", lambda self, i, flip: flips.append(flip) or latents(self, i, flip))
    mirrored, _ = run(tiny, flipped)
    assert 0 < sum(flips) < len(flips) == 10
    _, usual, _ = trained()
    assert steps(usual) != steps(mirrored)
    assert validations(usual)[0] == validations(mirrored)[0]


def test_a_dropped_caption_leaves_the_trigger(tiny, monkeypatch):
    seen = []
    encode = batches.Batches.encode
    monkeypatch.setattr(batches.Batches, "encode", lambda self, rows: seen.append(rows.tolist()) or encode(self, rows))
    chosen = config("ti", caption_dropout=0.6)
    run(tiny, chosen)
    rows = [row for step in seen for row in step]
    assert len(rows) == 10
    assert 5 in rows, "the row after those of the five captions"
    assert set(rows) - {5}
    adapter = build("ti", chosen.adapter)
    formatted = adapter.format_prompt
    assert examples(tiny, 5, formatted).trigger_only == formatted("") == "<ghiblivis> <ghiblivis>_1"


@pytest.mark.parametrize(("method", "more"), [("lora", {}), ("ti", {}), ("ti", {"negative_vectors": 2})])
def test_dropped_prompts_train_what_guidance_steers_away_from(tiny, monkeypatch, method, more):
    """The same images for every method; a dropped prompt is empty, or the negative word, which learns from it."""
    seen, step = [], batches.Batches._step

    def recorded_step(self, *arguments):
        result = step(self, *arguments)
        seen.extend(batch.caption_indices.tolist() for batch in result)
        return result

    monkeypatch.setattr(batches.Batches, "_step", recorded_step)
    chosen = config(method, unconditional_dropout=0.5, **more)
    adapter = build(method, chosen.adapter)
    adapter.attach(tiny.host, 1)
    before = adapter.state()
    adapter.detach()
    _, states = run(tiny, chosen)
    assert seen == [[6, 6], [1, 3], [6], [6, 6], [0, 4], [1]]  # 6: after five captions and the trigger alone
    assert adapter.unconditional() == ("<ghiblivis-negative> <ghiblivis-negative>_1" if more else "")
    assert all(not torch.equal(states[2][name], before[name]) for name in before if "lora_A" not in name)


def test_a_negative_word_needs_images_without_a_prompt():
    with pytest.raises(StudioError, match="unconditional_dropout is 0, but a negative word learns only"):
        config("ti", negative_vectors=2)


def test_noise_offset_shifts_entire_images(trained):
    """The noise of a channel gets a mean of its own, and no other random number changes."""
    plain, shifted = (trained(noise_offset=offset)[0] for offset in (0, 1.0))
    for left, right in zip(plain, shifted):
        difference = right[2] - left[2]
        assert torch.equal(left[3], right[3])
        assert difference.std((2, 3)).max() < 1e-5
    training = [right[2] - left[2] for left, right in zip(plain, shifted) if left[1]]
    assert all(difference.abs().max() > 0.01 for difference in training)


@pytest.mark.parametrize("method", sorted(methods()))
def test_the_average_is_validated_and_training_continues_from_the_raw_parameters(tiny, method):
    """The decay grows from 1/10 (the first step counts fully): by hand from the states of a run without EMA."""
    usual, states = run(tiny, config(method, train_batch_size=5, max_grad_norm=1e6))
    averaged, ema_states = run(tiny, config(method, train_batch_size=5, max_grad_norm=1e6, ema_decay=0.9))
    assert steps(usual) == steps(averaged)
    name = next(iter(states[1]))
    torch.testing.assert_close(ema_states[1][name], states[1][name])
    decay = 2 / 11
    torch.testing.assert_close(ema_states[2][name], decay * states[1][name] + (1 - decay) * states[2][name])
    assert validations(usual)[2] != validations(averaged)[2]


def test_training_stops_when_epochs_no_longer_improve(tiny, monkeypatch):
    monkeypatch.setattr(training_validation, "is_improvement", lambda new, before: False)
    chosen = config(num_train_epochs=9, early_stopping_patience=2)
    events, _ = run(tiny, chosen)
    assert events[-1] == loop.StoppedEarly(2, 2)
    assert [e.epoch for e in events if isinstance(e, Epoch)] == [0, 1, 2]
    last = [e for e in events if isinstance(e, Epoch)][-1]
    again, _ = run(tiny, chosen, after=2, optimizer_state=last.optimizer_state)
    assert again == [loop.StoppedEarly(2, 2)]


@pytest.mark.parametrize(
    ("new", "before", "expected"),
    [
        ((1.0, 2.0, 3.0), (1.1, 2.1, 3.11), True),
        ((1.0, 2.0, 3.0), (0.9, 2.2, 3.0), False),
        ((1.0, 2.0, 3.0), (1.0, 2.0, 3.0), False),
        ((1.0,), (1.1,), True),
        ((1.2, 2.2, 3.3), (1.1, 2.0, 3.0), False),
    ],
)
def test_an_improvement_is_significant(new, before, expected):
    assert is_improvement(new, before) is expected


def test_images_of_one_aspect_ratio_are_batched_together(tiny):
    wide, tall = torch.randn(3, 4, 8, 16), torch.randn(2, 4, 16, 8)
    adapter = build("lora", config().adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    some = examples(tiny, 5, adapter.format_prompt)
    mixed = dataclasses.replace(some, latents=[*wide, *tall])
    events = list(train(attached, adapter, mixed, examples(tiny, 2, adapter.format_prompt), config()))
    adapter.detach()
    assert [e.step for e in events if isinstance(e, Step)] == [1, 2, 3, 4, 5, 6]
    assert [e.epochs for e in events if isinstance(e, Step)][2] == 1


def test_an_order_by_shape_has_every_image_once():
    shapes = ["a", "b", "a", "b", "b", "a", "a"]
    for epoch in (1, 2):
        order = epoch_order(7, 2, 0, epoch, shapes)
        assert sorted(index for batch in order for index in batch) == list(range(7))
        assert sorted(len(batch) for batch in order) == [1, 2, 2, 2]
        assert all(len({shapes[index] for index in batch}) == 1 for batch in order)
    assert epoch_order(7, 2, 0, 1, shapes) != epoch_order(7, 2, 0, 2, shapes)
    assert epoch_order(7, 2, 0, 1, ["a"] * 7) == epoch_order(7, 2, 0, 1)


@pytest.mark.parametrize("method", sorted(methods()))
def test_compilation_gives_the_same_numbers(tiny, method, monkeypatch):
    """Traced by torch.compile; its code generator, which takes minutes, is left to PyTorch's own tests."""
    compiled = []
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda module: compiled.append(module) or compile_module(module, backend="eager")
    )
    chosen = {"num_train_epochs": 1, "train_batch_size": 5}
    usual, _ = run(tiny, config(method, **chosen))
    traced, _ = run(tiny, config(method, compile=True, **chosen))
    assert compiled == [tiny.host.unet]
    assert losses(traced) == pytest.approx(losses(usual), rel=1e-5)
    assert tiny.host.unet._compiled_call_impl is None
