"""From a project to its study: which sets and landmarks will do, which pictures go in, and which study is served."""

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from adapters.settings import StudioError
from ghibli_studio.data.dataset import load, to_json
from ghibli_studio.evaluation import blind_study
from ghibli_studio.generation.image_set import SET_FILE
from ghibli_studio.workspace.files import write_json
from study import ORIGINS, StudyError
from study.analysis.preregistered import analysis_sha256
from study.design.blind_image import blind
from study.design.definition import Definition
from study.store import Store
from tests.support.study_project import OTHERS, add_set, picture, recipe, studied, with_dataset
from tests.support.study_sample import LANDMARKS, png


@pytest.fixture
def project(workspace):
    return studied(workspace)


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


def test_a_set_is_usable_if_both_methods_drew_five_landmarks(project):
    newest_last = [only_set(project)]
    add_set(project, LANDMARKS[:4])
    add_set(project, LANDMARKS, ("base", "lora"))
    newest_last.append(add_set(project, [*LANDMARKS, OTHERS[0]], ("lora", "ti")))
    assert blind_study.usable_sets(project) == newest_last[::-1]


def test_a_set_that_is_damaged_or_just_begun_does_not_hide_the_others(project):
    good = only_set(project)
    (project.image_set(add_set(project)) / SET_FILE).write_text("{")
    project.new_image_set()
    assert blind_study.usable_sets(project) == [good]


def test_landmarks_are_those_drawn_by_both_methods_held_out_ones_first(workspace):
    project = with_dataset(workspace.project("sample", new=True), trained=LANDMARKS[:1])
    name = add_set(project, [LANDMARKS[0], "a castle in the clouds", LANDMARKS[4], LANDMARKS[2], LANDMARKS[4]])
    assert blind_study.landmarks_of(project, name) == [LANDMARKS[4], LANDMARKS[2], LANDMARKS[0]]
    (project.image_set(name) / "004-ti.png").unlink()  # the drawing was stopped there
    assert blind_study.landmarks_of(project, name) == [LANDMARKS[4], LANDMARKS[0]]


def test_all_pictures_of_a_study_are_the_projects_own(project):
    made = blind_study.pictures_for(project, only_set(project), LANDMARKS)
    ids = {item.landmark: item.id for item in load(project).items}
    told = [(one.role, one.landmark, one.origin, one.data.read_bytes(), one.facts) for one in made]
    wanted = []
    for landmark in LANDMARKS:
        wanted.append(("photo", landmark, None, png(f"{landmark} photograph", 64), {}))
        wanted.append(("candidate", landmark, "original", png(f"{landmark} styled", 64), {"item": ids[landmark]}))
        wanted += [
            ("candidate", landmark, method, picture(landmark, method), recipe(landmark, method))
            for method in ("lora", "ti")
        ]
    roles = ["reference"] * 4 + ["practice"] * 3
    wanted += [
        (role, other, "original", png(f"{other} styled", 64), {"item": ids[other]})
        for role, other in zip(roles, OTHERS)
    ]
    assert told == wanted


