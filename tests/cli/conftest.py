"""Running the command line in a test's workspace."""

import json

import pytest

from ghibli_studio.cli.app import main


@pytest.fixture
def call(workspace, capsys):
    """Run a command with --json; returns (exit code, JSON objects on stdout)."""

    def called(*words):
        code = main([*map(str, words), "--workspace", str(workspace.root), "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return called


@pytest.fixture
def results(call):
    """The same without the lines of progress."""

    def called(*words):
        code, lines = call(*words)
        return code, [line for line in lines if line.get("event") != "progress"]

    return called


@pytest.fixture
def tell(workspace, capsys):
    """Run a command as a user does; returns (exit code, stdout, stderr)."""

    def printed(*words):
        code = main([*map(str, words), "--workspace", str(workspace.root)])
        return code, *capsys.readouterr()

    return printed
