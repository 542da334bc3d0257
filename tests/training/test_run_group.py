"""Groups of runs that differ only in their seed, and the names of runs."""

from ghibli_studio.config.training import preset
from ghibli_studio.training.run_group import groups, run_names
from tests.support.written_runs import write_run

LOSSES = [[0.5, 0.5], [0.4, 0.4]]


def test_runs_are_grouped_by_everything_but_the_seed(workspace):
    project = workspace.project("p", new=True)
    second = write_run(project, LOSSES, config={"seed": 2})
    ti = write_run(project, LOSSES, "ti")
    first = write_run(project, LOSSES, config={"seed": 1})
    project.new_run(preset("quick", "lora"))  # has no finished epoch
    result = groups(project.runs())
    assert {(group.name, group.method, group.runs) for group in result} == {
        ("LoRA", "lora", (first, second)),
        ("TI", "ti", (ti,)),
    }
    assert next(group.seeds for group in result if group.method == "lora") == [1, 2]
    again = write_run(project, LOSSES, config={"seed": 1})
    assert groups([first, again])[0].runs == (again,)


def test_groups_of_one_method_are_named_by_the_settings_that_differ(workspace):
    project = workspace.project("p", new=True)
    runs = [write_run(project, LOSSES, config={"rank": rank, "seed": seed}) for rank in (4, 8) for seed in (0, 1)]
    runs.append(write_run(project, LOSSES, "ti"))
    assert [group.name for group in groups(runs)] == ["LoRA (rank 4)", "LoRA (rank 8)", "TI"]
    other = write_run(project, LOSSES, "ti", dataset="another")
    assert [group.name for group in groups([runs[-1], other])] == [f"TI, run {runs[-1].id}", f"TI, run {other.id}"]
    older = [write_run(project, LOSSES, "ti", dataset=None, base=base) for base in (0.5, 0.6)]
    assert len(groups(older)) == 2


def test_runs_are_named_by_everything_that_differs(workspace):
    project = workspace.project("p", new=True)
    runs = [write_run(project, LOSSES, config={"rank": rank, "seed": seed}) for rank in (4, 8) for seed in (0, 1)]
    runs.append(write_run(project, LOSSES, "ti"))
    assert run_names(runs) == [
        "LoRA (rank 4, seed 0)",
        "LoRA (rank 4, seed 1)",
        "LoRA (rank 8, seed 0)",
        "LoRA (rank 8, seed 1)",
        "TI",
    ]
    assert run_names(runs[:1]) == ["LoRA"]
    again = write_run(project, LOSSES, "ti")
    assert run_names([runs[-1], again]) == [f"TI, {runs[-1].id[9:15]}", f"TI, {again.id[9:15]}"]
