"""An adapter as a folder for others: weights in both layouts, card, sample pictures, training curve, recipe; or a ZIP.

What each of these says, `cards` and `card_pictures` know; the layouts `adapters` knows; the way to the hub `hub`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.formats import compatibility, reader
from adapters.formats.metadata import Facts
from adapters.settings import StudioError
from ghibli_studio.adapter_library import card_images, catalog, model_card
from ghibli_studio.adapter_library.catalog import Entry
from ghibli_studio.config.export import SharingSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.exporter import refuse_existing, whole_folder, whole_zip
from ghibli_studio.models import description
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
STEPS = 4


def name_of(project: Project, entry: Entry, settings: SharingSettings) -> str:
    """What the files are called if nobody says: the project and the method, or the imported file's name."""
    told = settings.name or (f"{project.name}-{entry.method}" if entry.run else entry.name)
    return UNFIT.sub("-", told).strip("-.") or "adapter"


def default_place(project: Project, entry: Entry, settings: SharingSettings) -> Path:
    """Where an export goes if nobody says: `exports/<name>` in the project's folder."""
    return project.export(f"{name_of(project, entry, settings)}{'.zip' if settings.zipped else ''}")


def export(project: Project, entry: Entry, settings: SharingSettings, target: Path | None = None) -> Iterator[Progress]:
    """Write the folder or ZIP, all or nothing; without a target to `default_place`, made anew.

    Raises StudioError if the target is there already, and for an adapter that cannot be used.
    """
    if entry.problem:
        raise StudioError(f"{entry.name} cannot be handed on: {entry.problem}")
    if target is not None:
        refuse_existing(target)
    name = name_of(project, entry, settings)
    yield Progress(0, STEPS, "writing the layouts")
    files = catalog.interchange(entry, facts_of(project, entry, name, settings.license))
    yield Progress(1, STEPS, "looking for pictures")
    found = card_images.samples(project, entry, settings.pictures)
    pictures = {f"samples/{number:02d}.png": sample for number, sample in enumerate(found, 1)}
    yield Progress(2, STEPS, "drawing the training curve")
    curve = card_images.training_curve(entry)
    recipe = catalog.shareable(entry.recipe)
    word = recipe.get("adapter", {}).get("placeholder_token")
    card = model_card.Card(
        entry,
        name,
        settings.license,
        settings.description.strip(),
        entry.trigger,
        files,
        [(file, model_card.words_for_diffusers(sample.recipe["caption"], word)) for file, sample in pictures.items()],
        "training.png" if curve else None,
        model_card.scores_of(project, entry),
        recipe,
    )
    place = target or default_place(project, entry, settings)
    yield Progress(3, STEPS, "writing the card")
    with (whole_zip if settings.zipped else whole_folder)(place, ours=target is None) as write:
        write("README.md", model_card.text(card).encode())
        write("recipe.json", (json.dumps(recipe, indent=1, ensure_ascii=False) + "\n").encode())
        for file, data in files.items():
            write(file, data)
        for file, sample in pictures.items():
            write(file, card_images.sample_bytes(sample))
        if curve:
            write("training.png", curve)
    yield Progress(STEPS, STEPS, str(place))


def facts_of(project: Project, entry: Entry, name: str, license: str = "") -> Facts:
    """What headers say beyond the recipe; of the data set only if it is the one that was trained on."""
    content, recipe = reader.read(entry.file, tensors=False), entry.recipe
    told: dict[str, Any] = {}
    with suppress(StudioError):
        told["resolution"] = (
            description.describe(recipe["base_model"]["spec"]).resolution if "base_model" in recipe else None
        )
    if "dataset" in recipe:
        told["pictures"] = recipe["dataset"]["pictures"]
        with suppress(StudioError):
            dataset = datasets.load(project)
            if datasets.digest(dataset) == recipe["dataset"]["digest"]:
                told["tags"] = _tags([item.caption for item in dataset.part("train")])
    if entry.run is not None and (metrics := entry.run.metrics()) and entry.epoch:
        told["steps"] = round(metrics["steps"] / metrics["epochs"] * entry.epoch)
    return Facts(
        name,
        family="sd_v2" if compatibility.text_width(content.shapes) == 1024 else "sd_v1",
        date=_date(entry).isoformat(timespec="seconds"),
        license=license,
        parents=tuple(parent["file"] for parent in recipe.get("parents", ())),
        **told,
    )


def _tags(captions: list[str]) -> dict[str, int]:
    """The parts of captions between commas, and how many captions have each; the commonest first."""
    counted = Counter(part.strip() for caption in captions for part in caption.split(",") if part.strip())
    return dict(counted.most_common())


def _date(entry: Entry) -> datetime:
    """When the run began, or when the file was written."""
    if entry.run is not None:
        with suppress(ValueError):
            return datetime.strptime("-".join(entry.run.id.split("-")[:2]), "%Y%m%d-%H%M%S")
    return entry.made
