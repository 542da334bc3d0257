"""The training stages: tokenizer, losses, schedules, architectures, and resumable loops."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.pretraining import pipeline as pretraining_pipeline
from ghibli_studio.pretraining.checkpoint import Budget, Training
from ghibli_studio.pretraining.loop import duration, image_batches, learning_rate
from ghibli_studio.pretraining.run import Run
from ghibli_studio.pretraining.settings import QUICK, Settings
from ghibli_studio.pretraining.stages import autoencoder, clip, style_teacher, tokenizer, unet


def test_the_tokenizer_decodes_what_it_encoded(interrupted_run):
    trained = Run(QUICK, interrupted_run.out).tokenizer()
    text = "eiffel tower, paris, france, at night, ghibli style"
    ids = tokenizer.token_ids(trained, [[text, "Petra"], ["Taj Mahal", "é 東京"]])
    assert ids.shape == (2, 2, 77)
    assert trained.decode(ids[0, 0], skip_special_tokens=True).replace(" ,", ",") == text
    assert trained.decode(ids[1, 1], skip_special_tokens=True) == "é 東京"
    assert (ids[..., 0] == trained.bos_token_id).all()
    assert (ids[..., -1] == trained.eos_token_id).all()
    assert tokenizer.empty_ids(trained).shape == (1, 77)
    assert trained.convert_tokens_to_ids(["!", "!</w>", "<|startoftext|>", "<|endoftext|>"]) == [
        0,
        256,
        len(trained) - 2,
        len(trained) - 1,
    ]


def test_the_learning_rate_rises_linearly_and_falls_on_a_cosine():
    assert [learning_rate(done, 1.0) for done in (0, 0.02, 0.04, 1, 2)] == [0, 0.5, 1, 0.03, 0.03]
    assert learning_rate(0.52, 1.0) == pytest.approx(0.515)
    assert learning_rate(0.52, 5e-4) == pytest.approx(2.575e-4)


def test_durations_are_formatted():
    assert [duration(seconds) for seconds in (0, 89, 90, 3000, 7500)] == ["0 s", "89 s", "2 min", "50 min", "2 h 5 min"]


def test_losses_equal_their_formulas():
    import torch

    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    # error 0, 1, .. 7: mean 3.5 at every size; slope 1, 2, 4 across and 0 down
    assert autoencoder.pyramid_loss(ramp, torch.zeros(1, 1, 8, 8)).item() == pytest.approx(3 * 3.5 + 0.5 * (1 + 2 + 4))
    assert autoencoder.kl_divergence(torch.zeros(4), torch.zeros(4)).item() == 0
    assert autoencoder.kl_divergence(torch.tensor([2.0]), torch.zeros(1)).item() == 2
    assert unet.min_snr_weight(torch.tensor([0.5, 0.9])).tolist() == pytest.approx([1, 5 / 9])
    assert clip.contrastive_loss(torch.zeros(4, 4)).item() == pytest.approx(np.log(4))


def test_the_architectures_equal_those_of_the_published_weights():
    """Except for two changes: eight latent channels, and an innermost level of the autoencoder of 160."""
    from transformers import CLIPTokenizer

    def published(part: str) -> dict:
        return json.loads((WEIGHTS / part / "config.json").read_text())

    published_tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "base" / "tokenizer", local_files_only=True)
    old_settings = Settings(latent_channels=4)
    built = {
        "base/unet": dict(unet.build(old_settings).config),
        "base/vae": dict(autoencoder.build(old_settings).config),
        "clip": clip.build(published_tokenizer).config.to_dict(),
    }
    assert list(built["base/vae"].pop("block_out_channels")) == [32, 64, 128, 160]
    ignored = {"_class_name", "_diffusers_version", "scaling_factor", "architectures", "dtype", "transformers_version"}
    for part, config in built.items():
        for key in published(part).keys() & config.keys() - ignored:
            expected, actual = published(part)[key], config[key]
            if isinstance(expected, dict):
                actual = {inner: actual[inner] for inner in expected if inner not in ignored}
                expected = {inner: value for inner, value in expected.items() if inner not in ignored}
            assert (list(actual) if isinstance(actual, tuple) else actual) == expected, (part, key)
    assert (
        dict(unet.scheduler().config).items()
        >= {
            key: value
            for key, value in json.loads((WEIGHTS / "base/scheduler/scheduler_config.json").read_text()).items()
            if key not in ignored
        }.items()
    )


@pytest.mark.parametrize(("factor", "channels"), [(8, 4), (8, 8), (4, 4)])
def test_autoencoder_and_unet_accept_every_latent_shape(factor, channels):
    import torch

    settings = replace(QUICK, latent_factor=factor, latent_channels=channels)
    with torch.no_grad():
        latents = autoencoder.build(settings).encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean
        assert latents.shape == (1, channels, settings.latent_size, settings.latent_size)
        prediction = unet.build(settings)(latents, 500, torch.zeros(1, 77, 256)).sample
    assert prediction.shape == latents.shape


def test_clip_uses_few_images_at_first_and_all_in_the_second_half():
    allowed = clip.growing_subset(50_000, 512, 1_800)
    assert (allowed(0), allowed(449), allowed(899), allowed(1799)) == (2048, 25_000, 50_000, 50_000)


@pytest.mark.parametrize(
    ("stage", "make", "loop", "weights"),
    [
        ("clip", pretraining_pipeline.make_clip, clip, "model.safetensors"),
        ("autoencoder", pretraining_pipeline.make_autoencoder, autoencoder, "diffusion_pytorch_model.safetensors"),
        ("denoiser", pretraining_pipeline.make_denoiser, unet, "diffusion_pytorch_model.safetensors"),
        ("teacher", pretraining_pipeline.make_teacher, style_teacher, "pytorch_lora_weights.safetensors"),
    ],
)
def test_a_resumed_stage_equals_an_uninterrupted_one(
    interrupted_run, tmp_path, monkeypatch, stage, make, loop, weights
):
    """Interrupted in its third step, after two checkpoints: the same weights bit for bit, without repeating steps."""
    from safetensors.torch import load_file

    run, steps = Run(QUICK, interrupted_run.out, checkpoint_seconds=0), []

    def rate(done: float, peak: float) -> float:
        if len(steps) == 2:
            raise KeyboardInterrupt
        steps.append(done)
        return learning_rate(done, peak)

    monkeypatch.setattr(loop, "learning_rate", rate)
    with pytest.raises(KeyboardInterrupt):
        make(run, tmp_path)
    assert run.checkpoint(stage).is_file()
    monkeypatch.setattr(loop, "learning_rate", lambda done, peak: steps.append(done) or learning_rate(done, peak))
    make(run, tmp_path)
    run.checkpoint(stage).unlink()
    total = getattr(QUICK, f"{stage}_steps")
    assert steps == [number / total for number in range(total)]
    uninterrupted = interrupted_run.out / ("style_teacher" if stage == "teacher" else f"stages/{stage}") / weights
    resumed, expected = load_file(tmp_path / weights), load_file(uninterrupted)
    assert resumed.keys() == expected.keys()
    assert [name for name in expected if not resumed[name].equal(expected[name])] == []


def test_a_checkpoint_keeps_parameters_moments_and_time(tmp_path):
    import torch

    def training() -> tuple[Training, torch.Tensor]:
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.AdamW([weight], lr=0.1)
        return Training(
            tmp_path / "c.safetensors", {"model": [weight]}, {"optimizer": optimizer}, Budget(6), 1, every=0
        ), weight

    def train(training: Training, weight: torch.Tensor, until: int) -> list[int]:
        steps = []
        for step, _ in training.steps():
            if step == until:
                break
            steps.append(step)
            training.optimizers["optimizer"].zero_grad()
            (weight * torch.rand(3)).sum().backward()
            training.optimizers["optimizer"].step()
        return steps

    full, weight = training()
    assert train(full, weight, 6) == [0, 1, 2, 3, 4, 5]
    expected = weight.detach().clone()
    (tmp_path / "c.safetensors").unlink()
    assert train(*training(), 4) == [0, 1, 2, 3]
    second, weight = training()
    assert second.first == 4
    assert second.budget.spent > 0
    assert train(second, weight, 6) == [4, 5]
    assert torch.equal(weight, expected)


def test_a_budget_is_limited_by_steps_or_seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert [Budget(4).done(step) for step in (0, 1, 4, 9)] == [0, 0.25, 1, 1]
    bounded = Budget(1000, seconds=20, spent=5, began=100.0)
    assert bounded.done(0) == 0.25
    now[0] = 110.0
    assert (bounded.done(10), bounded.elapsed()) == (0.75, 15)
    now[0] = 130.0
    assert bounded.done(10) == 1


def test_timesteps_are_biased_toward_the_noisy_end():
    import torch

    torch.manual_seed(0)
    uniform, noisy = (unet.sample_timesteps(20_000, share, torch.device("cpu")) for share in (0.0, 1.0))
    assert (uniform >= 875).float().mean() == pytest.approx(0.125, abs=0.01)
    assert (noisy >= 875).float().mean() == pytest.approx(0.5, abs=0.015)
    assert (int(noisy.min()) >= 0, int(noisy.max()), int(uniform.max())) == (True, 999, 999)


def test_an_error_on_an_outline_has_a_higher_loss_than_one_beside_it():
    import torch

    true = torch.zeros(1, 3, 32, 32)
    true[..., 16] = 1
    on_outline, beside = true.clone(), true.clone()
    on_outline[..., 16] -= 0.5
    beside[..., 5] += 0.5
    assert autoencoder.edge_loss(true, true) == 0
    assert autoencoder.edge_loss(beside, true) == 0
    assert autoencoder.edge_loss(on_outline, true) == pytest.approx(autoencoder.STRONGEST_EDGE * 0.5 / 32)


def test_the_clip_distance_grows_with_the_change(interrupted_run):
    import torch

    run = Run(QUICK, interrupted_run.out)
    true = torch.from_numpy(run.training_images().images[:2].copy()).permute(0, 3, 1, 2) / 127.5 - 1
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        none, little, much = (clip.distance(run.clip(), true + share * noise, true) for share in (0, 0.1, 0.6))
    assert none.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert (little < much).all()
    assert (little > 1e-4).all()


def test_batches_do_not_depend_on_the_speed_of_the_readers():
    images = np.arange(40, dtype=np.uint8).repeat(12).reshape(40, 2, 2, 3)
    first, again = (
        [
            (rows.tolist(), images_of_batch)
            for (rows, images_of_batch), _ in zip(
                image_batches(images, lambda _: np.arange(10, 40), batch=4, first=0, seed=1, device="cpu"), range(9)
            )
        ]
        for _ in range(2)
    )
    assert [rows for rows, _ in first] == [rows for rows, _ in again]
    later = image_batches(images, lambda _: np.arange(10, 40), batch=4, first=5, seed=1, device="cpu")
    assert next(later)[0].tolist() == first[5][0]
    later.close()
    assert min(min(rows) for rows, _ in first) >= 10
    rows, batch = first[0]
    assert batch.shape == (4, 3, 2, 2)
    assert batch[:, 0, 0, 0].tolist() == pytest.approx([row / 127.5 - 1 for row in rows])
