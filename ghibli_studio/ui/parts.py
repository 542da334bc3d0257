"""The style sheet, the small pieces of HTML that several tabs share, and how handlers tell what went wrong."""

from __future__ import annotations

import functools
import html
import inspect
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache, save_file_to_cache
from gradio.utils import get_upload_folder

from adapters import StudioError
from ghibli_studio.files import explain_os_error
from ghibli_studio.words import duration
from ghibli_studio.workspace import Workspace
from study import StudyError

HOUR, DAY = 3600.0, 86_400.0
_tidied = -HOUR

PALE = "55"  # alpha of the curves behind the smoothed ones

CSS = """
.gradio-container { min-width: 0 !important; max-width: min(1280px, 100vw) !important; margin: 0 auto !important; }
.gradio-container { width: 100%; }
.gradio-container :is(.main, main, .wrap.contain) { min-width: 0; max-width: 100%; }
#title h1 { margin: 0; font-size: 1.6rem; }
#title p { margin: 0; color: var(--body-text-color-subdued); }
:is(button, a, input, textarea, select, summary, [tabindex], .thumbnail-item):focus-visible {
  outline: 3px solid var(--focus) !important; outline-offset: 2px; }
.gradio-container { --focus: #1d4ed8; } .dark .gradio-container, .dark.gradio-container { --focus: #93c5fd; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.dark button[role=tab].selected { color: var(--primary-300) !important; }
button[role=tab].selected { color: var(--primary-700) !important; }
#tabs > .tab-wrapper button[role=tab]::before { content: ""; display: inline-block; width: 1.05em; height: 1.05em;
  margin-right: .4em; vertical-align: -.15em; background: currentColor; mask: var(--icon) center / contain no-repeat; }
#keys-open { padding: .3rem .7rem; border: 1px solid var(--border-color-primary); border-radius: .5rem;
  background: none; color: var(--body-text-color); font-size: .85rem; white-space: nowrap; cursor: pointer; }
dialog#keys { max-width: min(30rem, 92vw); padding: 1rem 1.4rem; border: 1px solid var(--border-color-primary);
  border-radius: .8rem; background: var(--background-fill-primary); color: var(--body-text-color); margin: auto; }
dialog#keys::backdrop { background: rgb(0 0 0 / 45%); }
dialog#keys dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1rem; }
dialog#keys dd { margin: 0; } dialog#keys p { margin: .8rem 0; opacity: .85; }
dialog#keys h2 { margin: 0 0 .5rem; font-size: 1.15rem; }
dialog#keys kbd { padding: .05rem .4rem; border: 1px solid var(--border-color-primary); border-radius: .3rem; }
dialog#keys button { padding: .35rem 1rem; border-radius: .5rem; background: var(--button-primary-background-fill);
  color: #fff; cursor: pointer; }
.toast-body.error .toast-title { font-size: 0; }
.toast-body.error .toast-title::after { content: "That did not work"; font-size: 1rem; }
:is(.download-link, .icon-button-wrapper a, .icon-button-wrapper button) {
  display: inline-flex; align-items: center; justify-content: center; min-width: 24px; min-height: 24px; }
.prompt { margin: .2rem 0 .4rem; overflow-wrap: anywhere; }
#found { min-height: 0; }
#find { align-self: end; margin-bottom: .6rem; }
#library-pictures .thumbnail-item { aspect-ratio: 1 !important; }
#library-pictures .grid-wrap { min-height: 0; max-height: none; }
.bar { height: .6rem; border-radius: .3rem; background: var(--border-color-primary); overflow: hidden; }
.bar > div { height: 100%; background: var(--primary-500); transition: width .4s; }
.card { padding: .7rem .9rem; margin: 0 0 .5rem; border: 1px solid var(--border-color-primary); border-radius: .6rem; }
.card .head { display: flex; justify-content: space-between; gap: .8rem; flex-wrap: wrap; margin-bottom: .35rem; }
.card .foot { font-size: .85rem; opacity: .8; margin-top: .35rem; }
.chip { font-size: .8rem; padding: .05rem .5rem; border-radius: 1rem; background: var(--border-color-primary); }
.chip.done { background: #1f7a48; color: #fff; }
.chip.failed, .chip.interrupted { background: #b3372f; color: #fff; }
.chip.running { background: #2563ab; color: #fff; }
.empty { padding: 1.2rem; text-align: center; border: 1px dashed var(--border-color-primary); border-radius: .6rem; }
#captions { max-width: 100%; overflow-x: auto; }
.strip .grid-wrap { min-height: 0; }
.block:has([data-testid="block-label"]) .grid-wrap { padding-top: 2.2rem; }
.label-wrap { text-align: left; }
#keys-button { min-width: 0; padding: 0; text-align: right; }
#dataset-gallery .thumbnail-item { aspect-ratio: 2 / 1 !important; }
@media (max-width: 640px) {
  #tabs .tab-container button { padding: 0 .26rem; font-size: .8rem; }
  .column:has(> #keys-button) { display: none !important; }
  .gradio-container .main { padding: .6rem !important; }
  #tabs > .tab-wrapper button[role=tab]::before { display: none; }
  #library-pictures .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
  #evaluate-pictures .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)) !important; }
  :is(#style-gallery, #gather-gallery) .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
  #dataset-gallery .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
  .strip .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; }
  .gallery-item, .thumbnail-item { min-width: 0 !important; width: 100% !important; }
  .thumbnail-item .caption-label { max-width: 100%; padding: 0 .25rem; font-size: .6rem; white-space: normal; }
}
#profile-plot .vega-embed { height: 300px !important; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
.answers { display: grid; gap: .35rem 1.2rem; margin: .4rem 0; } .answers dd { margin: 0 0 .3rem; font-weight: 600; }
@media (min-width: 641px) { .answers { grid-template-columns: 17rem minmax(0, 1fr); } }
.notes { margin: .3rem 0; padding-left: 1.1rem; font-size: .9rem; opacity: .85; }
.findings { margin: .3rem 0; padding-left: 0; list-style: none; } .findings li { margin: .3rem 0; }
#evaluate-pictures .grid-wrap { min-height: 0; }
#prompts-table td { vertical-align: top; }
#crop-preview img { cursor: crosshair; }
#style-gallery .thumbnail-item { aspect-ratio: 2 / 1 !important; }
#gather-gallery .thumbnail-item { aspect-ratio: 1 !important; }
#evaluate-figures h3 { margin: 1.4rem 0 .4rem; }
#evaluate-figures .figure:has(table) { grid-column: 1 / -1; }
.figure { margin: 0; min-width: 0; } .figure .scroll { overflow-x: auto; }
.figure svg { width: 100%; max-width: 34rem; height: auto; }
.figure table { border-collapse: collapse; border: 0 !important; }
.figure tr { border: 0; }
.figure :is(th, td) { padding: .25rem .9rem .25rem 0; text-align: left; border: 0 solid;
  border-bottom: 1px solid var(--border-color-primary); }
.figure .n { text-align: right; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .2rem 0 0; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; margin: 0; }
.legend svg { width: 1.8rem !important; height: .8rem !important; margin-right: .3rem; flex: none; }
.card code { overflow-wrap: anywhere; }
#study-link svg { width: 12rem; height: 12rem; }
#pictures .grid-wrap { max-height: none; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; margin: .3rem 0; }
.facts b { font-size: 1.15rem; }
.problem { color: var(--error-text-color, #b3372f); }
"""


