"""Looks at the machine and says what will be used and why, one line each, with the mend where something is wrong.

What concerns hosting (storage, login, the Hub, the second store of a study) is `doctor_hosting`.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from adapters.settings import StudioError
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.runtime.environment import BASE_MODEL_VARIABLE, default_base_model
from ghibli_studio.workspace.files import make_folder
from ghibli_studio.workspace.project import Workspace, project_of

MIN_FREE_BYTES = 2**30
MIN_FREE_MEMORY = 2**31
PAGE_PORT = 7860


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    fine: bool
    message: str


def findings(workspace: Workspace) -> Iterator[Finding]:
    """Look at everything, one line each; what is not fine says how to mend it."""
    from ghibli_studio.deployment import hosting_check
    from ghibli_studio.evaluation.reference_network import absent
    from ghibli_studio.runtime.environment import versions

    found = versions()
    yield Finding("versions", True, ", ".join(f"{name} {number}" for name, number in found.items()))
    yield _packages()
    yield _hardware()
    yield _device()
    yield _attention()
    yield _memory()
    yield _weights()
    yield _base_model()
    yield _workspace(workspace)
    free = shutil.disk_usage(next(p for p in (workspace.root, *workspace.root.absolute().parents) if p.exists())).free
    yield Finding(
        "disk",
        free >= MIN_FREE_BYTES,
        f"{free / 2**30:.1f} GB free" + ("" if free >= MIN_FREE_BYTES else "; 1 GB is needed, free some space"),
    )
    yield _runs(workspace)
    yield _port()
    for name, fine, message in hosting_check.facts(workspace):
        yield Finding(name, fine, message)
    yield Finding("evaluation", True, " ".join(absent()) or "the networks of published numbers are here")


def _packages() -> Finding:
    """What is installed against what requirements.txt admits."""
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    from packaging.requirements import Requirement

    file = Path(__file__).parents[2] / "requirements.txt"
    if not file.is_file():
        return Finding("packages", True, "there is no requirements.txt here to compare with")
    wrong = []
    wanted = [Requirement(line) for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    for one in wanted:
        if one.marker is not None and not one.marker.evaluate():
            continue
        try:
            if not one.specifier.contains(found := version(one.name), prereleases=True):
                wrong.append(f"{one.name} is {found}, {one.specifier} is needed")
        except PackageNotFoundError:
            wrong.append(f"{one.name} is missing")
    if wrong:
        return Finding("packages", False, f"{'; '.join(wrong)}; pip install -r requirements.txt")
    return Finding("packages", True, f"all {len(wanted)} of requirements.txt are as wanted")


def _hardware() -> Finding:
    import torch

    from ghibli_studio.runtime.device import processor

    told = f"{processor()}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        gpus = (
            f"{torch.cuda.get_device_name(n)}, {torch.cuda.get_device_properties(n).total_memory / 2**30:.0f} GB"
            for n in range(torch.cuda.device_count())
        )
        return Finding("hardware", True, f"{told}; {'; '.join(gpus)} (CUDA {torch.version.cuda})")
    return Finding("hardware", True, f"{told}; no GPU that this PyTorch ({torch.__version__}) can use")


def _device() -> Finding:
    import torch

    from ghibli_studio.runtime.device import choose_device, choose_dtype
    from ghibli_studio.runtime.environment import zero_gpu as present
    from ghibli_studio.runtime.zero_gpu import seconds

    if present():
        try:
            return Finding(
                "device",
                True,
                f"ZeroGPU: training and drawing borrow a GPU for {seconds()} s at a time, "
                "everything else computes on the processor",
            )
        except StudioError as error:
            return Finding("device", False, str(error))
    device = choose_device()
    dtype = choose_dtype(device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    why = {
        ("cuda", torch.bfloat16): "the GPU has it and its range is float32's",
        ("cpu", torch.float32): "this processor computes it fastest",
        ("cpu", torch.bfloat16): "this processor has instructions for it",
        ("cuda", torch.float16): "the GPU has no bfloat16",
    }.get((device.type, dtype), "nothing smaller is safe here")
    return Finding("device", True, f"{device.type} ({name}), {str(dtype).removeprefix('torch.')}, since {why}")


def _attention() -> Finding:
    """Which kernels PyTorch's own attention may take; xformers has to be asked for."""
    import torch

    if not torch.cuda.is_available():
        return Finding("attention", True, "sdpa, PyTorch's own; xformers needs a CUDA GPU")
    kernels = [
        name for name in ("flash", "mem_efficient", "math") if getattr(torch.backends.cuda, f"{name}_sdp_enabled")()
    ]
    return Finding(
        "attention",
        True,
        f"sdpa, PyTorch's own ({', '.join(kernels)}), which has xformers' kernels in it; "
        "attention = xformers uses that package instead",
    )


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available
    fine = free >= MIN_FREE_MEMORY
    return Finding(
        "memory",
        fine,
        f"{free / 2**30:.1f} GB free"
        + ("" if fine else "; the miniature trains in 2 GB, so end other programs, or train with a smaller batch"),
    )


def _weights() -> Finding:
    from ghibli_studio.miniature.checksums import SUMS, folder_digest, wrong_files

    wrong = wrong_files(WEIGHTS)
    if wrong:
        return Finding("miniature", False, " ".join(wrong) + " Check the repository out again.")
    return Finding("miniature", True, f"every file has the hash in {SUMS}, together {folder_digest(WEIGHTS)[:12]}")


def _base_model() -> Finding:
    """What a new project is for, and whether it is here."""
    from ghibli_studio.models.location import locate

    spec = default_base_model()
    chosen = bool(os.environ.get(BASE_MODEL_VARIABLE))
    why = f"as {BASE_MODEL_VARIABLE} says" if chosen else "embedded; name another in a form"
    if spec == "miniature":
        return Finding("base model", True, f"{spec}, {why}")
    try:
        return Finding("base model", True, f"{spec}, {why}; in {locate(spec).folder}")
    except StudioError as error:
        return Finding("base model", False, str(error))


def _workspace(workspace: Workspace) -> Finding:
    try:
        make_folder(workspace.root)
        if not os.access(workspace.root, os.W_OK):
            raise StudioError(f"{workspace.root} may not be written here; choose another folder with --workspace")
    except StudioError as error:
        return Finding("workspace", False, str(error))
    return Finding("workspace", True, f"{workspace.root.absolute()}, projects: {len(workspace.projects())}")


def _runs(workspace: Workspace) -> Finding:
    """Runs whose process has ended without a word."""
    from ghibli_studio.jobs import status

    cut = [run for run in workspace.runs() if status.status(run).state == "interrupted"]
    if not cut:
        return Finding("runs", True, "none was cut off")
    first = cut[0]
    way_on = f"train {project_of(first).name} --method {first.config().method} --resume {first.id}"
    return Finding(
        "runs", True, f"{len(cut)} cut off by a restart or a kill; go on with: python -m ghibli_studio {way_on}"
    )


def _port() -> Finding:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", PAGE_PORT)) == 0
    message = "taken, perhaps by the page itself; the next free one is used" if taken else "free for the page"
    return Finding("port", True, f"{PAGE_PORT} is {message}")
