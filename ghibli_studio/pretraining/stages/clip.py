"""CLIP on the same pictures and captions: its text half conditions the UNet, the whole of it scores pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.pretraining.checkpoint import Training
from ghibli_studio.pretraining.loop import (
    Progress,
    learning_rate,
    mixed_precision,
    picture_batches,
    set_learning_rate,
    shown_to,
)
from ghibli_studio.pretraining.settings import Settings
from ghibli_studio.pretraining.stages.tokenizer import LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor
    from transformers import CLIPModel, CLIPProcessor, CLIPTextModel, CLIPTokenizer


SIDE = 128
"""Pixels a side that CLIP looks at."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
PEAK_RATE = 1e-3
LARGEST_SCALE = math.log(100)
"""Bound on the logarithm of the temperature, as in Radford et al. 2021, section 2.5."""
LOOKED_AT = (2, 4)
"""Layers of the picture half whose features tell how unlike two pictures are."""
PAINTED_BY = 0.5
"""Part of the steps until which the pictures that may be drawn grow to all: the painter works ahead."""


def published_bytes(tokens: int) -> int:
    """Rough size of CLIP and of the text encoder, which is a copy of its text half, in half precision."""
    return 15_600_000 + 2 * 2 * 256 * tokens


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP: text 256 wide in 4 layers, pictures 192 wide in 6 layers and patches of 16 pixels."""
    from transformers import CLIPConfig, CLIPModel

    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    text = {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": LENGTH,
        "hidden_act": "quick_gelu",
        "vocab_size": len(tokenizer),
        "projection_dim": 128,
        "bos_token_id": begin,
        "eos_token_id": end,
        "pad_token_id": end,
    }
    vision = {
        "hidden_size": 192,
        "intermediate_size": 576,
        "num_hidden_layers": 6,
        "num_attention_heads": 3,
        "image_size": SIDE,
        "patch_size": 16,
        "hidden_act": "quick_gelu",
        "projection_dim": 128,
    }
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


def distance(model: CLIPModel, made: Tensor, true: Tensor) -> Tensor:
    """(batch,) how unlike pictures are to this CLIP's picture half: 0 the same, about 1 nothing in common.

    Both (batch, 3, height, width) from -1 to 1. The squared distance of unit features, averaged over patches and two
    layers: the arithmetic of LPIPS (Zhang et al. 2018) with other features and no trained weights, so not LPIPS.
    """
    from torch.nn import functional

    features = [
        model.vision_model(pixel_values=as_seen(pictures), output_hidden_states=True).hidden_states
        for pictures in (made, true)
    ]
    unlike = [
        (functional.normalize(ours[layer].float(), dim=-1) - functional.normalize(theirs[layer].float(), dim=-1))
        .pow(2)
        .sum(-1)
        .mean(-1)
        / 2
        for ours, theirs in [features]
        for layer in LOOKED_AT
    ]
    return sum(unlike) / len(unlike)


def growing(count: int, batch: int, steps: int) -> Callable[[int], int]:
    """How many of `count` pictures a step may draw from: four batches at first, all from half-way on."""

    def allowed(step: int) -> int:
        return min(count, max(4 * batch, math.ceil(count * (step + 1) / (PAINTED_BY * steps))))

    return allowed


def train(
    images: np.ndarray,
    wait: Callable[[int], None],
    ids: Tensor,
    tokenizer: CLIPTokenizer,
    settings: Settings,
    device: str,
    training_of: Callable[..., Training],
) -> CLIPModel:
    """Train on the pictures that have token numbers, `ids` (pictures, captions, 77), while they are painted.

    `wait` returns when all pictures below a row are there; `training_of` gives the loop its state.
    """
    import torch

    torch.manual_seed(settings.seed + 1)
    model = build(tokenizer).to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=device == "cuda"
    )
    training = training_of({"model": list(model.parameters())}, {"optimiser": optimiser})
    allowed = growing(len(ids), settings.clip_batch, training.budget.steps)

    def rows(number: int) -> np.ndarray:
        count = allowed(number)
        wait(count)
        return np.arange(count)

    progress = Progress("clip", training.budget.steps, first=training.first)
    batches = picture_batches(
        images, rows, batch=settings.clip_batch, first=training.first, seed=settings.seed + 1, device=device
    )
    for (step, done), (chosen, shown) in zip(training.steps(), batches):
        set_learning_rate(optimiser, learning_rate(done, PEAK_RATE))
        captions = ids[chosen, torch.randint(ids.shape[1], (len(chosen),))].to(device)
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
    return model.eval()


def embed(model: CLIPModel, images: np.ndarray, device: str) -> np.ndarray:
    """(count, size, size, 3) bytes -> (count, 128) picture features of unit length."""
    import torch
    from torch.nn import functional

    with torch.no_grad():
        parts = [
            functional.normalize(
                model.visual_projection(
                    model.vision_model(
                        pixel_values=as_seen(shown_to(device, images[start : start + 256]))
                    ).pooler_output
                ),
                dim=-1,
            )
            .cpu()
            .numpy()
            for start in range(0, len(images), 256)
        ]
    return np.concatenate(parts)


def embed_words(model: CLIPModel, ids: Tensor, device: str) -> np.ndarray:
    """(count, 77) token numbers -> (count, 128) features of unit length."""
    import torch
    from torch.nn import functional

    with torch.no_grad():
        parts = [
            functional.normalize(model.text_projection(model.text_model(part.to(device)).pooler_output), dim=-1)
            .cpu()
            .numpy()
            for part in ids.split(256)
        ]
    return np.concatenate(parts)


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

    look = CLIPImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        resample=Image.Resampling.BILINEAR,
        image_mean=list(MEAN),
        image_std=list(DEVIATION),
    )
    return CLIPProcessor(image_processor=look, tokenizer=tokenizer)
