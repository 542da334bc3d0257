"""`study.json`: definition and images of a new study, as the user writes them. `database.creation` uses the result.

    {"definition": {"landmarks": [...], ...},
     "images": [{"role": "candidate", "landmark": "Petra", "origin": "lora", "file": "petra.png", "metadata": {...}}]}

Files are relative to the folder of `study.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from study import StudyError
from study.design.definition import Definition

SECTIONS = ("definition", "images")
ENTRY_TYPES: dict[str, type | tuple[type, ...]] = {
    "role": str,
    "landmark": str,
    "origin": (str, type(None)),
    "file": str,
    "metadata": dict,
}
REQUIRED = ("role", "landmark", "file")


def read(path: Path) -> tuple[Definition, list[StimulusImage]]:
    """Return the definition and the images of a study.json; raise StudyError that names the invalid entry."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}); name an existing study.json") from error
    except ValueError as error:
        raise StudyError(f"{path} is not valid JSON ({error}); correct it there") from error
    if not isinstance(content, dict) or sorted(content) != sorted(SECTIONS):
        sections = ", ".join(map(repr, content)) if isinstance(content, dict) else "no object"
        raise StudyError(f"{path} has {sections or 'nothing'}; it must have exactly {' and '.join(SECTIONS)}")
    if not isinstance(content["definition"], dict) or not isinstance(content["images"], list):
        raise StudyError(f"{path} must have an object as definition and a list as images")
    definition = Definition.checked(content["definition"])
    return definition, [_image(path, number, entry) for number, entry in enumerate(content["images"], 1)]


def _image(path: Path, number: int, entry: Any) -> StimulusImage:
    where = f"image {number} of {path.name}"
    if not isinstance(entry, dict):
        raise StudyError(f"{where} is {str(entry)[:80]!r}; it must be an object with {', '.join(ENTRY_TYPES)}")
    if unknown := sorted(set(entry) - set(ENTRY_TYPES)):
        raise StudyError(f"{where} has the unknown key {unknown[0]!r}; use {', '.join(ENTRY_TYPES)}")
    for name in REQUIRED:
        if name not in entry:
            raise StudyError(f"{where} has no {name}; an image needs {', '.join(REQUIRED)}")
    for name, value in entry.items():
        if not isinstance(value, ENTRY_TYPES[name]):
            expected = "an object" if ENTRY_TYPES[name] is dict else "a text"
            raise StudyError(f"{where} has the {name} {str(value)[:80]!r}; it must be {expected}")
    file = path.parent / entry["file"]
    if not file.is_file():
        raise StudyError(f"{where} is {entry['file']}, but {path.parent} has no such file; put it there")
    return StimulusImage(entry["role"], entry["landmark"], entry.get("origin"), file, entry.get("metadata", {}))


@dataclass(frozen=True)
class StimulusImage:
    """One image of a study."""

    role: str
    """candidate: five landmarks by three origins; photo: one of each landmark; reference: four or more originals of
    other landmarks, for the style sheet; practice: three or more such, for practice trials and attention checks."""
    landmark: str
    origin: str | None
    """original | lora | ti; None for a photo."""
    data: Path | bytes
    """An image file, or its content."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """JSON values for the key: adapter hash, prompt, seed."""
