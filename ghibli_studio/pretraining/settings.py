"""The settings that the trained weights depend on; folders and devices are in `run`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

TARGET_STYLE = "ghiblivis"
"""The painter's name of the style that the denoiser is never trained on."""
TARGET_WORD = "ghibli style"
"""How captions name the target style."""
LARGEST_WEIGHTS = 75_000_000
"""Maximum size of all published weights, in bytes."""
SMALLEST_VOCABULARY = 2 * (256 + 256) + 2 + 1
"""Every byte, alone and at the end of a word, both counted twice by the trainer; two markers; one merge."""


class InvalidInput(ValueError):
    """Invalid user input; the message is one sentence with the value, the bound and a solution."""


@dataclass(frozen=True)
class Settings:
    """The settings of a run. The defaults take half an hour on one H100.

    This is an estimate: the first weights took 9.7 denoiser steps per second there, and their autoencoder about 17. By
    that the denoiser needs 10 minutes, the autoencoder with its perceptual term 11, CLIP 3 (the images are painted at
    the same time), and teacher, latents, contact sheets and metrics 4. For slower machines, the `..._seconds` settings
    limit a stage: it finishes its learning-rate curve in time, with fewer steps. Runs limited by steps are
    reproducible; runs limited by seconds need not be.

    Latents have eight channels. Blocks of 8 x 8 pixels of the painter's images keep 19.4 dB in the best 4 numbers that
    a linear map can find, 21.5 dB in 8 and 23.3 dB in 16; blocks of 4 x 4 keep 21.3 dB in 4. So 8 numbers for 8 x 8
    pixels hold as much as a factor of 4, at no cost: one thread needs 5.1 s for an image of 25 steps with either 4 or 8
    channels, and 7.1 s with a factor of 4.

    The weights of the perceptual and the edge term are chosen such that, on reconstructions by the published
    autoencoder, the gradient of each is between a third and a half of that of the plain error. Whether they are optimal
    is unknown; only a full run can show it.
    """

    seed: int = 7
    """Random seed of scenes, captions, crops, initial weights and batches."""
    image_count: int = 50_000
    """Number of training images: painted images and crops of photos."""
    photo_share: float = 0.05
    """Share of the training images that are crops of real photos; 0 uses no photos."""
    held_out: int = 1_024
    """Number of additional images, all styles in turn, for evaluation only."""
    image_size: int = 256
    """Side of every image in pixels: a multiple of 32, at least 64."""
    drop_style_word: Literal["any", "photo"] = "photo"
    """Captions that may omit the style word: those of any style, as in the published weights, or only of the style
    photo, so that a caption without a style word means a photo."""
    short_captions: float = 0.12
    """Share of the captions that have only a name and a style, so that short prompts work."""
    vocabulary: int = 2048
    """Maximum number of tokens; bytes count twice, so it is never reached: 2048 gave the published 1,761."""
    latent_channels: int = 8
    """Channels of a latent: Stable Diffusion 1.x has 4; more keep finer detail."""
    latent_factor: int = 8
    """Pixels per latent along one side: 8 as in Stable Diffusion, or 4 for a slower and sharper model."""
    perceptual_weight: float = 0.4
    """Weight of the distance in this run's own CLIP in the autoencoder's loss; 0 turns it off."""
    edge_weight: float = 1.5
    """Weight of errors along the edges of the image in the autoencoder's loss; 0 turns it off."""
    autoencoder_steps: int = 9_000
    """Optimizer steps of the autoencoder."""
    autoencoder_seconds: float = 0
    """Maximum training time of the autoencoder in seconds; 0 is unlimited."""
    autoencoder_batch: int = 64
    """Crops per step; the last quarter of the steps uses a third as many full images."""
    clip_steps: int = 1_800
    """Optimizer steps of CLIP, whose text model is also the text encoder."""
    clip_seconds: float = 0
    """Maximum training time of CLIP in seconds; 0 is unlimited."""
    clip_batch: int = 512
    """Pairs per step; each caption is contrasted with all others of its batch, so more is harder and better."""
    denoiser_steps: int = 5_800
    """Optimizer steps of the UNet."""
    denoiser_seconds: float = 0
    """Maximum training time of the UNet in seconds; 0 is unlimited."""
    noisy_share: float = 0.35
    """Share of each batch whose timesteps are biased toward the noisy end, where an image's style is decided."""
    denoiser_batch: int = 256
    """Latents per step of the UNet."""
    teacher_steps: int = 1_500
    """Optimizer steps of the style teacher's LoRA."""
    teacher_seconds: float = 0
    """Maximum training time of the teacher in seconds; 0 is unlimited."""
    teacher_batch: int = 64
    """Latents per step of the style teacher."""
    teacher_rank: int = 16
    """Rank and alpha of the style teacher's LoRA."""
    sheet_scenes: int = 8
    """Number of scenes on the contact sheets: 1 to 8."""
    sheet_steps: int = 25
    """Inference steps of a generated image: at least 3, because img2img at strength 0.4 needs one."""
    measured_images: int = 512
    """Number of held-out captions to generate and compare with the painter's images."""

    def __post_init__(self) -> None:
        bounds = {
            "seed": (0, 2**32 - 1),
            "image_count": (32, 10_000_000),
            "photo_share": (0, 0.5),
            "held_out": (20, 100_000),
            "short_captions": (0, 0.9),
            "latent_channels": (1, 64),
            "perceptual_weight": (0, 100),
            "edge_weight": (0, 100),
            "noisy_share": (0, 1),
            "autoencoder_seconds": (0, None),
            "clip_seconds": (0, None),
            "denoiser_seconds": (0, None),
            "teacher_seconds": (0, None),
            "measured_images": (20, None),
            "image_size": (64, 512),
            "vocabulary": (SMALLEST_VOCABULARY, 49_408),
            "autoencoder_steps": (1, None),
            "autoencoder_batch": (1, None),
            "clip_steps": (1, None),
            "clip_batch": (2, None),
            "denoiser_steps": (1, None),
            "denoiser_batch": (1, None),
            "teacher_steps": (1, None),
            "teacher_batch": (1, None),
            "teacher_rank": (1, 96),
            "sheet_scenes": (1, 8),
            "sheet_steps": (3, None),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if value < least or (most is not None and value > most):
                allowed = f"at least {least}" if most is None else f"{least} to {most}"
                raise InvalidInput(
                    f"{name} is {value}, but must be {allowed}: choose another --{name.replace('_', '-')}"
                )
        if self.latent_factor not in (4, 8):
            raise InvalidInput(
                f"latent_factor is {self.latent_factor}, but must be 4 or 8: choose another --latent-factor"
            )
        if self.measured_images > self.held_out:
            raise InvalidInput(
                f"measured_images is {self.measured_images}, but only {self.held_out} images are "
                "held out: choose fewer --measured-images or more --held-out"
            )
        if self.image_size % 32:
            near = max(64, round(self.image_size / 32) * 32)
            raise InvalidInput(f"image_size is {self.image_size}, but must be a multiple of 32: the nearest is {near}")
        if self.drop_style_word not in ("any", "photo"):
            raise InvalidInput(f"drop_style_word is {self.drop_style_word!r}, but must be 'any' or 'photo'")

    @property
    def photo_count(self) -> int:
        """Number of training images that are crops of photos."""
        return int(self.image_count * self.photo_share)

    def is_photo_crop(self, row: int) -> bool:
        """Return whether this row is a crop of a photo; these are the last training images."""
        return self.image_count - self.photo_count <= row < self.image_count

    @property
    def total_count(self) -> int:
        """Number of all images, held-out ones included."""
        return self.image_count + self.held_out

    @property
    def latent_size(self) -> int:
        """Side of the latents."""
        return self.image_size // self.latent_factor

    @property
    def disk_bytes(self) -> int:
        """Disk space of a run: images, half-precision latents, and a gigabyte of models and checkpoints."""
        latents = 2 * self.latent_channels * self.latent_size**2
        return self.total_count * 3 * self.image_size**2 + self.image_count * latents + 1_000_000_000

    def differences(self, other: dict[str, object]) -> list[str]:
        """Return 'name value instead of value' for every setting that differs, including unknown and missing ones."""
        own = asdict(self)
        return [
            f"{name} {other.get(name, 'unset')} instead of {own.get(name, 'unset')}"
            for name in sorted(own | other)
            if own.get(name) != other.get(name)
        ]


QUICK = Settings(
    image_count=96,
    held_out=20,
    image_size=64,
    vocabulary=1_100,
    autoencoder_steps=5,
    autoencoder_batch=6,
    clip_steps=3,
    clip_batch=8,
    denoiser_steps=3,
    denoiser_batch=4,
    teacher_steps=3,
    teacher_batch=4,
    sheet_scenes=2,
    sheet_steps=3,
    measured_images=20,
)
"""All stages in a minute on one CPU core; the generated images are noise."""
