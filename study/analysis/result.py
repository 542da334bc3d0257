"""A closed study's result: its answers analyzed, in words and as JSON, and whether it is what was locked.

The numbers are `analysis`, the words `findings`, the answers come from `store`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study import StudyError
from study.analysis.answers import Row
from study.analysis.findings import page
from study.analysis.preregistered import analysis_sha256, analyze
from study.store import Store

INVENTED = "All answers are simulated: the program invented them, and they say nothing about any picture."


@dataclass(frozen=True)
class Result:
    """What came out."""

    values: dict[str, Any]
    """`analysis.analyze`, with `simulated`, `analysis_sha256` and `analysis_as_locked` before it."""
    notes: tuple[str, ...]
    """What a reader has to know first, one sentence each."""

    def files(self) -> dict[str, str]:
        """Name -> text of the files that are kept of a result."""
        return {
            "results.json": json.dumps(self.values, ensure_ascii=False, indent=2, allow_nan=False) + "\n",
            "findings.md": self.text(),
        }

    def text(self) -> str:
        """The findings as Markdown, the notes before them."""
        return "".join(f"> {note}\n\n" for note in self.notes) + page(self.values) + "\n"

    def write(self, folder: Path) -> list[Path]:
        """Write the files into a folder, over older ones; StudyError where that is not possible."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in self.files().items():
                (folder / name).write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise StudyError(f"{folder} cannot be written ({error.strerror}); name another folder") from error
        return [folder / name for name in self.files()]


def result(store: Store) -> Result:
    """Analyze a closed study; the opening of its key is in its audit. StudyError if it is not closed."""
    rows = [Row(**one) for one in store.export_rows()]
    status, now = store.status(), analysis_sha256()
    told = {
        "simulated": "simulated" in status.counts,
        "analysis_sha256": now,
        "analysis_as_locked": now == status.analysis_sha256,
    }
    return Result(told | analyze(store.definition(), rows), tuple(_notes(told)))


def _notes(told: dict[str, Any]) -> Iterator[str]:
    if told["simulated"]:
        yield INVENTED
    if not told["analysis_as_locked"]:
        yield (
            "The program of the analysis is not the one that was locked with this study, so this result is "
            "exploratory; analyze with the version that locked it."
        )
