"""Work that several threads drive runs in one thread, so that PyTorch's per-thread state holds throughout."""

import threading

import pytest
import torch

from ghibli_studio.jobs import lock
from ghibli_studio.runtime import torch_thread
from ghibli_studio.runtime.torch_thread import run_in_torch_thread


def driven(work):
    """Return all items, each requested by its own thread."""
    items = []

    def one():
        items.append(next(work, torch_thread.END))

    while not items or items[-1] is not torch_thread.END:
        thread = threading.Thread(target=one)
        thread.start()
        thread.join()
    return items[:-1]


def test_gradients_stay_off_whichever_thread_requests_the_next_step(workspace):
    def steps():
        with torch.no_grad():
            for _ in range(3):
                yield threading.get_ident(), torch.is_grad_enabled()

    found = driven(lock.gpu_lock(workspace, steps()))
    assert [enabled for _, enabled in found] == [False] * 3
    assert len({thread for thread, _ in found}) == 1
    assert torch.is_grad_enabled()


def test_closed_work_ends_in_the_thread_that_ran_it():
    ended = []

    def steps():
        try:
            yield threading.get_ident()
            yield
        finally:
            ended.append(threading.get_ident())

    work = run_in_torch_thread(steps())
    thread = next(work)
    work.close()
    assert ended == [thread] != [threading.get_ident()]


def test_an_error_is_raised_in_the_requesting_thread():
    def steps():
        yield 1
        raise ValueError("the second step")

    work = run_in_torch_thread(steps())
    assert next(work) == 1
    with pytest.raises(ValueError, match="the second step"):
        next(work)


def test_nested_work_and_work_dropped_during_another_step_do_not_deadlock():
    dropped = run_in_torch_thread(iter([1, 2]))
    next(dropped)

    def steps():
        dropped.close()
        yield from run_in_torch_thread(iter("ab"))

    assert list(run_in_torch_thread(steps())) == ["a", "b"]