def test_other_landmarks_are_one_picture_each_and_held_out_ones_come_first(workspace):
    others = ("Alhambra", "Alhambra", *OTHERS)
    project = with_dataset(workspace.project("sample", new=True), (*LANDMARKS, "Zwinger", "Zytglogge"), others)
    name = add_set(project)
    shown = [
        (one.role, one.landmark)
        for one in blind_study.pictures_for(project, name, LANDMARKS)
        if one.role in ("reference", "practice")
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


def test_a_landmark_that_was_trained_on_is_refused(workspace):
    project = studied(workspace, trained=LANDMARKS[2:3])
    refused(
        "both methods were trained on Petra; choose a landmark that was held out for validation",
        blind_study.pictures_for,
        project,
        only_set(project),
        LANDMARKS,
    )


def test_what_a_study_lacks_is_told(workspace, project):
    name = only_set(project)
    refused(
        "the data set has no landmark 'Petro'; choose one that it has",
        blind_study.pictures_for,
        project,
        name,
        ["Petro"],
    )
    few = add_set(project, LANDMARKS[:2])
    refused(
        f"the set {few} has no picture of Petra by LoRA and by TI; draw them in Generate",
        blind_study.pictures_for,
        project,
        few,
        LANDMARKS,
    )
    bare = studied(workspace, "bare", without_photograph=LANDMARKS[:1])
    refused(
        "Big Ben has no photograph; a study shows one beside the pictures",
        blind_study.pictures_for,
        bare,
        only_set(bare),
        LANDMARKS,
    )
    small = studied(workspace, "small", others=OTHERS[:6])
    refused(
        "the data set has 6 landmarks besides the five; 7 are needed for the style sheet and the practice, so take in "
        "more pictures",
        blind_study.pictures_for,
        small,
        only_set(small),
        LANDMARKS,
    )


def test_the_name_of_a_landmark_is_found_whatever_its_case(project):
    names = [name.upper() for name in LANDMARKS]
    made = blind_study.pictures_for(project, only_set(project), names)
    assert [one.landmark for one in made if one.role == "photo"] == list(LANDMARKS)


def test_the_study_has_blind_copies_and_the_key_has_their_recipes(project):
    store = make(project)
    assert (store.folder, store.status().state, store.status().side) == (project.study, "draft", 32)
    with closing(sqlite3.connect(project.study / "key.db")) as key:
        origins = key.execute("SELECT stimulus, origin, source, facts FROM origin").fetchall()
    with closing(sqlite3.connect(store.file)) as db:
        stimuli = {one[0]: one[1:] for one in db.execute("SELECT id, landmark, image FROM stimulus")}
    lora = {stimuli[stimulus][0]: json.loads(facts) for stimulus, origin, _, facts in origins if origin == "lora"}
    assert lora == {landmark: recipe(landmark, "lora") for landmark in LANDMARKS}
    assert sorted({str(origin) for _, origin, _, _ in origins}) == sorted((*ORIGINS, "None"))
    # the recipe in the picture, its name and its length are gone
    (copy,) = blind([picture("Petra", "ti")], 32)
    images = [stimuli[stimulus][1] for stimulus, origin, _, _ in origins if origin == "ti"]
    assert copy.data[:100] in {image[:100] for image in images}
    assert len({len(image) for _, image in stimuli.values()}) == 1
    assert b"recipe" not in b"".join(image for _, image in stimuli.values())


def test_no_study_is_made_where_there_is_one(project):
    make(project)
    refused("there is a study already, study.db; choose another folder or move it away", make, project)


def test_a_project_without_a_study_says_so(project):
    assert blind_study.open_study(project) is None
    for act in (blind_study.study_of, blind_study.lock, blind_study.set_aside):
        refused("project 'sample' has no study; make one first", act, project)


def test_a_study_is_locked_with_the_analysis(project):
    store = make(project)
    blind_study.lock(project)
    status = store.status()
    assert (status.state, status.analysis_sha256) == ("live", analysis_sha256())


def test_one_study_is_live_at_a_time(workspace, project):
    other = studied(workspace, "other")
    for one in (project, other):
        make(one)
    blind_study.lock(other)
    refused(
        "project 'other' has a live study, and one is served at a time; close that one first", blind_study.lock, project
    )
    assert blind_study.study_of(project).status().state == "draft"
    blind_study.study_of(other).close()
    blind_study.lock(project)
    assert blind_study.study_of(project).status().state == "live"


def test_a_draft_is_set_aside_whole_and_makes_room(project):
    created = make(project, seed=1).status().created_at
    place = blind_study.set_aside(project)
    assert place == project.folder / f"study-{created[:19].replace(':', '')}"
    assert Store(place).definition().seed == 1
    assert sorted(path.name for path in place.iterdir() if path.suffix == ".db") == ["key.db", "study.db"]
    assert blind_study.open_study(project) is None
    assert make(project, seed=2).definition().seed == 2


def test_a_live_study_is_not_set_aside_and_a_closed_one_is(project):
    store = make(project)
    blind_study.lock(project)
    refused("the study is live; close it first, since people may be answering", blind_study.set_aside, project)
    assert store.status().state == "live"
    store.close()
    assert Store(blind_study.set_aside(project)).status().state == "closed"


def test_a_study_is_not_set_aside_over_another(project):
    created = make(project).status().created_at
    (project.folder / f"study-{created[:19].replace(':', '')}" / "x").mkdir(parents=True)
    with pytest.raises(StudioError):
        blind_study.set_aside(project)
    assert blind_study.study_of(project).status().state == "draft"


def test_participants_meet_the_live_study_else_the_newest(workspace, project, monkeypatch):
    refused("there is no study here yet; make one in the Study tab", blind_study.served_study, workspace)
    other = studied(workspace, "other")
    times = iter(range(1_700_000_000_000, 1_800_000_000_000, 1000))
    monkeypatch.setattr("study.store.create.__defaults__", (lambda: next(times),))
    make(other)
    make(project)

    def served():
        return blind_study.served_study(workspace).folder

    assert served() == project.study
    blind_study.lock(other)
    assert served() == other.study
    blind_study.study_of(other).close()
    assert served() == project.study
    shutil.rmtree(project.study)
    assert served() == other.study


def test_a_damaged_data_set_is_told(project):
    manifest = to_json(load(project))
    write_json(project.manifest_file, {**manifest, "items": [{}]})
    with pytest.raises(StudioError, match=r"manifest\.json is damaged"):
        blind_study.pictures_for(project, only_set(project), LANDMARKS)
