"""Work that several threads drive is done by one, so that what PyTorch remembers by thread holds throughout."""

import threading

import pytest
import torch

from ghibli_studio.jobs import lock
from ghibli_studio.runtime import compute_thread
from ghibli_studio.runtime.compute_thread import in_one_thread


def driven(work):
    """All items, each asked for by a thread of its own."""
    items = []

    def one():
        items.append(next(work, compute_thread.END))

    while not items or items[-1] is not compute_thread.END:
        thread = threading.Thread(target=one)
        thread.start()
        thread.join()
    return items[:-1]


def test_gradients_stay_off_whoever_asks_for_the_next_step(workspace):
    def steps():
        with torch.no_grad():
            for _ in range(3):
                yield threading.get_ident(), torch.is_grad_enabled()

    found = driven(lock.in_turn(workspace, steps()))
    assert [enabled for _, enabled in found] == [False] * 3
    assert len({thread for thread, _ in found}) == 1
    assert torch.is_grad_enabled()


def test_work_that_nobody_wants_any_more_ends_where_it_was_done():
    ended = []

    def steps():
        try:
            yield threading.get_ident()
            yield
        finally:
            ended.append(threading.get_ident())

    work = in_one_thread(steps())
    thread = next(work)
    work.close()
    assert ended == [thread] != [threading.get_ident()]


def test_what_goes_wrong_is_told_to_whoever_asked():
    def steps():
        yield 1
        raise ValueError("the second step")

    work = in_one_thread(steps())
    assert next(work) == 1
    with pytest.raises(ValueError, match="the second step"):
        next(work)


def test_work_inside_of_work_and_what_is_dropped_during_another_step_do_not_wait_for_themselves():
    dropped = in_one_thread(iter([1, 2]))
    next(dropped)

    def steps():
        dropped.close()
        yield from in_one_thread(iter("ab"))

    assert list(in_one_thread(steps())) == ["a", "b"]
