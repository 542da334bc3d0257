"""The checks of this machine, and their messages where something is wrong."""

import shutil
import socket
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch

from ghibli_studio.deployment import doctor
from ghibli_studio.deployment.doctor import Check, run_checks
from ghibli_studio.evaluation.reference_network import missing_networks
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
    "replica",
    "login",
    "hub",
    "evaluation",
]
VARIABLES = (
    "SPACE_ID",
    "SPACES_ZERO_GPU",
    "GHIBLI_PASSWORD",
    "GHIBLI_BASE_MODEL",
    "STUDY_REPLICA_FOLDER",
    "STUDY_REPLICA_DATASET",
    "HF_TOKEN",
    "HF_HUB_OFFLINE",
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


@pytest.fixture(autouse=True)
def free_port(monkeypatch):
    """A port that is not in use, whatever runs on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setattr(doctor, "PAGE_PORT", probe.getsockname()[1])
    return doctor.PAGE_PORT


@pytest.fixture
def free_disk(monkeypatch):
    """A disk with 5 GB free, whatever this machine has."""
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=5 * 2**30))


@pytest.fixture
def run(workspace):
    """Run all checks; returns them by name."""
    return lambda: {check.name: check for check in run_checks(workspace)}


def test_a_healthy_machine_passes_all_checks(workspace, run, free_disk, free_port):
    checks = run()
    assert list(checks) == NAMES
    assert all(check.ok for check in checks.values())
    assert checks["versions"].message == ", ".join(f"{name} {number}" for name, number in versions().items())
    assert f", torch {version('torch')}, " in checks["versions"].message
    assert checks["miniature"] == Check(
        "miniature", True, f"every file matches SHA256SUMS, digest {folder_digest(WEIGHTS)[:12]}"
    )
    assert checks["packages"].message.startswith("all ")
    assert checks["base model"] == Check(
        "base model", True, "miniature, embedded; choose another one when creating a dataset"
    )
    assert checks["runs"] == Check("runs", True, "none was interrupted")
    assert checks["storage"] == Check("storage", True, "on this machine's own disk")
    assert checks["login"].message.startswith(
        "none on this machine; for access from others each start prints a new password"
    )
    assert checks["hub"].message == "no token; one is needed to publish, and for a private model (HF_TOKEN)"
    assert checks["replica"].message.startswith("none, so a study's answers are on this disk alone; set STUDY_REPLICA_")
    assert checks["workspace"] == Check("workspace", True, f"{workspace.root}, projects: 0")
    assert checks["disk"] == Check("disk", True, "5.0 GB free")
    assert checks["port"] == Check("port", True, f"{free_port} is free for the page")
    assert checks["evaluation"] == Check("evaluation", True, " ".join(missing_networks()))
    workspace.project("a", new=True)
    assert run()["workspace"].message == f"{workspace.root}, projects: 0"
    workspace.project("a", new=True).register()
    assert run()["workspace"].message == f"{workspace.root}, projects: 1"


def test_the_device_is_reported_with_its_precision(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    threads = torch.get_num_threads()
    assert run()["device"] == Check(
        "device", True, f"cpu ({threads} threads), float32, since it is fastest on this CPU"
    )
    assert run()["attention"].message == "sdpa, PyTorch's own; xformers needs a CUDA GPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number=0: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=80 * 2**30))
    assert run()["device"] == Check(
        "device", True, "cuda (NVIDIA H100), bfloat16, since the GPU supports it and its range is float32's"
    )
    assert "; NVIDIA H100, 80 GB (CUDA " in run()["hardware"].message
    assert run()["attention"].message.startswith("sdpa, PyTorch's own (flash, mem_efficient, math), which includes ")


def test_damaged_weights_are_named(run, tmp_path, monkeypatch):
    copy = shutil.copytree(WEIGHTS, tmp_path / "weights")
    (copy / "clip/config.json").unlink()
    (copy / "base/unet/more.safetensors").write_bytes(b"")
    monkeypatch.setattr(doctor, "WEIGHTS", copy)
    assert run()["miniature"] == Check(
        "miniature",
        False,
        "clip/config.json is missing. base/unet/more.safetensors is not listed in SHA256SUMS. "
        "Check out the repository again.",
    )


def test_an_unusable_workspace_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    checks = {check.name: check for check in run_checks(Workspace(tmp_path / "file"))}
    assert not checks["workspace"].ok
    assert checks["workspace"].message.startswith(f"{tmp_path / 'file'} cannot be used (")
    assert checks["workspace"].message.endswith("); choose another folder with --workspace")
    assert list(checks) == NAMES, "the other checks run all the same"


def test_a_read_only_workspace_is_reported(workspace, run, monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: path != workspace.root)
    assert run()["workspace"] == Check(
        "workspace", False, f"{workspace.root} is not writable; choose another folder with --workspace"
    )


def test_a_full_disk_is_reported(run, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**29))
    assert run()["disk"] == Check("disk", False, "0.5 GB free; at least 1 GB is needed, so free some space")


def test_a_port_in_use_is_reported_and_is_not_an_error(run, free_port):
    with socket.create_server(("127.0.0.1", free_port)):
        assert run()["port"] == Check(
            "port", True, f"{free_port} is in use, perhaps by the page itself; the next free port is used"
        )
    assert run()["port"] == Check("port", True, f"{free_port} is free for the page")


def test_a_space_without_persistent_storage_is_reported(run, monkeypatch, tmp_path):
    monkeypatch.setenv("SPACE_ID", "a/b")
    checks = run()
    assert checks["storage"] == Check(
        "storage",
        False,
        "This Space loses all projects when it restarts or goes to sleep; add persistent "
        "storage (Settings, Storage), and download what you want to keep",
    )
    assert not checks["replica"].ok
    assert checks["login"].message.startswith(
        "none: everyone who can see the Space may use it, and no study is served;"
    )
    monkeypatch.setattr("ghibli_studio.runtime.environment.PERSISTENT_STORAGE", tmp_path)
    assert run()["storage"].ok


def test_secrets_are_reported_but_never_shown(run, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_4711")
    monkeypatch.setenv("GHIBLI_PASSWORD", "short")
    checks = run()
    assert checks["hub"].message == "a token is set (HF_TOKEN)"
    assert checks["login"] == Check(
        "login", False, "GHIBLI_PASSWORD is required; it has fewer than 8 characters, so choose a longer one"
    )
    assert not any("hf_4711" in check.message or "short" in check.message for check in checks.values())


def test_a_missing_replica_is_reported(run, monkeypatch, tmp_path):
    away = tmp_path / "away"
    monkeypatch.setenv("STUDY_REPLICA_FOLDER", str(away))
    assert run()["replica"] == Check(
        "replica", False, f"the folder {away} does not exist or is not writable; mount or change it"
    )
    away.mkdir()
    assert run()["replica"] == Check(
        "replica", True, f"the folder {away}: stores every answer before it is acknowledged"
    )


def test_an_interrupted_run_is_reported_with_the_command_to_resume_it(project, monkeypatch):
    from ghibli_studio.config.training import preset

    run = project.new_run(preset("quick", "ti"))
    checks = {check.name: check for check in run_checks(project.workspace)}
    assert checks["runs"].message == (
        f"1 interrupted by a restart or a kill; resume with: python -m ghibli_studio train sample --resume {run.id}"
    )


def test_a_missing_base_model_and_an_old_package_are_reported(run, monkeypatch):
    import importlib.metadata

    monkeypatch.setenv("GHIBLI_BASE_MODEL", "/nowhere/at/all")
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "gradio" else installed(name))
    checks = run()
    assert not checks["base model"].ok
    assert "/nowhere/at/all" in checks["base model"].message
    assert checks["packages"].message.startswith("gradio is 0.1, but ")
    assert checks["packages"].message.endswith(" is needed; run pip install -r requirements.txt")
