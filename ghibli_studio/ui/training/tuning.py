"""The finders of the Train tab: search for a learning rate and a batch size, and apply the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from adapters import registry
from ghibli_studio.config.training import RunConfig
from ghibli_studio.ui.components import handlers, html_parts
from ghibli_studio.ui.components.handlers import COMPUTING, QUIET, follow
from ghibli_studio.workspace.project import Project, Workspace

if TYPE_CHECKING:
    from ghibli_studio.tuning.lr_finder import LearningRateResult


NOTHING = "No search yet."


@dataclass(frozen=True)
class Widgets:
    """The widgets of the finders."""

    rate: gr.Button
    batch: gr.Button
    stop: gr.Button
    bar: gr.HTML
    result: gr.HTML
    apply_rate: gr.Button
    apply_batch: gr.Button


def lay_out() -> Widgets:
    """Lay out the accordion below the Train button."""
    with gr.Accordion("Find learning rate and batch size", open=False, elem_id="finders"):
        gr.Markdown(
            "Short test runs of a few minutes on this project's images, with the methods and settings above. "
            "They are not saved."
        )
        with gr.Row():
            rate = gr.Button("Find learning rate", elem_id="find-learning-rate", min_width=160)
            batch = gr.Button("Find batch size", elem_id="find-batch-size", min_width=160)
            stop = gr.Button("Stop", elem_id="stop-finder", min_width=80)
        bar = gr.HTML(visible=False, elem_id="finder-progress", padding=False)
        result = gr.HTML(html_parts.empty(NOTHING), elem_id="finder-result", padding=False)
        apply_rate = gr.Button("Apply", visible=False, elem_id="apply-learning-rate")
        apply_batch = gr.Button("Apply", visible=False, elem_id="apply-batch-size")
    return Widgets(rate, batch, stop, bar, result, apply_rate, apply_batch)


def find_learning_rates(
    workspace: Workspace, project: Project, configs: Sequence[RunConfig]
) -> Iterator[tuple[str, list]]:
    """Yield (progress bar as HTML, the `RateRange`s so far) at every step."""
    from ghibli_studio.tuning import lr_finder

    found: list[LearningRateResult] = []

    def work() -> Iterator[Any]:
        for step in lr_finder.find(project, configs):
            found.extend([step.result] if step.result else [])
            yield step

    for bar in follow(workspace, work()):
        yield bar, list(found)


def find_batch_sizes(workspace: Workspace, project: Project, configs: Sequence[RunConfig]) -> Iterator[tuple[str, Any]]:
    """Yield (progress bar as HTML, the `BatchSizes` once they are known) at every step."""
    from ghibli_studio.tuning import batch_size_finder

    found = None

    def work() -> Iterator[Any]:
        nonlocal found
        for step in batch_size_finder.find(project, configs):
            found = step.result or found
            yield step

    for bar in follow(workspace, work()):
        yield bar, found


def wire(
    workspace: Workspace,
    widgets: Widgets,
    configs: Callable[..., tuple[Project, list[RunConfig]]],
    form: Sequence[Any],
    rates: dict[str, gr.Number],
    batch_size: gr.Number,
) -> None:
    """Wire the buttons; `configs` reads the `form`, `rates` are the learning rate fields by method."""
    suggestions = gr.State({})
    shown = [widgets.bar, widgets.result, widgets.apply_rate, widgets.apply_batch, suggestions]
    hidden = gr.update(value="", visible=False)

    @handlers.friendly
    def find_rate(*values: Any) -> Iterator[list[Any]]:
        """Run the range test of every selected method, and show its plot."""
        from ghibli_studio.tuning.lr_finder import figure

        count = -1
        found: list[LearningRateResult] = []
        for bar, found in find_learning_rates(workspace, *configs(*values)):
            news = len(found) != count
            count = len(found)
            yield [
                gr.update(value=bar, visible=True),
                _with_sentences(found, figure(found)) if news and found else gr.skip(),
                *[gr.skip()] * 3,
            ]
        suggested = {one.method: one.suggestion for one in found if one.suggestion is not None}
        yield [hidden, gr.skip(), _apply_button(suggested), gr.update(visible=False), suggested]

    @handlers.friendly
    def find_batch(*values: Any) -> Iterator[list[Any]]:
        """Measure speed and memory of the selected methods by batch size."""
        from ghibli_studio.tuning.batch_size_finder import figure

        found = None
        for bar, ended in find_batch_sizes(workspace, *configs(*values)):
            found = ended or found
            yield [gr.update(value=bar, visible=True), *[gr.skip()] * 4]
        if found is None:  # nothing was measured
            return
        size = found.suggestion
        yield [
            hidden,
            figure(found),
            gr.update(visible=False),
            gr.update(value=f"Apply batch size {size}", visible=size is not None),
            {"batch": size},
        ]

    def apply_rates(suggested: dict[str, float]) -> list[Any]:
        """Fill in the suggested learning rates."""
        return [suggested.get(method, gr.skip()) for method in rates]

    searches: list[Any] = [
        widgets.rate.click(find_rate, form, shown, **COMPUTING),
        widgets.batch.click(find_batch, form, shown, **COMPUTING),
    ]
    widgets.stop.click(lambda: hidden, None, widgets.bar, cancels=searches, **QUIET)
    widgets.apply_rate.click(apply_rates, suggestions, list(rates.values()), **QUIET)
    widgets.apply_batch.click(lambda result: result["batch"], suggestions, batch_size, **QUIET)


def _with_sentences(result: Sequence[LearningRateResult], figure: str) -> str:
    """Return the figure and a sentence for each method, as HTML."""
    return figure + "".join(f"<p>{one.summary}</p>" for one in result)


def _apply_button(suggested: dict[str, float]) -> Any:
    """Return the update of the button that applies the suggestions."""
    words = ", ".join(f"{registry.method(method).SHORT_LABEL} {rate:g}" for method, rate in suggested.items())
    return gr.update(value=f"Apply {words}", visible=bool(suggested))
