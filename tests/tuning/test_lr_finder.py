"""The learning rate finder: its arithmetic with full values, and the same loop, noise and images as a run."""

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
from ghibli_studio.tuning import dry_run
from ghibli_studio.tuning.lr_finder import (
    LearningRateResult,
    LearningRateSearch,
    LearningRateStep,
    changes,
    figure,
    find,
    has_diverged,
    suggest,
)

QUICK = LearningRateSearch(num_steps=10)


def config(project, method="lora", **values):
    return preset("quick", method, base_model=datasets.load(project).base_model, train_batch_size=2, **values)


def rows(changes, first=1e-4):
    return tuple(LearningRateStep(n + 1, first * 10**n, 1.0, 1.0, change) for n, change in enumerate(changes))


def test_the_learning_rate_grows_by_the_same_factor():
    search = LearningRateSearch(min_lr=1e-4, max_lr=1.0, num_steps=11)
    rates = [search.learning_rate_at(step) for step in range(11)]
    assert (rates[0], rates[-1]) == (1e-4, pytest.approx(1.0))
    assert [after / before for before, after in itertools.pairwise(rates)] == pytest.approx([10**0.4] * 10)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"min_lr": 0.1, "max_lr": 0.1}, "min_lr is 0.1; it must be less than max_lr, 0.1"),
        ({"num_steps": 9}, "num_steps is 9; it must be greater than or equal to 10"),
        ({"min_lr": 0}, "min_lr is 0; it must be greater than 0"),
    ],
)
def test_values_out_of_bounds_are_refused(values, sentence):
    with pytest.raises(StudioError) as caught:
        LearningRateSearch.checked(values)
    assert str(caught.value) == sentence


def test_losses_are_relative_to_the_baseline_of_the_same_steps():
    assert changes([2.0, 8.0, 1.0], [2.0, 8.0, 1.0]) == pytest.approx([0, 0, 0])
    assert changes([1.0, 4.0], [2.0, 8.0]) == pytest.approx([-50, -50])
    # weights 0.16 and 0.2 of the two steps, divided by the weight that both sides share
    assert changes([1.0, 1.0], [1.0, 2.0])[1] == pytest.approx(100 * (0.36 / 0.56 - 1))


def test_a_loss_far_above_the_lowest_ends_the_test():
    assert not has_diverged([0.0, -20.0, 60.0])  # too early to decide
    assert not has_diverged([0, 0, 0, 0, 0, -20.0, 19.0])
    assert has_diverged([0, 0, 0, 0, 0, -20.0, 21.0])


def test_the_suggestion_is_a_tenth_of_where_the_loss_is_near_its_lowest():
    assert suggest(rows([0, -1, -19, -20, 50])) == pytest.approx(1e-3)
    assert suggest(rows([0, -1, -17, -20, 50])) == pytest.approx(1e-2)
    assert suggest(rows([0, 0.1, -0.4, 3])) is None
    assert suggest(()) is None


def test_the_result_is_summarized_in_a_sentence():
    steps = rows([0, -1, -20, 50])
    assert LearningRateResult("lora", steps, True, 1e-3).summary == (
        "LoRA: learning rate 0.001, a tenth of where the loss is near its lowest (-20.0 % at 1.0e-02); "
        "the loss diverged at 1.0e-01"
    )
    assert LearningRateResult("ti", steps[:2], False, None).summary == (
        "Textual Inversion: the loss did not decrease between learning rates 1.0e-04 and 1.0e-03; "
        "use more steps or another range"
    )


def test_the_figure_has_powers_of_ten_and_the_suggestion():
    results = [
        LearningRateResult("lora", rows([0, -1, -20, 50]), True, 1e-3),
        LearningRateResult("ti", rows([0, 0]), False, None),
    ]
    html = figure(results)
    assert all(f">{tick}</text>" in html for tick in ("0.0001", "0.001", "0.01", "0.1"))
    assert "LoRA starts at 0, is lowest with −20 at 0.01, and ends at 50; LoRA: 0.001, −1 at 0.001" in html
    assert html.count("<li>") == 3


def test_both_methods_are_tested_on_the_same_steps_and_no_run_is_created(project):
    configs = [config(project, name) for name in methods()]
    events = list(find(project, configs, QUICK))
    results = [event.result for event in events if event.result]
    assert [result.method for result in results] == list(methods())
    for result in results:
        assert [row.step for row in result.rows] == list(range(1, len(result.rows) + 1))
        assert [row.learning_rate for row in result.rows] == [
            QUICK.learning_rate_at(n) for n in range(len(result.rows))
        ]
        assert len(result.rows) == QUICK.num_steps or result.diverged
        assert result.rows[0].loss == result.rows[0].baseline_loss  # the first step has learned nothing yet
        assert result.rows[-1].loss != result.rows[-1].baseline_loss
    assert (events[-1].done, events[-1].total) == (40, 40)
    again = [event.result for event in find(project, configs, QUICK) if event.result]
    assert again == results
    assert project.runs() == []


@pytest.mark.parametrize("method", sorted(methods()))
def test_the_steps_of_a_dry_run_are_the_runs_own(project, method):
    chosen = config(project, method, lr_scheduler="constant", num_train_epochs=1)
    own = [event for event in runs.execute(project.new_run(chosen)) if event["event"] == "step"]
    context = list(dry_run.load_context(project, [chosen]))[-1]
    weights = {name: value.clone() for name, value in context.base.host.unet.state_dict().items()}
    with dry_run.start_dry_run(context, chosen) as started:
        steps = list(dry_run.first_steps(started, len(own) + 2))
    assert [(step.loss, step.grad_norm) for step in steps[: len(own)]] == [(e["loss"], e["grad_norm"]) for e in own]
    assert len(steps) == len(own) + 2
    after = context.base.host.unet.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], value) for name, value in weights.items())


def test_a_loss_that_is_not_finite_ends_the_test_of_a_method_and_not_the_search(project, monkeypatch):
    first_steps = dry_run.first_steps

    def diverging(started, count, lr_schedule):
        for step in first_steps(started, count, lr_schedule):
            if step.step == 8 and step.learning_rate:
                raise Diverged("the loss became nan")
            yield dataclasses.replace(step, loss=1 - step.learning_rate)

    monkeypatch.setattr(dry_run, "first_steps", diverging)
    (result,) = [event.result for event in find(project, [config(project)], QUICK) if event.result]
    assert (result.diverged, len(result.rows)) == (True, 7)


def test_everything_that_a_run_would_refuse_is_refused(project):
    with pytest.raises(StudioError, match="no method is selected; select at least one"):
        list(find(project, []))
    item = datasets.load(project).items[0]
    datasets.set_captions(project, {item.id: "Petra, " + "tower " * 90})
    with pytest.raises(StudioError, match="captions are over the token limit of 77"):
        list(find(project, [config(project)]))
