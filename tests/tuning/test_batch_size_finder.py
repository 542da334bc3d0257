"""The batch size finder: what counts as fitting and as fast enough, and one real search."""

from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch

from adapters.registry import methods
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.training.batches import Examples
from ghibli_studio.tuning import dry_run
from ghibli_studio.tuning.batch_size_finder import (
    BatchSizeDryRun,
    BatchSizeResult,
    figure,
    fill_batches,
    find,
    memory_reason,
    stop_reason,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def configs(project):
    base = datasets.load(project).base_model
    return [preset("quick", name, base_model=base) for name in methods()]


def row(batch, speed, method="lora", peak=10**9):
    return BatchSizeDryRun(method, batch, speed is not None, speed, peak if speed else None)


def sizes(*rows):
    return BatchSizeResult(tuple(rows), "the end")


def test_the_smallest_size_that_is_as_fast_as_any_is_suggested():
    assert sizes(row(1, 4.0), row(2, 9.7), row(4, 10.0)).suggestion == 2
    assert sizes(row(1, 4.0), row(2, 9.0), row(4, 10.0), row(8, None)).suggestion == 4
    assert sizes(row(1, None)).suggestion is None


def test_a_size_counts_only_if_every_method_fits():
    found = sizes(row(1, 4.0), row(1, 12.0, "ti"), row(2, 8.0), row(2, None, "ti"))
    assert (found.largest, found.suggestion) == (1, 1)
    assert found.speed(1) == pytest.approx(6.0)  # one image with each method takes 1/4 + 1/12 s
    assert found.summary == (
        "batch size 1 is as fast as any (6.0 images per second); 1 is the largest tested that fits; the end"
    )
    assert sizes(row(1, None)).summary.startswith("not even a batch of one image fits; close other programs")


def test_a_cpu_stops_after_two_doublings_without_gain_and_a_gpu_when_nothing_fits():
    slow = [row(1, 10.0), row(2, 10.1), row(4, 10.2)]
    assert stop_reason(sizes(*slow[:2]), CPU, 2) == ""
    assert stop_reason(sizes(*slow), CPU, 4) == "batch size 4 is no faster"
    assert stop_reason(sizes(*slow), GPU, 4) == ""
    assert stop_reason(sizes(*slow, row(8, None)), GPU, 8) == "batch size 8 does not fit"
    assert stop_reason(sizes(row(1, 1.0), row(2, 2.0), row(4, 4.0)), CPU, 4) == ""


def test_a_cpu_stops_before_its_memory_is_short(monkeypatch):
    found = sizes(row(1, 1.0, peak=10**9), row(2, 2.0, peak=2 * 10**9), row(2, 2.0, "ti", peak=3 * 10**9))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=4.9 * 10**9))
    assert memory_reason(found, CPU, 4) == "batch size 4 would need about 4 GB more, and 4.9 GB are free"
    assert memory_reason(found, GPU, 4) == ""
    assert memory_reason(found, CPU, 2) == ""  # one size cannot predict the next
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5.1 * 10**9))
    assert memory_reason(found, CPU, 4) == ""


def test_all_batches_of_a_dry_run_are_full():
    examples = Examples(torch.arange(3.0).view(3, 1, 1, 1), ["a", "b", "c"])
    more = fill_batches(examples, 7)
    assert torch.cat(more.latents).flatten().tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert more.captions == ["a", "b", "c", "a", "b", "c", "a"]
    complete = fill_batches(replace(examples, states=[*"abc", "without"], mirrored=[*"xyz"]), 4)
    assert (complete.states, complete.mirrored) == ([*"abca", "without"], [*"xyzx"])


def test_every_method_is_tried_at_every_size(project):
    events = list(find(project, configs(project)))
    found = events[-1].result
    assert [event.row for event in events if event.row] == list(found.rows)
    tried = [(row.method, row.batch) for row in found.rows]
    assert tried == [(name, size) for size in (1, 2, 4) for name in methods()]  # six training images
    assert all(row.fits and row.images_per_second > 0 and row.peak_memory_bytes > 0 for row in found.rows)
    assert found.largest == 4
    assert found.suggestion in (1, 2, 4)
    assert figure(found).count("<tr>") == 7
    assert (events[-1].done, events[-1].total) == (6, 6)
    assert project.runs() == []


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
        ),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_out_of_memory_ends_the_search_and_not_the_program(project, monkeypatch, error):
    first_steps = dry_run.first_steps

    def hungry(started, count):
        if started.config.training.train_batch_size == 2 and started.config.method == "ti":
            raise error
        return first_steps(started, count)

    monkeypatch.setattr(dry_run, "first_steps", hungry)
    found = list(find(project, configs(project)))[-1].result
    assert [(row.method, row.batch, row.fits) for row in found.rows] == [
        ("lora", 1, True),
        ("ti", 1, True),
        ("lora", 2, True),
        ("ti", 2, False),
    ]
    assert (found.largest, found.suggestion, found.stopped) == (1, 1, "batch size 2 does not fit")


def test_another_error_is_not_mistaken_for_out_of_memory(project, monkeypatch):
    def wrong(started, count):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(dry_run, "first_steps", wrong)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(find(project, configs(project)))
