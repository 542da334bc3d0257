"""The study's command line: every verb, its exit codes, its JSON lines, and one sentence for wrong input."""

import json
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

from study.analysis.preregistered import analysis_sha256
from study.analysis.result import INVENTED
from study.cli.app import main
from study.database.tokens import withdrawal_code
from study.store import Store
from tests.support.study_sample import ANALYSIS, LANDMARKS, answer_all, draft, live, pictures, query

ROOT = Path(__file__).parents[3]
NOT_SIX = (
    "50 participants are not a multiple of six, so some arrangements of the pictures are seen more often than "
    "others; with 48 or 54 all are seen equally often"
)


@pytest.fixture
def tell(capsys):
    """Run a command for people; returns (exit code, stdout, stderr)."""

    def told(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return told


@pytest.fixture
def call(capsys):
    """Run a command for programs; returns (exit code, JSON objects on stdout)."""

    def called(*words):
        code = main([*(str(word) for word in words), "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return called


@pytest.fixture
def spec(tmp_path):
    """A study.json with its pictures; returns a function that writes it with changes."""
    folder = tmp_path / "spec"
    folder.mkdir()
    entries = []
    for number, picture in enumerate(pictures()):
        (folder / f"{number}.png").write_bytes(picture.data)
        entry = {"role": picture.role, "landmark": picture.landmark, "file": f"{number}.png", "facts": picture.facts}
        entries.append(entry | ({"origin": picture.origin} if picture.origin else {}))

    def write(**parts):
        told = {"definition": {"landmarks": LANDMARKS, "participants": parts.pop("people", 48)}, "pictures": entries}
        (folder / "study.json").write_text(json.dumps(told | parts))
        return folder / "study.json"

    write.entries = entries
    return write


# --- from nothing to a result -----------------------------------------------------------------------------------------


def test_from_nothing_to_a_result(call, spec, tmp_path):
    folder = tmp_path / "study"
    code, (made,) = call("create", folder, "--spec", spec(people=6))
    store = Store(folder)
    assert (code, made) == (
        0,
        {"event": "created", "pictures": 27, "side": 32, "definition_sha256": store.definition().digest()},
    )
    code, (locked,) = call("lock", folder)
    assert (code, locked["lock_sha256"]) == (0, store.status().lock_sha256)
    assert (locked["power"]["n"], store.status().analysis_sha256) == (6, analysis_sha256())
    tokens = [store.join("live", "1").token for _ in range(6)]
    for token in tokens:
        answer_all(store, token, client_ms=2000)
    assert call("status", folder) == (0, [{"event": "status", **asdict(store.status())}])
    code, (left,) = call("withdraw", folder, withdrawal_code(tokens[0]).lower())
    assert (code, left) == (0, {"event": "withdrawn", "answers": 27})
    assert call("close", folder) == (0, [{"event": "closed", "complete": 5, "target": 6}])

    code, (found,) = call("analyze", folder, "--out", tmp_path / "out")
    files = [str(tmp_path / "out" / name) for name in ("results.json", "findings.md")]
    assert (code, found["files"], found["notes"]) == (0, files, [])
    result = json.loads(Path(files[0]).read_text())
    assert result == found["result"]
    assert (result["simulated"], result["analysis_as_locked"], result["all"]["people"]) == (False, True, 5)
    text = Path(files[1]).read_text()
    assert text.startswith("# What may be said\n\n5 people answered; ")

    code, (out,) = call("export", folder, tmp_path / "export")
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

    code, lines = call("audit", folder)
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
        {"event": "chain", "fine": True},
        {
            "event": "note",
            "message": "whether the study is blind is audited on a draft, since the key of a live study stays shut",
        },
    ]


def test_the_same_for_people(tell, spec, tmp_path):
    folder = tmp_path / "study"
    code, out, err = tell("create", folder, "--spec", spec(people=50))
    digest = Store(folder).definition().digest()
    assert (code, out) == (0, f"{folder}: a draft of 27 pictures, each copied to 32 x 32 px\ndefinition {digest}\n")
    assert err == f"note: {NOT_SIX}\n"
    code, out, err = tell("lock", folder)
    status = Store(folder).status()
    assert (code, out, err) == (
        0,
        f"locked {status.lock_sha256}\nchance to find a difference with 50 people (alpha 0.0167): 70:30 68%, 75:25 "
        "90%, 80:20 99%\n",
        f"note: {NOT_SIX}\n",
    )
    assert tell("status", folder) == (
        0,
        "live; 50 complete participants are wanted\nplaces: 60 free\n"
        f"created {status.created_at}\nlocked {status.locked_at}\ndefinition {digest}\n"
        f"analysis {analysis_sha256()}\nlock {status.lock_sha256}\n",
        "",
    )
    assert tell("close", folder) == (0, "closed with 0 complete participants of 50\n", "")
    code, out, err = tell("analyze", folder)
    assert (code, out.splitlines()[0], err) == (0, "# What may be said", "")


def test_an_analysis_other_than_the_locked_one_is_told(tell, tmp_path):
    store = live(tmp_path / "study", participants=2)  # locked with another hash
    answer_all(store, store.join("live", "1").token)
    store.close()
    assert store.status().analysis_sha256 == ANALYSIS
    code, out, _ = tell("analyze", store.folder, "--out", tmp_path)
    note = (
        "> The program of the analysis is not the one that was locked with this study, so this result is "
        "exploratory; analyze with the version that locked it."
    )
    assert (code, out.splitlines()[0]) == (0, note)
    assert (tmp_path / "findings.md").read_text().splitlines()[0] == note
    assert json.loads((tmp_path / "results.json").read_text())["analysis_as_locked"] is False


def test_what_the_audit_finds_changed(tell, tmp_path):
    store = live(tmp_path)
    assert tell("audit", tmp_path)[0] == 0
    query(store, "DROP TRIGGER plan_stands")
    with closing(sqlite3.connect(store.file)) as db, db:
        db.execute("UPDATE slot SET plan = replace(plan, '\"buy\"', '\"sell\"') WHERE number = 3")
    code, out, _ = tell("audit", tmp_path)
    assert (code, out.splitlines()[-1]) == (
        1,
        "BAD  the audit or what was locked has been changed; compare with a backup",
    )


@pytest.mark.parametrize(
    ("leaks", "code", "last"),
    [
        ([], 0, "ok   nothing that is served tells the origins apart"),
        ([("ETag", "of a picture", "differs")], 1, "BAD  1 leaks tell origins apart, or may"),
    ],
)
def test_a_draft_is_audited_for_blindness(tell, tmp_path, monkeypatch, leaks, code, last):
    from study.blindness import audit, leak

    monkeypatch.setattr(audit, "audit_draft", lambda store: [leak.Leak(*one) for one in leaks])
    draft(tmp_path)
    told = tell("audit", tmp_path)
    assert (told[0], told[1].splitlines()[-1]) == (code, last)
    assert [line for line in told[1].splitlines() if "ETag" in line] == ["BAD  ETag: of a picture: differs"] * code


def test_artificial_people_on_a_copy(call, tmp_path):
    store = draft(tmp_path, participants=2)
    words = ["simulate", tmp_path, "--prefer", "lora=1", "--prefer", "either=1", "--at-once", "2"]
    code, (told,) = call(*words)
    assert code == 0
    assert {name: told[name] for name in ("event", "people", "finished", "answers", "retries", "errors")} == {
        "event": "simulated",
        "people": 2,
        "finished": 2,
        "answers": 54,
        "retries": 0,
        "errors": [],
    }
    assert set(told["answer_ms"]) == set(told["page_ms"]) == {"p50", "p95", "max"}
    assert told["result"]["simulated"] is True
    assert told["result"]["all"]["questions"]["style"]["shares"]["lora"]["mean"] == 1
    assert store.status().counts == {}


def test_what_artificial_people_met_is_told(tell, tmp_path, monkeypatch):
    from study.analysis.result import Result
    from study.simulation import dry_run
    from study.simulation.participant import Simulated

    walked = Simulated(3, 1.25, codes=[("a", "b")] * 2, latencies=[5.0, 7.0], errors=["person 2: lost"])

    def rehearse(store, *given):
        rehearse.given = given
        return dry_run.Rehearsed(walked, Result({}, (INVENTED,)))

    monkeypatch.setattr(dry_run, "rehearse", rehearse)
    monkeypatch.setattr(Result, "text", lambda self: "the findings")
    draft(tmp_path)
    assert tell("simulate", tmp_path, "--people", "3", "--seed", "4", "--pause", "0.5") == (
        1,
        "the findings\n2 of 3 people finished, 50 at once, with 0 answers in 1.2 s\n"
        "an answer: p50 5 ms, p95 7 ms, max 7 ms\na page: none\n",
        "error: person 2: lost\n",
    )
    people, preferences, *rest = rehearse.given
    assert (people, preferences.buy, rest) == (3, 0.5, [4, 50, 0.5])


# --- wrong input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["status"], "there is no study in {folder}; create one first"),
        (["serve"], "there is no study in {folder}; create one first"),
        (["simulate"], "there is no study in {folder}; create one first"),
        (
            ["create", "--spec", "/nowhere.json"],
            "/nowhere.json cannot be read (No such file or directory); name a study.json",
        ),
    ],
)
def test_without_a_study(tell, tmp_path, words, sentence):
    verb, *rest = words
    assert tell(verb, tmp_path, *rest) == (1, "", f"error: {sentence.format(folder=tmp_path)}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["close"], "the study is draft, and this needs one that is live; lock it first"),
        (["analyze"], "the study is draft, and this needs one that is closed; lock it first"),
        (["export", "{folder}/out"], "the study is draft, and this needs one that is closed; lock it first"),
        (["withdraw", "ABCD"], "this withdrawal code is not known; it has 12 letters and digits, and works once"),
        (["serve", "--port", "70000"], "the port is 70000; it must be 0 to 65535, where 0 takes any that is free"),
        (["simulate", "--prefer", "lora"], "the preference lora is ''; write a share as lora=0.75"),
        (["simulate", "--people", "1"], "participants is 1; input should be greater than or equal to 2"),
        (["simulate", "--at-once", "0"], "the number of people (at once) is 0; it must be 1 to 10000"),
        (["simulate", "--pause", "-1"], "the pause is -1 s; it must be 0 to 3600"),
        (["create", "--spec", "{spec}"], "there is a study already, study.db; choose another folder or move it away"),
    ],
)
def test_what_a_draft_cannot_do(tell, tmp_path, spec, words, sentence):
    folder = tmp_path / "study"
    store = draft(folder)
    verb, *rest = [word.format(folder=folder, spec=spec()) for word in words]
    assert tell(verb, folder, *rest) == (1, "", f"error: {sentence}\n")
    assert sorted(path.name for path in folder.iterdir()) == ["key.db", "study.db"]
    assert store.status().state == "draft"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"definition": []}, "{path} needs an object as definition and a list as pictures"),
        ({"pictures": {}}, "{path} needs an object as definition and a list as pictures"),
        (
            {"notes": ""},
            "{path} has 'definition', 'pictures', 'notes'; it needs the parts definition and pictures, and no other",
        ),
        (
            {"pictures": ["a.png"]},
            "picture 1 of study.json is 'a.png'; it must be an object with role, landmark, origin, file, facts",
        ),
        (
            {"pictures": [{"role": "photo"}]},
            "picture 1 of study.json has no landmark; a picture needs role, landmark, file",
        ),
        (
            {"pictures": [{"role": "photo", "landmark": "Petra", "file": "0.png", "seed": 1}]},
            "picture 1 of study.json has 'seed', which is not known; known are role, landmark, origin, file, facts",
        ),
        (
            {"pictures": [{"role": "photo", "landmark": 1, "file": "0.png"}]},
            "picture 1 of study.json has the landmark '1'; it must be a text",
        ),
        (
            {"pictures": [{"role": "photo", "landmark": "Petra", "file": "0.png", "facts": "none"}]},
            "picture 1 of study.json has the facts 'none'; it must be an object",
        ),
        (
            {"pictures": [{"role": "photo", "landmark": "Petra", "file": "away.png"}]},
            "picture 1 of study.json is away.png, but {folder} has no such file; put it there",
        ),
        ({"pictures": []}, "there are 0 photograph pictures of Big Ben; give exactly one"),
        (
            {"definition": {"landmarks": LANDMARKS, "participants": 1}},
            "participants is 1; input should be greater than or equal to 2",
        ),
    ],
)
def test_a_wrong_spec_gets_one_sentence(tell, spec, tmp_path, change, sentence):
    path = spec(**change)
    told = sentence.format(path=path, folder=path.parent)
    assert tell("create", tmp_path / "study", "--spec", path) == (1, "", f"error: {told}\n")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_spec_that_is_no_json(tell, tmp_path, text):
    path = tmp_path / "study.json"
    path.write_bytes(text.encode("latin-1"))
    code, out, err = tell("create", tmp_path / "study", "--spec", path)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {path} {'is not JSON' if text != '[]' else 'has no object'}")


