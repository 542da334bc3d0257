"""A GPU that is lent for a short while: work goes on chunk by chunk, with a package that stands in for `spaces`."""

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
from ghibli_studio.runtime.zero_gpu import MORE, Enough, in_chunks
from ghibli_studio.training.runs import execute


@pytest.fixture
def lent(monkeypatch):
    """A Space with ZeroGPU; the calls that were given a GPU, with the seconds that were asked for."""
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
    assert environment.zero_gpu()
    monkeypatch.setattr(zero_gpu, "_on_gpu", zero_gpu._lent(zero_gpu._chunk))
    return calls


def config(project, **values):
    base = datasets.load(project).base_model
    return preset("quick", "ti", base_model=base, num_vectors=1, num_train_epochs=4, **values)


def losses(run):
    return [event["loss"] for event in run.progress() if event["event"] == "step"]


def test_enough_is_said_before_the_time_is_up():
    now = [0.0]
    enough = Enough(60, lambda: now[0])
    for at, said in ((10, False), (20, False), (35, False), (40, False), (45, True)):
        now[0] = at
        assert enough() == said, at


def test_elsewhere_it_is_one_call_without_a_bound(monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert not environment.zero_gpu()
    assert list(in_chunks(lambda n, enough: iter([n, enough()]), 3, progress=int)) == [3, False]


def test_a_run_in_chunks_has_the_losses_of_an_unbroken_one(project, lent, monkeypatch):
    whole = project.new_run(config(project))
    list(execute(whole))
    monkeypatch.setattr(Enough, "__call__", lambda self: setattr(self, "said", True) or True)  # an epoch a chunk
    run = project.new_run(config(project))
    queue.start(run)
    states = [status.state for status in job_status.watch(run, 0.05)]
    assert states[-1] == "done", job_status.status(run).message
    assert len(lent) == 4
    assert set(lent) == {90}, "the seconds of a chunk and what loading takes"
    assert losses(run) == losses(whole)
    assert run.adapter_file.exists()


def test_a_chunk_that_is_cut_off_goes_on_from_its_checkpoint(project, lent, monkeypatch):
    run, whole = project.new_run(config(project)), project.new_run(config(project))
    list(execute(whole))
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
    assert losses(run) == losses(whole)


def test_an_epoch_that_never_fits_is_told(project, lent, monkeypatch):
    def aborted(*_):
        raise RuntimeError("GPU task aborted")
        yield

    monkeypatch.setattr(zero_gpu, "_on_gpu", aborted)
    run = project.new_run(config(project))
    queue.start(run)
    *_, last = job_status.watch(run, 0.05)
    assert last.state == "failed"
    assert last.message == (
        "nothing was finished in the 60 s for which this Space lends its GPU (GPU task aborted); wait and go on later, "
        "do less at once, or set GHIBLI_GPU_SECONDS higher"
    )


def test_what_is_wrong_with_the_work_itself_is_told_as_it_is(lent):
    def work(enough):
        raise StudioError("the disk is full")
        yield

    with pytest.raises(StudioError, match=r"^the disk is full$"):
        list(in_chunks(work, progress=int))


def test_cancelling_stops_the_thread_and_not_the_server(project, lent):
    run = project.new_run(config(project).model_copy(update={}))
    queue.start(run)
    queue.cancel(run)
    *_, last = job_status.watch(run, 0.05)
    assert last.state == "cancelled"


def test_a_set_of_pictures_is_drawn_in_chunks(project, lent, monkeypatch):
    monkeypatch.setattr(Enough, "__call__", lambda self: setattr(self, "said", True) or True)
    names = [item.landmark for item in datasets.load(project).items[:3]]
    requests = image_set.requests_for_landmarks(project, names)
    few = GenerationSettings(num_inference_steps=2, seed=7)
    events = list(image_set.draw_set(project, requests, {"base": None}, few))
    assert len(lent) == 3
    assert MORE not in events
    assert [event.picture.title for event in events if event.picture] == names
    assert (events[-1].done, events[-1].total) == (6, 6)
    assert len(project.image_sets()) == 1


def test_without_the_lent_gpu_the_processor_computes(lent, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.choose_device().type == "cpu"
    monkeypatch.setattr(zero_gpu, "_inside", True)
    assert device.choose_device().type == "cuda"


@pytest.mark.parametrize("text", ["9", "601", "soon", "-1"])
def test_seconds_that_make_no_sense_are_told(monkeypatch, text):
    monkeypatch.setenv("GHIBLI_GPU_SECONDS", text)
    with pytest.raises(StudioError, match="must be a whole number of seconds from 10 to 600"):
        zero_gpu.seconds()
