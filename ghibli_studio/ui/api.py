"""The named endpoints for programs: `gradio_client`, plain HTTP, and agents that speak MCP.

Each is a typed function whose docstring is its description there. Everything else on the page is private. The types are
read when the page is built, so they are not written as texts here.
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
from ghibli_studio.generation import gallery, image_set, init_image, model_choice
from ghibli_studio.jobs import lock, queue, status
from ghibli_studio.ui.components import html_parts
from ghibli_studio.workspace.files import explain_os_error
from ghibli_studio.workspace.project import Project, Workspace
from ghibli_studio.workspace.run import Run

NAMES = ("projects", "adapters", "generate", "train", "run_status", "cancel_run", "find_pictures", "evaluation")
"""Every public endpoint."""
MOST_FOUND = 500


def speaks_mcp() -> bool:
    """Whether the package is installed with which agents can use the page as a tool (`gradio[mcp]`)."""
    return find_spec("mcp") is not None


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """An endpoint whose StudioError becomes the caller's error, as plain text.

    A generator is told by what it ends with, which is what a caller waits for.
    """

    def shown(error: StudioError | OSError) -> gr.Error:
        sentence = explain_os_error(error, Path("the workspace")) if isinstance(error, OSError) else error
        return gr.Error(str(sentence), title="That did not work", print_exception=False)

    if not inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapped(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (StudioError, OSError) as error:
                raise shown(error) from error

        return wrapped

    @functools.wraps(function)
    def going(*arguments: Any) -> Iterator[Any]:
        try:
            yield from function(*arguments)
        except (StudioError, OSError) as error:
            raise shown(error) from error

    signature = inspect.signature(function)
    (ends_with,) = signature.return_annotation.__args__
    going.__signature__ = signature.replace(return_annotation=ends_with)
    return going


def uploaded(photograph: Any) -> Path:
    """The file that a caller sent; raises StudioError for any other place on this machine."""
    path = photograph.get("path") if isinstance(photograph, dict) else getattr(photograph, "path", None)
    file = Path(path or "").resolve()
    if not path or not file.is_relative_to(Path(get_upload_folder()).resolve()):
        raise StudioError("the photograph is no file that was sent here; send it with gradio_client's handle_file")
    return file


def picture_told(entry: gallery.Entry) -> dict:
    """A picture as callers get it: what it is, and its file to fetch."""
    return {**entry.told(), "recipe": entry.recipe, "file": file_told(entry.file)}


def file_told(path: Path) -> dict:
    """A file that a caller may fetch."""
    return FileData(path=html_parts.served(path), orig_name=path.name, mime_type="image/png").model_dump()


def run_told(run: Run) -> dict:
    """A run as callers get it."""
    now, config = status.status(run), run.config()
    return {
        "run": run.id,
        "method": config.method,
        "preset": config.preset,
        "state": now.state,
        "message": now.message,
        "ahead": now.ahead,
        "fraction": now.fraction,
        "seconds_left": now.seconds_left,
        "can_draw": run.adapter_file.exists(),
        "metrics": run.metrics(),
    }


def build(workspace: Workspace) -> None:
    """Put the endpoints into the page that is being built."""

    def projects() -> list[dict]:
        """List the studio's projects, with how many pictures each learns from and how many runs it has."""
        found = []
        for name in workspace.projects():
            of = workspace.project(name)
            there = datasets.exists(of)
            items = datasets.load(of).items if there else ()
            found.append(
                {
                    "project": name,
                    "pictures": len(items),
                    "runs": len(of.runs()),
                    "base_model": datasets.load(of).base_model if there else None,
                    "landmarks": sorted({item.landmark for item in items}),
                }
            )
        return found

    def adapters(project: str) -> list[dict]:
        """List what can draw in a project: the base model, each method's newest run, every run, imported adapters.

        Args:
            project: Name of the project, as `projects` lists it.
        """
        return [
            {"name": one.name, "label": one.label, "kind": one.kind}
            for one in model_choice.known_drawers(workspace.project(project))
        ]

    def generate(
        project: str,
        prompt: str,
        draw_with: str = "base",
        seed: int = 0,
        num_inference_steps: int = 25,
        guidance_scale: float = 5.0,
        adapter_scale: float = 1.0,
        negative_prompt: str = "",
        photograph: FileData | None = None,
        strength: float = 0.6,
    ) -> Iterator[list[dict]]:
        """Draw one picture for a prompt with each of some adapters, all from the same noise; returns them one by one.

        Args:
            project: Name of the project.
            prompt: What the picture shows; the style's word is added for you.
            draw_with: Names as `adapters` lists them, separated by commas, such as base,lora,ti.
            seed: Decides the noise; the same seed gives the same picture.
            num_inference_steps: Steps from noise to picture, 1 to 1000.
            guidance_scale: How strongly the picture follows the prompt, 0 to 50; 1 switches guidance off.
            strength: How strongly the adapter acts, -2 to 2; 1 is as trained.
            negative_prompt: What the picture should not show.
            photograph: A picture to start from in place of noise.
            denoising_strength: How much of the photograph is drawn anew, above 0 to 1.
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
        names = [name.strip() for name in draw_with.split(",") if name.strip()]
        if not names:
            raise StudioError("draw_with names nothing; give names as adapters lists them, such as base,lora")
        start = None
        if photograph:
            start = init_image.Photograph(init_image.read(uploaded(photograph)), strength)
        files = model_choice.adapter_files(of, names)
        requests = image_set.requests_for_prompts([prompt])
        made: list[dict] = []
        for step in lock.in_turn(workspace, image_set.draw_set(of, requests, files, settings, photograph=start)):
            if not isinstance(step, lock.Waiting) and step.picture:
                made.append(picture_told(gallery.entry_of(of, step.picture.file, "generated")))
                yield made

    def train(project: str, method: str, preset_name: str = "default", settings: dict | None = None) -> dict:
        """Queue a training run and return at once; ask `run_status` how it is getting on.

        Args:
            project: Name of the project.
            method: lora or ti.
            preset_name: quick, default or paper.
            settings: Settings that differ from the preset, such as {"rank": 4, "num_train_epochs": 2}.
        """
        of = workspace.project(project)
        changes = {"base_model": datasets.load(of).base_model, **(settings or {})}
        return run_told(queue.submit(of, preset(preset_name, method, **changes)))

    def run_status(project: str, run: str = "") -> list[dict]:
        """Tell how training runs are getting on: state, share done, seconds left, figures.

        Args:
            project: Name of the project.
            run: Name of one run; empty for all of them, the newest first.
        """
        of = workspace.project(project)
        return [run_told(one) for one in ([of.run(run)] if run else reversed(of.runs()))]

    def cancel_run(project: str, run: str) -> dict:
        """Stop a training run; the best epoch so far stays usable.

        Args:
            project: Name of the project.
            run: Name of the run.
        """
        one = workspace.project(project).run(run)
        queue.cancel(one)
        return run_told(one)

    def find_pictures(
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
        """Find pictures that were drawn in a project, the newest first, each with its recipe and file.

        Args:
            project: Name of the project.
            words: Words of the prompt or the adapter, in any order.
            method: base, lora or ti; empty for any.
            seed: Of the noise.
            adapter: Part of the adapter's file name, run or hash.
            kind: generated, grid, sample, styled or evaluation; empty for any.
            since: A day, such as 2026-01-31; empty for any.
            until: A day.
            limit: How many, 1 to 500.
        """
        if not 1 <= limit <= MOST_FOUND:
            raise StudioError(f"limit is {limit}; it must be 1 to {MOST_FOUND}")
        of = workspace.project(project)
        wanted = gallery.Search.checked(
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
        return [picture_told(entry) for entry in gallery.search(of, wanted)[:limit]]

    def evaluation(project: str, name: str = "") -> dict:
        """Tell the findings of an evaluation in sentences, with its comparisons and warnings.

        Args:
            project: Name of the project.
            name: Name of the evaluation; empty for the newest finished one.
        """
        return evaluation_told(workspace.project(project), name)

    for function in (projects, adapters, generate, train, run_status, cancel_run, find_pictures, evaluation):
        computes = {"concurrency_id": "accelerator", "concurrency_limit": 1} if function is generate else {}
        gr.api(told(function), api_name=function.__name__, **computes)


def evaluation_told(project: Project, name: str) -> dict:
    """What an evaluation says, as JSON values; raises StudioError with the names there are."""
    from ghibli_studio.evaluation import evaluator
    from ghibli_studio.reporting.findings import of_pictures

    finished = {one.name: one for one in evaluator.evaluations(project) if (one / evaluator.RESULT).exists()}
    chosen = name or next(iter(finished), "")
    if chosen not in finished:
        known = ", ".join(finished) or "none finished yet"
        raise StudioError(f"project {project.name!r} has no evaluation {name!r}; it has {known}")
    result = evaluator.load(finished[chosen])
    return {
        "evaluation": chosen,
        "findings": [{"title": one.title, "answer": one.answer} for one in of_pictures(result)],
        "comparisons": result["comparisons"],
        "warnings": result["warnings"],
        "metrics": {key: metric["label"] for key, metric in result["metrics"].items()},
    }
