"""The finders in the Train tab: what their buttons show, offer and put into the form."""

import gradio as gr
import pytest

from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.tuning import batch_size_finder, lr_finder
from ghibli_studio.tuning.batch_size_finder import BatchSizeDryRun, BatchSizeResult
from ghibli_studio.tuning.lr_finder import LearningRateResult, LearningRateStep
from ghibli_studio.ui.training import tab, tuning

SKIP = gr.skip()
ROWS = tuple(LearningRateStep(n + 1, 10.0 ** (n - 4), 1.0, 1.0, change) for n, change in enumerate([0, -1, -20, 50]))


@pytest.fixture
def pressed(project):
    """Press a button of the tab by its handler's name; returns all that it showed."""
    with gr.Blocks() as page:
        tab.build(project.workspace, gr.Dropdown([]))
    handlers = {function.fn.__name__: function for function in page.fns.values() if function.fn}

    def press(name, *values):
        handler = handlers[name]
        if not values:  # the form as it is first shown
            values = [project.name, ["lora", "ti"], "quick", *(widget.value for widget in handler.inputs[3:])]
        return list(handler.fn(*values)) if name.startswith("find") else handler.fn(*values)

    return press


def test_rates_are_shown_as_they_are_found_and_can_be_used(pressed, monkeypatch):
    asked = []

    def find(project, configs):
        asked.extend(configs)
        yield lr_finder.SearchProgress(1, 4, "LoRA: <learning>")
        yield lr_finder.SearchProgress(2, 4, "searching", LearningRateResult("lora", ROWS, True, 1e-3))
        yield lr_finder.SearchProgress(4, 4, "searching", LearningRateResult("ti", ROWS[:2], False, None))

    monkeypatch.setattr(lr_finder, "find", find)
    shown = pressed("find_rate")
    assert [(config.method, config.preset) for config in asked] == [("lora", "quick"), ("ti", "quick")]
    assert "LoRA: &lt;learning&gt; (25 %" in shown[0][0]["value"]
    assert [one[1] == SKIP for one in shown] == [True, False, False, True]
    assert "LoRA: learning rate 0.001, a tenth of" in shown[1][1]
    assert "the loss did not decrease" in shown[2][1]
    bar, _, use_rate, use_batch, suggested = shown[-1]
    assert (bar["visible"], use_rate["visible"], use_batch["visible"]) == (False, True, False)
    assert (use_rate["value"], suggested) == ("Apply LoRA 0.001", {"lora": 1e-3})
    assert pressed("apply_rates", suggested) == [1e-3, SKIP]


def test_a_batch_size_is_offered(pressed, monkeypatch):
    found = BatchSizeResult(
        (BatchSizeDryRun("lora", 1, True, 8.0, 10**9), BatchSizeDryRun("lora", 2, True, 12.0, 10**9)), "measured"
    )

    def find(project, configs):
        yield batch_size_finder.SearchProgress(1, 2, "LoRA: 1 at a time", found.rows[0])
        yield batch_size_finder.SearchProgress(2, 2, "done", result=found)

    monkeypatch.setattr(batch_size_finder, "find", find)
    shown = pressed("find_batch")
    assert "LoRA: 1 at a time (50 %" in shown[0][0]["value"]
    _, table, _, use_batch, suggested = shown[-1]
    assert "batch size 2 is as fast as any" in table
    assert (use_batch["value"], use_batch["visible"], suggested) == ("Apply batch size 2", True, {"batch": 2})


def test_without_a_project_or_a_method_a_sentence_says_so(pressed, project):
    with pytest.raises(gr.Error, match="no project is selected"):
        pressed("find_rate", None, ["lora"], "quick")
    with pytest.raises(gr.Error, match="no method is selected; select at least one"):
        pressed("find_batch", project.name, [], "quick")


def test_a_real_search_waits_its_turn_and_ends_with_what_was_found(project, monkeypatch):
    short = lr_finder.LearningRateSearch(num_steps=10)
    monkeypatch.setattr(lr_finder, "LearningRateSearch", lambda: short)
    base = datasets.load(project).base_model
    *_, (bar, found) = tuning.find_learning_rates(project.workspace, project, [preset("quick", "ti", base_model=base)])
    assert "(100 %" in bar
    assert [one.method for one in found] == ["ti"]