def friendly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose StudioError or StudyError becomes the page's own message; it stays until it is closed."""

    def shown(error: StudioError | StudyError | OSError) -> gr.Error:
        sentence = explain_os_error(error, Path("the workspace")) if isinstance(error, OSError) else error
        return gr.Error(html.escape(str(sentence)), duration=None, title="That did not work", print_exception=False)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapped(*arguments: Any) -> Any:
            try:
                yield from function(*arguments)
            except (StudioError, StudyError, OSError) as error:
                raise shown(error) from error

    else:

        @functools.wraps(function)
        def wrapped(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (StudioError, StudyError, OSError) as error:
                raise shown(error) from error

    return wrapped


def served(path: Path) -> str:
    """A copy of the file where the page may fetch it; no project is ever opened to the page."""
    return _used(save_file_to_cache(path, cache_dir=get_upload_folder()))


def served_bytes(data: bytes, name: str) -> str:
    """The same for a file that is not on the disk yet; the same bytes get the same place."""
    return _used(save_bytes_to_cache(data, name, cache_dir=get_upload_folder()))


def _used(copy: str) -> str:
    """A copy is as old as its last use; now and then those that are too old go."""
    global _tidied
    Path(copy).touch()
    if time.monotonic() > _tidied + HOUR:
        _tidied = time.monotonic()
        tidy(Path(get_upload_folder()))
    return copy


def tidy(folder: Path, seconds: float = DAY) -> None:
    """Delete copies and uploads that nobody has used for so long, which Gradio itself keeps for ever.

    Only in a workspace: elsewhere the folder is one that all of a person's Gradio apps share.
    """
    if folder.name != Workspace.SERVED:
        return
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with suppress(OSError):  # it is not empty, or somebody else was quicker
            if path.is_dir():
                path.rmdir()
            elif path.stat().st_mtime < time.time() - seconds:
                path.unlink()


def bar(fraction: float, what: str, seconds_left: float | None = None) -> str:
    """A progress bar with what is being done and the time left."""
    percent = round(100 * min(max(fraction, 0), 1))
    left = f", {duration(seconds_left)} left" if seconds_left is not None else ""
    return (
        f'<div role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-label="{html.escape(what)}" class="bar"><div style="width:{percent}%"></div></div>'
        f'<div class="foot">{html.escape(what)} ({percent} %{left})</div>'
    )


def empty(text: str) -> str:
    """What to do where there is nothing yet."""
    return f'<div class="empty">{html.escape(text)}</div>'


def told(text: str, values: dict[str, Any]) -> str:
    """A text from outside with what is known of it below, as HTML."""
    chips = "".join(f'<span class="chip">{html.escape(f"{name} {value}".strip())}</span> '
                    for name, value in values.items())
    return f'<p class="prompt">{html.escape(text)}</p><div>{chips}</div>'


def facts(values: dict[str, Any]) -> str:
    """A row of figures with their names."""
    inner = (f"<span><b>{html.escape(str(value))}</b> {html.escape(name)}</span>" for name, value in values.items())
    return f'<div class="facts">{"".join(inner)}</div>'
