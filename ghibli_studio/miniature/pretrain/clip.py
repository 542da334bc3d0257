"""CLIP on the same pictures and captions: its text half conditions the UNet, the whole of it scores pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.miniature.pretrain.learning import (
    Progress,
    learning_rate,
    mixed_precision,
    picture_batches,
    set_learning_rate,
    shown_to,
)
from ghibli_studio.miniature.pretrain.pictures import Pictures
from ghibli_studio.miniature.pretrain.settings import Settings
from ghibli_studio.miniature.pretrain.tokenizer import LENGTH

if TYPE_CHECKING:
    import torch
    from transformers import CLIPModel, CLIPProcessor, CLIPTextModel, CLIPTokenizer

SIDE = 128
"""Pixels a side that CLIP looks at."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
PEAK_RATE = 1e-3
LARGEST_SCALE = math.log(100)
"""Bound on the logarithm of the temperature, as in Radford et al. 2021, section 2.5."""
HELD_OUT, MEASURED = 1024, 512


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP: text 256 wide in 4 layers, pictures 192 wide in 6 layers and patches of 16 pixels."""
    from transformers import CLIPConfig, CLIPModel

    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    text = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 4,
            "max_position_embeddings": LENGTH, "hidden_act": "quick_gelu", "vocab_size": len(tokenizer),
            "projection_dim": 128, "bos_token_id": begin, "eos_token_id": end, "pad_token_id": end}
    vision = {"hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 6, "num_attention_heads": 3,
              "image_size": SIDE, "patch_size": 16, "hidden_act": "quick_gelu", "projection_dim": 128}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


def contrastive_loss(similarities: torch.Tensor) -> torch.Tensor:
    """Cross entropy of finding each picture's caption and each caption's picture; () from (pairs, pairs)."""
    import torch
    from torch.nn import functional

    own = torch.arange(len(similarities), device=similarities.device)
    return (functional.cross_entropy(similarities, own) + functional.cross_entropy(similarities.t(), own)) / 2


def as_seen(pictures: torch.Tensor) -> torch.Tensor:
    """(batch, 3, height, width) from -1 to 1 -> (batch, 3, 128, 128), shrunk and normalised as `processor` does."""
    import torch
    from torch.nn import functional

    mean = torch.tensor(MEAN, device=pictures.device).view(1, 3, 1, 1)
    deviation = torch.tensor(DEVIATION, device=pictures.device).view(1, 3, 1, 1)
    small = functional.interpolate((pictures + 1) / 2, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return (small - mean) / deviation


def train(
    pictures: Pictures, ids: torch.Tensor, tokenizer: CLIPTokenizer, settings: Settings, device: str
) -> tuple[CLIPModel, dict[str, float]]:
    """Train on all but some painted pictures, with token numbers `ids` (pictures, captions, 77).

    Returns the model and how it does on the pictures held out.
    """
    import torch

    torch.manual_seed(settings.seed + 1)
    model = build(tokenizer).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05,
                                  fused=device == "cuda")
    total, first = len(ids), pictures.photograph_count
    after = first + min(HELD_OUT, total // 8)
    rows, steps = np.r_[0:first, after:total], settings.clip_steps
    wording = torch.Generator().manual_seed(settings.seed)
    progress = Progress("clip", steps)
    batches = picture_batches(pictures.images, rows, batch=settings.clip_batch, count=steps, seed=settings.seed + 1,
                              device=device)
    for step, (chosen, shown) in enumerate(batches):
        set_learning_rate(optimiser, learning_rate(step / steps, PEAK_RATE))
        captions = ids[chosen, torch.randint(ids.shape[1], (len(chosen),), generator=wording)].to(device)
        with mixed_precision(device):
            output = model(input_ids=captions, pixel_values=as_seen(shown))
        loss = contrastive_loss(output.logits_per_image.float())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, LARGEST_SCALE)
        if progress.due(step):
            progress.say(step, loss=loss.item(), scale=model.logit_scale.exp().item())
    held_out = slice(first, min(after, first + MEASURED))
    return model.eval(), measure(model, pictures.images[held_out], ids[held_out, 0], device)


def measure(model: CLIPModel, images: np.ndarray, ids: torch.Tensor, device: str) -> dict[str, float]:
    """How often a picture's own caption scores best among all of these, and the mean cosine of the pairs."""
    import torch

    with torch.no_grad():
        output = model(input_ids=ids.to(device), pixel_values=as_seen(shown_to(device, images)))
    found = output.logits_per_image.argmax(1).cpu() == torch.arange(len(images))
    cosine = (output.image_embeds * output.text_embeds).sum(-1).mean().item()
    return {"held_out_pairs": len(images), "top_1": found.float().mean().item(), "mean_cosine": cosine}


def text_encoder(model: CLIPModel) -> CLIPTextModel:
    """The text half on its own, as the diffusion pipeline wants it; its weights are copies."""
    from transformers import CLIPTextModel

    encoder = CLIPTextModel(model.config.text_config)
    encoder.load_state_dict(model.text_model.state_dict())
    return encoder.to(model.device).eval().requires_grad_(False)


def processor(tokenizer: CLIPTokenizer) -> CLIPProcessor:
    """What prepares pictures and texts for this CLIP; saved beside the model, so that others can load both."""
    from PIL import Image
    from transformers import CLIPImageProcessor, CLIPProcessor

    look = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE},
                              resample=Image.Resampling.BILINEAR, image_mean=list(MEAN), image_std=list(DEVIATION))
    return CLIPProcessor(image_processor=look, tokenizer=tokenizer)
