"""Joules from counters that restart, fail or are missing; never an estimate."""

import sys
from types import SimpleNamespace

import pytest
import torch

from ghibli_studio.runtime import energy
from ghibli_studio.runtime.device import describe_machine, processor_name
from ghibli_studio.runtime.energy import Meter, meter

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Fake:
    """A counter that returns the values one by one and raises the errors among them."""

    def __init__(self, *values, wraps_at=None):
        self.values, self.wraps_at = list(values), wraps_at

    def read(self):
        value = self.values.pop(0)
        if isinstance(value, Exception):
            raise value
        return value


def test_joules_are_counted_from_the_start_of_all_counters():
    counting = Meter("two", [Fake(100.0, 100.0, 130.0), Fake(7.0, 9.0, 9.5)])
    assert counting.joules() == 2.0
    assert counting.joules() == 32.5


def test_a_counter_that_restarts_loses_nothing():
    counting = Meter("wraps", [Fake(990.0, 995.0, 5.0, 8.0, wraps_at=1000.0)])
    assert [counting.joules() for _ in range(3)] == [5.0, 15.0, 18.0]


def test_a_failing_counter_gives_neither_an_estimate_nor_a_crash():
    counting = Meter("breaks", [Fake(0.0, 5.0, OSError("gone"), 9.0)])
    assert [counting.joules() for _ in range(3)] == [5.0, None, None]


def powercap(root, **packages):
    for name, (microjoules, most) in packages.items():
        folder = root / name.replace("_", ":")
        folder.mkdir(parents=True)
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        (folder / "max_energy_range_uj").write_text(f"{most}\n")


def test_cpu_packages_are_read_without_their_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    assert meter(CPU) is None
    powercap(
        tmp_path,
        **{
            "intel-rapl_0": (2_000_000, 5_000_000),
            "intel-rapl_1": (0, 5_000_000),
            "intel-rapl_0_0": (1_000_000, 5_000_000),
            "intel-rapl-mmio_0": (3, 4),
        },
    )
    counting = meter(CPU)
    assert counting.source == "RAPL, CPU packages"
    (tmp_path / "intel-rapl:0/energy_uj").write_text("1000000\n")  # began again
    (tmp_path / "intel-rapl:1/energy_uj").write_text("500000\n")
    (tmp_path / "intel-rapl:0:0/energy_uj").write_text("4000000\n")
    assert counting.joules() == pytest.approx(4.5)


def test_unreadable_packages_give_no_meter(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    powercap(tmp_path, **{"intel-rapl_0": ("secret", 5)})
    assert meter(CPU) is None


def test_a_gpu_board_is_found_by_its_uuid(monkeypatch):
    asked, energies = [], [5000, 12500]
    library = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: asked.append(uuid) or "handle",
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: {"handle": energies}[handle].pop(0),
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1234-ab"))
    counting = meter(CUDA)
    assert (counting.source, counting.joules(), asked) == ("NVML, GPU board", 7.5, ["GPU-1234-ab"])


def test_no_library_no_driver_or_an_old_gpu_gives_no_meter(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="GPU-1"))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert meter(CUDA) is None

    def refuse(*_):
        raise RuntimeError("Not Supported")

    monkeypatch.setitem(
        sys.modules,
        "pynvml",
        SimpleNamespace(
            nvmlInit=lambda: None,
            nvmlDeviceGetHandleByUUID=lambda uuid: None,
            nvmlDeviceGetTotalEnergyConsumption=refuse,
        ),
    )
    assert meter(CUDA) is None
    assert meter(torch.device("mps")) is None


def test_the_machine_is_described():
    info = describe_machine(CPU, torch.bfloat16)
    assert list(info) == ["device", "name", "dtype", "threads", "processor", "cores", "memory_bytes", "system"]
    assert (info["device"], info["name"], info["dtype"]) == ("cpu", processor_name(), "bfloat16")
    assert info["threads"] == torch.get_num_threads()
    assert info["memory_bytes"] > 2**28
    assert processor_name().strip()
    assert describe_machine(CPU)["dtype"] is None
