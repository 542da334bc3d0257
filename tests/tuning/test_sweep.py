"""A grid of settings as runs: every combination once, each method with the settings that it has."""

import pytest

from adapters.settings import StudioError
from ghibli_studio.tuning.sweep import belongs, for_each, lines_of, plan, read_grid


def planned(methods, texts, seeds=1, changes=None):
    return plan("quick", methods, changes or {}, read_grid(texts), seeds)


def test_values_are_read_as_what_they_are():
    assert read_grid(
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
    assert lines_of("rank=4,8; learning_rate=1e-3\n\n seed=1 ") == ["rank=4,8", " learning_rate=1e-3", " seed=1 "]


def test_every_combination_is_a_run_and_a_seed_comes_whole_before_the_next():
    runs = planned(["lora"], ["rank=4,8", "learning_rate=1e-3,2e-3"], "5,1")
    assert [(c.training.seed, c.adapter.rank, c.adapter.learning_rate) for c in runs] == [
        (seed, rank, rate) for seed in (5, 1) for rank in (4, 8) for rate in (1e-3, 2e-3)
    ]
    assert {c.preset for c in runs} == {"quick"}


def test_a_method_takes_part_where_it_has_the_setting():
    runs = planned(["lora", "ti"], ["rank=4,8", "train_batch_size=1,2"])
    assert [(c.method, getattr(c.adapter, "rank", None), c.training.train_batch_size) for c in runs] == [
        ("lora", 4, 1),
        ("ti", None, 1),
        ("lora", 4, 2),
        ("ti", None, 2),
        ("lora", 8, 1),
        ("lora", 8, 2),
    ]


def test_what_is_switched_on_for_one_method_is_on_for_the_other():
    runs = planned(["lora", "ti"], ["snr_gamma=1,5", "num_train_epochs=2,4"], 2)
    shared = {
        method: [(c.training, c.adapter.num_train_epochs) for c in runs if c.method == method]
        for method in ("lora", "ti")
    }
    assert shared["lora"] == shared["ti"]
    assert len(shared["ti"]) == 8


def test_a_setting_can_be_meant_for_one_method():
    runs = planned(["lora", "ti"], ["lora.learning_rate=1e-3,2e-3", "ti.learning_rate=5e-3"])
    assert [(c.method, c.adapter.learning_rate) for c in runs] == [("lora", 1e-3), ("ti", 5e-3), ("lora", 2e-3)]


def test_the_grid_goes_over_the_changes():
    runs = planned(["lora"], ["rank=4"], changes={"lora": {"rank": 2, "adapter.lora_alpha": 3}})
    assert [(c.adapter.rank, c.adapter.lora_alpha) for c in runs] == [(4, 3)]


def test_no_grid_is_one_run_a_method():
    assert [c.method for c in planned(["lora", "ti"], [])] == ["lora", "ti"]


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["rank"], "grid 'rank' does not say NAME=VALUES; write it as rank=4,8,16"),
        (["rank="], "grid 'rank=' does not say NAME=VALUES; write it as rank=4,8,16"),
        (["rank=4", "rank=8"], "grid names 'rank' twice; put all its values behind one name"),
        (["rank=4,8,4"], "grid 'rank' has the value 4 twice; name each once"),
        (["rnk=4"], "lora and ti have no setting 'rnk'; did you mean 'rank'?"),
        (["seed=1,2"], "grid names 'seed'; give the seeds by themselves: how many, or 1,5,9"),
        (["rank=0"], "rank is 0; it must be greater than or equal to 1"),
        (
            ["rank=" + ",".join(map(str, range(1, 202)))],
            "the grid asks for 202 runs; take fewer values or seeds, at most 200 runs",
        ),
    ],
)
def test_wrong_grids_get_one_sentence(texts, sentence):
    with pytest.raises(StudioError) as caught:
        planned(["lora", "ti"], texts)
    assert str(caught.value) == sentence


def test_settings_for_several_methods_go_to_those_that_have_them():
    values = {"rank": 2, "seed": 3, "ti.num_vectors": 2}
    assert for_each(values, ["lora", "ti"]) == {
        "lora": {"rank": 2, "seed": 3},
        "ti": {"seed": 3, "adapter.num_vectors": 2},
    }
    with pytest.raises(StudioError, match="lora and ti have no setting 'rnk'"):
        for_each({"rnk": 2}, ["lora", "ti"])
    assert not belongs("ti.rank", "lora")
    assert not belongs("training.rank", "lora")
    assert belongs("training.seed", "ti")
    assert belongs("adapter.rank", "lora")
