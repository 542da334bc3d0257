"""What the images show and how they are captioned; `renderer` paints them.

An image is identified by its row: painted images first, then crops of photos, held-out images last. No torch in here:
every process that renders imports this file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ghibli_studio.miniature.landmarks.captions import caption
from ghibli_studio.miniature.landmarks.painting import STYLES
from ghibli_studio.miniature.landmarks.scene import Scene, sample_scene
from ghibli_studio.pretraining.data.photos import Photo, captions_of
from ghibli_studio.pretraining.settings import TARGET_STYLE, TARGET_WORD, InvalidInput, Settings

STYLE_SHARES = {"photo": 0.34, TARGET_STYLE: 0.12}
"""Shares of these styles among the painted images; the other styles share the rest evenly."""
REAL_PHOTO = "real photo"
CAPTIONS_PER_IMAGE = 3
LIST = "captions.json"

ImageDescription = dict[str, str | list[str]]
"""An image's style and captions; of a painted image also landmark, setting, sky and composition."""


@dataclass(frozen=True)
class TrainingImages:
    """The images of a run, with their captions."""

    images: np.ndarray
    """(count, size, size, 3) bytes, memory-mapped and read-only."""
    descriptions: list[ImageDescription]
    """What each image shows."""
    held_out: int
    """Number of images at the end that no stage may train on."""

    @property
    def count(self) -> int:
        """Number of training images; their rows come first."""
        return len(self.descriptions) - self.held_out

    @property
    def styles(self) -> np.ndarray:
        """The painter's style names, or 'real photo', (count,)."""
        return np.array([description["style"] for description in self.descriptions])

    @property
    def captions(self) -> list[list[str]]:
        """Three differently worded captions per image."""
        return [list(description["captions"]) for description in self.descriptions]

    @property
    def held_out_rows(self) -> np.ndarray:
        """Rows of the held-out images."""
        return np.arange(self.count, len(self.descriptions))


def describe(settings: Settings, photos: list[Photo], folder: Path) -> dict[str, float]:
    """Decide what every image shows and write it to the folder, without rendering.

    Raises InvalidInput if no image has the target style.
    """
    descriptions = [describe_row(settings, photos, row) for row in range(settings.total_count)]
    in_target_style = sum(description["style"] == TARGET_STYLE for description in descriptions[: settings.image_count])
    if not in_target_style:
        raise InvalidInput(
            f"image_count is {settings.image_count}, but with seed {settings.seed} none of them has "
            "the target style, and the teacher needs at least one: choose more with --image-count"
        )
    (folder / LIST).write_text(json.dumps(descriptions, indent=0), encoding="utf-8")
    return {"photo_crops": settings.photo_count, "target_style": in_target_style}


def read_descriptions(folder: Path) -> list[ImageDescription]:
    """Read what `describe` wrote to the folder."""
    return json.loads((folder / LIST).read_text(encoding="utf-8"))


def describe_row(settings: Settings, photos: list[Photo], row: int) -> ImageDescription:
    """Return what one image shows."""
    if settings.is_photo_crop(row):
        return {"style": REAL_PHOTO, "captions": captions_of(photos, row)}
    scene, style, rng = subject(settings, row)
    captions = [training_caption(scene, style, rng, settings) for _ in range(CAPTIONS_PER_IMAGE)]
    if row >= settings.image_count:  # held-out images are evaluated with full captions
        captions = [full_caption(scene, style)] * CAPTIONS_PER_IMAGE
    return {
        "style": style,
        "captions": captions,
        "landmark": scene.landmark.name,
        "setting": scene.setting,
        "sky": scene.sky,
        "composition": scene.composition,
    }


def subject(settings: Settings, row: int) -> tuple[Scene, str, np.random.Generator]:
    """Return the scene and style of a painted row, and the generator for its captions.

    Every row has its own generator, so the result does not depend on the process. Held-out rows take the styles in
    turn, because each style is evaluated separately.
    """
    rng = np.random.default_rng([settings.seed, row])
    scene = sample_scene(rng)
    if row >= settings.image_count:
        return scene, STYLES[(row - settings.image_count) % len(STYLES)], rng
    names, odds = style_odds()
    return scene, names[rng.choice(len(names), p=odds)], rng


def style_odds() -> tuple[list[str], list[float]]:
    """Return the painter's styles and their probabilities, which add up to 1."""
    others = [style for style in STYLES if style not in STYLE_SHARES]
    share = (1 - sum(STYLE_SHARES.values())) / len(others)
    return [*STYLE_SHARES, *others], [*STYLE_SHARES.values(), *[share] * len(others)]


def training_caption(scene: Scene, style: str, rng: np.random.Generator, settings: Settings) -> str:
    """Return a randomly worded caption; some are as short as a typed prompt.

    The style may be missing only if `drop_style_word` allows it.
    """
    may_drop = settings.drop_style_word == "any" or style == "photo"
    if rng.random() < settings.short_captions:
        text = scene.landmark.name if may_drop and rng.random() < 0.5 else f"{scene.landmark.name}, {style}"
    else:
        text = caption(scene, style, rng)
        while not may_drop and not names_style(text, style):
            text = caption(scene, style, rng)
    return with_target_word(text)


def full_caption(scene: Scene, style: str) -> str:
    """Return the caption with all its parts, the style at the end."""
    return with_target_word(caption(scene, style))


def names_style(text: str, style: str) -> bool:
    """Return whether a caption of the painter names its style: at the end, or before 'of' at the beginning."""
    return text.endswith(style) or text.startswith(f"{style} of ")


def with_target_word(text: str) -> str:
    """Return the caption with the public name of the target style."""
    return text.replace(TARGET_STYLE, TARGET_WORD)
