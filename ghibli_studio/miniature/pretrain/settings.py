"""What the trained weights depend on. Where and on which device they are computed is not in here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

TARGET_STYLE = "ghiblivis"
"""The painter's name for the style that the denoiser is never shown."""
TARGET_WORD = "ghibli style"
"""How captions name the target style."""
LATENT_FACTOR = 8
"""Pixels along one side of a latent."""
SMALLEST_VOCABULARY = 2 * (256 + 256) + 2 + 1
"""Every byte, alone and at a word's end, which the trainer counts a second time; two markers; one merge."""


class WrongInput(ValueError):
    """What a person asked for cannot be done; the message is one sentence with the value, the bound and a way out."""


@dataclass(frozen=True)
class Settings:
    """The recipe's choices; the defaults repeat the published weights as nearly as counted steps can.

    The published weights were trained by wall clock on one H100 (pictures 180 s, autoencoder 270 s, CLIP 150 s,
    teacher 60 s; 13 minutes in all) and only the denoiser's steps were written down. The other step counts are
    estimates of what such budgets hold, chosen so that a run is the same on every machine.
    """

    seed: int = 7
    """Decides every scene, caption, crop, first weight and batch."""
    picture_count: int = 50_000
    """Pictures to train on, painted ones and crops of photographs together."""
    photograph_share: float = 0.05
    """Part of the pictures that are crops of real photographs; 0 does without photographs."""
    picture_size: int = 256
    """Side of every picture in pixels: a multiple of 32, 64 or more."""
    drop_style_word: Literal["any", "photo"] = "photo"
    """Whose captions may lose the style word: those of any style, as the published weights were trained, or only
    those in the style photo, so that a caption without a style word means a photograph."""
    vocabulary: int = 2048
    """Bound on the tokens, never quite reached since bytes count twice in it: 2048 gave the published 1,761."""
    autoencoder_steps: int = 4_500
    """Optimiser steps of the autoencoder; the published one had 270 s."""
    autoencoder_batch: int = 64
    """Crops a step; the last quarter of the steps takes a third as many whole pictures."""
    clip_steps: int = 1_800
    """Optimiser steps of CLIP, whose text half is also the text encoder; the published one had 150 s."""
    clip_batch: int = 512
    """Pairs a step; each caption is told apart from all the others of its batch, so more is harder and better."""
    denoiser_steps: int = 5_432
    """Optimiser steps of the UNet: as many as the published one took in its 560 s."""
    denoiser_batch: int = 256
    """Latents a step of the UNet."""
    teacher_steps: int = 1_200
    """Optimiser steps of the style teacher's LoRA; the published one had 60 s."""
    teacher_batch: int = 64
    """Latents a step of the style teacher."""
    teacher_rank: int = 16
    """Rank of the style teacher's LoRA, and its alpha, so that its updates count in full."""
    sheet_scenes: int = 8
    """Scenes side by side on the contact sheets: 1 to 8."""
    sheet_steps: int = 25
    """Sampler steps of a picture on the sheets: 3 or more, or image-to-image at strength 0.4 would take none."""

    def __post_init__(self) -> None:
        bounds = {
            "seed": (0, 2**32 - 1), "picture_count": (32, 10_000_000), "photograph_share": (0, 0.5),
            "picture_size": (64, 512), "vocabulary": (SMALLEST_VOCABULARY, 49_408),
            "autoencoder_steps": (1, None), "autoencoder_batch": (1, None), "clip_steps": (1, None),
            "clip_batch": (2, None), "denoiser_steps": (1, None), "denoiser_batch": (1, None),
            "teacher_steps": (1, None), "teacher_batch": (1, None), "teacher_rank": (1, 96),
            "sheet_scenes": (1, 8), "sheet_steps": (3, None),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if value < least or (most is not None and value > most):
                allowed = f"{least} or more" if most is None else f"{least} to {most}"
                raise WrongInput(f"{name} is {value}, but must be {allowed}: choose another --{name.replace('_', '-')}")
        if self.picture_size % 32:
            near = max(64, round(self.picture_size / 32) * 32)
            raise WrongInput(f"picture_size is {self.picture_size}, but must be a multiple of 32: {near} is near")
        if self.drop_style_word not in ("any", "photo"):
            raise WrongInput(f"drop_style_word is {self.drop_style_word!r}, but must be 'any' or 'photo': choose one")

    @property
    def photograph_count(self) -> int:
        """How many of the pictures are crops of photographs; they come first."""
        return int(self.picture_count * self.photograph_share)

    @property
    def latent_size(self) -> int:
        """Side of a latent."""
        return self.picture_size // LATENT_FACTOR

    @property
    def disk_bytes(self) -> int:
        """Room that a run takes: pictures, half-precision latents of 4 channels, and half a gigabyte of models."""
        return self.picture_count * (3 * self.picture_size**2 + 8 * self.latent_size**2) + 500_000_000

    def differences(self, other: dict[str, object]) -> list[str]:
        """'name value instead of value' for every setting that is not as in `other`; unknown and missing ones too."""
        mine = asdict(self)
        return [f"{name} {other.get(name, 'unset')} instead of {mine.get(name, 'unset')}"
                for name in sorted(mine | other) if mine.get(name) != other.get(name)]


QUICK = Settings(
    picture_count=96, picture_size=64, vocabulary=1_100, autoencoder_steps=5, autoencoder_batch=6, clip_steps=3,
    clip_batch=8, denoiser_steps=3, denoiser_batch=4, teacher_steps=3, teacher_batch=4, sheet_scenes=2, sheet_steps=3,
)
"""The whole recipe in under a minute on one CPU core; its pictures are noise."""
