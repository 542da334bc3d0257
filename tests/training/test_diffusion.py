"""The formulas of training against their definitions, with full values."""

import math

import pytest
import torch

from adapters.methods.lora import LoraSettings
from adapters.settings import StudioError
from ghibli_studio.training.batches import epoch_order
from ghibli_studio.training.diffusion import (
    add_noise,
    alphas_cumprod,
    derived_seed,
    generator,
    min_snr_weight,
    prediction_target,
    sample_timesteps,
)
from ghibli_studio.training.optimizer import learning_rate_at


def test_derived_seeds_are_fixed_and_differ_by_every_part():
    assert derived_seed(0, "step", 0) == derived_seed(0, "step", 0)
    seeds = {
        derived_seed(seed, purpose, index) for seed in (0, 1) for purpose in ("step", "order") for index in (0, 1, 2)
    }
    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_alphas_cumprod_are_those_of_the_scheduler(tiny):
    alpha_bars = alphas_cumprod(tiny)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
    assert torch.allclose(alpha_bars, torch.cumprod(1 - betas, 0))
    assert alpha_bars[0] > 0.999
    assert alpha_bars[-1] < 0.005


@pytest.mark.parametrize(("kind", "mean"), [("uniform", 499.5), ("logit_normal", 500), ("cubic", 750)])
def test_timesteps_have_the_named_distribution(kind, mean):
    steps = sample_timesteps(kind, 200_000, 1000, generator(0, "test", 0))
    assert steps.min() >= 0
    assert steps.max() <= 999
    assert steps.float().mean().item() == pytest.approx(mean, abs=3)
    middle = ((steps > 250) & (steps < 750)).float().mean().item()
    # uniform: half; logit-normal: P(|z| < ln 3) ; cubic: P(u^3 in (1/4, 3/4))
    cubic = 0.75 ** (1 / 3) - 0.25 ** (1 / 3)
    expected = {"uniform": 0.5, "logit_normal": math.erf(math.log(3) / 2**0.5), "cubic": cubic}
    assert middle == pytest.approx(expected[kind], abs=0.01)


def test_min_snr_weights():
    alpha_bar = torch.tensor([0.5, 0.9, 0.1])  # SNR 1, 9, 1/9
    assert min_snr_weight(alpha_bar, None, "epsilon").tolist() == [1, 1, 1]
    assert min_snr_weight(alpha_bar, 5, "epsilon").tolist() == pytest.approx([1, 5 / 9, 1])
    assert min_snr_weight(alpha_bar, 5, "v_prediction").tolist() == pytest.approx([1 / 2, 5 / 10, 1 / 10])


def test_the_velocity_recovers_the_latents_from_the_noisy_ones():
    latents, noise = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    alpha_bar = torch.tensor([0.3, 0.8]).view(-1, 1, 1, 1)
    noisy = add_noise(latents, noise, alpha_bar)
    assert torch.equal(prediction_target(latents, noise, alpha_bar, "epsilon"), noise)
    velocity = prediction_target(latents, noise, alpha_bar, "v_prediction")
    assert torch.allclose(alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * velocity, latents, atol=1e-5)
    with pytest.raises(StudioError, match="supported are epsilon and v_prediction"):
        prediction_target(latents, noise, alpha_bar, "sample")


def test_learning_rates():
    cosine = LoraSettings(learning_rate=2.0, lr_scheduler="cosine")
    assert [learning_rate_at(step, 4, cosine) for step in range(4)] == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5])
    constant = LoraSettings(learning_rate=2.0, lr_scheduler="constant", lr_warmup_steps=3)
    assert [learning_rate_at(step, 6, constant) for step in range(6)] == [0.5, 1, 1.5, 2, 2, 2]


def test_an_epoch_has_every_image_once_in_an_order_of_its_own():
    first, again, second = (epoch_order(10, 4, 7, epoch) for epoch in (1, 1, 2))
    assert first == again
    assert first != second
    assert [len(batch) for batch in first] == [4, 4, 2]
    for batches in (first, second):
        assert sorted(index for batch in batches for index in batch) == list(range(10))
