"""What the people of a soak find: a project with two trained methods, pictures, and a study that is open."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping

from ghibli_studio import blind_study, jobs, pictures
from ghibli_studio.config import PAPER_LANDMARKS, GenerationSettings, StudioError, preset
from ghibli_studio.sample import make_sample
from ghibli_studio.workspace import Project
from study.creating import Picture
from study.definition import Definition

LANDMARKS = 40
METHODS = ("lora", "ti")


def make(project: Project) -> Generator[str, None, Mapping[str, Picture]]:
    """Make it, saying what is being done; returns the picture behind each sha256 that the study serves."""
    yield f"painting {LANDMARKS} landmarks"
    for _ in make_sample(project, count=LANDMARKS):
        pass
    for method in METHODS:
        yield f"training {method}"
        run = jobs.submit(project, preset("quick", method, num_train_epochs=1))
        *_, status = jobs.watch(run)
        if status.state != "done":
            raise StudioError(f"run {run.id} is {status.state}: {status.message}")
    yield "drawing five landmarks"
    files = pictures.adapter_files(project, ("base", *METHODS))
    asked = pictures.requests_for_landmarks(project, PAPER_LANDMARKS)
    for _ in pictures.draw_set(project, asked, files, GenerationSettings(num_inference_steps=4)):
        pass
    yield "opening a study"
    blind_study.create_study(
        project, project.image_sets()[0].name,
        Definition.checked({"landmarks": PAPER_LANDMARKS, "participants": 1000}),
    )
    known = blind_study.study_of(project).pictures("rehearsal")
    blind_study.lock(project)
    return {hashlib.sha256(picture.data).hexdigest(): picture for picture in known}
