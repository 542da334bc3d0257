"""The `dataset` commands: sample, import, export, stats."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ghibli_studio.cli.console import Told
from ghibli_studio.config.export import ExportSettings
from ghibli_studio.workspace.project import Project, Workspace


def _sample(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio.data.sample_dataset import make_sample

    project = workspace.project(chosen.project, new=True)
    progress = make_sample(project, chosen.base_model, seed=chosen.seed, count=chosen.count, replace=chosen.replace)
    return _made_dataset(project, progress, told)


def _import(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    from ghibli_studio.data.importer import import_pictures

    project = workspace.project(chosen.project, new=True)
    progress = import_pictures(project, chosen.path, chosen.base_model, seed=chosen.seed, replace=chosen.replace)
    return _made_dataset(project, progress, told)


def _made_dataset(project: Project, progress: Iterator[Any], told: Told) -> int:
    from ghibli_studio.data import dataset as datasets

    for _ in told.followed(progress):
        pass
    made = datasets.load(project)
    told.taken(made.notes, made.problems)
    for item in made.too_long():
        told.line(
            f"too long: {item.id} ({item.original}) has {item.tokens} tokens, the model reads {made.token_limit}",
            event="too_long",
            id=item.id,
            tokens=item.tokens,
            limit=made.token_limit,
        )
    train, validation = len(made.part("train")), len(made.part("validation"))
    told.line(
        f"{project.folder}: {train} pictures to train on, {validation} of other landmarks to validate on",
        event="done",
        train=train,
        validation=validation,
        left_out=len(made.problems),
        too_long=len(made.too_long()),
    )
    return 0


def survey(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Tell the statistics; the exit code is 1 where pictures look alike across the split."""
    from ghibli_studio.curation import collection as collections
    from ghibli_studio.curation import contact_sheet, review
    from ghibli_studio.data import statistics
    from ghibli_studio.imaging.image_io import png_bytes
    from ghibli_studio.workspace.files import write_atomic

    project = workspace.project(chosen.project)
    gathered = chosen.gathered
    found = review.survey_collection(collections.load(project)) if gathered else statistics.survey_dataset(project)
    for name, value in found.rows:
        told.line(f"{name}: {value}", event="survey", name=name, value=value)
    for part in ("sizes", "tokens", "brightness", "landmarks"):
        if told.as_json:
            told.line("", event="bars", of=part, bars=[asdict(one) for one in getattr(found, part)])
    for leak in found.leaks:
        told.line(
            f"alike: {leak.train} to train on and {leak.validation} to validate on ({leak.bits} of 64 bits differ)",
            event="leak",
            **asdict(leak),
        )
    if chosen.sheet:
        draw = contact_sheet.collection_sheet if gathered else contact_sheet.dataset_sheet
        write_atomic(chosen.sheet, png_bytes(draw(project, chosen.page)))
        told.line(str(chosen.sheet), event="done", file=str(chosen.sheet))
    return int(bool(found.leaks))


def export_data(chosen: argparse.Namespace, workspace: Workspace, told: Told) -> int:
    """Write the data set, and tell where it is."""
    from ghibli_studio.data import exporter

    given = {
        name: value for name in ("trigger", "class_word", "repeats") if (value := getattr(chosen, name)) is not None
    }
    settings = ExportSettings.checked(
        {
            "layout": chosen.layout,
            "zipped": chosen.zip,
            "manifest": not chosen.no_manifest,
            "sources": chosen.sources,
            **given,
        }
    )
    project = workspace.project(chosen.project)
    *_, step = told.followed(exporter.export(project, settings, chosen.out))
    place = str(chosen.out or exporter.default_place(project, settings))
    told.line(place, event="done", place=place, pictures=step.total)
    return 0
