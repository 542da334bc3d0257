"""The study's command line: every command, its exit codes, its JSON lines, and one sentence for invalid input."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import typer

from study.analysis.preregistered import analysis_sha256
from study.analysis.result import SIMULATED_NOTE
from study.cli import console
from study.cli.app import app, main
from study.database.tokens import withdrawal_code
from study.replica import backend
from study.store import Store
from study.web import hosting, server
from tests.support.study_sample import ANALYSIS, LANDMARKS, answer_all, draft, images, live, query

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
NOT_SIX = (
    "50 participants are not a multiple of six, so some arrangements of the images are shown more often than "
    "others; use 48 or 54 to show all equally often"
)


@pytest.fixture
def run(capsys):
    """Run a command for users; returns (exit code, stdout, stderr)."""

    def run_command(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run_command


@pytest.fixture
def run_json(capsys):
    """Run a command for programs; returns (exit code, JSON objects on stdout)."""

    def run_command(*words):
        code = main([*(str(word) for word in words), "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run_command


@pytest.fixture
def spec(tmp_path):
    """A study.json with its images; returns a function that writes it with changes."""
    folder = tmp_path / "spec"
    folder.mkdir()
    entries = []
    for number, image in enumerate(images()):
        (folder / f"{number}.png").write_bytes(image.data)
        entry = {"role": image.role, "landmark": image.landmark, "file": f"{number}.png", "metadata": image.metadata}
        entries.append(entry | ({"origin": image.origin} if image.origin else {}))

    def write(**parts):
        result = {
            "definition": {"landmarks": LANDMARKS, "participants": parts.pop("participants", 48)},
            "images": entries,
        }
        (folder / "study.json").write_text(json.dumps(result | parts))
        return folder / "study.json"

    write.entries = entries
    return write


# --- from nothing to a result -----------------------------------------------------------------------------------------


def test_from_nothing_to_a_result(run_json, spec, tmp_path):
    folder = tmp_path / "study"
    code, (created,) = run_json("create", folder, "--spec", spec(participants=6))
    store = Store(folder)
    assert (code, created) == (
        0,
        {"event": "created", "images": 27, "side": 32, "definition_sha256": store.definition().digest()},
    )
    code, (locked,) = run_json("lock", folder)
    assert (code, locked["lock_sha256"]) == (0, store.status().lock_sha256)
    assert (locked["power"]["n"], store.status().analysis_sha256) == (6, analysis_sha256())
    tokens = [store.join("live", "1").token for _ in range(6)]
    for token in tokens:
        answer_all(store, token, client_ms=2000)
    assert run_json("status", folder) == (0, [{"event": "status", **asdict(store.status())}])
    code, (left,) = run_json("withdraw", folder, withdrawal_code(tokens[0]).lower())
    assert (code, left) == (0, {"event": "withdrawn", "answers": 27})
    assert run_json("close", folder) == (0, [{"event": "closed", "complete": 5, "target": 6}])

    code, (found,) = run_json("analyze", folder, "--out", tmp_path / "out")
    files = [str(tmp_path / "out" / name) for name in ("results.json", "findings.md")]
    assert (code, found["files"], found["notes"]) == (0, files, [])
    result = json.loads(Path(files[0]).read_text())
    assert result == found["result"]
    assert (result["simulated"], result["analysis_as_locked"], result["all"]["participants"]) == (False, True, 5)
    text = Path(files[1]).read_text()
    assert text.startswith("# What may be claimed\n\n5 participants answered. ")

    code, (out,) = run_json("export", folder, tmp_path / "export")
    names = [
        "SHA256SUMS",
        "codebook.md",
        "definition.json",
        "findings.md",
        "participants.csv",
        "responses.csv",
        "results.json",
        "stimuli.csv",
        "study.db",
    ]
    assert (code, out) == (0, {"event": "exported", "folder": str(tmp_path / "export"), "files": names})
    sums = dict(line.split("  ")[::-1] for line in (tmp_path / "export/SHA256SUMS").read_text().splitlines())
    assert sums == {name: sha256((tmp_path / "export" / name).read_bytes()).hexdigest() for name in names[1:]}
    assert (tmp_path / "export/findings.md").read_text() == text
    assert json.loads((tmp_path / "export/results.json").read_text()) == result

    code, lines = run_json("audit", folder)
    assert code == 0
    assert [line["action"] for line in lines if line["event"] == "entry"] == [
        "created",
        "key opened",
        "locked",
        "withdrawn",
        "closed",
        "key opened",
        "key opened",
        "key opened",
    ]
    assert lines[-2:] == [
        {"event": "chain", "ok": True},
        {"event": "note", "message": "blindness is audited on a draft, because the key of a live study stays closed"},
    ]


def test_the_same_as_sentences(run, spec, tmp_path):
    folder = tmp_path / "study"
    code, out, err = run("create", folder, "--spec", spec(participants=50))
    digest = Store(folder).definition().digest()
    assert (code, out) == (
        0,
        f"{folder}: created a draft of 27 images, each copied to 32 x 32 px\ndefinition {digest}\n",
    )
    assert err == f"note: {NOT_SIX}\n"
    code, out, err = run("lock", folder)
    status = Store(folder).status()
    assert (code, out, err) == (
        0,
        f"locked {status.lock_sha256}\npower with 50 participants (alpha 0.0167): 70:30 68%, 75:25 90%, 80:20 99%\n",
        f"note: {NOT_SIX}\n",
    )
    assert run("status", folder) == (
        0,
        "live; the target is 50 complete participants\nslots: 60 free\n"
        f"created {status.created_at}\nlocked {status.locked_at}\ndefinition {digest}\n"
        f"analysis {analysis_sha256()}\nlock {status.lock_sha256}\n",
        "",
    )
    assert run("close", folder) == (0, "closed with 0 of 50 complete participants\n", "")
    code, out, err = run("analyze", folder)
    assert (code, out.splitlines()[0], err) == (0, "# What may be claimed", "")


def test_an_analysis_other_than_the_locked_one_is_noted(run, tmp_path):
    store = live(tmp_path / "study", participants=2)  # locked with another hash
    answer_all(store, store.join("live", "1").token)
    store.close()
    assert store.status().analysis_sha256 == ANALYSIS
    code, out, _ = run("analyze", store.folder, "--out", tmp_path)
    note = (
        "> The analysis code is not the one that was locked with this study, so this result is exploratory; "
        "analyze with the version that locked it."
    )
    assert (code, out.splitlines()[0]) == (0, note)
    assert (tmp_path / "findings.md").read_text().splitlines()[0] == note
    assert json.loads((tmp_path / "results.json").read_text())["analysis_as_locked"] is False


def test_the_audit_finds_changes(run, tmp_path):
    store = live(tmp_path)
    assert run("audit", tmp_path)[0] == 0
    query(store, "DROP TRIGGER plan_stands")
    with closing(sqlite3.connect(store.file)) as db, db:
        db.execute("UPDATE slot SET plan = replace(plan, '\"buy\"', '\"sell\"') WHERE number = 3")
    code, out, _ = run("audit", tmp_path)
    assert (code, out.splitlines()[-1]) == (
        1,
        "BAD  the audit log or what was locked has been changed; compare with a backup",
    )


@pytest.mark.parametrize(
    ("leaks", "code", "last"),
    [
        ([], 0, "ok   nothing served reveals an origin"),
        ([("ETag", "of an image", "differs")], 1, "BAD  1 leaks reveal origins, or may reveal them"),
    ],
)
def test_a_draft_is_audited_for_blindness(run, tmp_path, monkeypatch, leaks, code, last):
    from study.blindness import audit, leak

    monkeypatch.setattr(audit, "audit_draft", lambda store: [leak.Leak(*one) for one in leaks])
    draft(tmp_path)
    result = run("audit", tmp_path)
    assert (result[0], result[1].splitlines()[-1]) == (code, last)
    assert [line for line in result[1].splitlines() if "ETag" in line] == ["BAD  ETag: of an image: differs"] * code


def test_simulated_participants_on_a_copy(run_json, tmp_path):
    store = draft(tmp_path, participants=2)
    words = ["simulate", tmp_path, "--prefer", "lora=1", "--prefer", "either=1", "--at-once", "2"]
    code, (result,) = run_json(*words)
    assert code == 0
    assert {name: result[name] for name in ("event", "participants", "finished", "answers", "retries", "errors")} == {
        "event": "simulated",
        "participants": 2,
        "finished": 2,
        "answers": 54,
        "retries": 0,
        "errors": [],
    }
    assert set(result["answer_ms"]) == set(result["page_ms"]) == {"p50", "p95", "max"}
    assert result["result"]["simulated"] is True
    assert result["result"]["all"]["questions"]["style"]["shares"]["lora"]["mean"] == 1
    assert store.status().counts == {}


def test_the_log_of_a_simulation_is_printed(run, tmp_path, monkeypatch):
    from study.analysis.result import Result
    from study.simulation import dry_run
    from study.simulation.participant import SimulationLog

    log = SimulationLog(3, 1.25, codes=[("a", "b")] * 2, answer_ms=[5.0, 7.0], errors=["participant 2: lost"])

    def simulate_on_copy(store, *given):
        simulate_on_copy.given = given
        return dry_run.DryRun(log, Result({}, (SIMULATED_NOTE,)))

    monkeypatch.setattr(dry_run, "simulate_on_copy", simulate_on_copy)
    monkeypatch.setattr(Result, "text", lambda self: "the findings")
    draft(tmp_path)
    assert run("simulate", tmp_path, "--participants", "3", "--seed", "4", "--pause", "0.5") == (
        1,
        "the findings\n2 of 3 participants finished, 50 at once, with 0 answers in 1.2 s\n"
        "answer: p50 5 ms, p95 7 ms, max 7 ms\npage: none\n",
        "error: participant 2: lost\n",
    )
    count, preferences, *rest = simulate_on_copy.given
    assert (count, preferences.buy, rest) == (3, 0.5, [4, 50, 0.5])


# --- invalid input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["status"], "there is no study in {folder}; create one first"),
        (["serve"], "there is no study in {folder}; create one first"),
        (["simulate"], "there is no study in {folder}; create one first"),
        (
            ["create", "--spec", "/nowhere.json"],
            "/nowhere.json cannot be read (No such file or directory); name an existing study.json",
        ),
    ],
)
def test_without_a_study(run, tmp_path, words, sentence):
    command, *rest = words
    assert run(command, tmp_path, *rest) == (1, "", f"error: {sentence.format(folder=tmp_path)}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["close"], "the study is draft; this needs a study that is live, so lock it first"),
        (["analyze"], "the study is draft; this needs a study that is closed, so lock it first"),
        (["export", "{folder}/out"], "the study is draft; this needs a study that is closed, so lock it first"),
        (["withdraw", "ABCD"], "this withdrawal code is unknown; a code has 12 letters and digits, and works once"),
        (["serve", "--port", "70000"], "the port is 70000; it must be 0 to 65535, where 0 takes any free one"),
        (["simulate", "--prefer", "lora"], "the preference lora is ''; write a share such as lora=0.75"),
        (["simulate", "--participants", "1"], "participants is 1; input should be greater than or equal to 2"),
        (["simulate", "--at-once", "0"], "the number of participants at once is 0; it must be 1 to 10000"),
        (["simulate", "--pause", "-1"], "the pause is -1 s; it must be 0 to 3600"),
        (
            ["create", "--spec", "{spec}"],
            "there is already a study in this folder, study.db; choose another folder or move it",
        ),
    ],
)
def test_commands_that_a_draft_refuses(run, tmp_path, spec, words, sentence):
    folder = tmp_path / "study"
    store = draft(folder)
    command, *rest = [word.format(folder=folder, spec=spec()) for word in words]
    assert run(command, folder, *rest) == (1, "", f"error: {sentence}\n")
    assert sorted(path.name for path in folder.iterdir()) == ["key.db", "study.db"]
    assert store.status().state == "draft"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"definition": []}, "{path} must have an object as definition and a list as images"),
        ({"images": {}}, "{path} must have an object as definition and a list as images"),
        ({"notes": ""}, "{path} has 'definition', 'images', 'notes'; it must have exactly definition and images"),
        (
            {"images": ["a.png"]},
            "image 1 of study.json is 'a.png'; it must be an object with role, landmark, origin, file, metadata",
        ),
        ({"images": [{"role": "photo"}]}, "image 1 of study.json has no landmark; an image needs role, landmark, file"),
        (
            {"images": [{"role": "photo", "landmark": "Petra", "file": "0.png", "seed": 1}]},
            "image 1 of study.json has the unknown key 'seed'; use role, landmark, origin, file, metadata",
        ),
        (
            {"images": [{"role": "photo", "landmark": 1, "file": "0.png"}]},
            "image 1 of study.json has the landmark '1'; it must be a text",
        ),
        (
            {"images": [{"role": "photo", "landmark": "Petra", "file": "0.png", "metadata": "none"}]},
            "image 1 of study.json has the metadata 'none'; it must be an object",
        ),
        (
            {"images": [{"role": "photo", "landmark": "Petra", "file": "away.png"}]},
            "image 1 of study.json is away.png, but {folder} has no such file; put it there",
        ),
        ({"images": []}, "there are 0 photos of Big Ben; give exactly one"),
        (
            {"definition": {"landmarks": LANDMARKS, "participants": 1}},
            "participants is 1; input should be greater than or equal to 2",
        ),
    ],
)
def test_an_invalid_spec_gives_one_sentence(run, spec, tmp_path, change, sentence):
    path = spec(**change)
    result = sentence.format(path=path, folder=path.parent)
    assert run("create", tmp_path / "study", "--spec", path) == (1, "", f"error: {result}\n")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_spec_that_is_not_json(run, tmp_path, text):
    path = tmp_path / "study.json"
    path.write_bytes(text.encode("latin-1"))
    code, out, err = run("create", tmp_path / "study", "--spec", path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {path} {'is not valid JSON' if text != '[]' else 'has no object'}")


def test_metadata_and_origins_of_a_spec_go_to_the_key(run, spec, tmp_path):
    from study.database import key

    folder = tmp_path / "study"
    assert run("create", folder, "--spec", spec())[0] == 0
    origins = key.read(folder / "key.db", [one for (one,) in query(Store(folder), "SELECT id FROM stimulus")])
    assert sorted((one.source, one.origin, one.metadata) for one in origins.values()) == sorted(
        (entry["file"], entry.get("origin"), entry["metadata"]) for entry in spec.entries
    )


def test_an_error_can_be_a_json_object(run_json, tmp_path):
    assert run_json("status", tmp_path) == (
        1,
        [{"event": "error", "message": f"there is no study in {tmp_path}; create one first"}],
    )


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["status"],
        ["create", "x"],
        ["withdraw", "x"],
        ["export", "x"],
        ["serve", "x", "--mode", "pilot"],
        ["simulate", "x", "--participants", "many"],
    ],
)
def test_wrong_usage_exits_with_2(words, capsys):
    assert main(words) == 2
    assert "Usage: ghibli-study" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["analyze", "export"])
def test_a_folder_that_cannot_be_written(run, tmp_path, command):
    store = live(tmp_path / "study", participants=2)
    store.close()
    (tmp_path / "file").write_text("")
    words = [command, store.folder, *(["--out"] if command == "analyze" else []), tmp_path / "file" / "out"]
    assert run(*words) == (1, "", f"error: {words[-1]} cannot be written (Not a directory); name another folder\n")


# --- serving ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def serve(tmp_path):
    """Run the server; returns the process, its first address and the pilot's."""
    running = []

    def started(*words):
        server = subprocess.Popen(
            [sys.executable, "-m", "study", "serve", str(tmp_path / "study"), "--port", "0", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell that runs these tests in the background has interrupts ignored, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        running.append(server)
        return server, *(server.stdout.readline().split()[-1] for _ in range(2))

    yield started
    for process in running:
        process.kill()
        process.communicate()


def test_serve_runs_until_interrupted(serve, tmp_path):
    draft(tmp_path / "study")
    server, address, pilot = serve()
    assert pilot.startswith(f"{address}?pilot=")
    result = [httpx.get(one, trust_env=False).text for one in (address, pilot)]
    assert "This study has not started; lock its definition and its analysis first." in result[0]
    assert "This is a preview." in result[1]
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=30)
    note = "note: nobody can join at the moment: this study has not started; lock its definition and its analysis first"
    assert (server.returncode, out, err) == (130, "", f"{note}\nerror: cancelled; all answers so far are kept\n")
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == ["key.db", "study.db"]


def test_a_port_in_use_is_reported(run, tmp_path):
    live(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("serve", tmp_path, "--port", port) == (
            1,
            "",
            f"error: port {port} is not available (Address already in use); choose another one with --port\n",
        )


COMMANDS = (
    "create",
    "lock",
    "serve",
    "status",
    "close",
    "analyze",
    "export",
    "withdraw",
    "push",
    "pull",
    "simulate",
    "audit",
)


@pytest.mark.parametrize("words", [(), *((command,) for command in COMMANDS)], ids=" ".join)
def test_help_needs_no_heavy_imports(words):
    code = (
        "import sys\n"
        "from study.cli.app import main\n"
        f"assert main({[*words, '--help']}) == 0\n"
        "heavy = {'fastapi', 'scipy', 'numpy', 'pandas', 'PIL', 'sqlite3', 'sqlite_utils', 'httpx', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: {' '.join(('ghibli-study', *words))} ")


def test_the_help_lists_every_command(capsys):
    assert main(["-h"]) == 0
    listed = capsys.readouterr().out.split("Commands:")[1].splitlines()
    assert {line.split()[0] for line in listed if line.strip()} == set(COMMANDS)


def test_the_commands_can_be_mounted_in_another_app(tmp_path, capsys):
    outer = typer.Typer()
    outer.add_typer(app, name="study")
    assert console.run(outer, ["study", "status", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: there is no study in {tmp_path}; create one first\n"
    assert console.run(outer, ["study", "status", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["event"] == "error"
    assert console.run(outer, ["study", "fly"]) == 2
    draft(tmp_path / "study")
    assert console.run(outer, ["study", "status", str(tmp_path / "study")]) == 0


def test_a_full_disk_is_reported(run, tmp_path, monkeypatch):
    draft(tmp_path)
    monkeypatch.setattr(Store, "status", lambda self: raise_error(OSError(28, "No space left on device")))
    sentence = f"{tmp_path} cannot be used (No space left on device); check the disk and its permissions"
    assert run("status", tmp_path) == (1, "", f"error: {sentence}\n")


def test_an_interrupt_exits_with_130(run, tmp_path, monkeypatch):
    draft(tmp_path)
    monkeypatch.setattr(Store, "status", lambda self: raise_error(KeyboardInterrupt()))
    assert run("status", tmp_path) == (130, "", "error: cancelled; all answers so far are kept\n")


def raise_error(error):
    raise error


def test_a_closed_output_exits_with_141(tmp_path):
    draft(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "study", "status", str(tmp_path)],
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


# --- hosted -----------------------------------------------------------------------------------------------------------


def test_serve_needs_a_folder_unless_hosted(capsys):
    assert main(["serve"]) == 2
    assert "name the study's folder, or use --hosted" in capsys.readouterr().err


def test_hosted_without_a_replica_is_refused(run, tmp_path, monkeypatch):
    for name in (backend.FOLDER_VARIABLE, backend.DATASET_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    live(tmp_path / "study")
    code, out, err = run("serve", tmp_path / "study", "--hosted")
    assert (code, out) == (1, "")
    assert err.startswith("error: this host ")


def test_hosted_fetches_the_study_and_listens_to_all_addresses(run, tmp_path, monkeypatch):
    (tmp_path / "replica").mkdir()
    monkeypatch.delenv(backend.DATASET_VARIABLE, raising=False)
    monkeypatch.setenv(backend.FOLDER_VARIABLE, str(tmp_path / "replica"))
    monkeypatch.setenv(hosting.STUDY_VARIABLE, str(tmp_path / "fetched"))
    monkeypatch.setenv("PORT", "1234")
    assert run("push", live(tmp_path / "study").folder)[0] == 0
    served = []
    monkeypatch.setattr(server, "serve", lambda store, *given: served.append((store.folder, *given)))
    assert run("serve", "--hosted")[0] == 0
    assert run("serve", tmp_path / "other", "--hosted", "--host", "127.0.0.1", "--port", "0")[0] == 0
    assert served == [(tmp_path / "fetched", "0.0.0.0", 1234, "live"), (tmp_path / "other", "127.0.0.1", 0, "live")]
    assert (tmp_path / "other" / "study.db").is_file()
