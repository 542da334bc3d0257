"""Findings on this machine, and what is said where something is wrong."""

import shutil
import socket
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch

from ghibli_studio import doctor
from ghibli_studio.doctor import Finding, findings
from ghibli_studio.generation import versions
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.published import absent
from ghibli_studio.workspace import Workspace

NAMES = ["versions", "device", "miniature", "workspace", "disk", "port", "evaluation"]


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
    assert found["miniature"] == Finding("miniature", True, "every file as published")
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
    assert look()["device"] == Finding("device", True, f"cpu ({threads} threads), float32, attention sdpa")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    assert look()["device"] == Finding("device", True, "cuda (NVIDIA H100), bfloat16, attention sdpa")


def test_damaged_weights_are_named(look, tmp_path, monkeypatch):
    copy = shutil.copytree(WEIGHTS, tmp_path / "weights")
    (copy / "clip/config.json").unlink()
    (copy / "base/unet/more.safetensors").write_bytes(b"")
    monkeypatch.setattr(doctor, "WEIGHTS", copy)
    assert look()["miniature"] == Finding(
        "miniature", False,
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
