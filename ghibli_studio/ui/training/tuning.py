"""In the Train tab: look for a learning rate and a batch size, see what was found, and use it."""

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
    from ghibli_studio.tuning.lr_finder import RateRange


NOTHING = "Nothing has been looked for yet."


@dataclass(frozen=True)
class Widgets:
    """The finders' part of the form."""

    rate: gr.Button
    batch: gr.Button
    stop: gr.Button
    bar: gr.HTML
    result: gr.HTML
    use_rate: gr.Button
    use_batch: gr.Button


def lay_out() -> Widgets:
    """A folded part below the Train button."""
    with gr.Accordion("Find a learning rate and a batch size", open=False, elem_id="finders"):
        gr.Markdown(
            "Trials of a few minutes on this project's pictures with the methods and settings above; nothing "
            "of them is kept."
        )
        with gr.Row():
            rate = gr.Button("Find the learning rate", elem_id="find-rate", min_width=160)
            batch = gr.Button("Find the batch size", elem_id="find-batch", min_width=160)
            stop = gr.Button("Stop", elem_id="stop-finding", min_width=80)
        bar = gr.HTML(visible=False, elem_id="finding", padding=False)
        result = gr.HTML(html_parts.empty(NOTHING), elem_id="found", padding=False)
        use_rate = gr.Button("Use it", visible=False, elem_id="use-rate")
        use_batch = gr.Button("Use it", visible=False, elem_id="use-batch")
    return Widgets(rate, batch, stop, bar, result, use_rate, use_batch)


def rates_found(workspace: Workspace, project: Project, configs: Sequence[RunConfig]) -> Iterator[tuple[str, list]]:
    """(a bar as HTML, the `RateRange`s so far) whenever there is news."""
    from ghibli_studio.tuning import lr_finder

    found: list[RateRange] = []

    def work() -> Iterator[Any]:
        for step in lr_finder.find(project, configs):
            found.extend([step.found] if step.found else [])
            yield step

    for bar in follow(workspace, work()):
        yield bar, list(found)


def batches_found(workspace: Workspace, project: Project, configs: Sequence[RunConfig]) -> Iterator[tuple[str, Any]]:
    """(a bar as HTML, the `BatchSizes` in the end) whenever there is news."""
    from ghibli_studio.tuning import batch_size_finder

    found = None

    def work() -> Iterator[Any]:
        nonlocal found
        for step in batch_size_finder.find(project, configs):
            found = step.found or found
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
    """Connect the buttons; `configs` reads the `form`, `rates` are the learning rates' fields by method."""
    suggestions = gr.State({})
    shown = [widgets.bar, widgets.result, widgets.use_rate, widgets.use_batch, suggestions]
    hidden = gr.update(value="", visible=False)

    @handlers.friendly
    def find_rate(*values: Any) -> Iterator[list[Any]]:
        """Range test of every chosen method, with its plot."""
        from ghibli_studio.tuning.lr_finder import figure

        count, found = -1, []
        for bar, found in rates_found(workspace, *configs(*values)):
            news = len(found) != count
            count = len(found)
            yield [
                gr.update(value=bar, visible=True),
                _told(found, figure(found)) if news and found else gr.skip(),
                *[gr.skip()] * 3,
            ]
        suggested = {one.method: one.suggestion for one in found if one.suggestion is not None}
        yield [hidden, gr.skip(), _offer(suggested), gr.update(visible=False), suggested]

    @handlers.friendly
    def find_batch(*values: Any) -> Iterator[list[Any]]:
        """Speed and memory of the chosen methods by batch size."""
        from ghibli_studio.tuning.batch_size_finder import figure

        found = None
        for bar, ended in batches_found(workspace, *configs(*values)):
            found = ended or found
            yield [gr.update(value=bar, visible=True), *[gr.skip()] * 4]
        size = found.suggestion
        yield [
            hidden,
            figure(found),
            gr.update(visible=False),
            gr.update(value=f"Use batch size {size}", visible=size is not None),
            {"batch": size},
        ]

    def use_rates(suggested: dict[str, float]) -> list[Any]:
        """Put the suggestions into the form."""
        return [suggested.get(method, gr.skip()) for method in rates]

    going = [
        widgets.rate.click(find_rate, form, shown, **COMPUTING),
        widgets.batch.click(find_batch, form, shown, **COMPUTING),
    ]
    widgets.stop.click(lambda: hidden, None, widgets.bar, cancels=going, **QUIET)
    widgets.use_rate.click(use_rates, suggestions, list(rates.values()), **QUIET)
    widgets.use_batch.click(lambda found: found["batch"], suggestions, batch_size, **QUIET)


def _told(found: Sequence[RateRange], figure: str) -> str:
    """The figure with a sentence a method."""
    return figure + "".join(f"<p>{one.words}</p>" for one in found)


def _offer(suggested: dict[str, float]) -> Any:
    """The button says what it will put into the form."""
    words = ", ".join(f"{registry.method(method).SHORT_LABEL} {rate:g}" for method, rate in suggested.items())
    return gr.update(value=f"Use {words}", visible=bool(suggested))
