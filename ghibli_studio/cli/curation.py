"""The verbs `gather`, `caption`, `check`, `split` and `finish` of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adapters.settings import StudioError
from ghibli_studio.cli.console import Told
from ghibli_studio.workspace.project import Workspace

WORDS = ("name", "location", "description", "composition")


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Put the verbs into the parser."""
    take = verb("gather", gather, "collect photographs for a data set in the making")
    take.add_argument("source", nargs="*", type=Path, help="a folder, ZIPs or pictures")
    take.add_argument("--photographs", action="store_true", help="the 45 photographs that come with the studio")
    take.add_argument("--landmarks", type=int, metavar="COUNT", help="drawn landmarks, 2 to 115, as photographs")
    take.add_argument("--base-model", help="which model it is for (default: the collection's, else miniature)")
    take.add_argument("--seed", type=int, default=0, help="decides the scenes of drawn landmarks (%(default)s)")

    say = verb("caption", caption, "set, replace, read, write or list the prompts of gathered photographs")
    say.add_argument("--ids", help="photographs, separated by commas (default: all)")
    say.add_argument("--set", action="append", default=[], metavar="PART=WORDS", help=f"PART is {', '.join(WORDS)}")
    say.add_argument("--append", action="append", default=[], metavar="PART=WORDS", help="words behind a part")
    say.add_argument("--find", metavar="WORDS", help="words to replace")
    say.add_argument("--replace", default="", metavar="WORDS", help="by these")
    say.add_argument("--read", type=Path, metavar="PATH", help="a CSV, a .jsonl, .txt files in a folder or ZIP")
    say.add_argument("--model", type=Path, metavar="DIR", help="describe with an image-to-text model, a BLIP")
    say.add_argument("--again", action="store_true", help="with --model: also what has a description")
    say.add_argument("--write", type=Path, metavar="PATH", help="to a .csv, .jsonl, .zip or folder")

    verb("check", check, "say what is wrong with the gathered photographs")
    for name, act, text in (
        ("split", split, "decide who is learned from and who validates, by landmark"),
        ("finish", finish, "make the data set of the accepted photographs"),
    ):
        command = verb(name, act, text)
        command.add_argument("--seed", type=int, default=0, help="decides the split (%(default)s)")
        command.add_argument("--share", type=float, default=0.2, help="for validation (%(default)s)")
        if name == "split":
            command.add_argument("--again", action="store_true", help="also of photographs that have a side")
        else:
            command.add_argument("--replace", action="store_true", help="make the data set anew if there is one")


def gather(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Collect photographs, and tell what was left out."""
    from ghibli_studio.curation import collection as collections
    from ghibli_studio.curation import ingest

    sources: list[Any] = [chosen.source] if chosen.source else []
    sources += ["photographs"] * chosen.photographs + ["landmarks"] * (chosen.landmarks is not None)
    if len(sources) != 1:
        raise StudioError("say one source: a folder, ZIPs or pictures, or --photographs, or --landmarks COUNT")
    project = workspace.project(chosen.project, new=True)
    before = len(collections.load(project).photos) if collections.exists(project) else 0
    count = {"count": chosen.landmarks} if chosen.landmarks is not None else {}
    for _ in told.followed(ingest.gather(project, sources[0], chosen.base_model, seed=chosen.seed, **count)):
        pass
    collection = collections.load(project)
    told.taken(collection.notes, collection.problems)
    total, new = len(collection.photos), len(collection.photos) - before
    told.line(
        f"{project.collection.folder}: {total} photographs, {new} of them new",
        event="done",
        photographs=total,
        new=new,
        left_out=len(collection.problems),
    )
    return 0


def caption(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Read, describe, set, replace, append, in this order; then write the prompts, or list them with their tokens."""
    from ghibli_studio.curation import collection as collections
    from ghibli_studio.curation import prompt_files, prompts

    project = workspace.project(chosen.project)
    ids = [id.strip() for id in chosen.ids.split(",") if id.strip()] if chosen.ids else None
    if chosen.read:
        _, problems = prompt_files.read_prompts(project, chosen.read)
        for problem in problems:
            told.line(f"not used: {problem['reason']}", event="left_out", **problem)
    if chosen.model:
        from ghibli_studio.curation import captioner

        work = captioner.describe_photographs(project, chosen.model, ids, again=chosen.again)
        for _ in told.followed(work, workspace):
            pass
    for text in chosen.set:
        part, words = _part(text, "--set")
        prompts.set_words(project, ids, **{part: words})
    if chosen.find is not None:
        prompts.replace_words(project, ids, chosen.find, chosen.replace)
    for text in chosen.append:
        prompts.append_words(project, ids, *_part(text, "--append"))
    if chosen.write:
        told.line(str(prompt_files.write_prompts(project, chosen.write)), event="done", file=str(chosen.write))
        return 0
    collection = collections.load(project)
    photos = collection.select(ids)
    for photo, gauge in zip(photos, prompts.gauges(collection, photos)):
        prompt = prompts.compose(photo)
        over = f", {gauge.over} TOO MANY" if gauge.over else ""
        told.line(
            f"{photo.id}  {gauge.tokens:>3} of {gauge.limit} tokens{over}  {prompt}",
            event="prompt",
            id=photo.id,
            tokens=gauge.tokens,
            limit=gauge.limit,
            prompt=prompt,
        )
    return 0


def _part(text: str, option: str) -> tuple[str, str]:
    name, equals, words = text.partition("=")
    if not equals or name.strip() not in WORDS:
        raise StudioError(f"{option} {text!r} does not say PART=WORDS; PART is {', '.join(WORDS)}")
    return name.strip(), words


def check(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Tell the findings; the exit code is 1 where one of them is an error."""
    from ghibli_studio.curation import review

    found = review.check(workspace.project(chosen.project))
    for one in found:
        told.line(f"{one.severity}: {one.message}; {one.way_out}", event="finding", **asdict(one))
    if not found:
        told.line("nothing is wrong", event="done")
    return int(any(one.severity == "error" for one in found))


def split(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Decide the sides and write them down."""
    from ghibli_studio.curation import split as splitting

    project = workspace.project(chosen.project)
    photos = splitting.split(project, seed=chosen.seed, share=chosen.share, again=chosen.again).photos
    train, validation = (
        sum(photo.split == side for photo in photos if photo.state != "rejected") for side in ("train", "validation")
    )
    told.line(
        f"{train} photographs to train on, {validation} of other landmarks to validate on",
        event="done",
        train=train,
        validation=validation,
    )
    return 0


def finish(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Make the data set."""
    from ghibli_studio.curation import build
    from ghibli_studio.data import dataset as datasets

    project = workspace.project(chosen.project)
    making = build.finish(project, seed=chosen.seed, share=chosen.share, replace=chosen.replace)
    for _ in told.followed(making):
        pass
    made = datasets.load(project)
    told.taken(made.notes, made.problems)
    train, validation = len(made.part("train")), len(made.part("validation"))
    told.line(
        f"{project.folder}: {train} pictures to train on, {validation} of other landmarks to validate on",
        event="done",
        train=train,
        validation=validation,
        left_out=len(made.problems),
    )
    return 0
