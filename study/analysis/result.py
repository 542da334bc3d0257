"""The result of a closed study: its answers analyzed, as words and as JSON, and whether the locked analysis made it.

The numbers are in `preregistered`, the words in `findings`; the answers come from `study.store`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study import StudyError
from study.analysis.answers import Row
from study.analysis.findings import to_markdown
from study.analysis.preregistered import analysis_sha256, analyze
from study.store import Store

SIMULATED_NOTE = "All answers are simulated: a program made them up, and they say nothing about any image."


@dataclass(frozen=True)
class Result:
    """The result of a study."""

    values: dict[str, Any]
    """`preregistered.analyze`, with `simulated`, `analysis_sha256` and `analysis_as_locked` before it."""
    notes: tuple[str, ...]
    """Warnings that a reader needs first, one sentence each."""

    def files(self) -> dict[str, str]:
        """Return the files of a result, name -> text."""
        return {
            "results.json": json.dumps(self.values, ensure_ascii=False, indent=2, allow_nan=False) + "\n",
            "findings.md": self.text(),
        }

    def text(self) -> str:
        """Return the notes and the findings as Markdown."""
        return "".join(f"> {note}\n\n" for note in self.notes) + to_markdown(self.values) + "\n"

    def write(self, folder: Path) -> list[Path]:
        """Write the files into a folder and overwrite older ones; StudyError where that is not possible."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in self.files().items():
                (folder / name).write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise StudyError(f"{folder} cannot be written ({error.strerror}); name another folder") from error
        return [folder / name for name in self.files()]


def study_result(store: Store) -> Result:
    """Analyze a closed study; StudyError if it is not closed. The audit records that the key was opened."""
    rows = [Row(**values) for values in store.export_rows()]
    status, current = store.status(), analysis_sha256()
    origin = {
        "simulated": "simulated" in status.counts,
        "analysis_sha256": current,
        "analysis_as_locked": current == status.analysis_sha256,
    }
    return Result(origin | analyze(store.definition(), rows), tuple(_notes(origin)))


def _notes(origin: dict[str, Any]) -> Iterator[str]:
    if origin["simulated"]:
        yield SIMULATED_NOTE
    if not origin["analysis_as_locked"]:
        yield (
            "The analysis code is not the one that was locked with this study, so this result is exploratory; "
            "analyze with the version that locked it."
        )
