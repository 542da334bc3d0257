"""The one loop: reproducible, the same for every method, resumable bit for bit; the validation is fixed."""

import dataclasses

import pytest
import torch

from adapters.registry import build, methods
from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.models import base_model, text_encoder
from ghibli_studio.training import loop
from ghibli_studio.training import validation as training_validation
from ghibli_studio.training.batches import Examples, epoch_order
from ghibli_studio.training.diffusion import generator, noise_levels
from ghibli_studio.training.loop import Diverged, Epoch, Step, train
from ghibli_studio.training.optimizer import learning_rate_at
from ghibli_studio.training.validation import Validating, Validation, better, validate

SMALL = {"lora": {"rank": 2}, "ti": {"num_vectors": 2}}


def config(method="lora", **changes):
    return preset("quick", method, **{"train_batch_size": 2, "num_train_epochs": 2, **SMALL[method], **changes})


def examples(tiny, count, dress=str, promptless=""):
    latents = torch.randn((count, *tiny.description.latent_shape), generator=torch.Generator().manual_seed(8))
    return Examples(
        latents,
        [dress(f"landmark {index}, on a hill") for index in range(count)],
        dress(""),
        promptless,
        mirrored=latents.flip(-1),
    )


def run(tiny, chosen, *, after=0, adapter_state=None, optimizer_state=None, rate=None):
    """All events of a training, and the adapter's last state."""
    adapter = build(chosen.method, chosen.adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    if adapter_state:
        adapter.load_state(adapter_state)
    events, states = [], {}
    try:
        for event in train(
            attached,
            adapter,
            examples(tiny, 5, adapter.caption, adapter.unconditional()),
            examples(tiny, 3, adapter.caption),
            chosen,
            finished_epochs=after,
            optimizer_state=optimizer_state,
            rate=rate,
        ):
            events.append(event)
            if isinstance(event, Epoch):
                states[event.epoch] = adapter.state()
    finally:
        adapter.detach()
    return events, states


def steps(events):
    return [(e.epoch, e.step, e.epochs, e.loss, e.learning_rate, e.grad_norm) for e in events if isinstance(e, Step)]


def validations(events):
    return [e.validation for e in events if isinstance(e, Epoch)]


@pytest.mark.parametrize("method", sorted(methods()))
def test_the_same_settings_and_seed_give_the_same_numbers(tiny, method):
    torch.manual_seed(1)
    first, states = run(tiny, config(method))
    torch.manual_seed(2)  # the global generator has no say
    second, again = run(tiny, config(method))
    other, _ = run(tiny, config(method, seed=1))
    assert steps(first) == steps(second)
    assert validations(first) == validations(second)
    assert all(torch.equal(states[2][name], again[2][name]) for name in states[2])
    assert steps(first) != steps(other)


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_resumed_training_goes_on_bit_for_bit(tiny, method):
    whole, states = run(tiny, config(method))
    first = next(e for e in whole if isinstance(e, Epoch) and e.epoch == 1)
    rest, resumed = run(tiny, config(method), after=1, adapter_state=states[1], optimizer_state=first.optimizer_state)
    assert steps(rest) == steps(whole)[3:]
    assert validations(rest) == validations(whole)[2:]
    assert all(torch.equal(states[2][name], resumed[2][name]) for name in states[2])


@pytest.mark.parametrize("method", sorted(methods()))
def test_half_precision_learns_the_same(tiny, tiny_folder, method):
    rough = base_model.load(str(tiny_folder), device="cpu", mixed_precision="bf16")
    exact, half = (run(base, config(method))[0] for base in (tiny, rough))
    assert [e.loss for e in half if isinstance(e, Step)] == pytest.approx(
        [e.loss for e in exact if isinstance(e, Step)], rel=0.05
    )
    for one, other in zip(validations(exact), validations(half)):
        assert one.loss == pytest.approx(other.loss, rel=0.02)
        assert one.loss != other.loss


@pytest.mark.parametrize("method", sorted(methods()))
def test_small_steps_of_an_adapter_are_not_rounded_away(tiny_folder, method):
    """One step at the paper's learning rate changes the prediction in half precision too."""
    rough = base_model.load(str(tiny_folder), device="cpu", mixed_precision="bf16")
    losses = validations(run(rough, config(method, learning_rate=1e-4))[0])
    assert len({validation.loss for validation in losses}) == len(losses) == 3


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_rate_of_its_own_replaces_the_schedule(tiny, method):
    chosen = config(method)
    own, _ = run(tiny, chosen, rate=lambda step: learning_rate_at(step, 6, chosen.adapter))
    assert steps(own) == steps(run(tiny, chosen)[0])
    still, states = run(tiny, chosen, rate=lambda step: 0.0)
    assert {step.learning_rate for step in still if isinstance(step, Step)} == {0.0}
    assert len({validation.loss for validation in validations(still)}) == 1
    assert all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_a_loss_that_is_no_number_is_told_as_divergence(tiny, monkeypatch):
    monkeypatch.setattr(loop, "min_snr_weight", lambda alpha_bar, *rest: alpha_bar * float("nan"))
    with pytest.raises(Diverged, match=r"the loss became nan at step 1; learning_rate .* is too high, try a tenth"):
        run(tiny, config())


def test_events_come_in_order(tiny):
    events, _ = run(tiny, config())
    kinds = [type(event) for event in events]
    validation = [Validating] * 3 + [Epoch]
    assert kinds == validation + [Step] * 3 + validation + [Step] * 3 + validation
    assert [e.epoch for e in events if isinstance(e, Epoch)] == [0, 1, 2]
    assert [e.step for e in events if isinstance(e, Step)] == [1, 2, 3, 4, 5, 6]
    assert [e.epochs for e in events if isinstance(e, Step)] == [1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2]
    assert all(e.images_per_second > 0 and e.peak_memory_bytes > 0 for e in events if isinstance(e, Step))


def seen_by_the_unet(tiny, chosen, monkeypatch):
    """Every input of the UNet but the text, and every input of the loss, call by call."""
    calls = []
    forward = type(tiny.host.unet).forward

    def spy(self, sample, timestep, *arguments, **keywords):
        calls.append((self.training, torch.is_grad_enabled(), sample.clone(), timestep.clone()))
        return forward(self, sample, timestep, *arguments, **keywords)

    monkeypatch.setattr(type(tiny.host.unet), "forward", spy)
    events, _ = run(tiny, chosen)
    monkeypatch.undo()
    return calls, events


def test_both_methods_see_the_same_pictures_noise_time_steps_and_validation(tiny, monkeypatch):
    """Equal footing, call by call: only the text differs."""
    seen = {name: seen_by_the_unet(tiny, config(name), monkeypatch) for name in methods()}
    reference, events = seen.pop("lora")
    assert len(reference) == 6 + 3 * 3
    for calls, other in seen.values():
        assert len(calls) == len(reference)
        for left, right in zip(reference, calls):
            assert left[:2] == right[:2]
            assert torch.equal(left[2], right[2])
            assert torch.equal(left[3], right[3])
        assert [type(event) for event in events] == [type(event) for event in other]


def test_configurations_of_both_methods_differ_only_in_the_adapters_section():
    left, right = (preset("default", name).model_dump() for name in ("lora", "ti"))
    assert left.pop("method") != right.pop("method")
    assert left.pop("adapter") != right.pop("adapter")
    assert left == right


def test_the_validation_is_fixed_and_means_what_it_says(tiny):
    settings = config().training
    some = examples(tiny, 3)
    first, second = (list(validate(tiny, some, settings))[-1] for _ in range(2))
    assert first == second
    assert (len(first.losses), len(first.losses[0])) == (3, 8)
    # one entry by hand
    index, place = 1, 2
    timestep = torch.tensor([settings.validation_timesteps[place]])
    noise = torch.randn((8, *tiny.description.latent_shape), generator=generator(0, "validation", index))
    noise = noise[place : place + 1]
    level = noise_levels(tiny)[timestep].view(-1, 1, 1, 1)
    from ghibli_studio.models.text_encoder import token_ids

    text = text_encoder.text_states(tiny, token_ids(tiny.host, [some.captions[index]], 77))
    with torch.no_grad():
        noisy = level.sqrt() * some.latents[index : index + 1] + (1 - level).sqrt() * noise
        error = (tiny.host.unet(noisy, timestep, text, return_dict=False)[0] - noise).pow(2).mean()
    assert first.losses[index][place] == pytest.approx(error.item(), rel=1e-5)


def test_a_pictures_validation_does_not_depend_on_its_neighbors(tiny):
    settings = config().training
    many = list(validate(tiny, examples(tiny, 3), settings))[-1]
    alone = Examples(examples(tiny, 3).latents[:1], examples(tiny, 3).captions[:1])
    assert list(validate(tiny, alone, settings))[-1].losses[0] == many.losses[0]


def test_means_of_a_validation():
    made = Validation((10, 20), ((1.0, 3.0), (2.0, 6.0)))
    assert made.loss == 3.0
    assert made.per_timestep == (1.5, 4.5)
    assert made.per_picture == (2.0, 4.0)


def test_weights_and_sampling_count_for_the_training_loss_alone(tiny):
    plain, _ = run(tiny, config(snr_gamma=None, timestep_sampling="uniform"))
    weighted, _ = run(tiny, config(snr_gamma=0.1, timestep_sampling="uniform"))
    sampled, _ = run(tiny, config(snr_gamma=None, timestep_sampling="cubic"))
    assert len({steps(events)[0][3] for events in (plain, weighted, sampled)}) == 3
    assert validations(plain)[0] == validations(weighted)[0] == validations(sampled)[0]
    usual, _ = run(tiny, config())
    both, _ = run(tiny, config(snr_gamma=0.1, timestep_sampling="cubic"))
    assert steps(usual) == steps(both)


def test_training_lowers_the_loss_on_what_it_sees(tiny):
    """The same pictures to train and to validate on: a loop with a wrong sign or a dead gradient fails here."""
    chosen = preset("quick", "lora", train_batch_size=4, num_train_epochs=12, rank=8, learning_rate=0.02)
    adapter = build("lora", chosen.adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    some = examples(tiny, 4, adapter.caption)
    losses = [e.validation.loss for e in train(attached, adapter, some, some, chosen) if isinstance(e, Epoch)]
    adapter.detach()
    assert losses[-1] < 0.97 * losses[0]


def test_gradients_are_clipped(tiny):
    events, states = run(tiny, config(max_grad_norm=1e-6))
    free, other = run(tiny, config())
    assert steps(events)[0][5] == steps(free)[0][5]  # the norm told is the one before clipping
    assert any(not torch.equal(states[2][name], other[2][name]) for name in other[2])


def test_a_loss_that_explodes_stops_with_the_way_out(tiny):
    chosen = config("ti", learning_rate=9.0)
    adapter = build("ti", chosen.adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    adapter.parameters()[0].data.fill_(1e38)  # where too high a learning rate ends up
    some = examples(tiny, 4, adapter.caption)
    with pytest.raises(StudioError, match=r"^the loss became \w+ at step 1; learning_rate 9.0 is too high"):
        list(train(attached, adapter, some, some, chosen))
    adapter.detach()


def test_a_ladder_beyond_the_models_time_steps_is_refused(tiny):
    ladder = (50, 150, 250, 400, 550, 700, 850, 1000)
    with pytest.raises(StudioError, match="validation_timesteps ends at 1000; the base model has time steps up to 999"):
        run(tiny, config(validation_timesteps=ladder))


def test_stopping_to_iterate_stops_training(tiny):
    chosen = config()
    adapter = build("lora", chosen.adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    some = examples(tiny, 4, adapter.caption)
    going = train(attached, adapter, some, some, chosen)
    while not isinstance(next(going), Step):
        pass
    state = adapter.state()
    going.close()
    assert all(torch.equal(value, state[name]) for name, value in adapter.state().items())
    adapter.detach()


OPTIONS = {
    "noise_offset": {"noise_offset": 0.1},
    "caption_dropout": {"caption_dropout": 0.5},
    "flip": {"random_flip": True},
    "prompts": {"unconditional_dropout": 0.5},
    "ema": {"ema_decay": 0.9},
    "accumulation": {"gradient_accumulation_steps": 2},
    "checkpointing": {"gradient_checkpointing": True},
    "patience": {"early_stopping_patience": 5},
}


@pytest.mark.parametrize("method", sorted(methods()))
@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_with_every_option_a_resumed_training_goes_on_bit_for_bit(tiny, method, changes):
    whole, states = run(tiny, config(method, **changes))
    first = next(e for e in whole if isinstance(e, Epoch) and e.epoch == 1)
    rest, resumed = run(
        tiny, config(method, **changes), after=1, adapter_state=states[1], optimizer_state=first.optimizer_state
    )
    assert steps(rest) == steps(whole)[len(steps(whole)) // 2 :]
    assert validations(rest) == validations(whole)[2:]
    assert all(torch.equal(states[2][name], resumed[2][name]) for name in states[2])


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_every_option_is_the_same_for_both_methods(tiny, monkeypatch, changes):
    """Equal footing, call by call, whatever is switched on: only the text differs."""
    seen = {name: seen_by_the_unet(tiny, config(name, **changes), monkeypatch)[0] for name in methods()}
    reference = seen.pop("lora")
    for calls in seen.values():
        trained = [[call for call in side if call[0] and call[1]] for side in (reference, calls)]
        assert len(trained[0]) == len(trained[1]) > 0
        for left, right in zip(*trained):
            assert torch.equal(left[2], right[2])
            assert torch.equal(left[3], right[3])


@pytest.mark.parametrize("method", sorted(methods()))
def test_accumulated_batches_are_one_large_batch(tiny, method):
    plain = {"lora_dropout": 0} if method == "lora" else {}
    large, one = run(tiny, config(method, train_batch_size=4, **plain))
    small, other = run(tiny, config(method, gradient_accumulation_steps=2, **plain))
    assert [e.step for e in small if isinstance(e, Step)] == [1, 2, 3, 4]
    for left, right in zip(steps(large), steps(small), strict=True):
        assert left == pytest.approx(right, rel=1e-4)
    assert all(torch.allclose(one[2][name], other[2][name], atol=1e-5) for name in one[2])


@pytest.mark.parametrize("method", sorted(methods()))
def test_keeping_less_and_computing_twice_gives_the_same_numbers(tiny, method):
    usual, _ = run(tiny, config(method))
    again, _ = run(tiny, config(method, gradient_checkpointing=True))
    assert [step[3] for step in steps(again)] == pytest.approx([step[3] for step in steps(usual)], rel=1e-5)
    assert not tiny.host.unet.is_gradient_checkpointing


def test_a_mirrored_picture_is_shown_half_of_the_time(tiny, monkeypatch):
    flipped = config(random_flip=True, noise_offset=0)
    rows = []
    from ghibli_studio.training import batches

    latents = batches.Batches._latents
    monkeypatch.setattr(batches.Batches, "_latents", lambda self, i, flip: rows.append(flip) or latents(self, i, flip))
    run(tiny, flipped)
    assert 0 < sum(rows) < len(rows) == 10
    usual, _ = run(tiny, config())
    turned, _ = run(tiny, flipped)
    assert steps(usual) != steps(turned)
    assert validations(usual)[0] == validations(turned)[0]


def test_dropped_words_leave_the_trigger(tiny, monkeypatch):
    seen = []
    from ghibli_studio.training import batches

    encode = batches.Batches.encode
    monkeypatch.setattr(batches.Batches, "encode", lambda self, rows: seen.append(rows.tolist()) or encode(self, rows))
    chosen = config("ti", caption_dropout=0.6)
    run(tiny, chosen)
    rows = [row for step in seen for row in step]
    assert len(rows) == 10
    assert 5 in rows, "the row behind those of the five captions"
    assert set(rows) - {5}
    adapter = build("ti", chosen.adapter)
    assert examples(tiny, 5, adapter.caption).wordless == adapter.caption("") == "<ghiblivis> <ghiblivis>_1"


@pytest.mark.parametrize(("method", "more"), [("lora", {}), ("ti", {}), ("ti", {"negative_vectors": 2})])
def test_dropped_prompts_train_what_guidance_steers_away_from(tiny, monkeypatch, method, more):
    """The same pictures for every method; they leave nothing of the prompt but a negative word, which learns there."""
    from ghibli_studio.training import batches

    taken, step = [], batches.Batches._step

    def watched(self, *where):
        made = step(self, *where)
        taken.extend(batch.rows.tolist() for batch in made)
        return made

    monkeypatch.setattr(batches.Batches, "_step", watched)
    chosen = config(method, unconditional_dropout=0.5, **more)
    adapter = build(method, chosen.adapter)
    adapter.attach(tiny.host, 1)
    before = adapter.state()
    adapter.detach()
    _, states = run(tiny, chosen)
    assert taken == [[6, 6], [1, 3], [6], [6, 6], [0, 4], [1]]  # 6: behind five captions and the one without words
    assert adapter.unconditional() == ("<ghiblivis-negative> <ghiblivis-negative>_1" if more else "")
    assert all(not torch.equal(states[2][name], before[name]) for name in before if "lora_A" not in name)


def test_a_negative_word_needs_pictures_without_a_prompt():
    with pytest.raises(StudioError, match="unconditional_dropout is 0, and a negative word learns only"):
        config("ti", negative_vectors=2)


def test_noise_offset_moves_whole_pictures(tiny, monkeypatch):
    """The noise of a channel has a mean of its own, and no other draw changes."""
    plain, shifted = (seen_by_the_unet(tiny, config(noise_offset=share), monkeypatch)[0] for share in (0, 1.0))
    for left, right in zip(plain, shifted):
        difference = right[2] - left[2]
        assert torch.equal(left[3], right[3])
        assert difference.std((2, 3)).max() < 1e-5
    trained = [right[2] - left[2] for left, right in zip(plain, shifted) if left[1]]
    assert all(difference.abs().max() > 0.01 for difference in trained)


@pytest.mark.parametrize("method", sorted(methods()))
def test_the_average_is_validated_and_training_goes_on_from_the_parameters(tiny, method):
    """The decay counts up from 1/10 (the first step is taken whole): by hand from the states of an unaveraged run."""
    usual, states = run(tiny, config(method, train_batch_size=5, max_grad_norm=1e6))
    averaged, shadows = run(tiny, config(method, train_batch_size=5, max_grad_norm=1e6, ema_decay=0.9))
    assert steps(usual) == steps(averaged)
    name = next(iter(states[1]))
    torch.testing.assert_close(shadows[1][name], states[1][name])
    decay = 2 / 11
    torch.testing.assert_close(shadows[2][name], decay * states[1][name] + (1 - decay) * states[2][name])
    assert validations(usual)[2] != validations(averaged)[2]


def test_training_stops_when_epochs_are_no_longer_better(tiny, monkeypatch):
    monkeypatch.setattr(training_validation, "better", lambda new, before: False)
    chosen = config(num_train_epochs=9, early_stopping_patience=2)
    events, _ = run(tiny, chosen)
    assert events[-1] == loop.Stopped(2, 2)
    assert [e.epoch for e in events if isinstance(e, Epoch)] == [0, 1, 2]
    last = [e for e in events if isinstance(e, Epoch)][-1]
    again, _ = run(tiny, chosen, after=2, optimizer_state=last.optimizer_state)
    assert again == [loop.Stopped(2, 2)]


@pytest.mark.parametrize(
    ("new", "before", "told"),
    [
        ((1.0, 2.0, 3.0), (1.1, 2.1, 3.11), True),
        ((1.0, 2.0, 3.0), (0.9, 2.2, 3.0), False),
        ((1.0, 2.0, 3.0), (1.0, 2.0, 3.0), False),
        ((1.0,), (1.1,), True),
        ((1.2, 2.1, 3.2), (1.1, 2.0, 3.1), False),
    ],
)
def test_better_is_beyond_chance(new, before, told):
    assert better(new, before) is told


def test_uncut_pictures_of_one_shape_go_together(tiny):
    wide, tall = torch.randn(3, 4, 8, 16), torch.randn(2, 4, 16, 8)
    adapter = build("lora", config().adapter)
    attached = dataclasses.replace(tiny, host=adapter.attach(tiny.host, 1))
    some = examples(tiny, 5, adapter.caption)
    mixed = dataclasses.replace(some, latents=[*wide, *tall])
    events = list(train(attached, adapter, mixed, examples(tiny, 2, adapter.caption), config()))
    adapter.detach()
    assert [e.step for e in events if isinstance(e, Step)] == [1, 2, 3, 4, 5, 6]
    assert [e.epochs for e in events if isinstance(e, Step)][2] == 1


def test_an_order_of_shapes_takes_every_picture_once():
    shapes = ["a", "b", "a", "b", "b", "a", "a"]
    for epoch in (1, 2):
        order = epoch_order(7, 2, 0, epoch, shapes)
        assert sorted(index for batch in order for index in batch) == list(range(7))
        assert sorted(len(batch) for batch in order) == [1, 2, 2, 2]
        assert all(len({shapes[index] for index in batch}) == 1 for batch in order)
    assert epoch_order(7, 2, 0, 1, shapes) != epoch_order(7, 2, 0, 2, shapes)
    assert epoch_order(7, 2, 0, 1, ["a"] * 7) == epoch_order(7, 2, 0, 1)


@pytest.mark.parametrize("method", sorted(methods()))
def test_compiled_the_numbers_stay(tiny, method, monkeypatch):
    """Traced by torch.compile; its own code generator, which takes minutes, is left to PyTorch's tests."""
    compiled = []
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda module: compiled.append(module) or compile_module(module, backend="eager")
    )
    chosen = {"num_train_epochs": 1, "train_batch_size": 5}
    usual, _ = run(tiny, config(method, **chosen))
    traced, _ = run(tiny, config(method, compile=True, **chosen))
    assert compiled == [tiny.host.unet]
    assert [step[3] for step in steps(traced)] == pytest.approx([step[3] for step in steps(usual)], rel=1e-5)
    assert tiny.host.unet._compiled_call_impl is None
