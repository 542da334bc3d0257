"""Adapters trained for a few steps on the tiny model, and predictions with them, by us and by plain diffusers."""

import torch

from adapters.formats.safetensors_file import to_bytes
from adapters.registry import build, method
from ghibli_studio.models.text_encoder import encode, token_ids

CAPTIONS = ["Big Ben, London, a clock tower", "Petra, a temple in a cliff, wide shot"]


SMALL_SETTINGS = {"lora": {"rank": 2, "lora_alpha": 6}, "ti": {"num_vectors": 3, "initializer_token": "photo"}}


TEXT = {"text_encoder_rank": 3}


VARIANTS = {
    "lora-conv": {"conv_rank": 1},
    "lora-text": TEXT,
    "lora-dora": {"use_dora": True},
    "lora-everything": {"conv_rank": 1, "use_dora": True, **TEXT},
    "ti-negative": {"negative_vectors": 2},
}
"""A method's short name, a dash, and what differs; each satisfies the full contract."""


def method_name(name):
    """Return the short name of a variant's method."""
    return name.partition("-")[0]


def new_adapter(name, **changes):
    """Return an untrained adapter of a method or variant, with few parameters."""
    short = method_name(name)
    values = {**SMALL_SETTINGS.get(short, {}), **VARIANTS.get(name, {}), **changes}
    return build(short, method(short).SETTINGS.checked(values))


def predict(base, host, caption):
    """Return the UNet's prediction for a caption on fixed latents."""
    latents = torch.randn((1, *base.description.latent_shape), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return host.unet(latents, torch.tensor(500), encode_captions(base, host, [caption]), return_dict=False)[0]


def encode_captions(base, host, captions):
    """Return the text states of captions."""
    return encode(host, token_ids(host, captions, base.description.token_limit))


def train_briefly(base, host, adapter, steps=3):
    """Train a few steps on a real loss; return the losses."""
    host.unet.eval()
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=0.05)
    source, losses = torch.Generator().manual_seed(1), []
    for _ in range(steps):
        latents = torch.randn((2, *base.description.latent_shape), generator=source)
        states = encode_captions(base, host, [adapter.format_prompt(CAPTIONS[0]), adapter.unconditional()])
        prediction = host.unet(latents, torch.tensor([300, 700]), states, return_dict=False)[0]
        loss = (prediction - latents).pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def save_trained(tiny, name, settings, path):
    """Train and save an adapter; return the prediction with it."""
    adapter = build(name, settings)
    host = adapter.attach(tiny.host)
    train_briefly(tiny, host, adapter)
    path.write_bytes(to_bytes(adapter, {"adapter": settings.model_dump(mode="json")}))
    prediction = predict(tiny, host, adapter.format_prompt(CAPTIONS[0]))
    adapter.detach()
    return prediction


def diffusers_pipeline(folder):
    """Load a folder with plain diffusers."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(folder, local_files_only=True, safety_checker=None)


def pipeline_prediction(pipeline, tiny, prompt):
    """Return the prediction of a diffusers pipeline on the latents of `predict`."""
    latents = torch.randn((1, *tiny.description.latent_shape), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        states, _ = pipeline.encode_prompt(prompt, "cpu", 1, False)
        return pipeline.unet(latents, torch.tensor(500), states, return_dict=False)[0]
