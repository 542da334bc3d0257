"""Encodes images to latents, and converts between images and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ghibli_studio.models.base_model import BaseModel

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


def to_image(pixels: Tensor) -> Image.Image:
    """Return pixels (3, height, width) in -1..1 as an 8-bit RGB image."""
    from PIL import Image

    values = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(values.permute(1, 2, 0).cpu().numpy(), "RGB")


def to_tensor(images: Sequence[Image.Image]) -> Tensor:
    """Return images as (images, 3, height, width) in -1..1, float32."""
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def encode_images(base: BaseModel, images: Sequence[Image.Image]) -> Tensor:
    """Return latents (images, channels, height / 8, width / 8): the mean of the VAE's posterior, scaled; float32."""
    import torch

    with torch.no_grad():
        pixels = to_tensor(images).to(base.device, base.dtype)
        return base.vae.encode(pixels).latent_dist.mean.float().cpu() * base.vae.config.scaling_factor
