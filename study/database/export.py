"""What leaves a closed study: rows for the analysis, and a folder of tables that anybody can read and check.

Who may export, and the entry in the audit, is `store`'s to decide. What the answers mean is `analysis`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from study import StudyError
from study.database.key import Origin
from study.database.transactions import rows

SUMS = "SHA256SUMS"

COLUMNS = {
    "participants": {
        "participant": "random id; nothing leads from it to a person",
        "mode": "live: a person; simulated: answers that the program invented",
        "state": "complete: answered everything; active: left before the end (not analyzed)",
        "plan": "number of the place whose plan was shown, from 0; places 6k to 6k+5 balance each other",
        "trials": "how many trials the plan has",
        "answers": "how many of them were answered",
        "consent_version": "version of the text that was agreed to",
        "consent_date": "day of the agreement, UTC, YYYY-MM-DD",
    },
    "responses": {
        "participant": "as in participants.csv",
        "seq": "number of the trial in this person's order, from 1",
        "kind": "main; practice and catch (known answer); repeat (of an earlier one); guess (at the end); view",
        "block": "part of the session: practice, view, buy, landmark, style, board or guess",
        "question": "buy, landmark, style, guess (which is the LoRA's) or view (only looked at)",
        "landmark": "what was asked about; empty where the pictures are of several",
        "choice": "image, or the word that was chosen: none, both, neither, unsure, seen",
        "position": "of the chosen picture, from 1; empty if none was chosen",
        "origin": "of the chosen picture: original, lora or ti; in practice and catch trials right or wrong",
        "positions": "the same of every picture of the trial by position, separated by a vertical bar; "
        "practice where no answer is right",
        "stimuli": "ids of these pictures, separated in the same way, as in stimuli.csv",
        "answer": "the right position of a practice or catch trial; empty where there is none",
        "repeats": "of a repeat: seq of the trial that it repeats",
        "client_ms": "from showing to answering as the browser counted, milliseconds; empty if it did not",
        "server_ms": "the same as the server counted, with the way there and back",
        "input": "mouse, touch, pen or keyboard; empty if the browser did not tell",
    },
    "stimuli": {
        "stimulus": "random id of a picture",
        "role": "candidate, photo (the photograph of a landmark), reference (style sheet) or practice",
        "landmark": "what it shows",
        "origin": "original, lora or ti; empty for a photograph",
        "sha256": "of the copy that was shown (in study.db), hexadecimal",
        "width": "px",
        "height": "px",
        "bytes": "length of the copy; the same for all",
        "source": "name of the file it was made from",
        "source_sha256": "of that file, hexadecimal",
        "facts": "JSON: adapter hash, prompt, seed and what else was told of it",
    },
}

CODEBOOK = """\
# Codebook

One row a line, comma-separated, UTF-8, the names of the columns first. An empty cell is a missing value. A text that \
a spreadsheet would take for a formula begins with an apostrophe.

`definition.json` is the study as it was locked; its sha256 is the definition's. `study.db` is the whole SQLite \
database without tokens and codes; it has the exact time of every answer, so publish the tables rather than it. \
`results.json` and `findings.md`, where they are, hold what the analysis made of these answers. \
`SHA256SUMS` is checked by `sha256sum -c SHA256SUMS`.
"""

ANSWERED = """
SELECT p.id AS participant, t.id AS trial, t.seq, t.kind, t.block, t.question, t.landmark, r.choice, r.position,
    t.answer, t.repeats, r.client_ms, r.server_ms, r.input
FROM response r JOIN trial t ON t.id = r.trial JOIN participant p ON p.id = t.participant
WHERE p.mode != 'pilot' AND p.state IN ({}) ORDER BY p.id, t.seq
"""

JOINED = """
SELECT p.id AS participant, p.mode, p.state, p.plan, count(t.id) AS trials, count(r.id) AS answers, p.consent_version,
    p.consent_at
