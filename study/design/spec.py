"""`study.json`: what a study is made of, as a person writes it down. What the pictures become is `creating`.

    {"definition": {"landmarks": [...], ...},
     "pictures": [{"role": "candidate", "landmark": "Petra", "origin": "lora", "file": "petra.png", "facts": {...}}]}

A file is named relative to the folder of `study.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from study import StudyError
from study.design.definition import Definition

PARTS = ("definition", "pictures")
ENTRY = {"role": str, "landmark": str, "origin": (str, type(None)), "file": str, "facts": dict}
NEEDED = ("role", "landmark", "file")


def read(path: Path) -> tuple[Definition, list[Picture]]:
    """The definition and the pictures that a study.json tells; StudyError for what cannot be used, with its place."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}); name a study.json") from error
    except ValueError as error:
        raise StudyError(f"{path} is not JSON ({error}); mend it there") from error
    if not isinstance(told, dict) or sorted(told) != sorted(PARTS):
        parts = ", ".join(map(repr, told)) if isinstance(told, dict) else "no object"
        raise StudyError(f"{path} has {parts or 'nothing'}; it needs the parts {' and '.join(PARTS)}, and no other")
    if not isinstance(told["definition"], dict) or not isinstance(told["pictures"], list):
        raise StudyError(f"{path} needs an object as definition and a list as pictures")
    definition = Definition.checked(told["definition"])
    return definition, [_picture(path, number, entry) for number, entry in enumerate(told["pictures"], 1)]


def _picture(path: Path, number: int, entry: Any) -> Picture:
    where = f"picture {number} of {path.name}"
    if not isinstance(entry, dict):
        raise StudyError(f"{where} is {str(entry)[:80]!r}; it must be an object with {', '.join(ENTRY)}")
    if unknown := sorted(set(entry) - set(ENTRY)):
        raise StudyError(f"{where} has {unknown[0]!r}, which is not known; known are {', '.join(ENTRY)}")
    for name in NEEDED:
        if name not in entry:
            raise StudyError(f"{where} has no {name}; a picture needs {', '.join(NEEDED)}")
    for name, value in entry.items():
        if not isinstance(value, ENTRY[name]):
            kind = "an object" if ENTRY[name] is dict else "a text"
            raise StudyError(f"{where} has the {name} {str(value)[:80]!r}; it must be {kind}")
    file = path.parent / entry["file"]
    if not file.is_file():
        raise StudyError(f"{where} is {entry['file']}, but {path.parent} has no such file; put it there")
    return Picture(entry["role"], entry["landmark"], entry.get("origin"), file, entry.get("facts", {}))


@dataclass(frozen=True)
class Picture:
    """What goes into a study."""

    role: str
    """candidate: five landmarks by three origins; photo: the photograph of each; reference: four or more originals of
    other landmarks, for the style sheet; practice: three or more such, for practice and catch trials."""
    landmark: str
    origin: str | None
    """original | lora | ti; None for a photograph."""
    data: Path | bytes
    """A picture file, or its content."""
    facts: dict[str, Any] = field(default_factory=dict)
    """JSON values for the key: adapter hash, prompt, seed."""
