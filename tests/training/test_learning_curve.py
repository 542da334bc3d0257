"""Rows for the plots, with full values."""

import pytest

from ghibli_studio.training.learning_curve import (
    base_model_curve,
    smoothed,
    timestep_profile,
    training_curve,
    validation_curve,
)


def step(epochs, loss):
    return {"event": "step", "epochs": epochs, "loss": loss}


def epoch(number, loss, base=0.5):
    return {"event": "epoch", "epoch": number, "validation_loss": loss, "base_validation_loss": base}


def test_smoothing_has_no_bias_at_the_start():
    assert smoothed([]) == []
    assert smoothed([3.0]) == pytest.approx([3.0])
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
    # weights 0.9^k (1 - 0.9), divided by their sum
    assert smoothed([1.0, 2.0, 4.0]) == pytest.approx([1.0, (0.09 + 0.2) / 0.19, (0.081 + 0.18 + 0.4) / 0.271])
    assert smoothed([1.0, 3.0], weight=0.5) == pytest.approx([1.0, (0.25 + 1.5) / 0.75])
    assert smoothed([1.0, 3.0, 2.0], weight=0) == [1.0, 3.0, 2.0]


def test_the_training_curve_has_raw_and_smoothed_losses_by_epoch():
    events = [
        {"event": "stage", "what": "loading"},
        epoch(0, 1.0),
        step(0.5, 4.0),
        step(1.0, 2.0),
        epoch(1, 0.9),
        step(1.5, 1.0),
        step(2.0, 1.0),
    ]
    means = smoothed([4.0, 2.0, 1.0, 1.0])
    assert training_curve(events, "LoRA") == [
        {"epoch": x, "loss": loss, "series": series}
        for x, raw, mean in zip((0.5, 1.0, 1.5, 2.0), (4.0, 2.0, 1.0, 1.0), means)
        for series, loss in (("LoRA, each step", raw), ("LoRA, smoothed", mean))
    ]


def test_without_steps_there_are_no_rows():
    assert training_curve([], "x") == training_curve([epoch(0, 1.0)], "x") == []


@pytest.mark.parametrize(("count", "shown"), [(400, 400), (401, 201), (800, 400), (10_000, 400)])
def test_long_runs_are_thinned_but_smoothed_over_all_steps(count, shown):
    losses = [1 + number % 7 for number in range(count)]
    epochs = [(number + 1) / 40 for number in range(count)]
    rows = training_curve([step(done, loss) for done, loss in zip(epochs, losses)], "x")
    assert len(rows) == 2 * shown
    every = count // shown + (count % shown > 0)
    assert [row["loss"] for row in rows[1::2]] == pytest.approx(smoothed(losses)[::every])
    assert [row["loss"] for row in rows[::2]] == losses[::every]
    assert [row["epoch"] for row in rows[::2]] == [row["epoch"] for row in rows[1::2]] == epochs[::every]


def test_the_curve_of_a_resumed_run_continues_at_its_epoch():
    rows = training_curve([step(2.5, 2.0), step(3.0, 2.0)], "x")
    assert [row["epoch"] for row in rows] == [2.5, 2.5, 3.0, 3.0]


def test_the_validation_curve_starts_before_training():
    events = [step(0.5, 9.0), epoch(0, 0.5), epoch(1, 0.4), {"event": "sample", "epoch": 1}, epoch(2, 0.45)]
    assert validation_curve(events, "TI") == [
        {"epoch": 0, "loss": 0.5, "series": "TI"},
        {"epoch": 1, "loss": 0.4, "series": "TI"},
        {"epoch": 2, "loss": 0.45, "series": "TI"},
    ]
    assert validation_curve([], "TI") == []


def test_the_base_models_curve_spans_all_runs():
    runs = [[epoch(0, 0.5), epoch(1, 0.4)], [epoch(0, 0.6), epoch(1, 0.4), epoch(2, 0.3), epoch(3, 0.2)], []]
    assert base_model_curve(runs) == [
        {"epoch": 0, "loss": 0.5, "series": "Base model"},
        {"epoch": 3, "loss": 0.5, "series": "Base model"},
    ]
    assert base_model_curve([[epoch(0, 0.5, base=0.7)]], "bare") == [
        {"epoch": 0, "loss": 0.7, "series": "bare"},
        {"epoch": 1, "loss": 0.7, "series": "bare"},
    ]
    assert base_model_curve([]) == base_model_curve([[step(1.0, 1.0)]]) == []


def test_the_timestep_profile_is_the_change_in_percent():
    metrics = {"validation_timesteps": [50, 950], "best_per_timestep": [0.15, 0.5], "base_per_timestep": [0.2, 0.4]}
    assert timestep_profile(metrics, "LoRA") == [
        {"timestep": 50, "change": pytest.approx(-25), "series": "LoRA"},
        {"timestep": 950, "change": pytest.approx(25), "series": "LoRA"},
    ]
    assert timestep_profile({}, "LoRA") == []
