"""The export: only after the close, complete, with checksums, and without traces of a person."""

import csv
import io
import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from hashlib import sha256

import pytest

from study import ORIGINS, StudyError
from study.analysis.answers import Row
from study.database import export, key
from study.design.definition import Definition
from study.design.spec import StimulusImage
from study.store import create
from tests.support.study_sample import (
    ANALYSIS,
    LANDMARKS,
    Clock,
    answer_all,
    answer_one,
    draft,
    images,
    live,
    png,
    query,
    study_error,
)


def closed(folder, clock=None, leaves=0, **values):
    """Return a closed study with two participants who chose the first image, and one who left after some answers."""
    store = live(folder, clock, participants=3, **values)
    for _ in range(2):
        answer_all(store, store.join("live", "1").token, client_ms=1200, input="mouse")
    if leaves:
        token = store.join("live", "1").token
        for _ in range(leaves):
            answer_one(store, token)
    store.close()
    return store


def table(folder, name):
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def truth(store):
    """Return (participant, seq) -> (kind, answer, origins of the options by position), read without the program."""
    stimuli = [one for (one,) in query(store, "SELECT id FROM stimulus")]
    origins = key.read(store.folder / "key.db", stimuli)
    found = {}
    for trial, participant, seq, kind, answer in query(store, "SELECT id, participant, seq, kind, answer FROM trial"):
        options = query(
            store, "SELECT stimulus FROM trial_option WHERE trial = ? AND area = 'option' ORDER BY position", trial
        )
        found[participant, seq] = kind, answer, tuple(origins[one].origin for (one,) in options)
    return found


@pytest.mark.parametrize("export_", [lambda store: store.export_rows(), lambda store: store.export(store.folder / "e")])
def test_nothing_is_exported_before_the_close(tmp_path, export_):
    store = draft(tmp_path / "a")
    with study_error("the study is draft; this needs a study that is closed, so lock it first"):
        export_(store)
    store = live(tmp_path / "b")
    answer_all(store, store.join("live", "1").token)
    with study_error("the study is live; this needs a study that is closed, so close it first"):
        export_(store)
    assert "key opened" not in [entry["action"] for entry in store.audit()][3:]
    assert not (store.folder / "e").exists()


def test_the_analysis_gets_every_answer_with_its_origin(tmp_path):
    store = closed(tmp_path, leaves=5)
    rows = [Row(**one) for one in store.export_rows()]
    complete = [one for (one,) in query(store, "SELECT id FROM participant WHERE state = 'complete' ORDER BY id")]
    assert [(row.participant, row.seq) for row in rows] == [
        (person, seq) for person in complete for seq in range(1, 28)
    ]
    known = truth(store)
    for row in rows:
        kind, answer, origins = known[row.participant, row.seq]
        assert (row.kind, row.answer, row.choice, row.position) == (kind, answer, "image", 1)
        if kind in ("main", "retest", "blinding_check"):
            assert row.positions == origins
            assert set(origins) == (set(ORIGINS) if row.question == "buy" else {"lora", "ti"})
        elif answer is None:
            assert row.positions == ("practice",) * 3
        else:
            assert row.positions == (("right", "wrong") if answer == 1 else ("wrong", "right"))
        assert row.origin == row.positions[0]
        assert (row.client_ms, row.server_ms) == (1200, 0)
    assert [row.seq for row in rows if row.kind == "retest"] == [
        row.seq for row in rows if row.retest_of is not None and row.retest_of < row.seq
    ]


def test_an_answer_without_an_image_has_no_origin(tmp_path):
    store = live(tmp_path, participants=2)
    token = store.join("live", "1").token
    answer_all(store, token, lambda current: (current.menu[-1], None) if current.menu else ("image", 2))
    store.close()
    rows = [Row(**one) for one in store.export_rows()]
    assert {row.choice for row in rows} == {"none", "neither", "unsure", "image"}
    for row in rows:
        assert (row.position, row.origin) == ((2, row.positions[1]) if row.choice == "image" else (None, None))


