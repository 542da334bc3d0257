"""The soak sees what it is there to see: damage, loss, growth. What it finds on a real page is told by running it."""

import pytest

from benchmarks.soak.__main__ import _growth
from benchmarks.soak.integrity import losses
from benchmarks.soak.server import Sample
from ghibli_studio.config.training import preset
from ghibli_studio.evaluation import blind_study
from study.design.definition import Definition
from study.simulation.participant import Acknowledged, Simulated
from tests.support.study_project import studied
from tests.support.study_sample import LANDMARKS


@pytest.fixture
def sample(workspace):
    project = studied(workspace)
    blind_study.create_study(project, project.image_sets()[0].name, Definition.checked({"landmarks": LANDMARKS}))
    blind_study.lock(project)
    return project


def test_nothing_is_lost_where_nothing_is_missing(sample):
    assert list(losses(sample.workspace, sample, Simulated(1))) == []


def test_a_broken_picture_a_missing_epoch_and_a_lost_answer_are_told(sample):
    picture = next(sample.image_sets()[0].glob("*-lora.png"))
    picture.write_bytes(picture.read_bytes()[:-200])
    run = sample.new_run(preset("quick", "lora"))
    run.progress_file.write_text('{"event": "epoch", "epoch": 2}\n')
    walked = Simulated(1, codes=[("COMPLETED", "WITHDRAWN")], answers=[Acknowledged(0, "trial", "response", "1")])
    told = "\n".join(losses(sample.workspace, sample, walked))
    assert f"{picture} cannot be read any more" in told
    assert f"{run.folder} tells of the epochs [2], and their adapters are not there" in told
    assert f"{run.adapter_file} cannot be read any more: there is no adapter file" in told
    assert "1 people finished the study and are not in it" in told
    assert "1 answers were acknowledged and 0 are in" in told


def test_growth_is_that_of_the_last_life_after_it_has_warmed_up():
    def sample_at(seconds, life, memory):
        return Sample(seconds, life, memory, 30, 10, 1.0, 1.0)

    steep = [sample_at(second, 1, 900) for second in range(60)]
    steep += [sample_at(second, 2, 100 + second) for second in range(60, 100)]
    assert _growth(steep, 100) == {"memory": pytest.approx(26 / 167, abs=1e-4), "files": 0, "threads": 0}
    assert _growth(steep[:1], 100) == {}
