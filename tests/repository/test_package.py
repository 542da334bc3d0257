"""The wheel: installed in a fresh environment it has both commands, the weights and the templates."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the files, so that nothing is written beside them."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("adapters", "ghibli_studio", "study"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out)]
    done = subprocess.run([*build, str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The folder of commands of a fresh environment with the wheel; what it depends on is borrowed from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    commands = folder / ("Scripts" if sys.platform == "win32" else "bin")
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    # a plain line of a .pth file adds the folder, without the hooks of editable installations in it
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(commands / "python"), "install", "--no-deps", "--no-index"]
    done = subprocess.run([*install, str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return commands


def test_the_wheel_holds_code_weights_and_templates(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("adapters", "study", "ghibli_studio"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                assert path.relative_to(ROOT).as_posix() in names
    assert not {name for name in names if name.startswith(("tests/", "benchmarks/", "docs/"))}


def test_an_installed_studio_checks_its_machine(environment, tmp_path):
    command = [environment / "ghibli-studio", "doctor", "--json", "--workspace", str(tmp_path / "workspace")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    findings = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert findings["miniature"]["ok"], findings["miniature"]["message"]
    assert findings["packages"]["ok"], findings["packages"]["message"]
    assert done.returncode == (0 if all(one["ok"] for one in findings.values()) else 1), done.stderr


def test_an_installed_studio_trains_and_generates(environment, tmp_path):
    """From another folder, through the worker process, with the weights of the wheel."""
    studio, place = environment / "ghibli-studio", ["--workspace", str(tmp_path / "workspace")]
    for words in (
        ["dataset", "sample", "p", "--count", "2"],
        ["train", "p", "--method", "ti", "--preset", "quick", "--epochs", "1", "--set", "num_vectors=1"],
        ["generate", "images", "p", "--models", "ti", "--landmarks", "Big Ben", "--steps", "1"],
    ):
        done = subprocess.run([studio, *words, *place], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    source = subprocess.run(
        [environment / "python", "-c", "import ghibli_studio; print(ghibli_studio.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    ).stdout
    assert Path(source.strip()).is_relative_to(environment.parent)


def test_an_installed_study_has_its_command(environment, tmp_path):
    done = subprocess.run([environment / "ghibli-study", "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "analyze" in done.stdout


def test_an_installed_studio_writes_a_space(environment, tmp_path):
    command = [environment / "ghibli-studio", "space", "create", str(tmp_path / "space")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "space/app.py").read_text() == (ROOT / "app.py").read_text()
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    needed = {line.split(">")[0].split("[")[0] for line in lines if line and not line.startswith("#")}
    written = (tmp_path / "space/requirements.txt").read_text().splitlines()
    assert {line.split(">")[0].split("<")[0].split("[")[0] for line in written} == needed