def test_the_paper_instrument_is_exported_too(tmp_path):
    store = live(tmp_path, participants=2, instrument="paper")
    answer_all(store, store.join("live", "1").token)
    store.close()
    rows = [Row(**one) for one in store.export_rows()]
    assert [(row.kind, row.choice, len(row.positions)) for row in rows] == [
        *[("view", "seen", 1)] * 15,
        *[("main", "image", 15)] * 3,
        *[("blinding_check", "image", 2)] * 5,
    ]
    boards = [row for row in rows if row.kind == "main"]
    assert all(sorted(row.positions) == sorted(ORIGINS * 5) for row in boards)
    assert [row.landmark for row in boards] == [None] * 3


def test_simulated_answers_are_exported_as_such(tmp_path):
    store = live(tmp_path / "s", participants=2)
    answer_all(store, store.join("simulated", "1").token)
    store.close()
    store.export(tmp_path / "export")
    assert [one["mode"] for one in table(tmp_path / "export", "participants")] == ["simulated"]
    assert len(store.export_rows()) == 27
    assert store.completion_codes() == []


def test_the_folder_has_exactly_these_files(tmp_path):
    store = closed(tmp_path / "s")
    assert store.export(tmp_path / "a" / "export") == tmp_path / "a" / "export"
    assert sorted(path.name for path in (tmp_path / "a").rglob("*") if path.is_file()) == [
        "SHA256SUMS",
        "codebook.md",
        "definition.json",
        "participants.csv",
        "responses.csv",
        "stimuli.csv",
        "study.db",
    ]
    text = (tmp_path / "a/export/definition.json").read_text(encoding="utf-8")
    assert Definition.model_validate_json(text) == store.definition()
    assert sha256(text.encode()).hexdigest() == store.status().definition_sha256


def test_participants_csv(tmp_path):
    store = closed(tmp_path / "s", leaves=5)
    store.export(tmp_path / "export")
    stored = query(store, "SELECT id, state, plan FROM participant ORDER BY id")
    assert table(tmp_path / "export", "participants") == [
        {
            "participant": one,
            "mode": "live",
            "state": state,
            "plan": str(number),
            "trials": "27",
            "answers": "5" if state == "active" else "27",
            "consent_version": "1",
            "consent_date": "2023-11-14",
        }
        for one, state, number in stored
    ]
    assert sorted(state for _, state, _ in stored) == ["active", "complete", "complete"]


def test_responses_csv(tmp_path):
    store = closed(tmp_path / "s", leaves=5)
    store.export(tmp_path / "export")
    rows = table(tmp_path / "export", "responses")
    assert len(rows) == 2 * 27 + 5
    stored = query(
        store,
        "SELECT t.participant, t.seq, t.kind, t.block, t.question, t.landmark, t.answer, t.retest_of, "
        "r.input FROM trial t JOIN response r ON r.trial = t.id ORDER BY t.participant, t.seq",
    )
    origins = {one["stimulus"]: one["origin"] for one in table(tmp_path / "export", "stimuli")}
    for row, (participant, seq, kind, block, question, landmark, answer, retest_of, input) in zip(rows, stored):
        shown = row.pop("stimuli").split("|")
        positions = row["positions"].split("|")
        assert len(shown) == len(positions)
        if kind in ("main", "retest", "blinding_check"):
            assert positions == [origins[one] for one in shown]
        assert row == {
            "participant": participant,
            "seq": str(seq),
            "kind": kind,
            "block": block,
            "question": question,
            "landmark": landmark or "",
            "choice": "image",
            "position": "1",
            "origin": positions[0],
            "positions": "|".join(positions),
            "answer": str(answer or ""),
            "retest_of": str(retest_of or ""),
            "client_ms": "1200" if input else "",
            "server_ms": "0",
            "input": input,
        }


