"""Devices and precision: choose them, and describe the machine as a reader of a number needs it."""

from __future__ import annotations

import logging
import os
import platform
import resource
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from adapters.settings import StudioError
from ghibli_studio.runtime import zero_gpu

if TYPE_CHECKING:
    import torch


# xformers warns at every import where it was built for another torch; it is off unless chosen
logging.getLogger("xformers").setLevel(logging.ERROR)
# Threads that spin while they wait make a step two to ten times slower as soon as another program needs a core.
# Threads that sleep at once make it a fifth slower on a quiet machine. So spin for some microseconds.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def describe_machine(device: torch.device, dtype: torch.dtype | None = None) -> dict[str, Any]:
    """Return `{device, name, dtype, threads, processor, cores, memory_bytes, system}`, ready for JSON."""
    import torch

    on_gpu = device.type == "cuda"
    return {
        "device": device.type,
        "name": torch.cuda.get_device_name(device) if on_gpu else processor_name(),
        "dtype": str(dtype).removeprefix("torch.") if dtype else None,
        "threads": torch.get_num_threads(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "memory_bytes": torch.cuda.get_device_properties(device).total_memory
        if on_gpu
        else psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }


@cache
def processor_name() -> str:
    """Return the processor's name as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def choose_device(name: str = "auto") -> torch.device:
    """Return the device to compute on; raises StudioError for one that this machine does not have."""
    import torch

    cuda = torch.cuda.is_available() and not zero_gpu.without_gpu()
    available = {"cuda": cuda, "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device in available if available[device])
    if not available[name]:
        raise StudioError(f"device is {name!r}, which this machine does not have; use 'auto' or 'cpu'")
    return torch.device(name)


def choose_dtype(device: torch.device, mixed_precision: str = "auto") -> torch.dtype:
    """Return the dtype of the frozen UNet and VAE: half precision where the device computes in it, else float32."""
    import torch

    if mixed_precision == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.bfloat16 if device.type == "cpu" and cpu_supports_bfloat16() else torch.float32
    if mixed_precision == "fp16" and device.type == "cpu":
        raise StudioError("mixed_precision is 'fp16', which a CPU cannot train in; use 'auto' or 'no'")
    return {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[mixed_precision]


def cpu_supports_bfloat16() -> bool:
    """Report whether the CPU has bfloat16 instructions; without them bfloat16 is many times slower than float32."""
    import torch

    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


Device = Literal["auto", "cpu", "cuda", "mps"]
Attention = Literal["sdpa", "xformers"]


def peak_memory(device: torch.device) -> int:
    """Return the peak memory so far, bytes: of the GPU, or of this process on a CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
