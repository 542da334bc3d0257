"""The pictures to train on: painted by worker processes into one memory-mapped file, with captions beside it.

No torch in here: every worker process imports this file.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ghibli_studio.miniature.landmarks import STYLES, Scene, caption, render, sample_scene
from ghibli_studio.miniature.pretrain.learning import Progress
from ghibli_studio.miniature.pretrain.photographs import Photograph, crops
from ghibli_studio.miniature.pretrain.settings import TARGET_STYLE, TARGET_WORD, Settings, WrongInput

STYLE_SHARES = {"photo": 0.34, TARGET_STYLE: 0.12}
"""How often these styles are painted; the others share the rest evenly."""
REAL_PHOTOGRAPH = "real photo"
CAPTIONS_A_PICTURE = 3
BLOCK = 32
"""Pictures that a worker paints before it reports."""
FILE, LIST = "pictures.npy", "captions.json"

Described = tuple[str, list[str]]
"""A picture's style and its captions."""


@dataclass(frozen=True)
class Pictures:
    """The finished pictures; crops of photographs come first."""

    images: np.ndarray
    """(count, size, size, 3) bytes, memory-mapped and not writable."""
    styles: np.ndarray
    """(count,) the painter's style names, or 'real photo'."""
    captions: list[list[str]]
    """Three differently worded captions a picture."""

    @classmethod
    def load(cls, folder: Path) -> Pictures:
        """Open what `make` left in the folder."""
        described = json.loads((folder / LIST).read_text(encoding="utf-8"))
        images = np.load(folder / FILE, mmap_mode="r", allow_pickle=False)
        return cls(images, np.array([style for style, _ in described]), [captions for _, captions in described])

    @property
    def photograph_count(self) -> int:
        """How many rows at the beginning are crops of photographs."""
        return int((self.styles == REAL_PHOTOGRAPH).sum())


def make(settings: Settings, photographs: list[Photograph], folder: Path, workers: int = 0) -> dict[str, float]:
    """Fill the folder with all pictures and their captions; without workers, paint in this process.

    Returns how many pictures are crops of photographs and how many are in the target style.
    """
    shape = (settings.picture_count, settings.picture_size, settings.picture_size, 3)
    images = np.lib.format.open_memmap(folder / FILE, mode="w+", dtype=np.uint8, shape=shape)
    described: list[Described] = []
    count = settings.photograph_count
    for row, (pixels, captions) in enumerate(crops(photographs, count, settings.picture_size, settings.seed)):
        images[row] = pixels
        described.append((REAL_PHOTOGRAPH, captions))
    images.flush()
    starts = range(count, settings.picture_count, BLOCK)
    progress = Progress(f"blocks of {BLOCK} pictures", len(starts))
    for number, block in enumerate(mapped(partial(paint_block, settings, folder / FILE), starts, workers)):
        described += block
        if progress.due(number):
            progress.say(number)
    in_target_style = sum(style == TARGET_STYLE for style, _ in described)
    if not in_target_style:
        raise WrongInput(f"picture_count is {settings.picture_count}, and with seed {settings.seed} none of them came "
                         "out in the target style, but the teacher needs one: choose more with --picture-count")
    (folder / LIST).write_text(json.dumps(described, indent=0), encoding="utf-8")
    return {"photograph_crops": count, "target_style": in_target_style}


def mapped(paint: Callable[[int], list[Described]], starts: Iterable[int], workers: int) -> Iterator[list[Described]]:
    """What `paint` returns for each start, in order; computed by worker processes, or here when there are none."""
    if workers == 0:
        yield from map(paint, starts)
        return
    # spawned, since forked workers would share the threads that torch has already started
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as processes:
        yield from processes.map(paint, starts)


def paint_block(settings: Settings, file: Path, start: int) -> list[Described]:
    """Paint the rows from `start` up to the next block into the file; return their styles and captions."""
    images = np.load(file, mmap_mode="r+", allow_pickle=False)
    names, odds = style_odds()
    described = []
    for row in range(start, min(start + BLOCK, settings.picture_count)):
        rng = np.random.default_rng([settings.seed, row])  # one a row: who paints it makes no difference
        scene = sample_scene(rng)
        style = names[rng.choice(len(names), p=odds)]
        images[row] = np.asarray(render(scene, style, settings.picture_size).convert("RGB"))
        captions = [training_caption(scene, style, rng, settings.drop_style_word) for _ in range(CAPTIONS_A_PICTURE)]
        described.append((style, captions))
    images.flush()
    return described


def style_odds() -> tuple[list[str], list[float]]:
    """The painter's styles and how likely each is; the odds add up to 1."""
    others = [style for style in STYLES if style not in STYLE_SHARES]
    share = (1 - sum(STYLE_SHARES.values())) / len(others)
    return [*STYLE_SHARES, *others], [*STYLE_SHARES.values(), *[share] * len(others)]


def training_caption(scene: Scene, style: str, rng: np.random.Generator, drop_style_word: str) -> str:
    """A randomly worded caption; only where `drop_style_word` allows it may the style be missing."""
    text = caption(scene, style, rng)
    while drop_style_word == "photo" and style != "photo" and not names_style(text, style):
        text = caption(scene, style, rng)
    return in_caption_words(text)


def names_style(text: str, style: str) -> bool:
    """Does a caption of the painter say its style? It stands at the end, or before 'of' at the beginning."""
    return text.endswith(style) or text.startswith(f"{style} of ")


def in_caption_words(text: str) -> str:
    """The caption with the target style called as people call it."""
    return text.replace(TARGET_STYLE, TARGET_WORD)
