"""From a project to its study: usable sets and landmarks, the images of the study, and the study that is served."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from adapters.settings import StudioError
from ghibli_studio.data.dataset import load, to_json
from ghibli_studio.evaluation import blind_study
from ghibli_studio.generation.image_set import SET_FILE
from ghibli_studio.generation.metadata import METADATA_KEY
from ghibli_studio.workspace.files import write_json
from study import ORIGINS, StudyError
from study.analysis.preregistered import analysis_sha256
from study.design.blind_image import blind_copies
from study.design.definition import Definition
from study.store import Store
from tests.support.study_project import (
    OTHERS,
    add_set,
    generated_image,
    generation_metadata,
    study_project,
    with_dataset,
)
from tests.support.study_sample import LANDMARKS, png


@pytest.fixture
def project(workspace):
    return study_project(workspace)


def only_set(project):
    return project.image_sets()[0].name


def definition(**values):
    return Definition(landmarks=LANDMARKS, participants=6, **values)


def make(project, **values):
    return blind_study.create_study(project, only_set(project), definition(**values))


def refused(sentence, call, *arguments):
    with pytest.raises((StudioError, StudyError)) as error:
        call(*arguments)
    assert str(error.value) == sentence


def test_a_set_is_usable_if_it_has_five_landmarks_by_both_methods(project):
    oldest_first = [only_set(project)]
    add_set(project, LANDMARKS[:4])
    add_set(project, LANDMARKS, ("base", "lora"))
    oldest_first.append(add_set(project, [*LANDMARKS, OTHERS[0]], ("lora", "ti")))
    assert blind_study.usable_image_sets(project) == oldest_first[::-1]


def test_a_damaged_or_unfinished_set_does_not_hide_the_others(project):
    good = only_set(project)
    (project.image_set(add_set(project)) / SET_FILE).write_text("{")
    project.new_image_set()
    assert blind_study.usable_image_sets(project) == [good]


def test_landmarks_have_images_by_both_methods_and_held_out_ones_come_first(workspace):
    project = with_dataset(workspace.project("sample", new=True), trained=LANDMARKS[:1])
    name = add_set(project, [LANDMARKS[0], "a castle in the clouds", LANDMARKS[4], LANDMARKS[2], LANDMARKS[4]])
    assert blind_study.complete_landmarks(project, name) == [LANDMARKS[4], LANDMARKS[2], LANDMARKS[0]]
    (project.image_set(name) / "004-ti.png").unlink()  # the generation was stopped there
    assert blind_study.complete_landmarks(project, name) == [LANDMARKS[4], LANDMARKS[0]]


def test_all_images_of_a_study_come_from_the_project(project):
    images = blind_study.study_images(project, only_set(project), LANDMARKS)
    ids = {item.landmark: item.id for item in load(project).items}
    actual = [(image.role, image.landmark, image.origin, image.data.read_bytes(), image.metadata) for image in images]
    expected = []
    for landmark in LANDMARKS:
        expected.append(("photo", landmark, None, png(f"{landmark} photo", 64), {}))
        expected.append(("candidate", landmark, "original", png(f"{landmark} stylized", 64), {"item": ids[landmark]}))
        expected += [
            ("candidate", landmark, method, generated_image(landmark, method), generation_metadata(landmark, method))
            for method in ("lora", "ti")
        ]
    roles = ["reference"] * 4 + ["practice"] * 3
    expected += [
        (role, other, "original", png(f"{other} stylized", 64), {"item": ids[other]})
        for role, other in zip(roles, OTHERS)
    ]
    assert actual == expected


def test_other_landmarks_have_one_image_each_and_held_out_ones_come_first(workspace):
    others = ("Alhambra", "Alhambra", *OTHERS)
    project = with_dataset(workspace.project("sample", new=True), (*LANDMARKS, "Zwinger", "Zytglogge"), others)
    name = add_set(project)
    shown = [
        (image.role, image.landmark)
        for image in blind_study.study_images(project, name, LANDMARKS)
        if image.role in ("reference", "practice")
    ]
    assert shown == [
        ("reference", "Zwinger"),
        ("reference", "Zytglogge"),
        ("reference", "Alhambra"),
        ("reference", "Tower 0"),
        ("practice", "Tower 1"),
        ("practice", "Tower 2"),
        ("practice", "Tower 3"),
    ]


def test_a_landmark_that_was_trained_on_is_rejected(workspace):
    project = study_project(workspace, trained=LANDMARKS[2:3])
    refused(
        "both methods were trained on Petra; choose a landmark that was held out for validation",
        blind_study.study_images,
        project,
        only_set(project),
        LANDMARKS,
    )


def test_missing_parts_are_reported(workspace, project):
    name = only_set(project)
    refused(
        "the dataset has no landmark 'Petro'; choose one of its landmarks",
        blind_study.study_images,
        project,
        name,
        ["Petro"],
    )
    few = add_set(project, LANDMARKS[:2])
    refused(
        f"the set {few} lacks an image of Petra by LoRA or by TI; generate both in the Generate tab",
        blind_study.study_images,
        project,
        few,
        LANDMARKS,
    )
    bare = study_project(workspace, "bare", without_photo=LANDMARKS[:1])
    refused(
        "Big Ben has no photo; a study shows a photo beside the images",
        blind_study.study_images,
        bare,
        only_set(bare),
        LANDMARKS,
    )
    small = study_project(workspace, "small", others=OTHERS[:6])
    refused(
        "the dataset has 6 landmarks besides the five of the study; 7 are needed for the style sheet and the practice "
        "trials, so import more images",
        blind_study.study_images,
        small,
        only_set(small),
        LANDMARKS,
    )


def test_landmark_names_are_case_insensitive(project):
    names = [name.upper() for name in LANDMARKS]
    images = blind_study.study_images(project, only_set(project), names)
    assert [image.landmark for image in images if image.role == "photo"] == list(LANDMARKS)


def test_the_study_has_blind_copies_and_the_key_has_their_metadata(project):
    store = make(project)
    assert (store.folder, store.status().state, store.status().side) == (project.study, "draft", 32)
    with closing(sqlite3.connect(project.study / "key.db")) as key:
        origins = key.execute("SELECT stimulus, origin, source, metadata FROM origin").fetchall()
    with closing(sqlite3.connect(store.file)) as db:
        stimuli = {row[0]: row[1:] for row in db.execute("SELECT id, landmark, image FROM stimulus")}
    lora = {stimuli[stimulus][0]: json.loads(metadata) for stimulus, origin, _, metadata in origins if origin == "lora"}
    assert lora == {landmark: generation_metadata(landmark, "lora") for landmark in LANDMARKS}
    assert sorted({str(origin) for _, origin, _, _ in origins}) == sorted((*ORIGINS, "None"))
    # the copies have no metadata, original name or individual length
    (copy,) = blind_copies([generated_image("Petra", "ti")], 32)
    images = [stimuli[stimulus][1] for stimulus, origin, _, _ in origins if origin == "ti"]
    assert copy.data[:100] in {image[:100] for image in images}
    assert len({len(image) for _, image in stimuli.values()}) == 1
    assert METADATA_KEY.encode() not in b"".join(image for _, image in stimuli.values())


def test_a_study_overwrites_no_other(project):
    make(project)
    refused("there is already a study in this folder, study.db; choose another folder or move it", make, project)


def test_a_project_without_a_study_says_so(project):
    assert blind_study.open_study(project) is None
    for act in (blind_study.require_study, blind_study.lock_study, blind_study.archive_study):
        refused("project 'sample' has no study; create one first", act, project)


def test_a_study_is_locked_with_the_analysis(project):
    store = make(project)
    blind_study.lock_study(project)
    status = store.status()
    assert (status.state, status.analysis_sha256) == ("live", analysis_sha256())


def test_one_study_is_live_at_a_time(workspace, project):
    other = study_project(workspace, "other")
    for each in (project, other):
        make(each)
    blind_study.lock_study(other)
    refused(
        "project 'other' has a live study, and only one can be served; close that one first",
        blind_study.lock_study,
        project,
    )
    assert blind_study.require_study(project).status().state == "draft"
    blind_study.require_study(other).close()
    blind_study.lock_study(project)
    assert blind_study.require_study(project).status().state == "live"


def test_a_draft_is_archived_completely_and_makes_room(project):
    created = make(project, seed=1).status().created_at
    folder = blind_study.archive_study(project)
    assert folder == project.folder / f"study-{created[:19].replace(':', '')}"
    assert Store(folder).definition().seed == 1
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".db") == ["key.db", "study.db"]
    assert blind_study.open_study(project) is None
    assert make(project, seed=2).definition().seed == 2


def test_a_closed_study_is_archived_but_not_a_live_one(project):
    store = make(project)
    blind_study.lock_study(project)
    refused(
        "the study is live; close it first, because participants may still be answering",
        blind_study.archive_study,
        project,
    )
    assert store.status().state == "live"
    store.close()
    assert Store(blind_study.archive_study(project)).status().state == "closed"


def test_an_archived_study_overwrites_no_other(project):
    created = make(project).status().created_at
    (project.folder / f"study-{created[:19].replace(':', '')}" / "x").mkdir(parents=True)
    with pytest.raises(StudioError):
        blind_study.archive_study(project)
    assert blind_study.require_study(project).status().state == "draft"


def test_participants_see_the_live_study_else_the_newest(workspace, project, monkeypatch):
    refused("there is no study yet; create one in the Study tab", blind_study.served_study, workspace)
    other = study_project(workspace, "other")
    times = iter(range(1_700_000_000_000, 1_800_000_000_000, 1000))
    monkeypatch.setattr("study.store.create.__defaults__", (lambda: next(times),))
    make(other)
    make(project)

    def served():
        return blind_study.served_study(workspace).folder

    assert served() == project.study
    blind_study.lock_study(other)
    assert served() == other.study
    blind_study.require_study(other).close()
    assert served() == project.study
    shutil.rmtree(project.study)
    assert served() == other.study


def test_a_damaged_dataset_is_reported(project):
    manifest = to_json(load(project))
    write_json(project.manifest_file, {**manifest, "items": [{}]})
    with pytest.raises(StudioError, match=r"manifest\.json is damaged"):
        blind_study.study_images(project, only_set(project), LANDMARKS)
