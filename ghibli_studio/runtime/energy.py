"""The energy of a computation in joules, where the device has a counter for it; never an estimate.

A GPU counter covers the whole board, a CPU counter whole packages with everything that runs on them. Both include
other programs, so a fair comparison needs an otherwise idle machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


POWERCAP = Path("/sys/class/powercap")
JOULES_PER_WATT_HOUR = 3600.0


class Counter(Protocol):
    """An energy counter that counts up and restarts at 0 after `wraps_at` joules (None: never)."""

    @property
    def wraps_at(self) -> float | None:
        """Joules after which the counter restarts."""

    def read(self) -> float:
        """Return joules since some time in the past; raises any error where the counter is gone."""


class Meter:
    """Joules since it was created; read it now and then, since a processor's counter restarts within the hour."""

    def __init__(self, source: str, counters: Sequence[Counter]):
        self.source, self.counters = source, counters
        self.spent: float | None = 0.0
        self.last = [counter.read() for counter in counters]

    def joules(self) -> float | None:
        """Return the energy used so far, over all counters; None once a counter cannot be read."""
        if self.spent is None:
            return None
        try:
            now = [counter.read() for counter in self.counters]
        except Exception:  # whatever a driver raises: a run must not fail because its energy is unknown
            self.spent = None
            return None
        for counter, before, after in zip(self.counters, self.last, now):
            self.spent += after - before + (counter.wraps_at or 0.0 if after < before else 0.0)
        self.last = now
        return self.spent


def meter(device: torch.device) -> Meter | None:
    """Return the meter of a device: NVML for a CUDA GPU, Intel RAPL for a CPU; None where there is no counter."""
    if device.type == "cuda":
        return _of_gpu(device)
    return _of_processor() if device.type == "cpu" else None


@dataclass(frozen=True)
class _Board:
    """The counter of a GPU board since its driver was loaded, millijoules (Volta and later)."""

    nvml: Any
    handle: Any
    wraps_at: float | None = None

    def read(self) -> float:
        return self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1000


def _of_gpu(device: torch.device) -> Meter | None:
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        board = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        return Meter("NVML, GPU board", [_Board(pynvml, board)])
    except Exception:  # no library, no driver, no permission, an older GPU, a MIG slice: no meter
        return None


@dataclass(frozen=True)
class _Package:
    """The counter of a CPU package, microjoules (Linux powercap; the name is the same on AMD)."""

    folder: Path
    wraps_at: float

    def read(self) -> float:
        return int((self.folder / "energy_uj").read_text()) / 1e6


def _of_processor(root: Path | None = None) -> Meter | None:
    """Return the meter of all packages; they include their parts, whose names have a second colon."""
    try:
        packages = [
            _Package(folder, int((folder / "max_energy_range_uj").read_text()) / 1e6)
            for folder in sorted((root or POWERCAP).glob("intel-rapl:*"))
            if folder.name.count(":") == 1
        ]
        return Meter("RAPL, CPU packages", packages) if packages else None
    except (OSError, ValueError):  # usually readable by root only
        return None
