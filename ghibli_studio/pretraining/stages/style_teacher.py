"""The style teacher: a LoRA trained on the target style, in place of a web UI with a style model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ghibli_studio.pretraining.checkpoint import Training
from ghibli_studio.pretraining.loop import (
    Progress,
    learning_rate,
    mixed_precision,
    move,
    set_learning_rate,
    update_average,
)
from ghibli_studio.pretraining.settings import Settings
from ghibli_studio.pretraining.stages.unet import NoisyLatentsSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


PEAK_RATE = 1e-3
BYTES_PER_RANK = 203_000
"""Size of the published LoRA per rank in bytes, in half precision."""
TARGETS = ["conv1", "conv2", "conv_in", "conv_out", "ff.net.0.proj", "ff.net.2", "to_k", "to_out.0", "to_q", "to_v"]
"""Layers with a low-rank update; convolutions too, because a style is mostly texture."""


def train(
    unet: UNet2DConditionModel,
    source: NoisyLatentsSource,
    settings: Settings,
    device: str,
    folder: Path,
    training_of: Callable[..., Training],
) -> dict[str, float]:
    """Train a LoRA on the source's images, all in the target style, and save its running average in the folder.

    The UNet's own weights are frozen. Timesteps are uniform and have equal weights, unlike the denoiser's: outlines,
    which characterize the style, are decided at low noise. Returns metrics: the number of images, and the loss of the
    last step.
    """
    import torch
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(settings.seed + 3)
    unet = move(unet, device).train().requires_grad_(False)
    rank = settings.teacher_rank
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=TARGETS))
    trained = [tensor for tensor in unet.parameters() if tensor.requires_grad]
    averaged = [tensor.detach().clone() for tensor in trained]
    optimizer = torch.optim.AdamW(trained, lr=PEAK_RATE, weight_decay=1e-3)
    training = training_of({"model": trained, "average": averaged}, {"optimizer": optimizer})
    progress, step, loss = Progress("teacher", training.budget.steps, first=training.first), training.first, None
    for step, done in training.steps():
        set_learning_rate(optimizer, learning_rate(done, PEAK_RATE))
        batch = source.sample(settings.teacher_batch)
        with mixed_precision(device):
            prediction = unet(batch.noisy, batch.timesteps, batch.context, return_dict=False)[0]
        loss = (prediction.float() - batch.noise).pow(2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        update_average(averaged, trained, step, most=0.995)
        if progress.due(step):
            progress.say(step, loss=loss.item())
    with torch.no_grad():
        for tensor, value in zip(trained, averaged):
            tensor.copy_(value)
    # without it a loader uses alpha as the rank; only the necessary values, so that any version of peft can read it
    metadata = {"r": rank, "lora_alpha": rank, "target_modules": TARGETS}
    state = {name: tensor.half() for name, tensor in get_peft_model_state_dict(unet).items()}
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=state, unet_lora_adapter_metadata=metadata)
    metrics: dict[str, float] = {"images": len(source.rows), "steps": step + (loss is not None)}
    return metrics | ({} if loss is None else {"last_loss": loss.item()})
