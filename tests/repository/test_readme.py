"""What the README says is true: its commands, its tree, its front matter."""

import re
import shlex
from pathlib import Path

import pytest

from ghibli_studio.cli.app import _parser

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
VERBS = README + (ROOT / "docs/command-line.md").read_text()
COMMANDS = re.findall(r"^python -m ghibli_studio (.+)$", VERBS, re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_are_understood(command):
    assert _parser().parse_args(shlex.split(command)).act


def test_every_verb_is_documented():
    verbs = next(action for action in _parser()._actions if action.metavar == "VERB").choices
    assert {verb for verb in verbs if not re.search(rf"\b{verb}\b", VERBS)} == set()


def test_its_two_commands_install_and_run():
    start, check = re.findall(r"^python3 -m venv .+$", README, re.M)
    assert start.endswith("install -r requirements.txt && .venv/bin/python app.py")
    assert check.endswith("install -r requirements-dev.txt && .venv/bin/python -m pytest")


def test_its_tree_and_links_are_there():
    tree = re.search(r"```\n(app\.py.+?)```", (ROOT / "docs/architecture.md").read_text(), re.S).group(1)
    places, folder = [], ""
    for line in tree.splitlines():
        names = {line.split()[0].rstrip(","), *re.findall(r"[\w/]+\.py\b", line)}
        if not line.startswith(" "):
            folder = line.split()[0] if line.split()[0].endswith("/") else ""
            names = {line.split()[0]}
        places += [name if name == folder else folder + name for name in names]
    places += [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert len(places) > 20
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_front_matter_names_the_app():
    front = README.split("---")[1]
    assert "sdk: gradio" in front
    assert "app_file: app.py" in front
