"""The search for a batch size: what counts as fitting and as fast enough, and one real search."""

from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch

from adapters.registry import methods
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.training.batches import Examples
from ghibli_studio.tuning import trials
from ghibli_studio.tuning.batch_size_finder import BatchSizes, BatchTrial, enough, figure, find, full, short_of_memory

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def configs(project):
    base = datasets.load(project).base_model
    return [preset("quick", name, base_model=base) for name in methods()]


def trial(batch, speed, method="lora", peak=10**9):
    return BatchTrial(method, batch, speed is not None, speed, peak if speed else None)


def sizes(*rows):
    return BatchSizes(tuple(rows), "told")


def test_the_smallest_size_that_is_as_fast_as_any_is_suggested():
    assert sizes(trial(1, 4.0), trial(2, 9.7), trial(4, 10.0)).suggestion == 2
    assert sizes(trial(1, 4.0), trial(2, 9.0), trial(4, 10.0), trial(8, None)).suggestion == 4
    assert sizes(trial(1, None)).suggestion is None


def test_a_size_counts_where_every_method_fits():
    found = sizes(trial(1, 4.0), trial(1, 12.0, "ti"), trial(2, 8.0), trial(2, None, "ti"))
    assert (found.largest, found.suggestion) == (1, 1)
    assert found.speed(1) == pytest.approx(6.0)  # one picture with each takes 1/4 + 1/12 s
    assert found.words == (
        "batch size 1 is as fast as any (6.0 pictures a second); 1 is the largest that was tried and fits; told"
    )
    assert sizes(trial(1, None)).words.startswith("not even one picture at a time fits; close what else")


def test_a_cpu_stops_where_two_doublings_gained_nothing_and_a_gpu_where_nothing_fits():
    slow = [trial(1, 10.0), trial(2, 10.1), trial(4, 10.2)]
    assert enough(sizes(*slow[:2]), CPU, 2) == ""
    assert enough(sizes(*slow), CPU, 4) == "4 at a time are no faster"
    assert enough(sizes(*slow), GPU, 4) == ""
    assert enough(sizes(*slow, trial(8, None)), GPU, 8) == "8 does not fit"
    assert enough(sizes(trial(1, 1.0), trial(2, 2.0), trial(4, 4.0)), CPU, 4) == ""


def test_a_cpu_stops_before_its_memory_is_short(monkeypatch):
    found = sizes(trial(1, 1.0, peak=10**9), trial(2, 2.0, peak=2 * 10**9), trial(2, 2.0, "ti", peak=3 * 10**9))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=4.9 * 10**9))
    assert short_of_memory(found, CPU, 4) == "4 would take about 4 GB more, 4.9 GB are free"
    assert short_of_memory(found, GPU, 4) == ""
    assert short_of_memory(found, CPU, 2) == ""  # one size says nothing of the next
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5.1 * 10**9))
    assert short_of_memory(found, CPU, 4) == ""


def test_a_trials_batches_are_all_full():
    examples = Examples(torch.arange(3.0).view(3, 1, 1, 1), ["a", "b", "c"])
    more = full(examples, 7)
    assert torch.cat(more.latents).flatten().tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert more.captions == ["a", "b", "c", "a", "b", "c", "a"]
    words = full(replace(examples, states=[*"abc", "without"], mirrored=[*"xyz"]), 4)
    assert (words.states, words.mirrored) == ([*"abca", "without"], [*"xyzx"])


def test_every_method_is_tried_at_every_size(project):
    events = list(find(project, configs(project)))
    found = events[-1].found
    assert [event.row for event in events if event.row] == list(found.rows)
    tried = [(row.method, row.batch) for row in found.rows]
    assert tried == [(name, size) for size in (1, 2, 4) for name in methods()]  # six pictures to train on
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
    first_steps = trials.first_steps

    def hungry(trial, count):
        if trial.config.training.train_batch_size == 2 and trial.config.method == "ti":
            raise error
        return first_steps(trial, count)

    monkeypatch.setattr(trials, "first_steps", hungry)
    found = list(find(project, configs(project)))[-1].found
    assert [(row.method, row.batch, row.fits) for row in found.rows] == [
        ("lora", 1, True),
        ("ti", 1, True),
        ("lora", 2, True),
        ("ti", 2, False),
    ]
    assert (found.largest, found.suggestion, found.stopped) == (1, 1, "2 does not fit")


def test_another_error_is_not_taken_for_a_lack_of_memory(project, monkeypatch):
    def wrong(trial, count):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(trials, "first_steps", wrong)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(find(project, configs(project)))
