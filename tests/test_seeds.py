"""Runs that differ in their seed alone: made, and found again."""

import pytest

from ghibli_studio.config import StudioError, preset
from ghibli_studio.seeds import groups, with_seeds
from tests.written_runs import written

LOSSES = [[0.5, 0.5], [0.4, 0.4]]


def test_seeds_go_up_from_the_configurations_own_and_nothing_else_changes():
    config = preset("quick", "ti", seed=7, num_vectors=3)
    several = with_seeds(config, 3)
    assert [one.training.seed for one in several] == [7, 8, 9]
    assert several[0] == config
    assert with_seeds(several[2], 1) == with_seeds(preset("quick", "ti", seed=9, num_vectors=3), 1.0)


@pytest.mark.parametrize("count", [0, -1, 101, 2.5, None, True, "3"])
def test_a_count_out_of_bounds_is_told(count):
    with pytest.raises(StudioError) as caught:
        with_seeds(preset("quick", "lora"), count)
    assert str(caught.value) == f"seeds is {count}; it is how many runs to queue, a whole number from 1 to 100"


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
        ("LoRA", "lora", (first, second)), ("TI", "ti", (ti,)),
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
