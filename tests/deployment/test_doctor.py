"""Findings on this machine, and what is said where something is wrong."""

import shutil
import socket
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch

from ghibli_studio.deployment import doctor
from ghibli_studio.deployment.doctor import Finding, findings
from ghibli_studio.evaluation.reference_network import absent
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.miniature.checksums import folder_digest
from ghibli_studio.runtime.environment import versions
from ghibli_studio.workspace.project import Workspace

NAMES = [
    "versions",
    "packages",
    "hardware",
    "device",
    "attention",
    "memory",
    "miniature",
    "base model",
    "workspace",
    "disk",
    "runs",
    "port",
    "storage",
    "second store",
    "login",
    "hub",
    "evaluation",
]
HERE = (
    "SPACE_ID",
    "SPACES_ZERO_GPU",
    "GHIBLI_PASSWORD",
    "GHIBLI_BASE_MODEL",
    "STUDY_COPY_FOLDER",
    "STUDY_COPY_DATASET",
    "HF_TOKEN",
    "HF_HUB_OFFLINE",
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    for name in HERE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


@pytest.fixture(autouse=True)
def free_port(monkeypatch):
    """A port that nobody listens on, whatever runs on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setattr(doctor, "PAGE_PORT", probe.getsockname()[1])
    return doctor.PAGE_PORT


@pytest.fixture
def plenty(monkeypatch):
    """A disk with 5 GB free, whatever this machine's has."""
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=5 * 2**30))


@pytest.fixture
def look(workspace):
    return lambda: {finding.name: finding for finding in findings(workspace)}


def test_all_is_well(workspace, look, plenty, free_port):
    found = look()
    assert list(found) == NAMES
    assert all(finding.fine for finding in found.values())
    assert found["versions"].message == ", ".join(f"{name} {number}" for name, number in versions().items())
    assert f", torch {version('torch')}, " in found["versions"].message
    assert found["miniature"] == Finding(
        "miniature", True, f"every file has the hash in SHA256SUMS, together {folder_digest(WEIGHTS)[:12]}"
    )
    assert found["packages"].message.startswith("all ")
    assert found["base model"] == Finding("base model", True, "miniature, embedded; name another in a form")
    assert found["runs"] == Finding("runs", True, "none was cut off")
    assert found["storage"] == Finding("storage", True, "on this machine's own disk")
    assert found["login"].message.startswith("none on this machine; beyond it a new password is printed")
    assert found["hub"].message == "no token; one is needed to push, and for a private model (HF_TOKEN)"
    assert found["second store"].message.startswith("none, so a study's answers are on this disk alone; STUDY_COPY_")
    assert found["workspace"] == Finding("workspace", True, f"{workspace.root}, projects: 0")
    assert found["disk"] == Finding("disk", True, "5.0 GB free")
    assert found["port"] == Finding("port", True, f"{free_port} is free for the page")
    assert found["evaluation"] == Finding("evaluation", True, " ".join(absent()))
    workspace.project("a", new=True)
    assert look()["workspace"].message == f"{workspace.root}, projects: 0"
    workspace.project("a", new=True).register()
    assert look()["workspace"].message == f"{workspace.root}, projects: 1"


