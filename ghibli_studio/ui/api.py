"""The public API: named endpoints for `gradio_client`, plain HTTP and MCP agents.

Each endpoint is a typed function whose docstring is its description in the API. Everything else on the page is private.
Gradio reads the annotations when the page is built, so this module does not postpone them with `annotations`.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import gallery, image_set, model_choice
from ghibli_studio.generation import init_image as init_images
from ghibli_studio.jobs import lock, queue, status
from ghibli_studio.ui.components import html_parts
from ghibli_studio.workspace.files import explain_os_error
from ghibli_studio.workspace.project import Project, Workspace
from ghibli_studio.workspace.run import Run

NAMES = ("projects", "adapters", "generate", "train", "run_status", "cancel_run", "find_images", "evaluation")
"""Every public endpoint."""
MAX_RESULTS = 500


def speaks_mcp() -> bool:
    """Return whether `gradio[mcp]` is installed, so that MCP agents can call the endpoints."""
    return find_spec("mcp") is not None


def endpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that a StudioError or OSError becomes the caller's error, as plain text.

    The wrapper of a generator has the last yielded type as its return annotation, which is what a caller receives.
    """

    def as_gradio_error(error: StudioError | OSError) -> gr.Error:
        sentence = explain_os_error(error, Path("the workspace")) if isinstance(error, OSError) else error
        return gr.Error(str(sentence), title="Error", print_exception=False)

    if not inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapped(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (StudioError, OSError) as error:
                raise as_gradio_error(error) from error

        return wrapped

    @functools.wraps(function)
    def generator(*arguments: Any) -> Iterator[Any]:
        try:
            yield from function(*arguments)
        except (StudioError, OSError) as error:
            raise as_gradio_error(error) from error

    signature = inspect.signature(function)
    (item_type,) = signature.return_annotation.__args__
    # what inspect.signature, and so Gradio, reads
    generator.__signature__ = signature.replace(return_annotation=item_type)  # type: ignore[attr-defined]
    return generator


def uploaded(photo: Any) -> Path:
    """Return the path of an uploaded file; raise StudioError for any other file on the server."""
    path = photo.get("path") if isinstance(photo, dict) else getattr(photo, "path", None)
    file = Path(path or "").resolve()
    if not path or not file.is_relative_to(Path(get_upload_folder()).resolve()):
        raise StudioError("init_image is not an uploaded file; send it with gradio_client's handle_file")
    return file


def image_record(entry: gallery.Entry) -> dict:
    """Return an image as JSON values: what it is, its generation metadata, and its file."""
    return {**entry.to_dict(), "metadata": entry.metadata, "file": file_record(entry.file)}


def file_record(path: Path) -> dict:
    """Return a file that a caller may download, as JSON values."""
    return FileData(path=html_parts.served(path), orig_name=path.name, mime_type="image/png").model_dump()


def run_record(run: Run) -> dict:
    """Return a run as JSON values."""
    job, config = status.status(run), run.config()
    return {
        "run": run.id,
        "method": config.method,
        "preset": config.preset,
        "state": job.state,
        "message": job.message,
        "ahead": job.ahead,
        "fraction": job.fraction,
        "seconds_left": job.seconds_left,
        "can_generate": run.adapter_file.exists(),
        "metrics": run.metrics(),
    }


def build(workspace: Workspace) -> None:
    """Add the endpoints to the page that is being built."""

    def projects() -> list[dict]:
        """List the projects, with the number of images in the dataset, the runs and the landmarks of each."""
        listed = []
        for name in workspace.projects():
            of = workspace.project(name)
            has_dataset = datasets.exists(of)
            items = datasets.load(of).items if has_dataset else ()
            listed.append(
                {
                    "project": name,
                    "images": len(items),
                    "runs": len(of.runs()),
                    "base_model": datasets.load(of).base_model if has_dataset else None,
                    "landmarks": sorted({item.landmark for item in items}),
                }
            )
        return listed

    def adapters(project: str) -> list[dict]:
        """List the models of a project: the base model, each method's newest run, every run, imported adapters.

        Args:
            project: Name of the project, as `projects` lists it.
        """
        return [
            {"name": choice.name, "label": choice.label, "kind": choice.kind}
            for choice in model_choice.model_choices(workspace.project(project))
        ]

    def generate(
        project: str,
        prompt: str,
        models: str = "base",
        seed: int = 0,
        num_inference_steps: int = 25,
        guidance_scale: float = 5.0,
        adapter_scale: float = 1.0,
        negative_prompt: str = "",
        init_image: FileData | None = None,
        strength: float = 0.6,
    ) -> Iterator[list[dict]]:
        """Generate one image of a prompt with each of the given models, all with the same seed; yields them one by one.

        Args:
            project: Name of the project.
            prompt: What the image shows; the trigger of the style is added for you.
            models: Names as `adapters` lists them, separated by commas, such as base,lora,ti.
            seed: The seed of the initial noise; the same seed gives the same image.
            num_inference_steps: Denoising steps, 1 to 1000.
            guidance_scale: How closely the image follows the prompt, 0 to 50; 1 turns guidance off.
            adapter_scale: How strongly the adapter acts, -2 to 2; 1 is as trained.
            negative_prompt: What the image should not show.
            init_image: A photo to start from instead of noise (image to image).
            strength: How much of the photo changes, above 0 to 1; 1 ignores it.
        """
        of = workspace.project(project)
        settings = GenerationSettings.checked(
            {
                "seed": seed,
                "num_inference_steps": num_inference_steps,
                "guidance_scale": guidance_scale,
                "adapter_scale": adapter_scale,
                "negative_prompt": negative_prompt,
            }
        )
        names = [name.strip() for name in models.split(",") if name.strip()]
        if not names:
            raise StudioError("models is empty; give names as adapters lists them, such as base,lora")
        start = None
        if init_image:
            start = init_images.InitImage(init_images.open_photo(uploaded(init_image)), strength)
        files = model_choice.adapter_files(of, names)
        requests = image_set.requests_for_prompts([prompt])
        made: list[dict] = []
        for step in lock.gpu_lock(workspace, image_set.generate_set(of, requests, files, settings, init_image=start)):
            if not isinstance(step, lock.Queued) and step.image:
                made.append(image_record(gallery.load_entry(of, step.image.file, "generated")))
                yield made

    def train(project: str, method: str, preset_name: str = "default", settings: dict | None = None) -> dict:
        """Queue a training run and return at once; ask `run_status` for its progress.

        Args:
            project: Name of the project.
            method: lora or ti.
            preset_name: quick, default or paper.
            settings: Values that override the preset, such as {"rank": 4, "num_train_epochs": 2}.
        """
        of = workspace.project(project)
        changes = {"base_model": datasets.load(of).base_model, **(settings or {})}
        return run_record(queue.submit(of, preset(preset_name, method, **changes)))

    def run_status(project: str, run: str = "") -> list[dict]:
        """Return the state of training runs: fraction done, seconds left, metrics.

        Args:
            project: Name of the project.
            run: Name of one run; empty for all runs, the newest first.
        """
        of = workspace.project(project)
        return [run_record(item) for item in ([of.run(run)] if run else reversed(of.runs()))]

    def cancel_run(project: str, run: str) -> dict:
        """Stop a training run; the best epoch so far stays usable.

        Args:
            project: Name of the project.
            run: Name of the run.
        """
        chosen = workspace.project(project).run(run)
        queue.cancel(chosen)
        return run_record(chosen)

    def find_images(
        project: str,
        words: str = "",
        method: str = "",
        seed: int | None = None,
        adapter: str = "",
        kind: str = "",
        since: str = "",
        until: str = "",
        limit: int = 20,
    ) -> list[dict]:
        """Find generated images of a project, the newest first, each with its generation metadata and file.

        Args:
            project: Name of the project.
            words: Words in the prompt or the adapter's name, in any order.
            method: base, lora or ti; empty for any.
            seed: The seed of the initial noise.
            adapter: Part of the adapter's file name, run or hash.
            kind: generated, grid, sample, styled or evaluation; empty for any.
            since: First day, such as 2026-01-31; empty for any.
            until: Last day; empty for any.
            limit: The largest number of images, 1 to 500.
        """
        if not 1 <= limit <= MAX_RESULTS:
            raise StudioError(f"limit is {limit}; it must be 1 to {MAX_RESULTS}")
        of = workspace.project(project)
        query = gallery.Search.checked(
            {
                "words": words,
                "method": method,
                "seed": seed,
                "adapter": adapter,
                "kind": kind,
                "since": since or None,
                "until": until or None,
            }
        )
        return [image_record(entry) for entry in gallery.search(of, query)[:limit]]

    def evaluation(project: str, name: str = "") -> dict:
        """Return the findings of an evaluation in sentences, with its comparisons and warnings.

        Args:
            project: Name of the project.
            name: Name of the evaluation; empty for the newest finished one.
        """
        return evaluation_record(workspace.project(project), name)

    for function in (projects, adapters, generate, train, run_status, cancel_run, find_images, evaluation):
        computes = {"concurrency_id": "accelerator", "concurrency_limit": 1} if function is generate else {}
        gr.api(endpoint(function), api_name=function.__name__, **computes)


def evaluation_record(project: Project, name: str) -> dict:
    """Return an evaluation's findings as JSON values; raise StudioError with the known names."""
    from ghibli_studio.evaluation import evaluator
    from ghibli_studio.reporting.findings import image_findings

    finished = {one.name: one for one in evaluator.evaluations(project) if (one / evaluator.RESULT_FILE).exists()}
    chosen = name or next(iter(finished), "")
    if chosen not in finished:
        known = ", ".join(finished) or "none finished yet"
        raise StudioError(f"project {project.name!r} has no evaluation {name!r}; it has {known}")
    result = evaluator.load(finished[chosen])
    return {
        "evaluation": chosen,
        "findings": [{"title": one.title, "answer": one.answer} for one in image_findings(result)],
        "comparisons": result["comparisons"],
        "warnings": result["warnings"],
        "metrics": {key: metric["label"] for key, metric in result["metrics"].items()},
    }