def test_stimuli_csv(tmp_path):
    store = closed(tmp_path / "s")
    store.export(tmp_path / "export")
    rows = table(tmp_path / "export", "stimuli")
    stored = query(store, "SELECT id, role, landmark, sha256, width, height, bytes FROM stimulus ORDER BY id")
    assert [
        tuple(row[name] for name in ("stimulus", "role", "landmark", "sha256", "width", "height", "bytes"))
        for row in rows
    ] == [tuple(map(str, one)) for one in stored]
    given = {
        (
            one.role,
            one.landmark,
            one.origin or "",
            sha256(one.data).hexdigest(),
            json.dumps(one.metadata, ensure_ascii=False, sort_keys=True),
        )
        for one in images()
    }
    assert {
        (row["role"], row["landmark"], row["origin"], row["source_sha256"], row["metadata"]) for row in rows
    } == given
    assert {row["source"] for row in rows} == {""}


def test_the_checksums_are_right_and_can_be_updated(tmp_path):
    folder = closed(tmp_path / "s").export(tmp_path / "export")

    def check():
        names = [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
        for line in (folder / "SHA256SUMS").read_text().splitlines():
            digest, name = line.split("  ")
            assert sha256((folder / name).read_bytes()).hexdigest() == digest
        return names

    files = ["codebook.md", "definition.json", "participants.csv", "responses.csv", "stimuli.csv", "study.db"]
    assert check() == files
    (folder / "results.json").write_text("{}")
    export.write_checksums(folder)
    assert check() == sorted([*files, "results.json"])


def test_extra_files_have_checksums(tmp_path):
    folder = closed(tmp_path / "s").export(tmp_path / "export", {"results.json": '{"größer": true}\n'})
    assert (folder / "results.json").read_bytes() == '{"größer": true}\n'.encode()
    digest = sha256((folder / "results.json").read_bytes()).hexdigest()
    assert f"{digest}  results.json\n" in (folder / "SHA256SUMS").read_text()


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_can_check_the_files(tmp_path):
    folder = closed(tmp_path / "s").export(tmp_path / "export")
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    done = subprocess.run(check, cwd=folder, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_exported_database_has_no_trace_of_a_person(tmp_path):
    store = live(tmp_path / "s", participants=2)
    token = store.join("live", "1").token
    debrief = answer_all(store, token)
    store.close()
    folder = store.export(tmp_path / "export")
    data = (folder / "study.db").read_bytes()
    hashes = query(store, "SELECT token_sha256, withdrawal_sha256 FROM participant")[0]
    for secret in (*hashes, debrief.completion_code):
        assert secret.encode() in store.file.read_bytes()
        assert secret.encode() not in data
    with closing(sqlite3.connect(folder / "study.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert copy.execute("SELECT * FROM response ORDER BY id").fetchall() == query(
            store, "SELECT * FROM response ORDER BY id"
        )
        assert [action for (action,) in copy.execute("SELECT action FROM audit ORDER BY seq")] == [
            "created",
            "key opened",
            "locked",
            "closed",
            "key opened",
        ]
    assert debrief.completion_code not in (folder / "participants.csv").read_text()
    assert store.current(token) == debrief  # the study itself is unchanged


def test_no_page_of_the_exported_database_has_deleted_data(tmp_path):
    """Rows that moved when pages were split leave copies of themselves behind."""
    store = live(tmp_path / "s")
    for _ in range(48):
        store.join("live", "1")
    store.close()
    data = (store.export(tmp_path / "export") / "study.db").read_bytes()
    hashes = query(store, "SELECT token_sha256, withdrawal_sha256 FROM participant")
    assert len(hashes) == 48
    assert [one for pair in hashes for one in pair if one.encode() in data] == []


def test_pilot_answers_are_not_exported(tmp_path):
    store = draft(tmp_path / "s", participants=2)
    answer_all(store, store.join("pilot", "1").token)
    store.lock(ANALYSIS)
    store.close()
    folder = store.export(tmp_path / "export")
    assert store.export_rows() == table(folder, "participants") == table(folder, "responses") == []


def test_a_withdrawn_participant_is_in_no_later_export(tmp_path):
    store = live(tmp_path / "s", participants=2)
    codes = [answer_all(store, store.join("live", "1").token).withdrawal_code for _ in range(2)]
    store.close()
    store.withdraw(codes[0])
    folder = store.export(tmp_path / "export")
    assert len(table(folder, "participants")) == 1
    assert len(table(folder, "responses")) == len(store.export_rows()) == 27


def test_the_codebook_describes_every_column(tmp_path):
    folder = closed(tmp_path / "s").export(tmp_path / "export")
    text = (folder / "codebook.md").read_text(encoding="utf-8")
    described = {}
    for part in text.split("\n## ")[1:]:
        name, *lines = part.splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
        assert cells.pop(0) == ["column", "meaning"]
        assert all(len(row) == 2 and len(row[1]) > 1 for row in cells)
        described[name] = [column for column, _ in cells]
    headers = {path.name: path.read_text(encoding="utf-8").splitlines()[0].split(",") for path in folder.glob("*.csv")}
    assert described == headers


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        (" =1", "' =1"),
        ("Petra", "Petra"),
        ("1 = 1", "1 = 1"),
        ("", ""),
        (-1, "-1"),
        (None, ""),
        ('a "b", c', 'a "b", c'),
        ("two\nlines", "two\nlines"),
    ],
)
def test_formulas_are_escaped_and_other_cells_are_unchanged(text, cell):
    written = export.csv_text({"x": "", "y": ""}, [{"x": text, "y": "end"}])
    assert list(csv.reader(io.StringIO(written, newline=""))) == [["x", "y"], [cell, "end"]]


def test_a_landmark_that_looks_like_a_formula_is_escaped(tmp_path):
    landmarks = ("=1+1", *LANDMARKS[1:])
    given = [StimulusImage(one.role, one.landmark.replace("Big Ben", "=1+1"), one.origin, one.data) for one in images()]
    store = create(tmp_path / "s", Definition(landmarks=landmarks, participants=2), given, Clock())
    store.lock(ANALYSIS)
    answer_all(store, store.join("live", "1").token)
    store.close()
    folder = store.export(tmp_path / "export")
    for name in ("responses", "stimuli"):
        assert {one["landmark"] for one in table(folder, name)} >= {"'=1+1", "Petra"}
    assert "=1+1" in {row["landmark"] for row in store.export_rows()}


def test_the_source_file_of_an_image_is_named_without_its_folder(tmp_path):
    file = tmp_path / "deep" / "down" / "seed 7.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(png("Big Ben original"))
    given = [StimulusImage("candidate", "Big Ben", "original", file), *images()[1:]]
    store = create(tmp_path / "s", Definition(landmarks=LANDMARKS), given)
    store.lock(ANALYSIS)
    store.close()
    folder = store.export(tmp_path / "export")
    assert [one["source"] for one in table(folder, "stimuli") if one["source"]] == ["seed 7.png"]
    assert not any(b"deep" in path.read_bytes() for path in folder.iterdir())


def test_a_folder_that_is_not_empty_is_not_changed(tmp_path):
    store = closed(tmp_path / "s")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.txt").write_text("other")
    (tmp_path / "file").write_text("other")
    for taken in ("full", "file"):
        with study_error(f"{tmp_path / taken} already exists; name a new folder for the export"):
            store.export(tmp_path / taken)
    (tmp_path / "empty").mkdir()
    assert (store.export(tmp_path / "empty") / "SHA256SUMS").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full", "s"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["other.txt"]


def test_a_failed_export_leaves_no_files(tmp_path, monkeypatch):
    store = closed(tmp_path / "s")
    with study_error(f"{tmp_path / 's/study.db/export'} cannot be written (Not a directory); name another folder"):
        store.export(tmp_path / "s" / "study.db" / "export")
    monkeypatch.setattr(export, "write_checksums", lambda _: (_ for _ in ()).throw(StudyError("no")))
    with study_error("no"):
        store.export(tmp_path / "export")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_two_exports_have_the_same_tables(tmp_path):
    store = closed(tmp_path / "s", leaves=2)
    one, two = store.export(tmp_path / "one"), store.export(tmp_path / "two")
    for name in ("participants.csv", "responses.csv", "stimuli.csv", "codebook.md", "definition.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
