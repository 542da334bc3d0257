"""What computes, in facts that a reader of a number needs: device, processor, memory, precision, threads."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import torch


def machine(device: torch.device, dtype: torch.dtype | None = None) -> dict[str, Any]:
    """`{device, name, dtype, threads, processor, cores, memory_bytes, system}`, ready for JSON."""
    import torch

    on_gpu = device.type == "cuda"
    return {
        "device": device.type,
        "name": torch.cuda.get_device_name(device) if on_gpu else processor(),
        "dtype": str(dtype).removeprefix("torch.") if dtype else None,
        "threads": torch.get_num_threads(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": torch.cuda.get_device_properties(device).total_memory if on_gpu
        else psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }


@cache
def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
