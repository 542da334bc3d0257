"""Pushing to a hub: a real upload over HTTP to one on this machine, and one sentence for every refusal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.settings import StudioError
from ghibli_studio.adapter_library import hub
from tests.support.fake_model_hub import TOKEN, FakeHub

ROOT = Path(__file__).parents[2]
FILES = {
    "README.md": b"---\nlicense: other\n---\n# moss\n",
    "moss.safetensors": bytes(range(256)) * 40,
    "samples/01.png": b"picture",
    "recipe.json": b"{}",
}


@pytest.fixture
def server():
    fake = FakeHub()
    yield fake
    fake.close()


@pytest.fixture
def place(workspace):
    """A project with an exported adapter."""
    project = workspace.project("sample", new=True)
    project.register()
    folder = project.export("moss")
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return workspace.root, folder


def pushed(address, place, *arguments, token=TOKEN):
    """(exit code, events, all that was printed) of the command in a process of its own, as a person runs it."""
    root = place[0]
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


def test_a_folder_arrives_whole_and_private(server, place):
    code, events, printed = pushed(server.address, place)
    assert code == 0, printed
    assert events[-1]["private"] is True
    assert events[-1]["address"].endswith("/me/moss")
    assert server.repositories == {"me/moss": {"private": True, "files": FILES}}
    assert TOKEN not in printed
    # once more, now that it is there, from a token file
    file = place[0] / "token.txt"
    file.write_text(f"{TOKEN}\n")
    code, _, printed = pushed(server.address, place, "--token-file", str(file), token="")
    assert code == 0, printed
    assert TOKEN not in printed


def test_what_was_to_be_private_is_not_put_into_a_public_repository(server, place):
    server.repositories["me/moss"] = {"private": False, "files": {}}
    code, events, printed = pushed(server.address, place)
    assert (code, server.repositories["me/moss"]["files"]) == (1, {})
    assert "is there already and public; say --public" in events[-1]["message"]
    assert TOKEN not in printed
    assert pushed(server.address, place, "--public")[0] == 0
    assert server.repositories["me/moss"]["files"] == FILES


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "the hub refused (401): the token is wrong or has been revoked; make another one"),
        (403, "the hub refused (403): the token may not write to me/moss"),
    ],
)
def test_what_the_hub_refuses_is_told(server, place, status, told):
    server.status = status
    code, events, printed = pushed(server.address, place)
    assert code == 1
    assert events[-1]["message"].startswith(told)
    assert TOKEN not in printed
    assert "Traceback" not in printed


def test_without_a_network_and_without_a_token(place):
    code, events, printed = pushed("http://127.0.0.1:9", place)
    assert (code, "cannot be reached" in events[-1]["message"]) == (1, True), printed
    code, events, _ = pushed("http://127.0.0.1:9", place, token="")
    assert "there is no token for the hub" in events[-1]["message"]


def test_a_dry_run_asks_nobody(server, place):
    code, events, _ = pushed(server.address, place, "--dry-run", token="")
    assert (code, server.requests) == (0, [])
    assert {event["file"]: event["bytes"] for event in events} == {name: len(data) for name, data in FILES.items()}


def test_names_folders_and_token_files_are_checked(place, tmp_path, monkeypatch):
    _, folder = place
    with pytest.raises(StudioError, match="write it as your-name/my-style"):
        list(hub.push(folder, hub.Target("moss", TOKEN)))
    with pytest.raises(StudioError, match="holds no exported adapter"):
        list(hub.push(tmp_path, hub.Target("me/moss", TOKEN)))
    (tmp_path / "token").write_text("two words\nand lines")
    with pytest.raises(StudioError, match="holds no token"):
        hub.token_of(tmp_path / "token")
    with pytest.raises(StudioError, match="cannot be read as a token file"):
        hub.token_of(tmp_path / "nothing")
    assert TOKEN not in repr(hub.Target("me/moss", TOKEN))
    monkeypatch.setenv("HF_TOKEN", f" {TOKEN} ")
    assert hub.token_of() == TOKEN
    with pytest.raises(StudioError, match="HF_HUB_OFFLINE is set"):
        list(hub.push(folder, hub.Target("me/moss", TOKEN)))
