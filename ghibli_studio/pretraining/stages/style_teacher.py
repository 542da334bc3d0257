"""The style teacher: a LoRA that does know the target style. It stands for the 'web UI with a style model'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ghibli_studio.pretraining.checkpoint import Training
from ghibli_studio.pretraining.loop import Progress, average_towards, learning_rate, mixed_precision, set_learning_rate
from ghibli_studio.pretraining.settings import Settings
from ghibli_studio.pretraining.stages.unet import NoisyLatentsSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from diffusers import UNet2DConditionModel


PEAK_RATE = 1e-3
BYTES_A_RANK = 203_000
"""Size of the published LoRA for each of its ranks, in half precision."""
TARGETS = ["conv1", "conv2", "conv_in", "conv_out", "ff.net.0.proj", "ff.net.2", "to_k", "to_out.0", "to_q", "to_v"]
"""Layers that get a low-rank update; convolutions too, since a style is mostly texture."""


def train(
    unet: UNet2DConditionModel,
    drawn: NoisyLatentsSource,
    settings: Settings,
    device: str,
    folder: Path,
    training_of: Callable[..., Training],
) -> dict[str, float]:
    """Train a LoRA on the source's pictures, all in the target style, and save its running average in the folder.

    The UNet's own weights are frozen. Time steps are drawn evenly and count alike, unlike the denoiser's: outlines,
    which the style lives from, are decided late, where there is little noise. Returns how many pictures there were,
    and the loss of the last step.
    """
    import torch
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(settings.seed + 3)
    unet = unet.to(device).train().requires_grad_(False)
    rank = settings.teacher_rank
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=TARGETS))
    trained = [tensor for tensor in unet.parameters() if tensor.requires_grad]
    averaged = [tensor.detach().clone() for tensor in trained]
    optimiser = torch.optim.AdamW(trained, lr=PEAK_RATE, weight_decay=1e-3)
    training = training_of({"model": trained, "average": averaged}, {"optimiser": optimiser})
    progress, step, loss = Progress("teacher", training.budget.steps, first=training.first), training.first, None
    for step, done in training.steps():
        set_learning_rate(optimiser, learning_rate(done, PEAK_RATE))
        batch = drawn.draw(settings.teacher_batch)
        with mixed_precision(device):
            told = unet(batch.noisy, batch.time_steps, batch.context, return_dict=False)[0]
        loss = (told.float() - batch.noise).pow(2).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        average_towards(averaged, trained, step, most=0.995)
        if progress.due(step):
            progress.say(step, loss=loss.item())
    with torch.no_grad():
        for tensor, value in zip(trained, averaged):
            tensor.copy_(value)
    # without it a loader takes alpha for the rank; only what is needed to rebuild, so that any version of peft reads it
    described = {"r": rank, "lora_alpha": rank, "target_modules": TARGETS}
    state = {name: tensor.half() for name, tensor in get_peft_model_state_dict(unet).items()}
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=state, unet_lora_adapter_metadata=described)
    figures = {"pictures": len(drawn.rows), "steps": step + (loss is not None)}
    return figures | ({} if loss is None else {"last_loss": loss.item()})
