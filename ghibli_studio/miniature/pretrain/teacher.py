"""The style teacher: a LoRA that does know the target style. It stands for the 'web UI with a style model'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ghibli_studio.miniature.pretrain.denoiser import NoisyLatentsSource
from ghibli_studio.miniature.pretrain.learning import Progress, learning_rate, mixed_precision, set_learning_rate
from ghibli_studio.miniature.pretrain.settings import Settings

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

PEAK_RATE = 1e-3
TARGETS = ["conv1", "conv2", "conv_in", "conv_out", "ff.net.0.proj", "ff.net.2", "to_k", "to_out.0", "to_q", "to_v"]
"""Layers that get a low-rank update; convolutions too, since a style is mostly texture."""


def train(
    unet: UNet2DConditionModel, drawn: NoisyLatentsSource, settings: Settings, device: str, folder: Path
) -> dict[str, float]:
    """Train a LoRA on the source's pictures, all in the target style, and save it in the folder.

    The UNet's own weights are frozen. Returns how many pictures there were, and the loss of the last step.
    """
    import torch
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(settings.seed + 3)
    unet = unet.to(device).train().requires_grad_(False)
    rank = settings.teacher_rank
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=TARGETS))
    optimiser = torch.optim.AdamW([p for p in unet.parameters() if p.requires_grad], lr=PEAK_RATE, weight_decay=1e-3)
    steps, loss = settings.teacher_steps, None
    progress = Progress("teacher", steps)
    for step in range(steps):
        set_learning_rate(optimiser, learning_rate(step / steps, PEAK_RATE))
        batch = drawn.draw(settings.teacher_batch)
        with mixed_precision(device):
            told = unet(batch.noisy, batch.time_steps, batch.context, return_dict=False)[0]
        loss = (told.float() - batch.noise).pow(2).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if progress.due(step):
            progress.say(step, loss=loss.item())
    # without it a loader takes alpha for the rank; only what is needed to rebuild, so that any version of peft reads it
    described = {"r": rank, "lora_alpha": rank, "target_modules": TARGETS}
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=get_peft_model_state_dict(unet),
                                              unet_lora_adapter_metadata=described)
    return {"pictures": len(drawn.rows), "last_loss": loss.item()}