def test_facts_and_origins_of_a_spec_go_to_the_key(tell, spec, tmp_path):
    from study.database import key

    folder = tmp_path / "study"
    assert tell("create", folder, "--spec", spec())[0] == 0
    origins = key.read(folder / "key.db", [one for (one,) in query(Store(folder), "SELECT id FROM stimulus")])
    assert sorted((one.source, one.origin, one.facts) for one in origins.values()) == sorted(
        (entry["file"], entry.get("origin"), entry["facts"]) for entry in spec.entries
    )


def test_an_error_is_a_json_object_too(call, tmp_path):
    assert call("status", tmp_path) == (
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
        ["simulate", "x", "--people", "many"],
    ],
)
def test_wrong_usage_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2


@pytest.mark.parametrize("verb", ["analyze", "export"])
def test_a_folder_that_cannot_be_written(tell, tmp_path, verb):
    store = live(tmp_path / "study", participants=2)
    store.close()
    (tmp_path / "file").write_text("")
    words = [verb, store.folder, *(["--out"] if verb == "analyze" else []), tmp_path / "file" / "out"]
    assert tell(*words) == (1, "", f"error: {words[-1]} cannot be written (Not a directory); name another folder\n")


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
    for server in running:
        server.kill()
        server.communicate()


def test_serving_until_interrupted(serve, tmp_path):
    draft(tmp_path / "study")
    server, address, pilot = serve()
    assert pilot.startswith(f"{address}?pilot=")
    told = [httpx.get(one, trust_env=False).text for one in (address, pilot)]
    assert "This study has not begun; lock its definition and its analysis first." in told[0]
    assert "This is a preview." in told[1]
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=30)
    note = "note: nobody can join just now: this study has not begun; lock its definition and its analysis first"
    assert (server.returncode, out, err) == (130, "", f"{note}\nerror: interrupted; what was answered is kept\n")
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == ["key.db", "study.db"]


def test_a_taken_port_is_told(tell, tmp_path):
    live(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert tell("serve", tmp_path, "--port", port) == (
            1,
            "",
            f"error: port {port} cannot be had (Address already in use); choose another with --port\n",
        )


def test_it_helps_without_heavy_imports():
    code = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from study.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'fastapi', 'scipy', 'numpy', 'PIL', 'sqlite3', 'httpx', 'pydantic'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "let artificial people take part" in done.stdout
