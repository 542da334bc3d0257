"""Selection of an evaluation's images for the report, and their embedding into the page."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.reporting.evaluation_result import STYLE_METRIC, metrics_of, tasks_of, variant_styles
from ghibli_studio.workspace.project import Project

SIDE, QUALITY = 256, 82
LANDMARKS, EXTREMES = 5, 4
Cell = dict[str, str]
"""`src` (a data URI, empty if the file is missing), `alt`, and `caption`."""


def data_uri(path: Path, side: int = SIDE) -> str:
    """Return an image as a WebP data URI of at most side x side px; empty if it is missing or damaged."""
    try:
        return _encode(path, path.stat().st_mtime_ns, side)
    except (OSError, SyntaxError, ValueError):
        return ""


@lru_cache(maxsize=512)  # 10 KB each; a report is often created again after a small change
def _encode(path: Path, modified: int, side: int) -> str:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def image_file(folder: Path, row: dict[str, Any]) -> Path:
    """Return the image file of an evaluation's row; a bare file name is in `images`."""
    name = Path(row["file"])
    return folder / (name if len(name.parts) > 1 else Path("images") / name)


def reference_images(project: Project, result: dict[str, Any]) -> dict[str, tuple[Path | None, Path | None]]:
    """Return (photo, ground-truth image) of each landmark; None if the dataset no longer has it."""
    try:
        items = {item.id: item for item in datasets.load(project).items}
    except StudioError:
        items = {}
    references: dict[str, tuple[Path | None, Path | None]] = {}
    for subject in result["subjects"]:
        item = items.get(subject["item"])
        if item is None or item.landmark != subject["landmark"]:
            references[subject["landmark"]] = (None, None)
        else:
            photo = project.sources / item.source if item.source else None
            references[subject["landmark"]] = (photo, project.dataset / f"{item.id}.png")
    return references


def side_by_side(result: dict[str, Any], task: str, count: int = LANDMARKS) -> list[tuple[str, dict[str, Any]]]:
    """Return (landmark, rows by variant) of the first landmarks in the dataset's order, with the first seed."""
    variants = variant_styles(result["variants"])
    landmarks = [subject["landmark"] for subject in result["subjects"]]
    selected = []
    for landmark in landmarks[:count]:
        rows = [row for row in result["rows"] if (row["task"], row["landmark"]) == (task, landmark)]
        first = min((row["seed"] for row in rows), default=None)
        by_variant = {row["variant"]: row for row in rows if row["seed"] == first and row["variant"] in variants}
        if by_variant:
            selected.append((landmark, by_variant))
    return selected


def extremes(result: dict[str, Any], task: str, variant: str, key: str, count: int = EXTREMES) -> tuple[list, list]:
    """Return (best, worst) rows of a variant by one metric, most extreme first.

    No row is in both; a single row is the best.
    """
    rows = [
        row
        for row in result["rows"]
        if (row["task"], row["variant"]) == (task, variant) and row["scores"].get(key) is not None
    ]
    ranked = sorted(rows, key=lambda row: row["scores"][key], reverse=result["metrics"][key]["better"] == "higher")
    half = len(ranked) // 2
    return ranked[: min(count, len(ranked) - half)], ranked[::-1][: min(count, half)]


def image_sections(project: Project, folder: Path, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return {task, rows, strips, heads, metric} for each task: images side by side, and the best and the worst."""
    references, styles = reference_images(project, result), variant_styles(result["variants"])
    sections = []
    for task in tasks_of(result):
        rows = []
        for landmark, by_variant in side_by_side(result, task):
            photo, ground_truth = references[landmark]
            cells = [_cell(photo, landmark, "photo"), _cell(ground_truth, landmark, "ground truth")]
            for name in styles:
                file = image_file(folder, by_variant[name]) if name in by_variant else None
                cells.append(_cell(file, landmark, name))
            rows.append({"landmark": landmark, "cells": cells})
        keys = metrics_of(result, task)
        key = STYLE_METRIC if STYLE_METRIC in keys else keys[0] if keys else None
        strips = []
        if key is not None:
            for name in styles:
                best, worst = extremes(result, task, name, key)
                if best:
                    ends = {"best": best, "worst": worst}
                    strip = {
                        end: [_scored_cell(folder, row, key) for row in end_rows] for end, end_rows in ends.items()
                    }
                    strips.append({"variant": name, **strip})
        sections.append(
            {
                "task": task,
                "rows": rows,
                "strips": strips,
                "heads": ["photo", "ground truth", *styles],
                "metric": result["metrics"][key] if key else None,
            }
        )
    return sections


def _cell(path: Path | None, landmark: str, what: str) -> Cell:
    return {"src": data_uri(path) if path else "", "alt": f"{landmark}, {what}", "caption": what}


def _scored_cell(folder: Path, row: dict[str, Any], key: str) -> Cell:
    return {
        "src": data_uri(image_file(folder, row)),
        "alt": f"{row['landmark']}, {row['variant']}",
        "caption": f"{row['landmark']}: {row['scores'][key]:.3g}",
    }
