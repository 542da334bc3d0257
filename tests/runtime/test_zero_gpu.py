"""ZeroGPU: work runs chunk by chunk, with a fake of the package `spaces`."""

import sys
from types import ModuleType

import pytest

from adapters.settings import StudioError
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import image_set
from ghibli_studio.jobs import queue, worker
from ghibli_studio.jobs import status as job_status
from ghibli_studio.runtime import device, environment, zero_gpu
from ghibli_studio.runtime.zero_gpu import MORE, TimeLimit, in_chunks
from ghibli_studio.training.runs import execute


@pytest.fixture
def granted(monkeypatch):
    """A ZeroGPU Space; returns the seconds requested by each call that got a GPU."""
    calls = []
    spaces = ModuleType("spaces")

    def gpu(duration):
        def decorate(task):
            def call(*arguments):
                calls.append(duration(*arguments))
                yield from task(*arguments)

            return call

        return decorate

    spaces.GPU = gpu
    spaces.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    monkeypatch.setenv("SPACE_ID", "a/b")
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert environment.on_zero_gpu()
    monkeypatch.setattr(zero_gpu, "_on_gpu", zero_gpu._decorated(zero_gpu._chunk))
    return calls


def config(project, **values):
    base = datasets.load(project).base_model
    return preset("quick", "ti", base_model=base, num_vectors=1, num_train_epochs=4, **values)


def losses(run):
    return [event["loss"] for event in run.progress() if event["event"] == "step"]


def test_the_time_limit_is_reached_before_the_next_step_would_exceed_it():
    now = [0.0]
    time_is_up = TimeLimit(60, lambda: now[0])
    for at, expected in ((10, False), (20, False), (35, False), (40, False), (45, True)):
        now[0] = at
        assert time_is_up() == expected, at


def test_without_zero_gpu_there_is_one_call_without_a_limit(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert not environment.on_zero_gpu()
    assert list(in_chunks(lambda n, time_is_up: iter([n, time_is_up()]), 3, progress=int)) == [3, False]


def test_a_run_in_chunks_has_the_losses_of_an_unbroken_one(project, granted, monkeypatch):
    unbroken = project.new_run(config(project))
    list(execute(unbroken))
    monkeypatch.setattr(TimeLimit, "__call__", lambda self: setattr(self, "reached", True) or True)  # an epoch a chunk
    run = project.new_run(config(project))
    queue.start(run)
    states = [status.state for status in job_status.watch(run, 0.05)]
    assert states[-1] == "done", job_status.status(run).message
    assert len(granted) == 4
    assert set(granted) == {90}, "the seconds of a chunk and of loading"
    assert losses(run) == losses(unbroken)
    assert run.adapter_file.exists()


def test_an_aborted_chunk_resumes_from_its_checkpoint(project, granted, monkeypatch):
    run, unbroken = project.new_run(config(project)), project.new_run(config(project))
    list(execute(unbroken))
    chunk, calls = zero_gpu._on_gpu, []

    def cut(*arguments):
        calls.append(1)
        for event in chunk(*arguments):
            yield event
            if len(calls) == 1 and event.get("event") == "step" and event["epoch"] == 3:
                raise RuntimeError("GPU task aborted")

    monkeypatch.setattr(zero_gpu, "_on_gpu", cut)
    list(worker.train(run))
    assert len(calls) == 2
    assert losses(run) == losses(unbroken)


def test_an_epoch_that_never_fits_into_a_chunk_is_reported(project, granted, monkeypatch):
    def aborted(*_):
        raise RuntimeError("GPU task aborted")
        yield

    monkeypatch.setattr(zero_gpu, "_on_gpu", aborted)
    run = project.new_run(config(project))
    queue.start(run)
    *_, last = job_status.watch(run, 0.05)
    assert last.state == "failed"
    assert last.message == (
        "nothing was finished within the 60 s of GPU time (GPU task aborted); try again later, request less at once, "
        "or raise GHIBLI_GPU_SECONDS"
    )


def test_an_error_of_the_work_itself_is_raised_unchanged(granted):
    def work(time_is_up):
        raise StudioError("the disk is full")
        yield

    with pytest.raises(StudioError, match=r"^the disk is full$"):
        list(in_chunks(work, progress=int))


def test_cancelling_stops_the_thread_and_not_the_server(project, granted):
    run = project.new_run(config(project).model_copy(update={}))
    queue.start(run)
    queue.cancel(run)
    *_, last = job_status.watch(run, 0.05)
    assert last.state == "cancelled"


def test_an_image_set_is_generated_in_chunks(project, granted, monkeypatch):
    monkeypatch.setattr(TimeLimit, "__call__", lambda self: setattr(self, "reached", True) or True)
    names = [item.landmark for item in datasets.load(project).items[:3]]
    requests = image_set.requests_for_landmarks(project, names)
    few = GenerationSettings(num_inference_steps=2, seed=7)
    events = list(image_set.generate_set(project, requests, {"base": None}, few))
    assert len(granted) == 3
    assert MORE not in events
    assert [event.image.title for event in events if event.image] == names
    assert (events[-1].done, events[-1].total) == (6, 6)
    assert len(project.image_sets()) == 1


def test_without_an_attached_gpu_the_cpu_computes(granted, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.choose_device().type == "cpu"
    monkeypatch.setattr(zero_gpu, "_inside", True)
    assert device.choose_device().type == "cuda"


@pytest.mark.parametrize("text", ["9", "601", "soon", "-1"])
def test_a_chunk_length_out_of_bounds_is_reported(monkeypatch, text):
    monkeypatch.setenv("GHIBLI_GPU_SECONDS", text)
    with pytest.raises(StudioError, match="must be a whole number of seconds from 10 to 600"):
        zero_gpu.chunk_seconds()
