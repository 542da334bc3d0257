"""The files of a Space: complete, without what does not belong there, and they really start."""

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
from ghibli_studio.deployment import space
from ghibli_studio.runtime import environment as runtime_environment
from ghibli_studio.runtime.environment import default_base_model, default_root, forgets
from study import StudyError
from study.replica import replication
from study.replica.backend import Folder
from study.web import hosting
from tests.support.study_sample import answer_one, live, query
from tests.test_app import free_port

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
def nothing_set(monkeypatch):
    for name in ("SPACE_ID", "STUDY_COPY_FOLDER", "STUDY_COPY_DATASET", "STUDY_FOLDER", "GHIBLI_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


def front(folder):
    """The front matter of a README, as the Hub reads it."""
    return dict(
        line.split(": ", 1)
        for line in (folder / "README.md").read_text().split("---")[1].strip().splitlines()
        if ": " in line
    )


def test_a_studio_space_has_what_runs_and_says_what_can_be_set(tmp_path, capsys):
    folder = tmp_path / "studio"
    assert main(["space", str(folder)]) == 0
    assert "hf upload NAME/SPACE" in capsys.readouterr().out
    assert front(folder) | {"sdk": "gradio", "app_file": "app.py", "suggested_hardware": "cpu-basic"} == front(folder)
    assert not [path for path in folder.rglob("*") if "__pycache__" in path.parts or path.name.startswith("test_")]
    assert not (folder / "ghibli_studio/miniature/pretrain").exists()
    written = (folder / "README.md").read_text()
    for name in (*space.STUDIO_VARIABLES, *space.STUDIO_SECRETS):
        assert f"| `{name}` |" in written
    largest = max(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert largest < 10 * 2**20, "larger files would need Git LFS"
    told = subprocess.run(
        [sys.executable, "-c", "import ghibli_studio.ui, ghibli_studio.doctor, app; print('up')"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(folder)},
    )
    assert told.stdout == "up\n", told.stderr


def test_a_gpu_and_a_lent_gpu_are_asked_for(tmp_path):
    for hardware in ("gpu", "zero"):
        space.write(tmp_path / hardware, hardware=hardware)
        assert front(tmp_path / hardware)["suggested_hardware"] == space.HARDWARE[hardware]
        assert f"  - {space.STABLE_DIFFUSION}" in (tmp_path / hardware / "README.md").read_text()
    assert "ZeroGPU training and drawing work in chunks" in (tmp_path / "zero/README.md").read_text()


def test_what_cannot_be_written_is_told(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    for arguments, sentence in (
        ({"folder": tmp_path / "full"}, "has something in it already; name a new or an empty folder"),
        ({"folder": tmp_path / "a", "hardware": "tpu"}, "the hardware is 'tpu'; choose one of cpu, gpu, zero"),
        ({"folder": tmp_path / "a", "hardware": "gpu", "study_only": True}, "a study needs no GPU"),
    ):
        with pytest.raises(StudioError, match=re.escape(sentence)):
            space.write(**arguments)


def test_a_study_space_needs_what_its_requirements_name_and_no_more():
    imported = set()
    for path in (ROOT / "study").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.split(".")[0] for name in names}
    others = imported - set(sys.stdlib_module_names) - {"study"}
    # starlette comes with fastapi, which reads forms with python-multipart
    named = {PACKAGES.get(name, name) for name in others - {"starlette"}} | {"python-multipart"}
    assert named == set(space.STUDY_REQUIRES)


def test_a_study_space_starts_without_torch_and_keeps_its_answers(tmp_path):
    folder, away = tmp_path / "space", tmp_path / "away"
    away.mkdir()
    space.write(folder, study_only=True)
    assert front(folder) | {"sdk": "docker", "app_port": "7860"} == front(folder)
    written = {path.name for path in folder.iterdir()}
    assert written == {"README.md", "requirements.txt", "Dockerfile", "app.py", "study"}
    assert not list(folder.rglob("key.db"))
    home = live(tmp_path / "home")
    replication.publish(home.file, Folder(away))
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
    environment = {**os.environ, "STUDY_COPY_FOLDER": str(away), "PORT": str(port), "PYTHONUNBUFFERED": "1"}
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
        told = []
        for line in process.stdout:
            told.append(line)
            if line.startswith("to try it out"):
                return process
        raise AssertionError("".join(told))

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
    shutil.rmtree(folder / "study")  # the Space is built anew, and its disk is gone
    shutil.copytree(ROOT / "study", folder / "study")
    process = started()
    try:
        assert "Question 2 of" in ask("GET", link)[1]
    finally:
        process.kill()
        process.communicate()


# --- where a host keeps its files -------------------------------------------------------------------------------------


def test_a_host_that_forgets_serves_no_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosting, "LASTING", tmp_path / "data")
    with pytest.raises(StudyError, match="this host forgets its files at a restart, and no second store is named"):
        hosting.prepared({})
    (tmp_path / "data").mkdir()
    with pytest.raises(StudyError, match=r"there is no study in .*data/study; put a locked study's study\.db there"):
        hosting.prepared({})
    live(tmp_path / "data/study")
    assert hosting.prepared({}).folder == tmp_path / "data/study"
    with pytest.raises(StudyError, match="this host forgets"):
        hosting.prepared({"STUDY_FOLDER": str(tmp_path / "elsewhere")})


def test_a_study_without_its_key_is_served_and_answered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosting, "LASTING", tmp_path / "none")
    (tmp_path / "away").mkdir()
    home = live(tmp_path / "home")
    replication.publish(home.file, Folder(tmp_path / "away"))
    monkeypatch.setenv("STUDY_COPY_FOLDER", str(tmp_path / "away"))
    store = hosting.prepared()
    answer_one(store, store.join("live", "1").token)
    assert query(store, "SELECT count(*) FROM response") == [(1,)]


def test_a_spaces_projects_lie_where_they_last(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_environment, "LASTING", tmp_path / "data")
    assert default_root() == Path("workspace")
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert default_root() == Path("workspace")
    assert "forgets all projects" in forgets(Path("workspace"))
    (tmp_path / "data").mkdir()
    assert default_root() == tmp_path / "data/workspace"
    assert forgets(default_root()) is None
    assert "leave GHIBLI_WORKSPACE out" in forgets(tmp_path / "elsewhere")
    monkeypatch.setenv("GHIBLI_WORKSPACE", "/somewhere")
    assert default_root() == Path("/somewhere")


def test_the_base_model_of_new_projects_is_a_variable(monkeypatch):
    monkeypatch.delenv("GHIBLI_BASE_MODEL", raising=False)
    assert default_base_model() == "miniature"
    monkeypatch.setenv("GHIBLI_BASE_MODEL", "a/model")
    assert default_base_model() == "a/model"
    from ghibli_studio.cli.app import _parser

    assert _parser().parse_args(["sample", "x"]).base_model == "a/model"
