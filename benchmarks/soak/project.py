"""What the people of a soak find: a project with two trained methods, pictures, and a study that is open."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data.sample_dataset import make_sample
from ghibli_studio.evaluation import blind_study
from ghibli_studio.generation import image_set, model_choice
from ghibli_studio.jobs import queue
from ghibli_studio.jobs import status as job_status
from ghibli_studio.workspace.project import Project
from study.design.definition import Definition
from study.design.spec import Picture

LANDMARKS = 40
METHODS = ("lora", "ti")


def make(project: Project) -> Generator[str, None, Mapping[str, Picture]]:
    """Make it, saying what is being done; returns the picture behind each sha256 that the study serves."""
    yield f"painting {LANDMARKS} landmarks"
    for _ in make_sample(project, count=LANDMARKS):
        pass
    for method in METHODS:
        yield f"training {method}"
        run = queue.submit(project, preset("quick", method, num_train_epochs=1))
        *_, status = job_status.watch(run)
        if status.state != "done":
            raise StudioError(f"run {run.id} is {status.state}: {status.message}")
    yield "drawing five landmarks"
    files = model_choice.adapter_files(project, ("base", *METHODS))
    asked = image_set.requests_for_landmarks(project, PAPER_LANDMARKS)
    for _ in image_set.draw_set(project, asked, files, GenerationSettings(num_inference_steps=4)):
        pass
    yield "opening a study"
    blind_study.create_study(
        project, project.image_sets()[0].name, Definition.checked({"landmarks": PAPER_LANDMARKS, "participants": 1000})
    )
    known = blind_study.study_of(project).pictures("rehearsal")
    blind_study.lock(project)
    return {hashlib.sha256(picture.data).hexdigest(): picture for picture in known}
