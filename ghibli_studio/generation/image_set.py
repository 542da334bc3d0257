"""Sets of pictures: the same prompts and seeds through the base model and each adapter, saved with their recipes."""

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
from ghibli_studio.generation import init_image, metadata, pipeline
from ghibli_studio.generation.model_cache import base_of, loaded_base, on_base
from ghibli_studio.generation.model_choice import label
from ghibli_studio.runtime import zero_gpu
from ghibli_studio.workspace.files import read_json, write_atomic, write_json
from ghibli_studio.workspace.project import Project

MAX_PROMPTS = 500
SET_FILE = "set.json"
PLAIN = re.compile(r"[\w .@-]{1,150}")


@dataclass(frozen=True)
class Request:
    """One prompt of a set."""

    title: str
    """What it is called on the page: the landmark, or the prompt's beginning."""
    prompt: str


@dataclass(frozen=True)
class Picture:
    """A finished picture of a set."""

    title: str
    method: str
    file: Path
    recipe: dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """Steps done of all steps of a set; `picture` is there when one has just been finished."""

    done: int
    total: int
    what: str
    picture: Picture | None = None


def requests_for_landmarks(project: Project, names: Sequence[str]) -> list[Request]:
    """The data set's prompts for landmarks by name; raises StudioError with the nearest name for an unknown one."""
    dataset = datasets.load(project)
    found = []
    for name in names:
        item = dataset.by_landmark(name)
        if item is None:
            known = [item.landmark for item in dataset.items]
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:3]
            raise StudioError(
                f"the data set has no landmark {name!r}; near are {', '.join(near)} ({len(set(known))} in all)"
            )
        found.append(Request(item.landmark, item.caption))
    return found


def requests_for_prompts(lines: Sequence[str]) -> list[Request]:
    """One request a line that is not empty; raises StudioError for none or for too many."""
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise StudioError("there is no prompt; write one a line, such as 'Big Ben, London, a stone clock tower'")
    if len(prompts) > MAX_PROMPTS:
        raise StudioError(f"there are {len(prompts)} prompts, at most {MAX_PROMPTS} are drawn at once; split them")
    return [Request(prompt.split(",")[0][:60], prompt) for prompt in prompts]


def draw_set(
    project: Project,
    requests: Sequence[Request],
    files: dict[str, Path | None],
    settings: GenerationSettings,
    *,
    base: str | None = None,
    photograph: init_image.Photograph | None = None,
) -> Iterator[Progress]:
    """Draw every request with the base model (None) and each adapter file, from the same noise; save each at once.

    Picture i of every method starts from the noise of `seed + i`, or from a photograph with that noise on it, which is
    kept in the project so that the picture can be drawn again. The files are `<number>-<method>.png` in a new folder
    of the project's images, beside a `set.json` that says what was asked for.
    """
    if odd := next((name for name in files if not PLAIN.fullmatch(name)), None):
        raise StudioError(f"{odd!r} cannot be what an adapter is called here; use letters, digits, '-', '_' and '.'")
    spec = base or base_of(project, files)
    if photograph is not None:
        init_image.keep(project, photograph.image)
    folder = project.new_image_set()
    asked = [{"title": request.title, "prompt": request.prompt} for request in requests]
    write_json(folder / SET_FILE, {"settings": settings.model_dump(), "requests": asked, "methods": list(files)})
    yield from zero_gpu.in_chunks(
        _draw_missing, folder, requests, files, settings, spec, photograph, progress=lambda: len(list(folder.iterdir()))
    )


def _draw_missing(
    folder: Path,
    requests: Sequence[Request],
    files: dict[str, Path | None],
    settings: GenerationSettings,
    spec: str,
    photograph: init_image.Photograph | None,
    enough: Callable[[], bool],
) -> Iterator[Progress]:
    """Draw those pictures of a set that are not there yet, until it is enough for now."""
    each = pipeline.steps_drawn(settings.num_inference_steps, photograph and photograph.strength)
    there = {
        (index, method) for method in files for index in range(len(requests)) if _file(folder, index, method).exists()
    }
    steps, total = len(there) * each, len(requests) * len(files) * each
    yield Progress(steps, total, "loading the base model")
    model = loaded_base(spec, settings.device, settings.attention)
    for method, path in files.items():
        missing = [(index, one) for index, one in enumerate(requests) if (index, method) not in there]
        if not missing:
            continue
        with on_base(model, path) as loaded:
            for index, request in missing:
                chosen = settings.changed(seed=(settings.seed + index) % 2**31)
                for drawing in pipeline.draw(loaded, request.prompt, chosen, photograph):
                    if drawing.image is None:
                        steps += 1
                        yield Progress(steps, total, f"{request.title}, {label(method)}")
                    else:
                        file = _file(folder, index, method)
                        write_atomic(file, metadata.to_png(drawing.image, drawing.recipe))
                        picture = Picture(request.title, method, file, drawing.recipe)
                        yield Progress(steps, total, f"{request.title}, {label(method)}", picture)
                if steps < total and enough():
                    return


def _file(folder: Path, index: int, method: str) -> Path:
    return folder / f"{index + 1:03d}-{method}.png"


@dataclass(frozen=True)
class PictureSet:
    """What a set asked for, and the files there are so far."""

    titles: tuple[str, ...]
    methods: tuple[str, ...]
    files: dict[tuple[int, str], Path]
    """By (request, method); what was not drawn, or not yet, is missing."""


def load_set(folder: Path) -> PictureSet:
    """Read a set from its folder; raises StudioError where it is damaged."""
    asked = read_json(folder / SET_FILE)
    titles, methods = [request["title"] for request in asked["requests"]], asked["methods"]
    places = {(index, method): _file(folder, index, method) for index in range(len(titles)) for method in methods}
    return PictureSet(tuple(titles), tuple(methods), {key: file for key, file in places.items() if file.exists()})
