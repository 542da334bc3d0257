"""Runs that differ in their seed alone: made, and found again."""

import pytest

from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.training.run_group import groups, names_of
from ghibli_studio.tuning.sweep import with_seeds
from tests.support.written_runs import written

LOSSES = [[0.5, 0.5], [0.4, 0.4]]


def test_seeds_go_up_from_the_configurations_own_and_nothing_else_changes():
    config = preset("quick", "ti", seed=7, num_vectors=3)
    several = with_seeds(config, 3)
    assert [one.training.seed for one in several] == [7, 8, 9]
    assert several[0] == config
    assert with_seeds(several[2], 1) == with_seeds(preset("quick", "ti", seed=9, num_vectors=3), 1.0)


@pytest.mark.parametrize("count", [0, -1, 101, 2.5, None, True, "", "x", "2.5", "-3", "101"])
def test_a_count_out_of_bounds_is_told(count):
    with pytest.raises(StudioError) as caught:
        with_seeds(preset("quick", "lora"), count)
    assert str(caught.value) == (
        f"seeds is {count}; it is how many runs to queue, a whole number from 1 to 100, "
        "or the seeds themselves, as 1,5,9"
    )


def test_seeds_can_be_named():
    config = preset("quick", "ti", seed=7)
    texts = {"3": [7, 8, 9], " 3 ": [7, 8, 9], "1,5,9": [1, 5, 9], "9, 1": [9, 1], "5,": [5]}
    assert {text: [one.training.seed for one in with_seeds(config, text)] for text in texts} == texts


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,x", "seeds holds 'x'; a seed is a whole number from 0 to 2147483647"),
        ("1,,2", "seeds holds ''; a seed is a whole number from 0 to 2147483647"),
        (",", "seeds holds ''; a seed is a whole number from 0 to 2147483647"),
        ("1,2147483648", "seeds holds '2147483648'; a seed is a whole number from 0 to 2147483647"),
        ("4,5,4", "seeds names 4 twice; name each once"),
        (",".join(map(str, range(101))), "seeds names 101 seeds; at most 100 can be queued at once"),
    ],
)
def test_a_list_that_holds_no_seeds_is_told(text, sentence):
    with pytest.raises(StudioError) as caught:
        with_seeds(preset("quick", "lora"), text)
    assert str(caught.value) == sentence


def test_the_last_seed_is_a_bound_too():
    config = preset("quick", "lora", seed=2**31 - 2)
    assert [one.training.seed for one in with_seeds(config, 2)] == [2**31 - 2, 2**31 - 1]
    with pytest.raises(StudioError) as caught:
        with_seeds(config, 3)
    assert str(caught.value) == "seeds is 3 from seed 2147483646 on; the last seed there is, is 2147483647"


def test_runs_are_grouped_by_everything_but_the_seed(workspace):
    project = workspace.project("p", new=True)
    second = written(project, LOSSES, config={"seed": 2})
    ti = written(project, LOSSES, "ti")
    first = written(project, LOSSES, config={"seed": 1})
    project.new_run(preset("quick", "lora"))  # has no epoch yet
    found = groups(project.runs())
    assert {(group.name, group.method, group.runs) for group in found} == {
        ("LoRA", "lora", (first, second)),
        ("TI", "ti", (ti,)),
    }
    assert next(group.seeds for group in found if group.method == "lora") == [1, 2]
    again = written(project, LOSSES, config={"seed": 1})
    assert groups([first, again])[0].runs == (again,)


def test_groups_of_one_method_are_called_by_what_differs(workspace):
    project = workspace.project("p", new=True)
    runs = [written(project, LOSSES, config={"rank": rank, "seed": seed}) for rank in (4, 8) for seed in (0, 1)]
    runs.append(written(project, LOSSES, "ti"))
    assert [group.name for group in groups(runs)] == ["LoRA (rank 4)", "LoRA (rank 8)", "TI"]
    other = written(project, LOSSES, "ti", dataset="another")
    assert [group.name for group in groups([runs[-1], other])] == [f"TI, run {runs[-1].id}", f"TI, run {other.id}"]
    older = [written(project, LOSSES, "ti", dataset=None, base=base) for base in (0.5, 0.6)]
    assert len(groups(older)) == 2


def test_runs_are_called_by_all_that_tells_them_apart(workspace):
    project = workspace.project("p", new=True)
    runs = [written(project, LOSSES, config={"rank": rank, "seed": seed}) for rank in (4, 8) for seed in (0, 1)]
    runs.append(written(project, LOSSES, "ti"))
    assert names_of(runs) == [
        "LoRA (rank 4, seed 0)",
        "LoRA (rank 4, seed 1)",
        "LoRA (rank 8, seed 0)",
        "LoRA (rank 8, seed 1)",
        "TI",
    ]
    assert names_of(runs[:1]) == ["LoRA"]
    again = written(project, LOSSES, "ti")
    assert names_of([runs[-1], again]) == [f"TI, {runs[-1].id[9:15]}", f"TI, {again.id[9:15]}"]
