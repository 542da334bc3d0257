"""Exports an adapter as a folder or ZIP: weights in both layouts, model card, sample images, training curve, metadata.

The card's text is in `model_card`, its images in `card_images`, the layouts in `adapters.formats`, the upload in `hub`.
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
from adapters.formats.metadata import ExportInfo
from adapters.settings import StudioError
from ghibli_studio.adapter_library import card_images, catalog, model_card
from ghibli_studio.adapter_library.catalog import Entry
from ghibli_studio.config.export import AdapterExportSettings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.exporter import atomic_folder, atomic_zip, refuse_existing
from ghibli_studio.models import description
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
STEPS = 4


def export_name(project: Project, entry: Entry, settings: AdapterExportSettings) -> str:
    """Return the name of the files: the chosen name, else project and method, or the imported file's name."""
    name = settings.name or (f"{project.name}-{entry.method}" if entry.run else entry.name)
    return UNSAFE.sub("-", name).strip("-.") or "adapter"


def default_target(project: Project, entry: Entry, settings: AdapterExportSettings) -> Path:
    """Return the default path of an export: `exports/<name>` in the project's folder."""
    return project.export(f"{export_name(project, entry, settings)}{'.zip' if settings.zipped else ''}")


def export(
    project: Project, entry: Entry, settings: AdapterExportSettings, target: Path | None = None
) -> Iterator[Progress]:
    """Write the folder or ZIP, all or nothing; without a target to `default_target`, which is overwritten.

    Raises StudioError if the target exists already, and for an adapter that cannot be used.
    """
    if entry.problem:
        raise StudioError(f"{entry.name} cannot be exported: {entry.problem}")
    if target is not None:
        refuse_existing(target)
    name = export_name(project, entry, settings)
    yield Progress(0, STEPS, "converting the weights")
    files = catalog.export_files(entry, export_info(project, entry, name, settings.license))
    yield Progress(1, STEPS, "collecting sample images")
    samples = card_images.sample_images(project, entry, settings.images)
    images = {f"samples/{number:02d}.png": sample for number, sample in enumerate(samples, 1)}
    yield Progress(2, STEPS, "plotting the training curve")
    curve = card_images.training_curve(entry)
    metadata = catalog.without_local_paths(entry.metadata)
    token = metadata.get("adapter", {}).get("placeholder_token")
    card = model_card.Card(
        entry,
        name,
        settings.license,
        settings.description.strip(),
        entry.trigger,
        files,
        [(file, model_card.prompt_for_diffusers(sample.metadata["caption"], token)) for file, sample in images.items()],
        "training.png" if curve else None,
        model_card.evaluation_scores(project, entry),
        metadata,
    )
    path = target or default_target(project, entry, settings)
    yield Progress(3, STEPS, "writing the model card")
    with (atomic_zip if settings.zipped else atomic_folder)(path, overwrite=target is None) as write:
        write("README.md", model_card.render(card).encode())
        write("metadata.json", (json.dumps(metadata, indent=1, ensure_ascii=False) + "\n").encode())
        for file, data in files.items():
            write(file, data)
        for file, sample in images.items():
            write(file, card_images.sample_bytes(sample))
        if curve:
            write("training.png", curve)
    yield Progress(STEPS, STEPS, str(path))


def export_info(project: Project, entry: Entry, name: str, license: str = "") -> ExportInfo:
    """Return what headers need beyond the metadata; tags only if the dataset is still the one it was trained on."""
    content, metadata = reader.read(entry.file, tensors=False), entry.metadata
    values: dict[str, Any] = {}
    with suppress(StudioError):
        values["resolution"] = (
            description.describe(metadata["base_model"]["model_id"]).resolution if "base_model" in metadata else None
        )
    if "dataset" in metadata:
        values["images"] = metadata["dataset"]["images"]
        with suppress(StudioError):
            dataset = datasets.load(project)
            if datasets.digest(dataset) == metadata["dataset"]["digest"]:
                values["tags"] = _tags([item.caption for item in dataset.part("train")])
    if entry.run is not None and (metrics := entry.run.metrics()) and entry.epoch:
        values["steps"] = round(metrics["steps"] / metrics["epochs"] * entry.epoch)
    return ExportInfo(
        name,
        family="sd_v2" if compatibility.text_width(content.shapes) == 1024 else "sd_v1",
        date=_date(entry).isoformat(timespec="seconds"),
        license=license,
        parents=tuple(parent["file"] for parent in metadata.get("parents", ())),
        **values,
    )


def _tags(captions: list[str]) -> dict[str, int]:
    """Count in how many captions each comma-separated part occurs, most frequent first."""
    counts = Counter(part.strip() for caption in captions for part in caption.split(",") if part.strip())
    return dict(counts.most_common())


def _date(entry: Entry) -> datetime:
    """Return when the run began, or when the file was written."""
    if entry.run is not None:
        with suppress(ValueError):
            return datetime.strptime("-".join(entry.run.id.split("-")[:2]), "%Y%m%d-%H%M%S")
    return entry.created
