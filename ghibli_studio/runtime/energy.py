"""What a computation costs in joules, where the device has a counter for it; else nothing, and never a guess.

A GPU's counter is of its whole board, the processor's of whole packages with all that runs on them: both count other
programs too, so that a fair comparison wants a quiet machine.
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
    """Counts up, and begins again at 0 after `wraps_at` joules (None: never)."""

    wraps_at: float | None

    def read(self) -> float:
        """Joules since some time in the past; raises any error where the counter is gone."""


class Meter:
    """Joules since it was made; read it now and then, since a processor's counter begins again within the hour."""

    def __init__(self, source: str, counters: Sequence[Counter]):
        self.source, self.counters = source, counters
        self.spent: float | None = 0.0
        self.last = [counter.read() for counter in counters]

    def joules(self) -> float | None:
        """Spent so far by all counters; None from the first time on that one cannot be read."""
        if self.spent is None:
            return None
        try:
            now = [counter.read() for counter in self.counters]
        except Exception:  # whatever a driver throws: a run must not end because its energy cannot be known
            self.spent = None
            return None
        for counter, before, after in zip(self.counters, self.last, now):
            self.spent += after - before + (counter.wraps_at or 0.0 if after < before else 0.0)
        self.last = now
        return self.spent


def meter(device: torch.device) -> Meter | None:
    """The meter of the device that computes: NVML for a CUDA GPU, Intel's RAPL for a processor; None without one."""
    if device.type == "cuda":
        return _of_gpu(device)
    return _of_processor() if device.type == "cpu" else None


@dataclass(frozen=True)
class _Board:
    """A GPU's counter since its driver was loaded, millijoules (Volta and later)."""

    nvml: Any
    handle: Any
    wraps_at: None = None

    def read(self) -> float:
        return self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1000


def _of_gpu(device: torch.device) -> Meter | None:
    try:
        import pynvml
        import torch

        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        board = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        return Meter("NVML, the GPU's board", [_Board(pynvml, board)])
    except Exception:  # no library, no driver, no permission, an older GPU, a slice of one: no meter
        return None


@dataclass(frozen=True)
class _Package:
    """A processor package's counter, microjoules (Linux powercap; AMD's has the same name)."""

    folder: Path
    wraps_at: float

    def read(self) -> float:
        return int((self.folder / "energy_uj").read_text()) / 1e6


def _of_processor(root: Path | None = None) -> Meter | None:
    """All packages; their parts (cores, memory), which have a second colon in their name, are inside."""
    try:
        packages = [
            _Package(folder, int((folder / "max_energy_range_uj").read_text()) / 1e6)
            for folder in sorted((root or POWERCAP).glob("intel-rapl:*"))
            if folder.name.count(":") == 1
        ]
        return Meter("RAPL, the processor's packages", packages) if packages else None
    except (OSError, ValueError):  # mostly readable by root alone
        return None
