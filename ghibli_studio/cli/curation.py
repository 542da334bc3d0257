"""The `curate` commands: add, caption, check, split, stylize, build, stats."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.settings import StudioError
from ghibli_studio.cli.console import Console
from ghibli_studio.cli.dataset import print_dataset, print_statistics, write_sheet
from ghibli_studio.cli.options import (
    AdapterFile,
    AdapterScale,
    AsJson,
    BaseModelId,
    GuidanceScale,
    Ids,
    NegativePrompt,
    Overwrite,
    ProjectName,
    Seed,
    SheetFile,
    SheetPage,
    SplitSeed,
    Steps,
    Strength,
    StyleSource,
    StyleWords,
    ValidationShare,
    WorkspaceFolder,
    given,
    names,
    open_workspace,
    stylization_of,
)

app = typer.Typer(no_args_is_help=True, help="Build a dataset from photos: add, caption, check, stylize, split, build.")
WORDS = ("name", "location", "description", "composition")
"""Parts of a prompt."""


@app.command()
def add(
    project: ProjectName,
    sources: Annotated[list[Path] | None, typer.Argument(metavar="[PATH]...", help="A folder, ZIPs or images.")] = None,
    bundled: Annotated[bool, typer.Option("--bundled", help="The 45 photos that come with the studio.")] = False,
    landmarks: Annotated[
        int | None, typer.Option(metavar="COUNT", help="Painted landmarks, 2 to 115, as photos.")
    ] = None,
    base_model: BaseModelId = None,
    seed: Annotated[int, typer.Option(help="Seed of the painted landmarks' scenes.")] = 0,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Add photos to the project's collection."""
    from ghibli_studio.curation import collection as collections
    from ghibli_studio.curation import ingest

    chosen: list[Any] = [sources] if sources else []
    chosen += ["photos"] * bundled + ["landmarks"] * (landmarks is not None)
    if len(chosen) != 1:
        raise StudioError("choose one source: a folder, ZIPs or images, or --bundled, or --landmarks COUNT")
    console, target = Console(as_json), open_workspace(workspace).project(project, new=True)
    before = len(collections.load(target).photos) if collections.exists(target) else 0
    for _ in console.progress_of(ingest.add_photos(target, chosen[0], base_model, seed=seed, **given(count=landmarks))):
        pass
    collection = collections.load(target)
    console.skipped(collection.notes, collection.skipped)
    total, new = len(collection.photos), len(collection.photos) - before
    console.line(
        f"{target.collection.folder}: {total} photos, {new} of them new",
        event="done",
        photos=total,
        new=new,
        skipped=len(collection.skipped),
    )


@app.command()
def caption(
    project: ProjectName,
    ids: Ids = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="PART=WORDS", help=f"Set a part: {', '.join(WORDS)}.")
    ] = None,
    append: Annotated[list[str] | None, typer.Option(metavar="PART=WORDS", help="Append words to a part.")] = None,
    find: Annotated[str | None, typer.Option(metavar="WORDS", help="Words to replace.")] = None,
    replace: Annotated[str, typer.Option(metavar="WORDS", help="What to replace them with.")] = "",
    read: Annotated[
        Path | None, typer.Option("--import", metavar="PATH", help="A .csv, .jsonl, or .txt files in a folder or ZIP.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Caption with an image-to-text model (BLIP).")
    ] = None,
    redo: Annotated[bool, typer.Option("--redo", help="With --model: also photos that have a description.")] = False,
    write: Annotated[
        Path | None, typer.Option("--export", metavar="PATH", help="To a .csv, .jsonl, .zip or folder.")
    ] = None,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Set, replace, import, export or list the prompts of photos.

    In this order: import, caption with a model, set, replace, append; then export, or list with token counts.
    """
    from ghibli_studio.curation import collection as collections
    from ghibli_studio.curation import prompt_files, prompts

    console, target = Console(as_json), open_workspace(workspace).project(project)
    chosen = names(ids) if ids else None
    if read:
        _, skipped = prompt_files.import_prompts(target, read)
        for item in skipped:
            console.line(f"skipped: {item['reason']}", event="skipped", **item)
    if model:
        from ghibli_studio.curation import captioner

        for _ in console.progress_of(captioner.caption_photos(target, model, chosen, again=redo), target.workspace):
            pass
    for text in set_ or ():
        part, words = _part(text, "--set")
        prompts.set_parts(target, chosen, **{part: words})
    if find is not None:
        prompts.find_and_replace(target, chosen, find, replace)
    for text in append or ():
        prompts.append_text(target, chosen, *_part(text, "--append"))
    if write:
        console.line(str(prompt_files.export_prompts(target, write)), event="done", file=str(write))
        return
    collection = collections.load(target)
    photos = collection.select(chosen)
    for photo, gauge in zip(photos, prompts.token_usage(collection, photos)):
        prompt = prompts.compose(photo)
        over = f", {gauge.over} TOO MANY" if gauge.over else ""
        console.line(
            f"{photo.id}  {gauge.tokens:>3} of {gauge.limit} tokens{over}  {prompt}",
            event="prompt",
            id=photo.id,
            tokens=gauge.tokens,
            limit=gauge.limit,
            prompt=prompt,
        )


def _part(text: str, option: str) -> tuple[str, str]:
    name, equals, words = text.partition("=")
    if not equals or name.strip() not in WORDS:
        raise StudioError(f"{option} {text!r} is not PART=WORDS; PART is {', '.join(WORDS)}")
    return name.strip(), words


@app.command()
def check(project: ProjectName, workspace: WorkspaceFolder = None, as_json: AsJson = False) -> int:
    """Check the photos and their prompts; exit code 1 if there is an error."""
    from ghibli_studio.curation import review

    console = Console(as_json)
    issues = review.check(open_workspace(workspace).project(project))
    for issue in issues:
        console.line(f"{issue.severity}: {issue.message}; {issue.fix}", event="issue", **asdict(issue))
    if not issues:
        console.line("no issues", event="done")
    return int(any(issue.severity == "error" for issue in issues))


@app.command()
def split(
    project: ProjectName,
    seed: SplitSeed = 0,
    share: ValidationShare = 0.2,
    redo: Annotated[bool, typer.Option("--redo", help="Also split photos again that have a side.")] = False,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Split the photos by landmark into training and validation."""
    from ghibli_studio.curation import split as splitting

    target = open_workspace(workspace).project(project)
    photos = [
        one for one in splitting.split(target, seed=seed, share=share, again=redo).photos if one.state != "rejected"
    ]
    train, validation = (sum(photo.split == side for photo in photos) for side in ("train", "validation"))
    Console(as_json).line(
        f"{train} photos to train on, {validation} of other landmarks to validate on",
        event="done",
        train=train,
        validation=validation,
    )


