"""Uploads to a hub on this machine over real HTTP, and one sentence for every refusal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.settings import StudioError
from ghibli_studio.adapter_library import hub
from tests.support.fake_model_hub import TOKEN, FakeHub

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
FILES = {
    "README.md": b"---\nlicense: other\n---\n# moss\n",
    "moss.safetensors": bytes(range(256)) * 40,
    "samples/01.png": b"image",
    "metadata.json": b"{}",
}


@pytest.fixture
def server():
    fake = FakeHub()
    yield fake
    fake.close()


@pytest.fixture
def export(workspace):
    """A project with an exported adapter."""
    project = workspace.project("sample", new=True)
    project.register()
    folder = project.export("moss")
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return workspace.root, folder


def push(address, export, *arguments, token=TOKEN):
    """Run the command in its own process, as a user does; return its exit code, events and output."""
    root = export[0]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(root / "hf"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONPATH": str(ROOT),
    }
    if token:
        environment["HF_TOKEN"] = token
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ghibli_studio",
            "adapters",
            "push",
            "sample",
            "moss",
            "me/moss",
            "--json",
            "--workspace",
            str(root),
            *arguments,
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=root,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stdout + done.stderr


def test_a_folder_is_uploaded_completely_and_privately(server, export):
    code, events, printed = push(server.address, export)
    assert code == 0, printed
    assert events[-1]["private"] is True
    assert events[-1]["address"].endswith("/me/moss")
    assert server.repositories == {"me/moss": {"private": True, "files": FILES}}
    assert TOKEN not in printed
    # again, now that the repository exists, with a token file
    file = export[0] / "token.txt"
    file.write_text(f"{TOKEN}\n")
    code, _, printed = push(server.address, export, "--token-file", str(file), token="")
    assert code == 0, printed
    assert TOKEN not in printed


def test_a_private_upload_does_not_go_into_a_public_repository(server, export):
    server.repositories["me/moss"] = {"private": False, "files": {}}
    code, events, printed = push(server.address, export)
    assert (code, server.repositories["me/moss"]["files"]) == (1, {})
    assert "exists already and is public; choose public" in events[-1]["message"]
    assert TOKEN not in printed
    assert push(server.address, export, "--public")[0] == 0
    assert server.repositories["me/moss"]["files"] == FILES


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "the Hub refused (401): the token is wrong or was revoked; create another one"),
        (403, "the Hub refused (403): the token may not write to me/moss"),
    ],
)
def test_a_refusal_of_the_hub_is_reported(server, export, status, message):
    server.status = status
    code, events, printed = push(server.address, export)
    assert code == 1
    assert events[-1]["message"].startswith(message)
    assert TOKEN not in printed
    assert "Traceback" not in printed


def test_without_a_network_and_without_a_token(export):
    code, events, printed = push("http://127.0.0.1:9", export)
    assert (code, "cannot be reached" in events[-1]["message"]) == (1, True), printed
    code, events, _ = push("http://127.0.0.1:9", export, token="")
    assert "there is no Hub token" in events[-1]["message"]


def test_a_dry_run_sends_no_request(server, export):
    code, events, _ = push(server.address, export, "--dry-run", token="")
    assert (code, server.requests) == (0, [])
    assert {event["file"]: event["bytes"] for event in events} == {name: len(data) for name, data in FILES.items()}


def test_names_folders_and_token_files_are_checked(export, tmp_path, monkeypatch):
    _, folder = export
    with pytest.raises(StudioError, match="write it as your-name/my-style"):
        list(hub.push(folder, hub.Target("moss", TOKEN)))
    with pytest.raises(StudioError, match="is not an exported adapter"):
        list(hub.push(tmp_path, hub.Target("me/moss", TOKEN)))
    (tmp_path / "token").write_text("two words\nand lines")
    with pytest.raises(StudioError, match="does not hold a token"):
        hub.read_token(tmp_path / "token")
    with pytest.raises(StudioError, match="cannot be read as a token file"):
        hub.read_token(tmp_path / "nothing")
    assert TOKEN not in repr(hub.Target("me/moss", TOKEN))
    monkeypatch.setenv("HF_TOKEN", f" {TOKEN} ")
    assert hub.read_token() == TOKEN
    with pytest.raises(StudioError, match="HF_HUB_OFFLINE is set"):
        list(hub.push(folder, hub.Target("me/moss", TOKEN)))
