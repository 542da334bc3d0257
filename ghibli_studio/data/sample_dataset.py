"""The sample project: 115 landmarks, each drawn by the painter as a photograph and in the style to be learned."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import split_by_landmark
from ghibli_studio.data.writer import Draft
from ghibli_studio.imaging.image_io import open_image, png_bytes
from ghibli_studio.models.description import describe
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

STYLE = "ghiblivis"
LANDMARK_COUNT = 115


def draw_pair(index: int, seed: int, size: int) -> tuple[str, str, bytes, bytes]:
    """Landmark, prompt, photograph and styled picture (PNG) of the index-th landmark's scene."""
    import numpy as np

    from ghibli_studio.miniature.landmarks.captions import prompt
    from ghibli_studio.miniature.landmarks.catalogue import LANDMARKS
    from ghibli_studio.miniature.landmarks.painting import render
    from ghibli_studio.miniature.landmarks.scene import sample_scene

    scene = sample_scene(np.random.default_rng([seed, index]), LANDMARKS[index])
    photograph, styled = (png_bytes(render(scene, style, size)) for style in ("photo", STYLE))
    return scene.landmark.name, prompt(scene), photograph, styled


def draw_photograph(index: int, seed: int, size: int) -> tuple[dict[str, str], bytes]:
    """The parts of the prompt, and the photograph (PNG) of the index-th landmark's scene."""
    import numpy as np

    from ghibli_studio.miniature.landmarks.captions import prompt
    from ghibli_studio.miniature.landmarks.catalogue import LANDMARKS
    from ghibli_studio.miniature.landmarks.painting import render
    from ghibli_studio.miniature.landmarks.scene import COMPOSITIONS, sample_scene

    scene = sample_scene(np.random.default_rng([seed, index]), LANDMARKS[index])
    words = {
        "name": scene.landmark.name,
        "location": scene.landmark.location,
        "composition": COMPOSITIONS[scene.composition],
    }
    before = f"{words['name']}, {words['location']}, "
    words["description"] = prompt(scene).removeprefix(before).removesuffix(f", {words['composition']}")
    return words, png_bytes(render(scene, "photo", size))


def drawn(draw: Callable[[int, int, int], Any], count: int, seed: int, size: int) -> Iterator[Any]:
    """What `draw` makes of each of `count` landmarks, the paper's among them, on every core and in order."""
    if not 2 <= count <= LANDMARK_COUNT:
        raise StudioError(f"count is {count}; it must be 2 to {LANDMARK_COUNT}, the landmarks that the painter knows")
    if seed < 0:
        raise StudioError(f"seed is {seed}; it must be 0 or more")
    spawn = multiprocessing.get_context("spawn")  # safe beside the threads of a web server
    with ProcessPoolExecutor(min(os.cpu_count() or 1, count), mp_context=spawn) as pool:
        futures = [pool.submit(draw, index, seed, size) for index in _chosen(count)]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def make_sample(
    project: Project, base_model: str = MINIATURE, *, seed: int = 0, count: int = LANDMARK_COUNT, replace: bool = False
) -> Iterator[Progress]:
    """Draw the sample data set, on every core; the paper's five landmarks are held out for validation.

    Raises StudioError if the project has a data set and `replace` is not said.
    """
    pairs = []
    drawing = drawn(draw_pair, count, seed, describe(base_model).resolution)
    refuse_to_overwrite(project, replace)
    for pair in drawing:
        pairs.append(pair)
        yield Progress(len(pairs), count, f"drawing {pair[0]}")
    splits = split_by_landmark([name for name, *_ in pairs], seed, held_out=PAPER_LANDMARKS)
    with Draft.of(project, describe(base_model), seed) as draft:
        refuse_to_overwrite(project, replace)  # somebody else may have made one since
        for (name, caption, photograph, styled), split in zip(pairs, splits):
            draft.add(
                open_image(styled, name),
                caption,
                landmark=name,
                source=photograph,
                suffix=".png",
                original=f"{name}, drawn",
                split=split,
            )
        draft.finish()


def _chosen(count: int) -> list[int]:
    """Indices into the painter's catalogue: the paper's five first, then the others in order."""
    from ghibli_studio.miniature.landmarks.catalogue import LANDMARKS

    ranked = sorted(range(len(LANDMARKS)), key=lambda i: (LANDMARKS[i].name not in PAPER_LANDMARKS, i))
    return sorted(ranked[:count])


def refuse_to_overwrite(project: Project, replace: bool) -> None:
    """Raise StudioError if there is a data set and nobody said to replace it."""
    if datasets.exists(project) and not replace:
        raise StudioError(
            f"project {project.name!r} has a data set already; choose another project, or tick Replace (--replace)"
        )
