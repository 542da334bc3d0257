"""What the pictures show and how they are captioned; `painting` paints them.

A picture is known by its row: painted ones first, crops of photographs after them, held-out ones last. No torch in
here: every process that paints imports this file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ghibli_studio.miniature.landmarks.captions import caption
from ghibli_studio.miniature.landmarks.painting import STYLES
from ghibli_studio.miniature.landmarks.scene import Scene, sample_scene
from ghibli_studio.pretraining.data.photographs import Photograph, captions_of
from ghibli_studio.pretraining.settings import TARGET_STYLE, TARGET_WORD, Settings, WrongInput

STYLE_SHARES = {"photo": 0.34, TARGET_STYLE: 0.12}
"""How often these styles are painted; the others share the rest evenly."""
REAL_PHOTOGRAPH = "real photo"
CAPTIONS_A_PICTURE = 3
LIST = "captions.json"

Described = dict[str, str | list[str]]
"""A picture's style and captions; a painted one's landmark, setting, sky and composition too."""


@dataclass(frozen=True)
class Pictures:
    """The pictures that a run is about, with their captions."""

    images: np.ndarray
    """(count, size, size, 3) bytes, memory-mapped and not writable."""
    described: list[Described]
    """What each shows; of equal length."""
    held_out: int
    """How many of them, the last ones, no stage may train on."""

    @property
    def count(self) -> int:
        """How many there are to train on; their rows come first."""
        return len(self.described) - self.held_out

    @property
    def styles(self) -> np.ndarray:
        """(count,) the painter's style names, or 'real photo'."""
        return np.array([about["style"] for about in self.described])

    @property
    def captions(self) -> list[list[str]]:
        """Three differently worded captions a picture."""
        return [about["captions"] for about in self.described]

    @property
    def held_out_rows(self) -> np.ndarray:
        """Rows that no stage may train on."""
        return np.arange(self.count, len(self.described))


def describe(settings: Settings, photographs: list[Photograph], folder: Path) -> dict[str, float]:
    """Leave in the folder what every picture shall show, without painting one.

    Raises WrongInput if none is in the target style.
    """
    described = [described_row(settings, photographs, row) for row in range(settings.total_count)]
    in_target_style = sum(about["style"] == TARGET_STYLE for about in described[: settings.picture_count])
    if not in_target_style:
        raise WrongInput(
            f"picture_count is {settings.picture_count}, and with seed {settings.seed} none of them came "
            "out in the target style, but the teacher needs one: choose more with --picture-count"
        )
    (folder / LIST).write_text(json.dumps(described, indent=0), encoding="utf-8")
    return {"photograph_crops": settings.photograph_count, "target_style": in_target_style}


def read_described(folder: Path) -> list[Described]:
    """What `describe` left in the folder."""
    return json.loads((folder / LIST).read_text(encoding="utf-8"))


def described_row(settings: Settings, photographs: list[Photograph], row: int) -> Described:
    """What one picture shows, in words."""
    if settings.is_photograph(row):
        return {"style": REAL_PHOTOGRAPH, "captions": captions_of(photographs, row)}
    scene, style, rng = subject(settings, row)
    captions = [training_caption(scene, style, rng, settings) for _ in range(CAPTIONS_A_PICTURE)]
    if row >= settings.picture_count:  # the held-out are measured with whole captions
        captions = [whole_caption(scene, style)] * CAPTIONS_A_PICTURE
    return {
        "style": style,
        "captions": captions,
        "landmark": scene.landmark.name,
        "setting": scene.setting,
        "sky": scene.sky,
        "composition": scene.composition,
    }


def subject(settings: Settings, row: int) -> tuple[Scene, str, np.random.Generator]:
    """Scene and style of a painted row, and the generator that its captions go on with.

    Every row has a generator of its own, so it makes no difference who paints it. Held-out rows take the styles in
    turn, since each is measured apart.
    """
    rng = np.random.default_rng([settings.seed, row])
    scene = sample_scene(rng)
    if row >= settings.picture_count:
        return scene, STYLES[(row - settings.picture_count) % len(STYLES)], rng
    names, odds = style_odds()
    return scene, names[rng.choice(len(names), p=odds)], rng


def style_odds() -> tuple[list[str], list[float]]:
    """The painter's styles and how likely each is; the odds add up to 1."""
    others = [style for style in STYLES if style not in STYLE_SHARES]
    share = (1 - sum(STYLE_SHARES.values())) / len(others)
    return [*STYLE_SHARES, *others], [*STYLE_SHARES.values(), *[share] * len(others)]


def training_caption(scene: Scene, style: str, rng: np.random.Generator, settings: Settings) -> str:
    """A randomly worded caption, some as short as a prompt that one types.

    Only where `drop_style_word` allows it may the style be missing.
    """
    may_lose = settings.drop_style_word == "any" or style == "photo"
    if rng.random() < settings.short_captions:
        text = scene.landmark.name if may_lose and rng.random() < 0.5 else f"{scene.landmark.name}, {style}"
    else:
        text = caption(scene, style, rng)
        while not may_lose and not names_style(text, style):
            text = caption(scene, style, rng)
    return in_caption_words(text)


def whole_caption(scene: Scene, style: str) -> str:
    """The caption with all its parts, the style at its end."""
    return in_caption_words(caption(scene, style))


def names_style(text: str, style: str) -> bool:
    """Does a caption of the painter say its style? It stands at the end, or before 'of' at the beginning."""
    return text.endswith(style) or text.startswith(f"{style} of ")


def in_caption_words(text: str) -> str:
    """The caption with the target style called as people call it."""
    return text.replace(TARGET_STYLE, TARGET_WORD)
