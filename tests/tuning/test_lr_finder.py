"""The range test: its arithmetic in whole values, and the same loop, noise and pictures as a run's own."""

import dataclasses
import itertools

import pytest
import torch

from adapters.registry import methods
from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.training import runs
from ghibli_studio.training.loop import Diverged
from ghibli_studio.tuning import trials
from ghibli_studio.tuning.lr_finder import (
    RateRange,
    RateSearch,
    RateStep,
    changes,
    figure,
    find,
    has_diverged,
    suggested,
)

QUICK = RateSearch(search_steps=10)


def config(project, method="lora", **values):
    return preset("quick", method, base_model=datasets.load(project).base_model, train_batch_size=2, **values)


def rows(changes, first=1e-4):
    return tuple(RateStep(n + 1, first * 10**n, 1.0, 1.0, change) for n, change in enumerate(changes))


def test_the_rate_grows_by_the_same_factor():
    search = RateSearch(lowest_rate=1e-4, highest_rate=1.0, search_steps=11)
    rates = [search.rate(step) for step in range(11)]
    assert (rates[0], rates[-1]) == (1e-4, pytest.approx(1.0))
    assert [after / before for before, after in itertools.pairwise(rates)] == pytest.approx([10**0.4] * 10)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lowest_rate": 0.1, "highest_rate": 0.1}, "lowest_rate is 0.1; it must be less than highest_rate, 0.1"),
        ({"search_steps": 9}, "search_steps is 9; it must be greater than or equal to 10"),
        ({"lowest_rate": 0}, "lowest_rate is 0; it must be greater than 0"),
    ],
)
def test_bounds_are_told(values, sentence):
    with pytest.raises(StudioError) as caught:
        RateSearch.checked(values)
    assert str(caught.value) == sentence


def test_losses_count_against_the_same_steps_untrained():
    assert changes([2.0, 8.0, 1.0], [2.0, 8.0, 1.0]) == pytest.approx([0, 0, 0])
    assert changes([1.0, 4.0], [2.0, 8.0]) == pytest.approx([-50, -50])
    # weights 0.16 and 0.2 of the two steps, divided by what both sides share
    assert changes([1.0, 1.0], [1.0, 2.0])[1] == pytest.approx(100 * (0.36 / 0.56 - 1))


def test_a_loss_far_above_the_lowest_ends_the_test():
    assert not has_diverged([0.0, -20.0, 60.0])  # too early to say
    assert not has_diverged([0, 0, 0, 0, 0, -20.0, 19.0])
    assert has_diverged([0, 0, 0, 0, 0, -20.0, 21.0])


def test_the_suggestion_is_a_tenth_of_where_the_loss_is_near_its_lowest():
    assert suggested(rows([0, -1, -19, -20, 50])) == pytest.approx(1e-3)
    assert suggested(rows([0, -1, -17, -20, 50])) == pytest.approx(1e-2)
    assert suggested(rows([0, 0.1, -0.4, 3])) is None
    assert suggested(()) is None


def test_the_finding_is_told_in_words():
    shown = rows([0, -1, -20, 50])
    assert RateRange("lora", shown, True, 1e-3).words == (
        "LoRA: learning rate 0.001, a tenth of where the loss is near its lowest (-20.0 % at 1.0e-02); "
        "it grew too much at 1.0e-01"
    )
    assert RateRange("ti", shown[:2], False, None).words == (
        "Textual Inversion: the loss did not fall between learning rate 1.0e-04 and 1.0e-03; "
        "take more steps, or other bounds"
    )


def test_the_figure_has_powers_of_ten_and_the_suggestion():
    drawn = figure([RateRange("lora", rows([0, -1, -20, 50]), True, 1e-3), RateRange("ti", rows([0, 0]), False, None)])
    assert all(f">{tick}</text>" in drawn for tick in ("0.0001", "0.001", "0.01", "0.1"))
    assert "LoRA begins at 0, is lowest at −20 where 0.01, ends at 50; LoRA: 0.001, −1 where 0.001" in drawn
    assert drawn.count("<li>") == 3


def test_both_methods_are_tested_on_the_same_steps_and_the_base_is_left_alone(project):
    configs = [config(project, name) for name in methods()]
    events = list(find(project, configs, QUICK))
    found = [event.found for event in events if event.found]
    assert [one.method for one in found] == list(methods())
    for one in found:
        assert [row.step for row in one.rows] == list(range(1, len(one.rows) + 1))
        assert [row.learning_rate for row in one.rows] == [QUICK.rate(n) for n in range(len(one.rows))]
        assert len(one.rows) == QUICK.search_steps or one.diverged
        assert one.rows[0].loss == one.rows[0].untrained_loss  # the first step has learned nothing yet
        assert one.rows[-1].loss != one.rows[-1].untrained_loss
    assert (events[-1].done, events[-1].total) == (40, 40)
    again = [event.found for event in find(project, configs, QUICK) if event.found]
    assert again == found
    assert project.runs() == []


@pytest.mark.parametrize("method", sorted(methods()))
def test_a_trials_steps_are_the_runs_own(project, method):
    chosen = config(project, method, lr_scheduler="constant", num_train_epochs=1)
    own = [event for event in runs.execute(project.new_run(chosen)) if event["event"] == "step"]
    ready = list(trials.prepared(project, [chosen]))[-1]
    weights = {name: value.clone() for name, value in ready.base.host.unet.state_dict().items()}
    with trials.untrained(ready, chosen) as trial:
        steps = list(trials.first_steps(trial, len(own) + 2))
    assert [(step.loss, step.grad_norm) for step in steps[: len(own)]] == [(e["loss"], e["grad_norm"]) for e in own]
    assert len(steps) == len(own) + 2
    left = ready.base.host.unet.state_dict()
    assert left.keys() == weights.keys()
    assert all(torch.equal(left[name], value) for name, value in weights.items())


def test_a_loss_that_is_no_number_ends_the_test_and_not_the_search(project, monkeypatch):
    first_steps = trials.first_steps

    def diverging(trial, count, rate):
        for step in first_steps(trial, count, rate):
            if step.step == 8 and step.learning_rate:
                raise Diverged("the loss became nan")
            yield dataclasses.replace(step, loss=1 - step.learning_rate)

    monkeypatch.setattr(trials, "first_steps", diverging)
    (found,) = [event.found for event in find(project, [config(project)], QUICK) if event.found]
    assert (found.diverged, len(found.rows)) == (True, 7)


def test_what_a_run_would_refuse_is_refused(project):
    with pytest.raises(StudioError, match="no method is chosen; tick at least one"):
        list(find(project, []))
    item = datasets.load(project).items[0]
    datasets.set_captions(project, {item.id: "Petra, " + "tower " * 90})
    with pytest.raises(StudioError, match="captions are longer than the 77 tokens"):
        list(find(project, [config(project)]))
