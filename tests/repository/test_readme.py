"""What README, CONTRIBUTING and docs say of commands and files is true."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from docs import command_line
from ghibli_studio.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/README.md",
]
README, CONTRIBUTING = PAGES[0].read_text(), PAGES[1].read_text()
PROGRAM = r"(?:ghibli-studio|ghibli-study|python -m ghibli_studio|python -m study)"
COMMAND = re.compile(rf"^({PROGRAM} [^\n#|]+?)(?:\s+#.*)?$", re.M)
WRITTEN = [page.read_text() for page in PAGES if page.name != "command-line.md"]
COMMANDS = sorted({command for text in WRITTEN for command in COMMAND.findall(text)})


@pytest.mark.parametrize("command", [one for one in COMMANDS if "--method ia3" not in one])  # the example of a third
def test_its_commands_are_understood(command):
    words = shlex.split(
        re.sub(r"^python -m (ghibli_studio|study)\b", lambda m: {"study": "ghibli-study"}.get(m[1], m[1]), command)
    )
    group, words = get_command(app), [*(["study"] if words[0] == "ghibli-study" else []), *words[1:]]
    while hasattr(group, "commands"):
        assert words[0] in group.commands, f"{command}: no command {words[0]!r}"
        group, words = group.commands[words[0]], words[1:]
    group.make_context(group.name, words).close()


def test_every_command_is_in_the_guide_or_the_study_page():
    said = (ROOT / "docs/guide.md").read_text() + (ROOT / "docs/study.md").read_text() + README
    known = [
        path
        for path, command in command_line.commands(get_command(app), "ghibli-studio")
        if not hasattr(command, "commands")
    ]
    spelled = {
        path: [path, path.replace("ghibli-studio study", "ghibli-study"), path.removeprefix("ghibli-studio ")]
        for path in known
    }
    assert [path for path, ways in spelled.items() if not any(way in said for way in ways)] == []


def test_the_reference_is_what_the_command_line_says():
    written = (ROOT / "docs/command-line.md").read_text()
    assert written == command_line.text(), "write it again with: make docs"


def test_its_two_commands_install_and_run():
    start, check = re.findall(r"^python3 -m venv .+$", README, re.M)
    assert start.endswith("install -r requirements.txt && .venv/bin/python app.py")
    assert check.endswith("install -r requirements-dev.txt && .venv/bin/python -m pytest")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = [target for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_tree_of_packages_is_there():
    tree = re.search(r"```\n(app\.py.+?)```", (ROOT / "docs/architecture.md").read_text(), re.S).group(1)
    places, folder = [], ""
    for line in tree.splitlines():
        name = line.split()[0]
        folder = folder if line.startswith(" ") else name
        places.append(folder + name if line.startswith(" ") else name)
    assert len(places) > 30
    assert [place for place in places if not (ROOT / place).exists()] == []
    packages = [
        path.parent for top in ("adapters", "study", "ghibli_studio") for path in (ROOT / top).glob("*/__init__.py")
    ]
    assert {f"{path.relative_to(ROOT).as_posix()}/" for path in packages} <= set(places)


def test_the_map_of_tasks_leads_to_files():
    rows = re.findall(r"^\| (.+?) \| `(.+?)` \|$", CONTRIBUTING, re.M)
    assert len(rows) >= 30
    assert [file for _, file in rows if not (ROOT / file).is_file()] == []


def test_the_tasks_of_make_are_those_that_are_named():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tasks = {line.split("\t")[0] for line in done.stdout.splitlines()}
    assert {"test", "test-fast", "lint", "types", "bench", "docs"} <= tasks
    assert set(re.findall(r"`?make ([a-z-]+)`?", CONTRIBUTING)) <= tasks


def test_the_front_matter_names_the_app():
    front = README.split("---")[1]
    assert "sdk: gradio" in front
    assert "app_file: app.py" in front