FROM participant p JOIN trial t ON t.participant = p.id LEFT JOIN response r ON r.trial = t.id
WHERE p.mode != 'pilot' GROUP BY p.id ORDER BY p.id
"""

PICTURES = "SELECT id AS stimulus, role, landmark, sha256, width, height, bytes FROM stimulus ORDER BY id"

FIELDS = (
    "participant",
    "seq",
    "kind",
    "question",
    "landmark",
    "choice",
    "origin",
    "position",
    "positions",
    "answer",
    "repeats",
    "client_ms",
    "server_ms",
)


def analysis_rows(db: Database, origins: Mapping[str, Origin]) -> list[dict[str, Any]]:
    """The answers of all who finished, with the fields of `answers.Row`."""
    return [{name: one[name] for name in FIELDS} for one in _responses(db, origins, "'complete'")]


def tables(db: Database, origins: Mapping[str, Origin]) -> dict[str, list[dict[str, Any]]]:
    """participants, responses and stimuli with the columns of the codebook; those who did not finish are in them."""
    people = rows(db, JOINED)
    for one in people:
        one["consent_date"] = datetime.fromtimestamp(one.pop("consent_at") / 1000, UTC).date().isoformat()
    responses = [
        {**one, "positions": "|".join(one["positions"]), "stimuli": "|".join(one["stimuli"])}
        for one in _responses(db, origins, "'active', 'complete'")
    ]
    stimuli = [
        {
            **one,
            "origin": of.origin,
            "source": of.source,
            "source_sha256": of.source_sha256,
            "facts": json.dumps(of.facts, ensure_ascii=False, sort_keys=True),
        }
        for one in rows(db, PICTURES)
        for of in [origins[one["stimulus"]]]
    ]
    every = {"participants": people, "responses": responses, "stimuli": stimuli}
    return {name: [{column: one[column] for column in COLUMNS[name]} for one in table] for name, table in every.items()}


def write(
    folder: Path,
    tables: Mapping[str, list[dict[str, Any]]],
    definition: str,
    backup: Callable[[Path], None],
    more: Mapping[str, str],
) -> Path:
    """Write tables, codebook, definition, database, `more` and checksums into a new folder, all or nothing."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StudyError(f"{folder} is there already; name a new folder for the export")
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    try:
        temporary.mkdir(parents=True)
        for name, table in tables.items():
            (temporary / f"{name}.csv").write_text(csv_text(COLUMNS[name], table), encoding="utf-8", newline="")
        for name, text in {"codebook.md": codebook(), "definition.json": definition, **more}.items():
            (temporary / name).write_text(text, encoding="utf-8", newline="")
        backup(temporary / "study.db")
        _anonymise(temporary / "study.db")
        write_sums(temporary)
        if folder.exists():
            folder.rmdir()  # empty; not every system replaces a folder
        temporary.rename(folder)
    except OSError as error:
        raise StudyError(f"{folder} cannot be written ({error.strerror}); name another folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over all other files of a folder; again after a file was added."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8", newline="")


def csv_text(columns: Mapping[str, str], table: list[dict[str, Any]]) -> str:
    """CSV (RFC 4180) with a line of names."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(one[column]) for column in columns] for one in table)
    return text.getvalue()


def codebook() -> str:
    """What every column means, in Markdown."""
    parts = [CODEBOOK]
    for name, columns in COLUMNS.items():
        lines = "".join(f"| {column} | {meaning} |\n" for column, meaning in columns.items())
        parts.append(f"## {name}.csv\n\n| column | meaning |\n|---|---|\n{lines}")
    return "\n".join(parts)


def _cell(value: Any) -> Any:
    """A spreadsheet runs a text that looks like a formula, and landmarks and files are named by people."""
    return f"'{value}" if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@")) else value


def _responses(db: Database, origins: Mapping[str, Origin], states: str) -> list[dict[str, Any]]:
    """Answers with what stood at each position."""
    stimuli: dict[str, list[str]] = {}
    for one in rows(db, "SELECT trial, stimulus FROM trial_option WHERE place = 'option' ORDER BY trial, position"):
        stimuli.setdefault(one["trial"], []).append(one["stimulus"])
    answered = rows(db, ANSWERED.format(states))
    for one in answered:
        one["stimuli"] = tuple(stimuli[one.pop("trial")])
        one["positions"] = _positions(one, origins)
        one["origin"] = None if one["position"] is None else one["positions"][one["position"] - 1]
    return answered


def _positions(one: Mapping[str, Any], origins: Mapping[str, Origin]) -> tuple[str, ...]:
    if one["kind"] not in ("practice", "catch"):
        return tuple(origins[stimulus].origin for stimulus in one["stimuli"])
    if one["answer"] is None:
        return ("practice",) * len(one["stimuli"])
    return tuple("right" if position == one["answer"] else "wrong" for position, _ in enumerate(one["stimuli"], 1))


def _anonymise(file: Path) -> None:
    """Take out of a copy what leads to a person: links, codes, and the panel's proof of completion."""
    with closing(sqlite3.connect(file)) as copy:
        copy.execute("PRAGMA secure_delete = ON")
        copy.execute(
            "UPDATE participant SET token_sha256 = 'token ' || id, withdrawal_sha256 = 'withdrawal ' || id, "
            "completion_code = NULL"
        )
        copy.commit()
        copy.execute("VACUUM")
