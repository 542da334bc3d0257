"""The benchmark runs and reports its results, and its arithmetic is right; the times measured here mean nothing."""

import json

import pytest

from benchmarks import sd15, timing
from benchmarks.__main__ import main
from benchmarks.growth import Growth
from benchmarks.suite import forward_flop, sampling_roofline, training_roofline
from benchmarks.timing import Row


def test_quick_runs_every_arm_of_every_task(tiny_folder, tmp_path, capsys):
    file = tmp_path / "benchmark.json"
    arms = "reference,cached,ours,ours-float32"
    assert main(["--device", "cpu", "--model", str(tiny_folder), "--arms", arms, "--quick", "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert [(row["task"], row["batch"], row["arm"]) for row in report["rows"]] == [
        (task, 1, arm) for task in ("lora", "ti", "sampling") for arm in arms.split(",")
    ]
    assert all(row["seconds"] > 0 and row["share_of_roofline"] > 0 for row in report["rows"])
    assert [growth["method"] for growth in report["growth"]] == ["lora", "ti"]
    assert report["facts"]["forward_flop"] > 0
    printed = capsys.readouterr().out
    assert printed.count("x reference") == 9
    assert "| lora | 1 |" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "lora,nothing"], "'nothing' is unknown; choose from lora, ti, sampling, growth"),
        (["--batches", "1,0"], "'1,0' must be whole numbers from 1 up"),
    ],
)
def test_a_wrong_option_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_wrong_setting_is_reported_in_one_sentence(tiny_folder, tmp_path, capsys):
    arguments = ["--device", "cpu", "--model", str(tiny_folder), "--quick", "--tasks", "lora", "--arms", "ours"]
    assert main([*arguments, "--set", "rnak=2", "--json", str(tmp_path / "it.json")]) == 1
    assert capsys.readouterr().err == "error: there is no setting 'rnak'; did you mean 'rank'?\n"


def test_the_base_model_is_unchanged_afterward(tiny, tmp_path):
    from benchmarks import studio

    before = {name: weight.clone() for name, weight in tiny.host.unet.state_dict().items()}
    durations = studio.training(tiny, "lora", 2, images=4, changes={"rank": 2})
    assert all(next(durations) > 0 for _ in range(3))
    durations.close()
    after = tiny.host.unet.state_dict()
    assert after.keys() == before.keys()
    assert all((after[name] == before[name]).all() for name in before)


def test_arms_take_turns_on_a_cpu_and_the_median_counts():
    import torch

    turns = []

    def arm(name, values):
        for value in values:
            turns.append(name)
            yield value

    arms = {"one": lambda: arm("one", [9.0, 1.0, 2.0, 3.0]), "two": lambda: arm("two", [9.0, 4.0, 4.0, 8.0])}
    rows = list(timing.timed("lora", 2, arms, torch.device("cpu"), 0.5, warm=1, count=3))
    assert turns == ["one", "two"] * 4
    assert [(row.arm, row.seconds, row.images_per_second, row.share_of_roofline) for row in rows] == [
        ("one", 2.0, 1.0, 0.25),
        ("two", 4.0, 0.5, 0.125),
    ]


def test_the_table_compares_ours_with_each_arm():
    rows = [Row("ti", 1, arm, s, 1 / s, None, 0.05) for arm, s in (("reference", 0.4), ("tuned", 0.1), ("ours", 0.2))]
    assert timing.ratio(rows, rows[2], "reference") == 2
    assert timing.table(rows).splitlines()[2] == "| ti | 1 | 400.0 | 100.0 | 200.0 | 2.00x | 0.50x | 25% |"
    assert timing.line(rows, rows[2]).endswith("25% of the roofline  2.00x reference  0.50x tuned")


def test_the_roofline_counts_the_work_of_a_network(tiny):
    import torch

    from ghibli_studio.models.description import Description

    assert forward_flop(tiny) > 0
    assert training_roofline(100, 50.0, 4) == 16
    assert sampling_roofline(100, 50.0, 2, 25) == 200
    assert isinstance(tiny.description, Description)
    assert tiny.dtype == torch.float32


def test_tensors_are_counted_while_they_are_alive():
    import torch

    from benchmarks.memory import count_bytes

    with torch.device("meta"), count_bytes() as held:
        start = torch.ones(1000).requires_grad_(True)
        total = (start * start).exp().sin().sum()
    # the square is freed; the exponential is kept for the backward pass, once
    assert held == {"now": 8004, "peak": 12004}
    assert total.requires_grad


def test_a_budget_falls_with_checkpointing_and_grows_with_the_batch():
    from benchmarks.memory import budget

    one, two, checkpointed = budget("lora", 1), budget("lora", 2), budget("lora", 1, checkpointing=True)
    assert one.weights == 2 * 859_520_964 + 2 * 83_653_863 + 4 * 123_060_480 + 616  # 616: the position ids
    assert one.adapter == 3 * 4 * 1_594_368
    assert two.activations == pytest.approx(2 * one.activations, rel=0.01)
    assert checkpointed.activations < one.activations / 3
    assert checkpointed.weights == one.weights


@pytest.mark.parametrize("card", [8, 12])
def test_the_largest_batch_is_the_last_that_fits(card):
    from benchmarks.memory import GB, budget, largest_batch

    batch = largest_batch("lora", card, checkpointing=False)
    assert budget("lora", batch).total <= card * GB < budget("lora", batch + 1).total
    assert largest_batch("lora", 2, checkpointing=False) == 0


def test_growth_is_reported_in_one_line():
    text = str(Growth("lora", 10, 0.1, 1.02, 0.99, 1.0, 2**20))
    assert text == (
        "lora: 100.0 ms per step over 10 steps; 10x data +2.0%, after 9000 epochs -1.0%, second half +0.0%; "
        "memory +1.0 MiB from the middle to the end"
    )


def test_full_size_is_the_published_architecture():
    """Counted on tensors without data; a slow test trains it."""
    import torch

    with torch.device("meta"):
        assert {part: sd15.count(sd15.build(part)) for part in sd15.PARAMETERS} == sd15.PARAMETERS
