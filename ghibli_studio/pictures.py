"""Sets of pictures: the same prompts and seeds through the base model and each adapter, saved with their recipes."""

from __future__ import annotations

import dataclasses
import difflib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import adapters
from ghibli_studio import base_model, drawers, generation, jobs, uploads, zero_gpu
from ghibli_studio import collection as collections
from ghibli_studio import dataset as datasets
from ghibli_studio.config import GenerationSettings, StudioError
from ghibli_studio.crops import crop
from ghibli_studio.drawers import adapter_files, finished_run, label, short_label
from ghibli_studio.files import read_json, sha256_of, write_atomic, write_json
from ghibli_studio.generation import Loaded
from ghibli_studio.images import open_image
from ghibli_studio.miniature import STYLE_TEACHER
from ghibli_studio.workspace import Project, Workspace

if TYPE_CHECKING:
    from PIL import Image

    from ghibli_studio.base_model import BaseModel

__all__ = [
    "Picture", "PictureSet", "Progress", "Request", "adapter_files", "base_of", "draw_set", "finished_run", "label",
    "load_set", "loaded_base", "on_base", "reproduce", "requests_for_landmarks", "requests_for_prompts", "short_label",
    "warm_up",
]

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
    photograph: generation.Photograph | None = None,
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
        uploads.keep(project, photograph.image)
    folder = project.new_image_set()
    asked = [{"title": request.title, "prompt": request.prompt} for request in requests]
    write_json(folder / SET_FILE, {"settings": settings.model_dump(), "requests": asked, "methods": list(files)})
    yield from zero_gpu.in_chunks(
        _draw_missing, folder, requests, files, settings, spec, photograph,
        progress=lambda: len(list(folder.iterdir())),
    )


def _draw_missing(
    folder: Path, requests: Sequence[Request], files: dict[str, Path | None], settings: GenerationSettings, spec: str,
    photograph: generation.Photograph | None, enough: Callable[[], bool],
) -> Iterator[Progress]:
    """Draw those pictures of a set that are not there yet, until it is enough for now."""
    each = generation.steps_drawn(settings.num_inference_steps, photograph and photograph.denoising_strength)
    there = {(index, method) for method in files for index in range(len(requests))
             if _file(folder, index, method).exists()}
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
                for drawing in generation.draw(loaded, request.prompt, chosen, photograph):
                    if drawing.image is None:
                        steps += 1
                        yield Progress(steps, total, f"{request.title}, {label(method)}")
                    else:
                        file = _file(folder, index, method)
                        write_atomic(file, generation.to_png(drawing.image, drawing.recipe))
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


def base_of(project: Project, files: dict[str, Path | None]) -> str:
    """The base model that the adapters were trained on, else the data set's; raises StudioError if they differ."""
    trained_on = {
        recipe["base_model"]["spec"]
        for path in files.values()
        if path is not None and "base_model" in (recipe := adapters.recipe_of(path))
    }
    if len(trained_on) > 1:
        raise StudioError(
            f"the adapters were trained on different base models ({', '.join(sorted(trained_on))}); "
            "compare adapters of one base model"
        )
    return trained_on.pop() if trained_on else datasets.load(project).base_model


_loaded: dict[tuple[str, str, str, bool], BaseModel] = {}
_loading = threading.Lock()


def loaded_base(spec: str, device: str = "auto", attention: str = "sdpa") -> BaseModel:
    """The base model, kept in memory for the next set; one at a time."""
    key = (spec, device, attention, zero_gpu.without_gpu())
    with _loading:
        if key not in _loaded:
            _loaded.clear()
            _loaded[key] = base_model.load(spec, device=device, attention=attention)
        return _loaded[key]


def warm_up(workspace: Workspace, name: str | None) -> None:
    """Load a project's base model in the background, unless the machine is at work; errors wait for the drawing."""
    if name and not _loaded and jobs.current(workspace) is None:
        with suppress(StudioError):
            loaded_base(datasets.load(workspace.project(name)).base_model)


def reproduce(project: Project, picture: Path) -> Iterator[generation.Drawing]:
    """Draw a picture again from its own recipe; on the same machine and versions it is the same bit for bit."""
    recipe = generation.read_recipe(picture)
    settings = GenerationSettings.checked(recipe["settings"])
    model = loaded_base(recipe["base_model"]["spec"], settings.device, settings.attention)
    start = _photograph_by_hash(project, recipe["photograph"]) if "photograph" in recipe else None
    file = None if recipe["adapter"] is None else _adapter_by_hash(project, recipe["adapter"])
    with on_base(model, file) as loaded:
        told = dataclasses.replace(loaded, style_words=recipe.get("style_words"))
        yield from generation.draw(told, recipe["prompt"], settings, start)


def on_base(model: BaseModel, file: Path | None) -> AbstractContextManager[Loaded]:
    """The base model with an adapter's file on it, or by itself."""
    return nullcontext(Loaded(model)) if file is None else generation.with_adapter(model, file)


def _photograph_by_hash(project: Project, told: dict[str, Any]) -> generation.Photograph:
    """The very photograph that a picture was drawn from: uploaded, or among the project's."""
    if (image := uploads.find(project, told["sha256"])) is not None:
        return generation.Photograph(image, told["denoising_strength"])
    for image in _photographs(project):
        start = generation.Photograph(image, told["denoising_strength"])
        if start.sha256 == told["sha256"]:
            return start
    raise StudioError(
        f"project {project.name!r} has no photograph with the hash {told['sha256'][:12]}, from which the picture was "
        "drawn; it was deleted"
    )


def _photographs(project: Project) -> Iterator[Image.Image]:
    """Those of the data set, then the squares of the collection that were styled; what cannot be read is left out."""
    for path in sorted(project.sources.glob("*")):
        with suppress(StudioError):
            yield open_image(path.read_bytes(), path.name)
    collection = collections.load(project) if collections.exists(project) else None
    for photo in collection.photos if collection else ():
        with suppress(StudioError):
            image = collections.picture(project, photo)
            for centre in {attempt.centre for attempt in photo.attempts}:
                yield crop(image, centre, collection.resolution)


def _adapter_by_hash(project: Project, identity: dict[str, Any]) -> Path:
    """The very file that a picture was drawn with: the embedded style teacher, or one of the project's."""
    if STYLE_TEACHER.is_file() and identity.get("sha256") == sha256_of(STYLE_TEACHER):
        return STYLE_TEACHER
    return drawers.of_identity(project, identity)[1]