def test_the_device_is_told_with_its_precision(look, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    threads = torch.get_num_threads()
    assert look()["device"] == Finding(
        "device", True, f"cpu ({threads} threads), float32, since this processor computes it fastest"
    )
    assert look()["attention"].message == "sdpa, PyTorch's own; xformers needs a CUDA GPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number=0: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=80 * 2**30))
    assert look()["device"] == Finding(
        "device", True, "cuda (NVIDIA H100), bfloat16, since the GPU has it and its range is float32's"
    )
    assert "; NVIDIA H100, 80 GB (CUDA " in look()["hardware"].message
    assert look()["attention"].message.startswith("sdpa, PyTorch's own (flash, mem_efficient, math), which has ")


def test_damaged_weights_are_named(look, tmp_path, monkeypatch):
    copy = shutil.copytree(WEIGHTS, tmp_path / "weights")
    (copy / "clip/config.json").unlink()
    (copy / "base/unet/more.safetensors").write_bytes(b"")
    monkeypatch.setattr(doctor, "WEIGHTS", copy)
    assert look()["miniature"] == Finding(
        "miniature",
        False,
        "clip/config.json is missing. base/unet/more.safetensors is not listed in SHA256SUMS. "
        "Check the repository out again.",
    )


def test_a_workspace_that_cannot_be_one_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    found = {finding.name: finding for finding in findings(Workspace(tmp_path / "file"))}
    assert not found["workspace"].fine
    assert found["workspace"].message.startswith(f"{tmp_path / 'file'} cannot be used (")
    assert found["workspace"].message.endswith("); choose another folder with --workspace")
    assert list(found) == NAMES, "the rest is looked at all the same"


def test_a_workspace_that_may_not_be_written_is_told(workspace, look, monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: path != workspace.root)
    assert look()["workspace"] == Finding(
        "workspace", False, f"{workspace.root} may not be written here; choose another folder with --workspace"
    )


def test_a_full_disk_is_told(look, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**29))
    assert look()["disk"] == Finding("disk", False, "0.5 GB free; 1 GB is needed, free some space")


def test_a_port_that_is_taken_is_told_and_is_nothing_bad(look, free_port):
    with socket.create_server(("127.0.0.1", free_port)):
        assert look()["port"] == Finding(
            "port", True, f"{free_port} is taken, perhaps by the page itself; the next free one is used"
        )
    assert look()["port"] == Finding("port", True, f"{free_port} is free for the page")


def test_a_space_that_forgets_is_told(look, monkeypatch, tmp_path):
    monkeypatch.setenv("SPACE_ID", "a/b")
    found = look()
    assert found["storage"] == Finding(
        "storage",
        False,
        "This Space forgets all projects when it restarts or falls asleep; give it persistent "
        "storage (Settings, Storage), and download what you want to keep",
    )
    assert not found["second store"].fine
    assert found["login"].message.startswith("none: whoever sees the Space may use it, and no study is served;")
    monkeypatch.setattr("ghibli_studio.hosting.LASTING", tmp_path)
    assert look()["storage"].fine


def test_secrets_are_told_to_be_there_and_never_told(look, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_4711")
    monkeypatch.setenv("GHIBLI_PASSWORD", "short")
    found = look()
    assert found["hub"].message == "a token is there (HF_TOKEN)"
    assert found["login"] == Finding(
        "login", False, "GHIBLI_PASSWORD is asked for; it has fewer than 8 characters, so choose a longer one"
    )
    assert not any("hf_4711" in one.message or "short" in one.message for one in found.values())


def test_a_second_store_that_is_not_there_is_told(look, monkeypatch, tmp_path):
    away = tmp_path / "away"
    monkeypatch.setenv("STUDY_COPY_FOLDER", str(away))
    assert look()["second store"] == Finding(
        "second store", False, f"the folder {away} is not there or may not be written; mount it, or name another"
    )
    away.mkdir()
    assert look()["second store"] == Finding(
        "second store", True, f"the folder {away}: has every answer before it is acknowledged"
    )


def test_a_run_that_a_restart_cut_off_is_told_with_the_way_on(project, monkeypatch):
    from ghibli_studio.config.training import preset

    run = project.new_run(preset("quick", "ti"))
    found = {finding.name: finding for finding in findings(project.workspace)}
    assert found["runs"].message == (
        "1 cut off by a restart or a kill; go on with: python -m ghibli_studio train sample --method ti "
        f"--resume {run.id}"
    )


def test_a_base_model_that_is_not_here_and_a_package_that_is_too_old_are_told(look, monkeypatch):
    import importlib.metadata

    monkeypatch.setenv("GHIBLI_BASE_MODEL", "/nowhere/at/all")
    found = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "gradio" else found(name))
    seen = look()
    assert not seen["base model"].fine
    assert "/nowhere/at/all" in seen["base model"].message
    assert seen["packages"].message.startswith("gradio is 0.1, ")
    assert seen["packages"].message.endswith(" is needed; pip install -r requirements.txt")
