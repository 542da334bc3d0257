"""Sets of images: the same prompts and seeds with the base model and each adapter, saved with their metadata."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import init_image as init_images
from ghibli_studio.generation import metadata, pipeline
from ghibli_studio.generation.init_image import InitImage
from ghibli_studio.generation.model_cache import base_model_of, load_base_model, with_optional_adapter
from ghibli_studio.generation.model_choice import label
from ghibli_studio.runtime import zero_gpu
from ghibli_studio.workspace.files import read_json, write_atomic, write_json
from ghibli_studio.workspace.project import Project

MAX_PROMPTS = 500
SET_FILE = "set.json"
MODEL_NAME = re.compile(r"[\w .@-]{1,150}")


@dataclass(frozen=True)
class Request:
    """One prompt of a set."""

    title: str
    """Its heading on the page: the landmark, or the beginning of the prompt."""
    prompt: str


@dataclass(frozen=True)
class GeneratedImage:
    """A finished image of a set."""

    title: str
    method: str
    """Name of the model choice, such as `base` or `lora`."""
    file: Path
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """Steps done of all steps of a set, with the image that was just finished, if any."""

    done: int
    total: int
    what: str
    image: GeneratedImage | None = None


def requests_for_landmarks(project: Project, names: Sequence[str]) -> list[Request]:
    """Return the dataset's prompts of landmarks; raises StudioError with the closest names for an unknown one."""
    dataset = datasets.load(project)
    requests = []
    for name in names:
        item = dataset.by_landmark(name)
        if item is None:
            landmarks = [item.landmark for item in dataset.items]
            closest = difflib.get_close_matches(name, landmarks, n=3, cutoff=0.3) or landmarks[:3]
            raise StudioError(
                f"the dataset has no landmark {name!r}; choose one of its {len(set(landmarks))}, such as "
                f"{', '.join(closest)}"
            )
        requests.append(Request(item.landmark, item.caption))
    return requests


def requests_for_prompts(lines: Sequence[str]) -> list[Request]:
    """Return one request per non-empty line; raises StudioError for none or too many."""
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise StudioError("there is no prompt; write one per line, such as 'Big Ben, London, a stone clock tower'")
    if len(prompts) > MAX_PROMPTS:
        raise StudioError(f"there are {len(prompts)} prompts, and at most {MAX_PROMPTS} are allowed; split them")
    return [Request(prompt.split(",")[0][:60], prompt) for prompt in prompts]


def generate_set(
    project: Project,
    requests: Sequence[Request],
    files: dict[str, Path | None],
    settings: GenerationSettings,
    *,
    base: str | None = None,
    init_image: InitImage | None = None,
) -> Iterator[Progress]:
    """Generate every request with the base model (None) and each adapter file from the same noise; save each at once.

    Image i of every method starts from the noise of `seed + i`, or from the init image with that noise added; the init
    image is stored in the project so that the images can be reproduced. The files are `<number>-<method>.png` in a new
    folder of the project's images, beside a `set.json` with the settings, prompts and methods.
    """
    if bad := next((name for name in files if not MODEL_NAME.fullmatch(name)), None):
        raise StudioError(f"{bad!r} is not a valid adapter name; use letters, digits, '-', '_' and '.'")
    model_id = base or base_model_of(project, files)
    if init_image is not None:
        init_images.store(project, init_image.image)
    folder = project.new_image_set()
    prompts = [{"title": request.title, "prompt": request.prompt} for request in requests]
    write_json(folder / SET_FILE, {"settings": settings.model_dump(), "requests": prompts, "methods": list(files)})
    yield from zero_gpu.in_chunks(
        _generate_missing,
        folder,
        requests,
        files,
        settings,
        model_id,
        init_image,
        progress=lambda: len(list(folder.iterdir())),
    )


def _generate_missing(
    folder: Path,
    requests: Sequence[Request],
    files: dict[str, Path | None],
    settings: GenerationSettings,
    model_id: str,
    init_image: InitImage | None,
    enough: Callable[[], bool],
) -> Iterator[Progress]:
    """Generate the missing images of a set until `enough` says to stop for now."""
    each = pipeline.steps_taken(settings.num_inference_steps, init_image.strength if init_image else None)
    existing = {
        (index, method) for method in files for index in range(len(requests)) if _file(folder, index, method).exists()
    }
    steps, total = len(existing) * each, len(requests) * len(files) * each
    yield Progress(steps, total, "loading the base model")
    model = load_base_model(model_id, settings.device, settings.attention)
    for method, path in files.items():
        missing = [(index, request) for index, request in enumerate(requests) if (index, method) not in existing]
        if not missing:
            continue
        with with_optional_adapter(model, path) as loaded:
            for index, request in missing:
                seeded = settings.changed(seed=(settings.seed + index) % 2**31)
                for event in pipeline.generate(loaded, request.prompt, seeded, init_image):
                    if event.image is None or event.metadata is None:
                        steps += 1
                        yield Progress(steps, total, f"{request.title}, {label(method)}")
                    else:
                        file = _file(folder, index, method)
                        write_atomic(file, metadata.to_png(event.image, event.metadata))
                        image = GeneratedImage(request.title, method, file, event.metadata)
                        yield Progress(steps, total, f"{request.title}, {label(method)}", image)
                if steps < total and enough():
                    return


def _file(folder: Path, index: int, method: str) -> Path:
    return folder / f"{index + 1:03d}-{method}.png"


@dataclass(frozen=True)
class ImageSet:
    """The prompts and methods of a set, and the images generated so far."""

    titles: tuple[str, ...]
    methods: tuple[str, ...]
    files: dict[tuple[int, str], Path]
    """By (request, method); images that were not generated are missing."""


def load_set(folder: Path) -> ImageSet:
    """Return the set in a folder; raises StudioError if its `set.json` is damaged."""
    content = read_json(folder / SET_FILE)
    titles, methods = [request["title"] for request in content["requests"]], content["methods"]
    files = {(index, method): _file(folder, index, method) for index in range(len(titles)) for method in methods}
    return ImageSet(tuple(titles), tuple(methods), {key: file for key, file in files.items() if file.exists()})