@app.command()
def stylize(
    project: ProjectName,
    ids: Ids = None,
    source: StyleSource = None,
    adapter_file: AdapterFile = None,
    style_words: StyleWords = None,
    strength: Strength = None,
    guidance_scale: GuidanceScale = None,
    steps: Steps = None,
    seed: Seed = None,
    adapter_scale: AdapterScale = None,
    negative_prompt: NegativePrompt = None,
    redo: Annotated[bool, typer.Option("--redo", help="Also photos that have a stylized image.")] = False,
    accept: Annotated[bool, typer.Option("--accept", help="Accept each new image for the dataset.")] = False,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> int:
    """Stylize photos with img2img; exit code 1 if one of them failed."""
    from ghibli_studio.curation import collection as collections
    from ghibli_studio.curation import review
    from ghibli_studio.generation import stylization

    console, target = Console(as_json), open_workspace(workspace).project(project)
    changes = stylization_of(
        source, adapter_file, style_words, strength, guidance_scale, steps, seed, adapter_scale, negative_prompt
    )
    settings = stylization.batch_settings(collections.load(target)).changed(**changes)
    stylized = failed = 0
    work = stylization.stylize_photos(target, names(ids) if ids else None, settings, again=redo)
    for step in console.progress_of(work, target.workspace):
        if step.error:
            failed += 1
            console.line(f"not stylized: {step.error}", event="skipped", photo=step.photo, reason=step.error)
        elif step.attempt:
            stylized += 1
            file = str(target.collection.stylized(step.attempt.file))
            if accept:
                review.accept(target, [step.photo])
            console.line(file, event="image", photo=step.photo, **{**asdict(step.attempt), "file": file})
    console.line(f"{stylized} stylized, {failed} failed", event="done", stylized=stylized, failed=failed)
    return int(failed > 0)


@app.command()
def build(
    project: ProjectName,
    seed: SplitSeed = 0,
    share: ValidationShare = 0.2,
    overwrite: Overwrite = False,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> None:
    """Build the dataset from the accepted photos."""
    from ghibli_studio.curation import build as building

    target = open_workspace(workspace).project(project)
    work = building.build_dataset(target, seed=seed, share=share, replace=overwrite)
    print_dataset(target, work, Console(as_json))


@app.command()
def stats(
    project: ProjectName,
    sheet: SheetFile = None,
    page: SheetPage = 1,
    workspace: WorkspaceFolder = None,
    as_json: AsJson = False,
) -> int:
    """Compute statistics of the photos; exit code 1 if near duplicates lie on both sides of the split."""
    from ghibli_studio.curation import collection as collections
    from ghibli_studio.curation.contact_sheet import collection_sheet
    from ghibli_studio.curation.review import collection_statistics

    console, target = Console(as_json), open_workspace(workspace).project(project)
    code = print_statistics(collection_statistics(collections.load(target)), console)
    if sheet:
        write_sheet(sheet, collection_sheet(target, page), console)
    return code
