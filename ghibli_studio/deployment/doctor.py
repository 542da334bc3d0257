"""Checks this machine and reports what will be used and why, one line each, with a fix where something is wrong.

The checks for hosting (storage, login, the Hub, the replica of a study) are in `hosting_check`.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from adapters.settings import StudioError
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.runtime.environment import BASE_MODEL_VARIABLE, default_base_model, requirements
from ghibli_studio.workspace.files import make_folder
from ghibli_studio.workspace.project import Workspace, project_of

MIN_FREE_BYTES = 2**30
MIN_FREE_MEMORY = 2**31
PAGE_PORT = 7860


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    message: str


def run_checks(workspace: Workspace) -> Iterator[Check]:
    """Run all checks, one line each; a failed check says how to fix it."""
    from ghibli_studio.deployment import hosting_check
    from ghibli_studio.evaluation.reference_network import missing_networks
    from ghibli_studio.runtime.environment import versions

    yield Check("versions", True, ", ".join(f"{name} {number}" for name, number in versions().items()))
    yield _packages()
    yield _hardware()
    yield _device()
    yield _attention()
    yield _memory()
    yield _weights()
    yield _base_model()
    yield _workspace(workspace)
    free = shutil.disk_usage(next(p for p in (workspace.root, *workspace.root.absolute().parents) if p.exists())).free
    yield Check(
        "disk",
        free >= MIN_FREE_BYTES,
        f"{free / 2**30:.1f} GB free"
        + ("" if free >= MIN_FREE_BYTES else "; at least 1 GB is needed, so free some space"),
    )
    yield _runs(workspace)
    yield _port()
    for name, fine, message in hosting_check.checks(workspace):
        yield Check(name, fine, message)
    yield Check("evaluation", True, " ".join(missing_networks()) or "the networks for published metrics are installed")


def _packages() -> Check:
    """Compare the installed packages with those that are required."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    wrong, needed = [], [Requirement(line) for line in requirements()]
    for requirement in needed:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            if not requirement.specifier.contains(installed := version(requirement.name), prereleases=True):
                wrong.append(f"{requirement.name} is {installed}, but {requirement.specifier} is needed")
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
    if wrong:
        return Check("packages", False, f"{'; '.join(wrong)}; run pip install -r requirements.txt")
    return Check("packages", True, f"all {len(needed)} of requirements.txt are installed")


def _hardware() -> Check:
    import torch

    from ghibli_studio.runtime.device import processor_name

    machine = f"{processor_name()}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        gpus = (
            f"{torch.cuda.get_device_name(n)}, {torch.cuda.get_device_properties(n).total_memory / 2**30:.0f} GB"
            for n in range(torch.cuda.device_count())
        )
        return Check("hardware", True, f"{machine}; {'; '.join(gpus)} (CUDA {torch.version.cuda})")
    return Check("hardware", True, f"{machine}; no GPU that this PyTorch ({torch.__version__}) can use")


def _device() -> Check:
    import torch

    from ghibli_studio.runtime.device import choose_device, choose_dtype
    from ghibli_studio.runtime.environment import on_zero_gpu
    from ghibli_studio.runtime.zero_gpu import chunk_seconds

    if on_zero_gpu():
        try:
            return Check(
                "device",
                True,
                f"ZeroGPU: training and generation borrow a GPU for {chunk_seconds()} s at a time, "
                "everything else runs on the CPU",
            )
        except StudioError as error:
            return Check("device", False, str(error))
    device = choose_device()
    dtype = choose_dtype(device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    reason = {
        ("cuda", torch.bfloat16): "the GPU supports it and its range is float32's",
        ("cpu", torch.float32): "it is fastest on this CPU",
        ("cpu", torch.bfloat16): "this CPU has instructions for it",
        ("cuda", torch.float16): "the GPU does not support bfloat16",
    }.get((device.type, dtype), "nothing smaller is safe on this device")
    return Check("device", True, f"{device.type} ({name}), {str(dtype).removeprefix('torch.')}, since {reason}")


def _attention() -> Check:
    """List the kernels that PyTorch's own attention may use; xformers must be chosen."""
    import torch

    if not torch.cuda.is_available():
        return Check("attention", True, "sdpa, PyTorch's own; xformers needs a CUDA GPU")
    kernels = [
        name for name in ("flash", "mem_efficient", "math") if getattr(torch.backends.cuda, f"{name}_sdp_enabled")()
    ]
    return Check(
        "attention",
        True,
        f"sdpa, PyTorch's own ({', '.join(kernels)}), which includes xformers' kernels; "
        "attention = xformers uses that package instead",
    )


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available
    fine = free >= MIN_FREE_MEMORY
    return Check(
        "memory",
        fine,
        f"{free / 2**30:.1f} GB free"
        + ("" if fine else "; the miniature trains in 2 GB, so close other programs or train with a smaller batch"),
    )


def _weights() -> Check:
    from ghibli_studio.miniature.checksums import SUMS, folder_digest, wrong_files

    wrong = wrong_files(WEIGHTS)
    if wrong:
        return Check("miniature", False, " ".join(wrong) + " Check out the repository again.")
    return Check("miniature", True, f"every file matches {SUMS}, digest {folder_digest(WEIGHTS)[:12]}")


def _base_model() -> Check:
    """Report the base model of new projects, and whether it is available."""
    from ghibli_studio.models.location import locate

    model_id = default_base_model()
    chosen = bool(os.environ.get(BASE_MODEL_VARIABLE))
    source = f"set by {BASE_MODEL_VARIABLE}" if chosen else "embedded; choose another one when creating a dataset"
    if model_id == "miniature":
        return Check("base model", True, f"{model_id}, {source}")
    try:
        return Check("base model", True, f"{model_id}, {source}; in {locate(model_id).folder}")
    except StudioError as error:
        return Check("base model", False, str(error))


def _workspace(workspace: Workspace) -> Check:
    try:
        make_folder(workspace.root)
        if not os.access(workspace.root, os.W_OK):
            raise StudioError(f"{workspace.root} is not writable; choose another folder with --workspace")
    except StudioError as error:
        return Check("workspace", False, str(error))
    return Check("workspace", True, f"{workspace.root.absolute()}, projects: {len(workspace.projects())}")


def _runs(workspace: Workspace) -> Check:
    """List runs whose process ended without finishing."""
    from ghibli_studio.jobs import status

    interrupted = [run for run in workspace.runs() if status.status(run).state == "interrupted"]
    if not interrupted:
        return Check("runs", True, "none was interrupted")
    first = interrupted[0]
    command = f"python -m ghibli_studio train {project_of(first).name} --resume {first.id}"
    return Check("runs", True, f"{len(interrupted)} interrupted by a restart or a kill; resume with: {command}")


def _port() -> Check:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", PAGE_PORT)) == 0
    message = "in use, perhaps by the page itself; the next free port is used" if taken else "free for the page"
    return Check("port", True, f"{PAGE_PORT} is {message}")
