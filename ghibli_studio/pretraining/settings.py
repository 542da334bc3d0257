"""What the trained weights depend on. Where and on which device they are computed is not in here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

TARGET_STYLE = "ghiblivis"
"""The painter's name for the style that the denoiser is never shown."""
TARGET_WORD = "ghibli style"
"""How captions name the target style."""
LARGEST_WEIGHTS = 75_000_000
"""Bytes that the published weights may have together."""
SMALLEST_VOCABULARY = 2 * (256 + 256) + 2 + 1
"""Every byte, alone and at a word's end, which the trainer counts a second time; two markers; one merge."""


class WrongInput(ValueError):
    """What a person asked for cannot be done; the message is one sentence with the value, the bound and a way out."""


@dataclass(frozen=True)
class Settings:
    """The recipe's choices. The defaults are for half an hour of one H100.

    Counted, not measured: the first weights took 9.7 denoiser steps a second there, and their autoencoder about 17. By
    that the denoiser needs 10 minutes, the autoencoder with its perceptual term 11, CLIP 3 (the pictures are painted
    meanwhile), teacher, latents, sheets and measuring 4. Where a machine may be slower, the `..._seconds` bound a
    stage: it ends its learning-rate curve in time, with fewer steps. Runs that only count steps repeat; runs that are
    bounded by seconds need not.

    Eight numbers a latent. Blocks of 8 x 8 pixels of the painter's pictures keep 19.4 dB in the best 4 numbers that a
    linear map can find, 21.5 dB in 8 and 23.3 dB in 16; blocks of 4 x 4 keep 21.3 dB in 4. So 8 numbers for 8 x 8
    pixels hold what a factor of 4 holds, and cost nothing: one thread needs 5.1 s for a picture of 25 steps with
    either 4 or 8 of them, and 7.1 s with a factor of 4.

    The weights of the perceptual and the edge term are such that, on copies by the published autoencoder, the gradient
    of each is between a third and a half of that of the plain error. Whether they are the best ones, only a whole run
    can tell.
    """

    seed: int = 7
    """Decides every scene, caption, crop, first weight and batch."""
    picture_count: int = 50_000
    """Pictures to train on, painted ones and crops of photographs together."""
    photograph_share: float = 0.05
    """Part of the pictures that are crops of real photographs; 0 does without photographs."""
    held_out: int = 1_024
    """Pictures beside those, the styles in turn, that no stage trains on: the model is measured on them."""
    picture_size: int = 256
    """Side of every picture in pixels: a multiple of 32, 64 or more."""
    drop_style_word: Literal["any", "photo"] = "photo"
    """Whose captions may lose the style word: those of any style, as the published weights were trained, or only
    those in the style photo, so that a caption without a style word means a photograph."""
    short_captions: float = 0.12
    """Part of the captions that are a name and a style and no more, so that short prompts work."""
    vocabulary: int = 2048
    """Bound on the tokens, never quite reached since bytes count twice in it: 2048 gave the published 1,761."""
    latent_channels: int = 8
    """Numbers a latent: Stable Diffusion 1.x has 4, more keep finer detail."""
    latent_factor: int = 8
    """Pixels along one side of a latent: 8 as in Stable Diffusion, or 4 for a dearer and sharper model."""
    perceptual_weight: float = 0.4
    """How much the autoencoder's loss counts the distance in this recipe's own CLIP; 0 does without."""
    edge_weight: float = 1.5
    """How much the autoencoder's loss counts errors along the edges of the picture once more; 0 does without."""
    autoencoder_steps: int = 9_000
    """Optimizer steps of the autoencoder."""
    autoencoder_seconds: float = 0
    """Bound on the autoencoder's training in seconds; 0 is none."""
    autoencoder_batch: int = 64
    """Crops a step; the last quarter of the steps takes a third as many whole pictures."""
    clip_steps: int = 1_800
    """Optimizer steps of CLIP, whose text half is also the text encoder."""
    clip_seconds: float = 0
    """Bound on CLIP's training in seconds; 0 is none."""
    clip_batch: int = 512
    """Pairs a step; each caption is told apart from all the others of its batch, so more is harder and better."""
    denoiser_steps: int = 5_800
    """Optimizer steps of the UNet."""
    denoiser_seconds: float = 0
    """Bound on the UNet's training in seconds; 0 is none."""
    noisy_share: float = 0.35
    """Part of each batch whose time steps are drawn towards the noisy end, where a picture's style is decided."""
    denoiser_batch: int = 256
    """Latents a step of the UNet."""
    teacher_steps: int = 1_500
    """Optimizer steps of the style teacher's LoRA."""
    teacher_seconds: float = 0
    """Bound on the teacher's training in seconds; 0 is none."""
    teacher_batch: int = 64
    """Latents a step of the style teacher."""
    teacher_rank: int = 16
    """Rank of the style teacher's LoRA, and its alpha, so that its updates count in full."""
    sheet_scenes: int = 8
    """Scenes side by side on the contact sheets: 1 to 8."""
    sheet_steps: int = 25
    """Sampler steps of a drawn picture: 3 or more, or image-to-image at strength 0.4 would take none."""
    measured_drawings: int = 512
    """Held-out captions that are drawn and compared with the painter's pictures."""

    def __post_init__(self) -> None:
        bounds = {
            "seed": (0, 2**32 - 1),
            "picture_count": (32, 10_000_000),
            "photograph_share": (0, 0.5),
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
            "measured_drawings": (20, None),
            "picture_size": (64, 512),
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
                allowed = f"{least} or more" if most is None else f"{least} to {most}"
                raise WrongInput(f"{name} is {value}, but must be {allowed}: choose another --{name.replace('_', '-')}")
        if self.latent_factor not in (4, 8):
            raise WrongInput(
                f"latent_factor is {self.latent_factor}, but must be 4 or 8: choose another --latent-factor"
            )
        if self.measured_drawings > self.held_out:
            raise WrongInput(
                f"measured_drawings is {self.measured_drawings}, but only {self.held_out} pictures are "
                "held out: choose fewer --measured-drawings or more --held-out"
            )
        if self.picture_size % 32:
            near = max(64, round(self.picture_size / 32) * 32)
            raise WrongInput(f"picture_size is {self.picture_size}, but must be a multiple of 32: {near} is near")
        if self.drop_style_word not in ("any", "photo"):
            raise WrongInput(f"drop_style_word is {self.drop_style_word!r}, but must be 'any' or 'photo': choose one")

    @property
    def photograph_count(self) -> int:
        """How many of the pictures are crops of photographs."""
        return int(self.picture_count * self.photograph_share)

    def is_photograph(self, row: int) -> bool:
        """Is this row a crop of a photograph? They are the last ones before those held out."""
        return self.picture_count - self.photograph_count <= row < self.picture_count

    @property
    def total_count(self) -> int:
        """How many pictures there are, the held-out ones last."""
        return self.picture_count + self.held_out

    @property
    def latent_size(self) -> int:
        """Side of a latent."""
        return self.picture_size // self.latent_factor

    @property
    def disk_bytes(self) -> int:
        """Room that a run takes: pictures, half-precision latents, and a gigabyte of models and their checkpoints."""
        latents = 2 * self.latent_channels * self.latent_size**2
        return self.total_count * 3 * self.picture_size**2 + self.picture_count * latents + 1_000_000_000

    def differences(self, other: dict[str, object]) -> list[str]:
        """'name value instead of value' for every setting that is not as in `other`; unknown and missing ones too."""
        mine = asdict(self)
        return [
            f"{name} {other.get(name, 'unset')} instead of {mine.get(name, 'unset')}"
            for name in sorted(mine | other)
            if mine.get(name) != other.get(name)
        ]


QUICK = Settings(
    picture_count=96,
    held_out=20,
    picture_size=64,
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
    measured_drawings=20,
)
"""The whole recipe in a minute on one CPU core; its pictures are noise."""
