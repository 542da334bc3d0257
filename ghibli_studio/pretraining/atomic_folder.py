"""Atomic writing of folders and files: complete or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, which replaces the target only when all of it is on disk."""
    partial = target.with_name(f"{target.name}.partial")
    partial.mkdir(parents=True)
    yield partial
    for path in partial.rglob("*"):
        if path.is_file():
            flush_to_disk(path)
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)


def flush_to_disk(path: Path) -> None:
    """Wait until the file's content is on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, content: str) -> None:
    """Write a text file; if interrupted, the old file remains."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(content, encoding="utf-8")
    flush_to_disk(partial)
    partial.replace(path)


def write_json(path: Path, content: object) -> None:
    """Write the content as JSON; if interrupted, the old file remains."""
    write_text(path, json.dumps(content, indent=2) + "\n")
