"""The `dataset` commands: sample, import, export, stats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ghibli_studio.cli.console import Console
from ghibli_studio.cli.options import (
    AsJson,
    BaseModelId,
    Overwrite,
    ProjectName,
    SheetFile,
    SheetPage,
    SplitSeed,
    WorkspaceFolder,
    given,
    model_or_default,
    open_workspace,
)
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL.Image import Image

    from ghibli_studio.data.statistics import DatasetStatistics as Statistics

app = typer.Typer(no_args_is_help=True, help="Make, import, export and measure datasets.")


@app.command()
def sample(
    project: ProjectName,
    count: Annotated[int, typer.Option(help="Landmarks, 2 to 115.")] = 115,
    base_model: BaseModelId = None,
    seed: SplitSeed = 0,
    overwrite: Overwrite = False,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Create the sample project: 115 painted landmarks, each as a photo and in the style."""
    from ghibli_studio.data.sample_dataset import create_sample

    target = open_workspace(workspace).project(project, new=True)
    work = create_sample(target, model_or_default(base_model), seed=seed, count=count, replace=overwrite)
    print_dataset(target, work, Console(as_json))


@app.command("import")
def import_(
    project: ProjectName,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder or ZIP of images with captions.")],
    base_model: BaseModelId = None,
    seed: SplitSeed = 0,
    overwrite: Overwrite = False,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Import a folder or ZIP of images with captions."""
    from ghibli_studio.data.importer import import_images

    target = open_workspace(workspace).project(project, new=True)
    work = import_images(target, path, model_or_default(base_model), seed=seed, replace=overwrite)
    print_dataset(target, work, Console(as_json))


def print_dataset(project: Project, work: Iterator[Any], console: Console) -> None:
    """Do the work that makes a dataset, then print what was decided, skipped and made."""
    from ghibli_studio.data import dataset as datasets

    for _ in console.progress_of(work):
        pass
    made = datasets.load(project)
    console.skipped(made.notes, made.skipped)
    for item in made.too_long():
        console.line(
            f"too long: {item.id} ({item.original}) has {item.tokens} tokens, the model reads {made.token_limit}",
            event="too_long",
            id=item.id,
            tokens=item.tokens,
            limit=made.token_limit,
        )
    train, validation = len(made.part("train")), len(made.part("validation"))
    console.line(
        f"{project.folder}: {train} images to train on, {validation} of other landmarks to validate on",
        event="done",
        train=train,
        validation=validation,
        skipped=len(made.skipped),
        too_long=len(made.too_long()),
    )


@app.command()
def export(
    project: ProjectName,
    layout: Annotated[
        Literal["folder", "imagefolder", "kohya"], typer.Option(help="Layout of the exported files.")
    ] = "folder",
    zipped: Annotated[bool, typer.Option("--zip", help="One ZIP instead of a folder.")] = False,
    no_manifest: Annotated[bool, typer.Option("--no-manifest", help="Omit manifest.json.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="Also export the original images.")] = False,
    trigger: Annotated[str | None, typer.Option(help="Trigger words at the end of every caption.")] = None,
    class_word: Annotated[str | None, typer.Option(help="Class word in kohya's folder name.")] = None,
    repeats: Annotated[int | None, typer.Option(help="Repeats per epoch in kohya's folder name.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where to. Default: the project's exports folder.")
    ] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Export the dataset for other programs."""
    from ghibli_studio.config.export import DatasetExportSettings
    from ghibli_studio.data import exporter

    console, source = Console(as_json), open_workspace(workspace).project(project)
    settings = DatasetExportSettings.checked(
        {
            "layout": layout,
            "zipped": zipped,
            "manifest": not no_manifest,
            "sources": sources,
            **given(trigger=trigger, class_word=class_word, repeats=repeats),
        }
    )
    *_, step = console.progress_of(exporter.export(source, settings, out))
    path = str(out or exporter.default_target(source, settings))
    console.line(path, event="done", path=path, images=step.total)


@app.command()
def stats(
    project: ProjectName,
    sheet: SheetFile = None,
    page: SheetPage = 1,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> int:
    """Compute statistics of the dataset; exit code 1 if near duplicates lie on both sides of the split."""
    from ghibli_studio.curation.contact_sheet import dataset_sheet
    from ghibli_studio.data import statistics

    target, console = open_workspace(workspace).project(project), Console(as_json)
    code = print_statistics(statistics.dataset_statistics(target), console)
    if sheet:
        write_sheet(sheet, dataset_sheet(target, page), console)
    return code


def print_statistics(statistics: Statistics, console: Console) -> int:
    """Print statistics of a dataset or a collection; returns 1 if there are leaks across the split."""
    for name, value in statistics.rows:
        console.line(f"{name}: {value}", event="statistic", name=name, value=value)
    for part in ("sizes", "tokens", "brightness", "landmarks"):
        if console.as_json:
            console.line("", event="histogram", of=part, bars=[asdict(one) for one in getattr(statistics, part)])
    for leak in statistics.leaks:
        console.line(
            f"near duplicates: {leak.train} to train on and {leak.validation} to validate on "
            f"({leak.bits} of 64 bits differ)",
            event="leak",
            **asdict(leak),
        )
    return int(bool(statistics.leaks))


def write_sheet(file: Path, sheet: Image, console: Console) -> None:
    """Write a contact sheet as PNG."""
    from ghibli_studio.imaging.image_io import png_bytes
    from ghibli_studio.workspace.files import write_atomic

    write_atomic(file, png_bytes(sheet))
    console.line(str(file), event="done", file=str(file))
