"""What is known of a base model without reading its weights."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base import with_trigger
from adapters.settings import StudioError
from ghibli_studio.models.location import COMPONENTS, locate, read_config
from ghibli_studio.models.tokenizer import load_tokenizer


@dataclass(frozen=True)
class Description:
    """What can be known of a base model without reading its weights."""

    spec: str
    resolution: int
    """Side of the pictures it was trained on, px."""
    latent_shape: tuple[int, int, int]
    """(channels, height, width) of one picture in the autoencoder's space."""
    token_limit: int
    """Tokens of a prompt that the text encoder reads, start and end included."""
    plain_style: str
    """Words at the end of a prompt that ask the bare model for its plain style; empty if it needs none."""

    def plain_caption(self, text: str) -> str:
        """The prompt as the bare model wants it."""
        return with_trigger(text, self.plain_style)


def describe(spec: str) -> Description:
    """Size, latent shape and token limit, without importing torch."""
    location = locate(spec)
    index = read_config(location, ".", "model_index.json")
    for part, wanted in COMPONENTS.items():
        found = (index.get(part) or [None, None])[1]
        if found != wanted:
            raise StudioError(
                f"base_model {spec!r} has {found} as its {part}; supported is the Stable Diffusion 1.x and 2.x family "
                f"({wanted})"
            )
    if "text_encoder_2" in index:
        raise StudioError(
            f"base_model {spec!r} has a second text encoder ({index.get('_class_name')}); supported is the Stable "
            "Diffusion 1.x and 2.x family"
        )
    unet, vae, text = (read_config(location, part) for part in ("unet", "vae", "text_encoder"))
    try:
        side, channels, latent_channels = unet["sample_size"], unet["in_channels"], vae["latent_channels"]
        shrink = 2 ** (len(vae["block_out_channels"]) - 1)
    except KeyError as error:
        raise StudioError(
            f"base_model {spec!r} does not say its {error.args[0]}; copy or download the model again"
        ) from error
    if channels != latent_channels:
        raise StudioError(
            f"base_model {spec!r} wants {channels} channels where its pictures have {latent_channels}: it is made for "
            "inpainting or another task; use a text-to-image model"
        )
    positions = text.get("max_position_embeddings", 77)
    extra = read_config(location, ".", "studio.json") if (location.folder / "studio.json").is_file() else {}
    return Description(
        spec=spec,
        resolution=side * shrink,
        latent_shape=(channels, side, side),
        token_limit=min(positions, load_tokenizer(spec).model_max_length),
        plain_style=extra.get("plain_style", ""),
    )
