"""CLIP on the same images and captions: its text model conditions the UNet, and the full model scores images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np

from ghibli_studio.pretraining.checkpoint import Training
from ghibli_studio.pretraining.loop import (
    Progress,
    image_batches,
    learning_rate,
    mixed_precision,
    move,
    set_learning_rate,
    to_model_input,
)
from ghibli_studio.pretraining.settings import Settings
from ghibli_studio.pretraining.stages.tokenizer import LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor
    from transformers import CLIPModel, CLIPProcessor, CLIPTextConfig, CLIPTextModel, CLIPTokenizer


SIDE = 128
"""Side of CLIP's input in pixels."""
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
PEAK_RATE = 1e-3
LARGEST_SCALE = math.log(100)
"""Maximum of the log temperature, as in Radford et al. 2021, section 2.5."""
DISTANCE_LAYERS = (2, 4)
"""Layers of the vision model whose features `distance` compares."""
ALL_IMAGES_FROM = 0.5
"""Share of the steps after which all images are used; until then, the renderer works in advance."""


def published_bytes(tokens: int) -> int:
    """Return the approximate bytes of CLIP and the text encoder, a copy of its text model, in half precision."""
    return 15_600_000 + 2 * 2 * 256 * tokens


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Return an untrained CLIP: text 256 wide in 4 layers, images 192 wide in 6 layers with patches of 16 pixels."""
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
    """Return the cross entropy of matching images to captions and captions to images, () from (pairs, pairs)."""
    import torch
    from torch.nn import functional

    own = torch.arange(len(similarities), device=similarities.device)
    return (functional.cross_entropy(similarities, own) + functional.cross_entropy(similarities.t(), own)) / 2


def preprocess(images: torch.Tensor) -> torch.Tensor:
    """Resize and normalize (batch, 3, height, width) from -1 to 1 as `processor` does, (batch, 3, 128, 128)."""
    import torch
    from torch.nn import functional

    mean = torch.tensor(MEAN, device=images.device).view(1, 3, 1, 1)
    deviation = torch.tensor(DEVIATION, device=images.device).view(1, 3, 1, 1)
    small = functional.interpolate((images + 1) / 2, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return (small - mean) / deviation


def distance(model: CLIPModel, output: Tensor, true: Tensor) -> Tensor:
    """Return the distance of images in this CLIP's vision features, (batch,): 0 is equal, about 1 is unrelated.

    Both (batch, 3, height, width) from -1 to 1. The squared distance of unit features, averaged over patches and two
    layers: the arithmetic of LPIPS (Zhang et al. 2018) with other features and no trained weights, so not LPIPS.
    """
    from torch.nn import functional

    features = [
        model.vision_model(pixel_values=preprocess(images), output_hidden_states=True).hidden_states
        for images in (output, true)
    ]
    distances = [
        (functional.normalize(ours[layer].float(), dim=-1) - functional.normalize(theirs[layer].float(), dim=-1))
        .pow(2)
        .sum(-1)
        .mean(-1)
        / 2
        for ours, theirs in [features]
        for layer in DISTANCE_LAYERS
    ]
    return sum(distances[1:], start=distances[0]) / len(distances)


def growing_subset(count: int, batch: int, steps: int) -> Callable[[int], int]:
    """Return how many of `count` images a step may use: four batches at first, all from the second half on."""

    def allowed(step: int) -> int:
        return min(count, max(4 * batch, math.ceil(count * (step + 1) / (ALL_IMAGES_FROM * steps))))

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
    """Train on the images of `ids`, token ids (images, captions, 77), while they are rendered.

    `wait` returns when all images below a row are finished; `training_of` builds the state of the loop.
    """
    import torch

    torch.manual_seed(settings.seed + 1)
    model = move(build(tokenizer), device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05, fused=device == "cuda"
    )
    training = training_of({"model": list(model.parameters())}, {"optimizer": optimizer})
    allowed = growing_subset(len(ids), settings.clip_batch, training.budget.steps)

    def rows(number: int) -> np.ndarray:
        count = allowed(number)
        wait(count)
        return np.arange(count)

    progress = Progress("clip", training.budget.steps, first=training.first)
    batches = image_batches(
        images, rows, batch=settings.clip_batch, first=training.first, seed=settings.seed + 1, device=device
    )
    for (step, done), (chosen, selected) in zip(training.steps(), batches):
        set_learning_rate(optimizer, learning_rate(done, PEAK_RATE))
        captions = ids[chosen, torch.randint(ids.shape[1], (len(chosen),))].to(device)
        with mixed_precision(device):
            output = model(input_ids=captions, pixel_values=preprocess(selected))
        loss = contrastive_loss(output.logits_per_image.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, LARGEST_SCALE)
        if progress.due(step):
            progress.say(step, loss=loss.item(), scale=model.logit_scale.exp().item())
    return model.eval()


def embed_images(model: CLIPModel, images: np.ndarray, device: str) -> np.ndarray:
    """Return the features of (count, size, size, 3) bytes, of unit length, (count, 128)."""
    import torch
    from torch.nn import functional

    with torch.no_grad():
        parts = [
            functional.normalize(
                model.visual_projection(
                    model.vision_model(
                        pixel_values=preprocess(to_model_input(device, images[start : start + 256]))
                    ).pooler_output
                ),
                dim=-1,
            )
            .cpu()
            .numpy()
            for start in range(0, len(images), 256)
        ]
    return np.concatenate(parts)


def embed_texts(model: CLIPModel, ids: Tensor, device: str) -> np.ndarray:
    """Return the features of token ids (count, 77), of unit length, (count, 128)."""
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
    """Return a copy of the text model for the diffusion pipeline."""
    from transformers import CLIPTextModel

    encoder = CLIPTextModel(cast("CLIPTextConfig", model.config.text_config))
    encoder.load_state_dict(model.text_model.state_dict())
    return move(encoder, str(model.device)).eval().requires_grad_(False)


def processor(tokenizer: CLIPTokenizer) -> CLIPProcessor:
    """Return the processor of images and texts for this CLIP, which is published with the model."""
    from PIL import Image
    from transformers import CLIPImageProcessor, CLIPProcessor

    image_processor = CLIPImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        resample=Image.Resampling.BILINEAR,
        image_mean=list(MEAN),
        image_std=list(DEVIATION),
    )
    return CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer)
