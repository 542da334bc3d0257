"""The images of an adapter's card: samples that were generated with it, and its training curve, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.adapter_library.catalog import Entry, without_local_paths
from ghibli_studio.evaluation.evaluator import IMAGES_FOLDER
from ghibli_studio.generation import metadata as generation_metadata
from ghibli_studio.plotting.figures import COLORS
from ghibli_studio.training import learning_curve
from ghibli_studio.workspace.project import Project

MAX_IMAGE_SETS = 30
"""Generated sets and evaluations that are searched for samples, newest first."""


@dataclass(frozen=True)
class SampleImage:
    """An image generated with an adapter."""

    file: Path
    metadata: dict[str, Any]
    """Its generation metadata."""


Index = dict[str, list[SampleImage]]
"""SHA-256 of an adapter file -> images generated with it."""


def index_images(project: Project) -> Index:
    """Return the images of the newest generated sets, then of the newest evaluations, by adapter.

    Images that began as a photo are skipped, since they may show a person; so are images at another adapter scale.
    """
    folders = [
        *project.image_sets()[:MAX_IMAGE_SETS],
        *(folder / IMAGES_FOLDER for folder in project.evaluations()[:MAX_IMAGE_SETS]),
    ]
    index: Index = {}
    for file in (file for folder in folders for file in sorted(folder.glob("*.png"))):
        metadata = _metadata(file, file.stat().st_mtime_ns)
        sha256 = (metadata.get("adapter") or {}).get("sha256")
        if sha256 and "init_image" not in metadata and metadata["settings"].get("adapter_scale", 1) == 1:
            index.setdefault(sha256, []).append(SampleImage(file, metadata))
    return index


@lru_cache(maxsize=4096)
def _metadata(file: Path, modified: int) -> dict[str, Any]:
    """Return the generation metadata of an image; empty if it has none."""
    with suppress(StudioError, OSError):
        return generation_metadata.read_metadata(file)
    return {}


def sample_images(project: Project, entry: Entry, limit: int, index: Index | None = None) -> list[SampleImage]:
    """Return images generated with this very file by text to image, one per prompt; the run's own sample comes last.

    `index` is the project's index, for callers that ask for many adapters.
    """
    images = (index_images(project) if index is None else index).get(entry.sha256, [])
    by_prompt = {sample.metadata["caption"]: sample for sample in reversed(images)}
    chosen = list(reversed(by_prompt.values()))
    if entry.run is not None and entry.epoch is not None:
        file = entry.run.sample_file(entry.epoch)
        metadata = _metadata(file, file.stat().st_mtime_ns) if file.exists() else {}
        if metadata and metadata["caption"] not in by_prompt:
            chosen.append(SampleImage(file, metadata))
    return chosen[:limit]


def sample_bytes(sample: SampleImage) -> bytes:
    """Return the image for publication: its pixels and its metadata without local paths, nothing else of the file."""
    with Image.open(sample.file) as image:
        return generation_metadata.to_png(image.convert("RGB"), without_local_paths(sample.metadata))


def training_curve(entry: Entry) -> bytes | None:
    """Return the run's validation losses as a PNG; None for an adapter without a run, or before the first epoch.

    The training loss is not shown: it is weighted by noise level, so its scale differs from the validation loss.
    """
    if entry.run is None:
        return None
    events = entry.run.progress()
    validation = learning_curve.validation_curve(events, "validation")
    return _render_curve(entry, validation, learning_curve.base_model_curve([events])) if validation else None


def _render_curve(entry: Entry, validation: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> bytes:
    from matplotlib.figure import Figure  # without pyplot there is no window, and threads share no state
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    axes, color = figure.add_subplot(), COLORS.get(entry.method, "#444444")
    axes.plot(
        [row["epoch"] for row in validation],
        [row["loss"] for row in validation],
        color=color,
        marker="o",
        markersize=4,
        label=entry.label,
    )
    axes.plot(
        [row["epoch"] for row in base],
        [row["loss"] for row in base],
        color="#777777",
        linestyle="--",
        label="base model",
    )
    if entry.epoch is not None:
        axes.axvline(entry.epoch, color="#777777", linewidth=0.8, label=f"this file: epoch {entry.epoch}")
    axes.set(xlabel="epoch", ylabel="validation loss", title="Held-out images, fixed noise")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
