"""Which pictures of an evaluation are shown, and how they get into a page that is one file."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.reporting.evaluation_result import STYLE, looks, measures_of, tasks_of
from ghibli_studio.reporting.findings import TASKS
from ghibli_studio.workspace.project import Project

SIDE, QUALITY = 256, 82
LANDMARKS, EXTREMES = 5, 4
Cell = dict[str, str]
"""`src` (a data URI, empty where the file is gone), `alt`, and `caption`."""


def data_uri(path: Path, side: int = SIDE) -> str:
    """A picture as a WebP of at most side x side px inside the page; empty where it is gone or damaged."""
    try:
        return _encoded(path, path.stat().st_mtime_ns, side)
    except (OSError, SyntaxError, ValueError):
        return ""


@lru_cache(maxsize=512)  # 10 KB each; a report is often made again after a small change
def _encoded(path: Path, modified: int, side: int) -> str:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def file_of(folder: Path, row: dict[str, Any]) -> Path:
    """The picture of a row of an evaluation; a name without a folder lies in `pictures`."""
    name = Path(row["file"])
    return folder / (name if len(name.parts) > 1 else Path("pictures") / name)


def truths(project: Project, result: dict[str, Any]) -> dict[str, tuple[Path | None, Path | None]]:
    """(photograph, true styled picture) of each landmark, as far as the data set still has them."""
    try:
        items = {item.id: item for item in datasets.load(project).items}
    except StudioError:
        items = {}
    found = {}
    for subject in result["subjects"]:
        item = items.get(subject["item"])
        if item is None or item.landmark != subject["landmark"]:
            found[subject["landmark"]] = (None, None)
        else:
            photograph = project.sources / item.source if item.source else None
            found[subject["landmark"]] = (photograph, project.dataset / f"{item.id}.png")
    return found


def side_by_side(result: dict[str, Any], task: str, count: int = LANDMARKS) -> list[tuple[str, dict[str, Any]]]:
    """(landmark, rows by variant) of the first landmarks in the data set's order, with the first seed."""
    shown = looks(result["variants"])
    landmarks = [subject["landmark"] for subject in result["subjects"]]
    found = []
    for landmark in landmarks[:count]:
        rows = [row for row in result["rows"] if (row["task"], row["landmark"]) == (task, landmark)]
        first = min((row["seed"] for row in rows), default=None)
        chosen = {row["variant"]: row for row in rows if row["seed"] == first and row["variant"] in shown}
        if chosen:
            found.append((landmark, chosen))
    return found


def extremes(result: dict[str, Any], task: str, variant: str, key: str, count: int = EXTREMES) -> tuple[list, list]:
    """(best, worst) rows of a variant by one measure, from the ends inwards; none is in both, one alone is the best."""
    rows = [
        row
        for row in result["rows"]
        if (row["task"], row["variant"]) == (task, variant) and row["scores"].get(key) is not None
    ]
    ranked = sorted(rows, key=lambda row: row["scores"][key], reverse=result["metrics"][key]["better"] == "higher")
    half = len(ranked) // 2
    return ranked[: min(count, len(ranked) - half)], ranked[::-1][: min(count, half)]


def pages(project: Project, folder: Path, result: dict[str, Any]) -> list[dict[str, Any]]:
    """For each task {title, heads, rows, key, extremes}: what stands side by side, and the best and the worst."""
    known, colors = truths(project, result), looks(result["variants"])
    found = []
    for task in tasks_of(result):
        rows = []
        for landmark, chosen in side_by_side(result, task):
            photograph, styled = known[landmark]
            cells = [_cell(photograph, landmark, "photograph"), _cell(styled, landmark, "true styled picture")]
            cells += [
                _cell(file_of(folder, chosen[name]), landmark, name) if name in chosen else _cell(None, landmark, name)
                for name in colors
            ]
            rows.append({"landmark": landmark, "cells": cells})
        key = STYLE if STYLE in measures_of(result, task) else next(iter(measures_of(result, task)), None)
        strips = []
        for name in colors if key else ():
            best, worst = ([_scored(folder, row, key) for row in part] for part in extremes(result, task, name, key))
            if best:
                strips.append({"variant": name, "best": best, "worst": worst})
        found.append(
            {
                "task": task,
                "title": f"Drawn {TASKS[task]}",
                "rows": rows,
                "strips": strips,
                "heads": ["Photograph", "True styled picture", *colors],
                "measure": result["metrics"][key] if key else None,
            }
        )
    return found


def _cell(path: Path | None, landmark: str, what: str) -> Cell:
    return {"src": data_uri(path) if path else "", "alt": f"{landmark}, {what}", "caption": what}


def _scored(folder: Path, row: dict[str, Any], key: str) -> Cell:
    return {
        "src": data_uri(file_of(folder, row)),
        "alt": f"{row['landmark']}, {row['variant']}",
        "caption": f"{row['landmark']}: {row['scores'][key]:.3g}",
    }
