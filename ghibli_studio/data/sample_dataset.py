"""The sample project: 115 landmarks, each painted as a photo and in the style to be learned."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import split_by_landmark
from ghibli_studio.data.writer import DatasetWriter
from ghibli_studio.imaging.image_io import open_image, png_bytes
from ghibli_studio.models.description import describe
from ghibli_studio.models.location import MINIATURE
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

T = TypeVar("T")
STYLE = "ghiblivis"
LANDMARK_COUNT = 115


def render_pair(index: int, seed: int, size: int) -> tuple[str, str, bytes, bytes]:
    """Return landmark, prompt, photo and stylized image (PNG) of the index-th landmark's scene."""
    import numpy as np

    from ghibli_studio.miniature.landmarks.captions import prompt
    from ghibli_studio.miniature.landmarks.catalog import LANDMARKS
    from ghibli_studio.miniature.landmarks.painting import render
    from ghibli_studio.miniature.landmarks.scene import sample_scene

    scene = sample_scene(np.random.default_rng([seed, index]), LANDMARKS[index])
    photo, stylized = (png_bytes(render(scene, style, size)) for style in ("photo", STYLE))
    return scene.landmark.name, prompt(scene), photo, stylized


def render_photo(index: int, seed: int, size: int) -> tuple[dict[str, str], bytes]:
    """Return the parts of the prompt and the photo (PNG) of the index-th landmark's scene."""
    import numpy as np

    from ghibli_studio.miniature.landmarks.captions import prompt
    from ghibli_studio.miniature.landmarks.catalog import LANDMARKS
    from ghibli_studio.miniature.landmarks.painting import render
    from ghibli_studio.miniature.landmarks.scene import COMPOSITIONS, sample_scene

    scene = sample_scene(np.random.default_rng([seed, index]), LANDMARKS[index])
    words = {
        "name": scene.landmark.name,
        "location": scene.landmark.location,
        "composition": COMPOSITIONS[scene.composition],
    }
    prefix = f"{words['name']}, {words['location']}, "
    words["description"] = prompt(scene).removeprefix(prefix).removesuffix(f", {words['composition']}")
    return words, png_bytes(render(scene, "photo", size))


def render_landmarks(render: Callable[[int, int, int], T], count: int, seed: int, size: int) -> Iterator[T]:
    """Yield `render(index, seed, size)` of `count` landmarks, the paper's among them, on every core and in order."""
    if not 2 <= count <= LANDMARK_COUNT:
        raise StudioError(f"count is {count}; it must be 2 to {LANDMARK_COUNT}, the number of painted landmarks")
    if seed < 0:
        raise StudioError(f"seed is {seed}; it must be 0 or more")
    spawn = multiprocessing.get_context("spawn")  # safe in a process with the threads of a web server
    with ProcessPoolExecutor(min(os.cpu_count() or 1, count), mp_context=spawn) as pool:
        futures = [pool.submit(render, index, seed, size) for index in _chosen(count)]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def create_sample(
    project: Project, base_model: str = MINIATURE, *, seed: int = 0, count: int = LANDMARK_COUNT, replace: bool = False
) -> Iterator[Progress]:
    """Paint the sample dataset, on every core; the paper's five landmarks are held out for validation.

    Raises StudioError if the project has a dataset and `replace` is False.
    """
    pairs = []
    rendering = render_landmarks(render_pair, count, seed, describe(base_model).resolution)
    refuse_to_overwrite(project, replace)
    for pair in rendering:
        pairs.append(pair)
        yield Progress(len(pairs), count, f"painting {pair[0]}")
    splits = split_by_landmark([name for name, *_ in pairs], seed, held_out=PAPER_LANDMARKS)
    with DatasetWriter.create(project, describe(base_model), seed) as writer:
        refuse_to_overwrite(project, replace)  # another process may have created one meanwhile
        for (name, caption, photo, stylized), split in zip(pairs, splits):
            writer.add(
                open_image(stylized, name),
                caption,
                landmark=name,
                source=photo,
                suffix=".png",
                original=f"{name}, painted",
                split=split,
            )
        writer.build()


def _chosen(count: int) -> list[int]:
    """Return indices into the painter's catalogue: the paper's five, then the others in order, sorted."""
    from ghibli_studio.miniature.landmarks.catalog import LANDMARKS

    ranked = sorted(range(len(LANDMARKS)), key=lambda i: (LANDMARKS[i].name not in PAPER_LANDMARKS, i))
    return sorted(ranked[:count])


def refuse_to_overwrite(project: Project, replace: bool) -> None:
    """Raise StudioError if the project has a dataset and `replace` is False."""
    if datasets.exists(project) and not replace:
        raise StudioError(
            f"project {project.name!r} has a dataset already; choose another project, or overwrite it (--replace)"
        )
