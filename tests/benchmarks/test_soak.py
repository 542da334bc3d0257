"""The soak test detects damage, loss and growth; running it on a real page is not tested here."""

import pytest

from benchmarks.soak.__main__ import _growth
from benchmarks.soak.integrity import find_damage
from benchmarks.soak.server import Sample
from ghibli_studio.config.training import preset
from ghibli_studio.evaluation import blind_study
from study.design.definition import Definition
from study.simulation.participant import AcknowledgedAnswer, SimulationLog
from tests.support.study_project import study_project
from tests.support.study_sample import LANDMARKS


@pytest.fixture
def sample(workspace):
    project = study_project(workspace)
    blind_study.create_study(project, project.image_sets()[0].name, Definition.checked({"landmarks": LANDMARKS}))
    blind_study.lock_study(project)
    return project


def test_an_intact_workspace_has_no_damage(sample):
    assert list(find_damage(sample.workspace, sample, SimulationLog(1))) == []


def test_a_broken_image_a_missing_epoch_and_a_lost_answer_are_reported(sample):
    image = next(sample.image_sets()[0].glob("*-lora.png"))
    image.write_bytes(image.read_bytes()[:-200])
    run = sample.new_run(preset("quick", "lora"))
    run.progress_file.write_text('{"event": "epoch", "epoch": 2}\n')
    log = SimulationLog(
        1, codes=[("COMPLETED", "WITHDRAWN")], answers=[AcknowledgedAnswer(0, "trial", "response", "1")]
    )
    report = "\n".join(find_damage(sample.workspace, sample, log))
    assert f"{image} cannot be read" in report
    assert f"{run.folder} reports the epochs [2], but their adapters are missing" in report
    assert f"{run.adapter_file} cannot be read: there is no adapter file" in report
    assert "1 participants finished the study and are not in it" in report
    assert "1 answers were acknowledged and 0 are in" in report


def test_growth_is_measured_after_the_last_start_and_the_warm_up():
    def sample_at(seconds, start_number, memory):
        return Sample(seconds, start_number, memory, 30, 10, 1.0, 1.0)

    steep = [sample_at(second, 1, 900) for second in range(60)]
    steep += [sample_at(second, 2, 100 + second) for second in range(60, 100)]
    assert _growth(steep, 100) == {"memory": pytest.approx(26 / 167, abs=1e-4), "files": 0, "threads": 0}
    assert _growth(steep[:1], 100) == {}
