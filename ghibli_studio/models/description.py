"""Facts about a base model from its configuration files, without torch and without reading weights."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base import with_trigger
from adapters.settings import StudioError
from ghibli_studio.models.location import COMPONENTS, locate, read_config
from ghibli_studio.models.tokenizer import load_tokenizer


@dataclass(frozen=True)
class Description:
    """Facts about a base model that its configuration files give."""

    model_id: str
    resolution: int
    """Side of the images it was trained on, px."""
    latent_shape: tuple[int, int, int]
    """(channels, height, width) of the latents of one square image."""
    token_limit: int
    """Most tokens of a prompt that the text encoder reads, start and end included."""
    base_style_suffix: str
    """Words that the base model needs at the end of a prompt for its own style; empty if it needs none."""

    def base_prompt(self, text: str) -> str:
        """Return the prompt with the base model's style suffix."""
        return with_trigger(text, self.base_style_suffix)


def describe(model_id: str) -> Description:
    """Return resolution, latent shape and token limit, without importing torch; raises StudioError if unsupported."""
    location = locate(model_id)
    index = read_config(location, ".", "model_index.json")
    for part, expected in COMPONENTS.items():
        found = (index.get(part) or [None, None])[1]
        if found != expected:
            raise StudioError(
                f"base_model {model_id!r} has {found} as its {part}; only the Stable Diffusion 1.x and 2.x family is "
                f"supported ({expected})"
            )
    if "text_encoder_2" in index:
        raise StudioError(
            f"base_model {model_id!r} has a second text encoder ({index.get('_class_name')}); only the Stable "
            "Diffusion 1.x and 2.x family is supported"
        )
    unet, vae, text = (read_config(location, part) for part in ("unet", "vae", "text_encoder"))
    try:
        side, channels, latent_channels = unet["sample_size"], unet["in_channels"], vae["latent_channels"]
        shrink = 2 ** (len(vae["block_out_channels"]) - 1)
    except KeyError as error:
        raise StudioError(
            f"base_model {model_id!r} has no {error.args[0]} in its configuration; copy or download it again"
        ) from error
    if channels != latent_channels:
        raise StudioError(
            f"base_model {model_id!r} takes {channels} channels where latents have {latent_channels}: it is for "
            "inpainting or another task; use a text-to-image model"
        )
    positions = text.get("max_position_embeddings", 77)
    extra = read_config(location, ".", "studio.json") if (location.folder / "studio.json").is_file() else {}
    return Description(
        model_id=model_id,
        resolution=side * shrink,
        latent_shape=(channels, side, side),
        token_limit=min(positions, load_tokenizer(model_id).model_max_length),
        base_style_suffix=extra.get("base_style_suffix", ""),
    )
