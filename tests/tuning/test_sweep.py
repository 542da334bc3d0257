"""Sweeps: every combination of settings once, each method with the settings that it has, and several seeds."""

import pytest

from adapters.settings import StudioError
from ghibli_studio.config.training import preset
from ghibli_studio.tuning.sweep import has_setting, parse_grid, plan, settings_by_method, split_lines, with_seeds


def planned(methods, texts, seeds=1, changes=None):
    return plan("quick", methods, changes or {}, parse_grid(texts), seeds)


def test_values_are_parsed_by_their_type():
    assert parse_grid(
        [
            "rank=4,8, 16",
            "learning_rate = 1e-3,0.002",
            "timestep_sampling=cubic,uniform",
            "snr_gamma=null,5",
            'target_modules=[["to_q"],["to_q","to_k"]]',
        ]
    ) == {
        "rank": [4, 8, 16],
        "learning_rate": [1e-3, 2e-3],
        "timestep_sampling": ["cubic", "uniform"],
        "snr_gamma": [None, 5],
        "target_modules": [["to_q"], ["to_q", "to_k"]],
    }
    assert split_lines("rank=4,8; learning_rate=1e-3\n\n seed=1 ") == ["rank=4,8", " learning_rate=1e-3", " seed=1 "]


def test_every_combination_is_a_run_and_one_seed_is_finished_before_the_next():
    runs = planned(["lora"], ["rank=4,8", "learning_rate=1e-3,2e-3"], "5,1")
    assert [(c.training.seed, c.adapter.rank, c.adapter.learning_rate) for c in runs] == [
        (seed, rank, rate) for seed in (5, 1) for rank in (4, 8) for rate in (1e-3, 2e-3)
    ]
    assert {c.preset for c in runs} == {"quick"}


def test_a_method_uses_only_the_settings_that_it_has():
    runs = planned(["lora", "ti"], ["rank=4,8", "train_batch_size=1,2"])
    assert [(c.method, getattr(c.adapter, "rank", None), c.training.train_batch_size) for c in runs] == [
        ("lora", 4, 1),
        ("ti", None, 1),
        ("lora", 4, 2),
        ("ti", None, 2),
        ("lora", 8, 1),
        ("lora", 8, 2),
    ]


def test_shared_settings_are_the_same_for_both_methods():
    runs = planned(["lora", "ti"], ["snr_gamma=1,5", "num_train_epochs=2,4"], 2)
    shared = {
        method: [(c.training, c.adapter.num_train_epochs) for c in runs if c.method == method]
        for method in ("lora", "ti")
    }
    assert shared["lora"] == shared["ti"]
    assert len(shared["ti"]) == 8


def test_a_setting_can_be_for_one_method():
    runs = planned(["lora", "ti"], ["lora.learning_rate=1e-3,2e-3", "ti.learning_rate=5e-3"])
    assert [(c.method, c.adapter.learning_rate) for c in runs] == [("lora", 1e-3), ("ti", 5e-3), ("lora", 2e-3)]


def test_the_grid_overrides_the_changes():
    runs = planned(["lora"], ["rank=4"], changes={"lora": {"rank": 2, "adapter.lora_alpha": 3}})
    assert [(c.adapter.rank, c.adapter.lora_alpha) for c in runs] == [(4, 3)]


def test_without_a_grid_there_is_one_run_per_method():
    assert [c.method for c in planned(["lora", "ti"], [])] == ["lora", "ti"]


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["rank"], "grid 'rank' is not NAME=VALUES; write it like rank=4,8,16"),
        (["rank="], "grid 'rank=' is not NAME=VALUES; write it like rank=4,8,16"),
        (["rank=4", "rank=8"], "grid has 'rank' twice; put all its values in one NAME=VALUES"),
        (["rank=4,8,4"], "grid 'rank' has the value 4 twice; list each value once"),
        (["rnk=4"], "lora and ti have no setting 'rnk'; did you mean 'rank'?"),
        (["seed=1,2"], "grid has 'seed'; use the seeds option instead: a number of seeds, or a list like 1,5,9"),
        (["rank=0"], "rank is 0; it must be greater than or equal to 1"),
        (
            ["rank=" + ",".join(map(str, range(1, 202)))],
            "the grid has 202 runs; the limit is 200, so use fewer values or seeds",
        ),
    ],
)
def test_a_wrong_grid_is_refused_in_one_sentence(texts, sentence):
    with pytest.raises(StudioError) as caught:
        planned(["lora", "ti"], texts)
    assert str(caught.value) == sentence


def test_settings_for_several_methods_are_given_to_the_methods_that_have_them():
    values = {"rank": 2, "seed": 3, "ti.num_vectors": 2}
    assert settings_by_method(values, ["lora", "ti"]) == {
        "lora": {"rank": 2, "seed": 3},
        "ti": {"seed": 3, "adapter.num_vectors": 2},
    }
    with pytest.raises(StudioError, match="lora and ti have no setting 'rnk'"):
        settings_by_method({"rnk": 2}, ["lora", "ti"])
    assert not has_setting("ti.rank", "lora")
    assert not has_setting("training.rank", "lora")
    assert has_setting("training.seed", "ti")
    assert has_setting("adapter.rank", "lora")


def test_seeds_count_up_from_the_configurations_own_and_nothing_else_changes():
    config = preset("quick", "ti", seed=7, num_vectors=3)
    several = with_seeds(config, 3)
    assert [each.training.seed for each in several] == [7, 8, 9]
    assert several[0] == config
    assert with_seeds(several[2], 1) == with_seeds(preset("quick", "ti", seed=9, num_vectors=3), 1.0)


@pytest.mark.parametrize("count", [0, -1, 101, 2.5, None, True, "", "x", "2.5", "-3", "101"])
def test_a_number_of_seeds_out_of_bounds_is_refused(count):
    with pytest.raises(StudioError) as caught:
        with_seeds(preset("quick", "lora"), count)
    assert str(caught.value) == (
        f"seeds is {count}; it must be the number of runs to queue, from 1 to 100, or a list of seeds like 1,5,9"
    )


def test_seeds_can_be_listed():
    config = preset("quick", "ti", seed=7)
    texts = {"3": [7, 8, 9], " 3 ": [7, 8, 9], "1,5,9": [1, 5, 9], "9, 1": [9, 1], "5,": [5]}
    assert {text: [each.training.seed for each in with_seeds(config, text)] for text in texts} == texts


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,x", "seeds has 'x'; a seed must be a whole number from 0 to 2147483647"),
        ("1,,2", "seeds has ''; a seed must be a whole number from 0 to 2147483647"),
        (",", "seeds has ''; a seed must be a whole number from 0 to 2147483647"),
        ("1,2147483648", "seeds has '2147483648'; a seed must be a whole number from 0 to 2147483647"),
        ("4,5,4", "seeds has 4 twice; list each seed once"),
        (",".join(map(str, range(101))), "seeds has 101 seeds; at most 100 can be queued at once"),
    ],
)
def test_a_list_without_valid_seeds_is_refused(text, sentence):
    with pytest.raises(StudioError) as caught:
        with_seeds(preset("quick", "lora"), text)
    assert str(caught.value) == sentence


def test_the_largest_seed_is_a_bound_too():
    config = preset("quick", "lora", seed=2**31 - 2)
    assert [each.training.seed for each in with_seeds(config, 2)] == [2**31 - 2, 2**31 - 1]
    with pytest.raises(StudioError) as caught:
        with_seeds(config, 3)
    assert str(caught.value) == "seeds is 3 from seed 2147483646 up; the largest seed is 2147483647, so start lower"
