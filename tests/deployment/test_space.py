"""The files of a Space: they are complete, have nothing that does not belong there, and start."""

import ast
import http.client
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.settings import StudioError
from ghibli_studio.cli.app import main
from ghibli_studio.cli.options import model_or_default
from ghibli_studio.deployment import space
from ghibli_studio.runtime import environment as runtime_environment
from ghibli_studio.runtime.environment import default_base_model, default_root, storage_warning
from study import StudyError
from study.replica import replication
from study.replica.backend import FolderBackend
from study.web import hosting
from tests.support.ports import free_port
from tests.support.study_sample import answer_one, live, query

ROOT = Path(__file__).parents[2]
PACKAGES = {"PIL": "pillow", "sqlite_utils": "sqlite-utils"}
START = """
import runpy, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(name + " is not installed here")
sys.meta_path.insert(0, Blocker())
sys.path.insert(0, ".")
runpy.run_path("app.py", run_name="__main__")
"""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("SPACE_ID", "STUDY_REPLICA_FOLDER", "STUDY_REPLICA_DATASET", "STUDY_FOLDER", "GHIBLI_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


def front_matter(folder):
    """Return the front matter of a README, as the Hub reads it."""
    return dict(
        line.split(": ", 1)
        for line in (folder / "README.md").read_text().split("---")[1].strip().splitlines()
        if ": " in line
    )


@pytest.mark.integration
def test_a_studio_space_is_complete_and_its_readme_lists_the_settings(tmp_path, capsys):
    folder = tmp_path / "studio"
    assert main(["space", "create", str(folder)]) == 0
    assert "hf upload NAME/SPACE" in capsys.readouterr().out
    assert front_matter(folder) | {
        "sdk": "gradio",
        "app_file": "app.py",
        "suggested_hardware": "cpu-basic",
    } == front_matter(folder)
    assert not [path for path in folder.rglob("*") if "__pycache__" in path.parts or path.name.startswith("test_")]
    assert not (folder / "ghibli_studio/pretraining").exists()
    written = (folder / "README.md").read_text()
    for name in (*space.STUDIO_VARIABLES, *space.STUDIO_SECRETS):
        assert f"| `{name}` |" in written
    assert (folder / "app.py").read_text() == (ROOT / "app.py").read_text()
    assert (folder / "requirements.txt").read_text().splitlines() == runtime_environment.requirements()
    largest = max(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert largest < 10 * 2**20, "larger files would need Git LFS"
    done = subprocess.run(
        [sys.executable, "-c", "import ghibli_studio.ui.app, ghibli_studio.deployment.doctor, app; print('up')"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(folder)},
    )
    assert done.stdout == "up\n", done.stderr


def test_the_readme_asks_for_the_chosen_hardware(tmp_path):
    for hardware in ("gpu", "zero"):
        space.write(tmp_path / hardware, hardware=hardware)
        assert front_matter(tmp_path / hardware)["suggested_hardware"] == space.HARDWARE[hardware]
        assert f"  - {space.STABLE_DIFFUSION}" in (tmp_path / hardware / "README.md").read_text()
    assert "ZeroGPU training and generation run in chunks" in (tmp_path / "zero/README.md").read_text()


def test_impossible_requests_are_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    for arguments, sentence in (
        ({"folder": tmp_path / "full"}, "is not empty; choose a new or an empty folder"),
        ({"folder": tmp_path / "a", "hardware": "tpu"}, "the hardware is 'tpu'; choose one of cpu, gpu, zero"),
        ({"folder": tmp_path / "a", "hardware": "gpu", "study_only": True}, "a study needs no GPU"),
    ):
        with pytest.raises(StudioError, match=re.escape(sentence)):
            space.write(**arguments)


def test_a_study_space_requires_exactly_what_the_study_imports():
    imported = set()
    for path in (ROOT / "study").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.split(".")[0] for name in names}
    others = imported - set(sys.stdlib_module_names) - {"study"}
    # starlette comes with fastapi, which reads forms with python-multipart
    named = {PACKAGES.get(name, name) for name in others - {"starlette"}} | {"python-multipart"}
    assert named == set(space.STUDY_REQUIREMENTS)


@pytest.mark.integration
def test_a_study_space_starts_without_torch_and_keeps_its_answers(tmp_path):
    folder, away = tmp_path / "space", tmp_path / "away"
    away.mkdir()
    space.write(folder, study_only=True)
    assert front_matter(folder) | {"sdk": "docker", "app_port": "7860"} == front_matter(folder)
    written = {path.name for path in folder.iterdir()}
    assert written == {"README.md", "requirements.txt", "Dockerfile", "app.py", "study"}
    assert not list(folder.rglob("key.db"))
    home = live(tmp_path / "home")
    replication.push(home.file, FolderBackend(away))
    port, blocked = (
        free_port(),
        {
            "torch",
            "gradio",
            "diffusers",
            "transformers",
            "peft",
            "pandas",
            "ghibli_studio",
            "adapters",
            "accelerate",
            "torchvision",
            "psutil",
        },
    )
    environment = {**os.environ, "STUDY_REPLICA_FOLDER": str(away), "PORT": str(port), "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONPATH", None)

    def started():
        process = subprocess.Popen(
            [sys.executable, "-c", START.format(blocked=blocked)],
            cwd=folder,
            text=True,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line.startswith("to try it out"):
                return process
        raise AssertionError("".join(printed))

    def ask(method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        reply = connection.getresponse()
        return reply.status, reply.read().decode()

    link = "/study/p/" + "a" * 32
    process = started()
    try:
        assert ask("POST", f"{link}/begin", "agree=yes")[0] == 303
        _, page = ask("GET", link)
        trial = re.search(r'name="trial" value="(\w+)"', page)[1]
        assert ask("POST", f"{link}/answer", f"trial={trial}&response=answer-one&choice=1")[0] == 303
    finally:
        process.kill()
        process.communicate()
    shutil.rmtree(folder / "study")  # the Space is rebuilt, and its disk is lost
    shutil.copytree(ROOT / "study", folder / "study")
    process = started()
    try:
        assert "Question 2 of" in ask("GET", link)[1]
    finally:
        process.kill()
        process.communicate()


# --- where a Space keeps its files


def test_a_host_without_persistent_storage_serves_no_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosting, "PERSISTENT_ROOT", tmp_path / "data")
    with pytest.raises(StudyError, match="this host loses its files at a restart, and no replica is configured"):
        hosting.open_study({})
    (tmp_path / "data").mkdir()
    with pytest.raises(StudyError, match=r"there is no study in .*data/study; put study\.db of a locked study there"):
        hosting.open_study({})
    live(tmp_path / "data/study")
    assert hosting.open_study({}).folder == tmp_path / "data/study"
    with pytest.raises(StudyError, match="this host loses its files"):
        hosting.open_study({"STUDY_FOLDER": str(tmp_path / "elsewhere")})


def test_a_study_without_its_key_is_served_and_answered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosting, "PERSISTENT_ROOT", tmp_path / "none")
    (tmp_path / "away").mkdir()
    home = live(tmp_path / "home")
    replication.push(home.file, FolderBackend(tmp_path / "away"))
    monkeypatch.setenv("STUDY_REPLICA_FOLDER", str(tmp_path / "away"))
    store = hosting.open_study()
    answer_one(store, store.join("live", "1").token)
    assert query(store, "SELECT count(*) FROM response") == [(1,)]


def test_the_projects_of_a_space_are_in_persistent_storage(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_environment, "PERSISTENT_STORAGE", tmp_path / "data")
    assert default_root() == Path("workspace")
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert default_root() == Path("workspace")
    assert "loses all projects" in storage_warning(Path("workspace"))
    (tmp_path / "data").mkdir()
    assert default_root() == tmp_path / "data/workspace"
    assert storage_warning(default_root()) is None
    assert "unset GHIBLI_WORKSPACE" in storage_warning(tmp_path / "elsewhere")
    monkeypatch.setenv("GHIBLI_WORKSPACE", "/somewhere")
    assert default_root() == Path("/somewhere")


def test_a_variable_sets_the_base_model_of_new_projects(monkeypatch):
    monkeypatch.delenv("GHIBLI_BASE_MODEL", raising=False)
    assert default_base_model() == "miniature"
    monkeypatch.setenv("GHIBLI_BASE_MODEL", "a/model")
    assert default_base_model() == "a/model"
    assert model_or_default(None) == "a/model"
