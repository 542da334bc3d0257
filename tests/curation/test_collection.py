"""Every change of a collection is written completely, none is lost, and bad values are refused."""

import json
import threading

import pytest

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.collection import Collection
from ghibli_studio.curation.photos import Attempt
from ghibli_studio.workspace import files
from tests.support.collection_project import encoded, photo, put, scene


@pytest.fixture
def project(workspace):
    project = workspace.project("p", new=True)
    put(project, [photo("0001", "Big Ben"), photo("0002", "Petra"), photo("0003", "Petra")])
    return project


def refusal(act, *arguments, **options):
    with pytest.raises(StudioError) as caught:
        act(*arguments, **options)
    return str(caught.value)


def attempt(project, file="0001-1.png", **fields):
    path = project.collection.stylized(file)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encoded(scene(1)))
    return Attempt(file, "a prompt", "teacher", 7, 0.6, 5.0, 25, **fields)


def test_a_collection_is_saved_and_loaded(project):
    original = photo(
        "0004",
        "Ünder 東京",
        location='a "b"',
        center=(0.25, 1.0),
        split="train",
        overrides={"seed": 3},
        rejected=True,
        credit="an author",
        attempts=(attempt(project, "0004-1.png", sha256="ab"),),
    )
    collection = Collection(
        "miniature", 256, 77, (original,), ({"file": "x", "reason": "broken"},), ("a note",), {"strength": 0.6}
    )
    with collections.write_lock(project):
        collections.save(project, collection)
    assert collections.load(project) == collection
    stored = json.loads(project.collection.file.read_text(encoding="utf-8"))
    assert (stored["version"], [photo["id"] for photo in stored["photos"]]) == (1, ["0004"])


def test_a_collection_is_created_once_and_changed_for_another_model(workspace, tiny_folder):
    project = workspace.project("new", new=True)
    assert "has no photos yet" in refusal(collections.load, project)
    assert collections.load_or_create(project, "miniature") == Collection("miniature", 256, 77)
    assert workspace.projects() == ["new"]
    put(project, [photo("0001")])
    assert collections.load_or_create(project, str(tiny_folder)) == Collection(
        str(tiny_folder), 64, 77, (photo("0001"),)
    )
    assert collections.load(project).resolution == 64


def test_states(project):
    state = lambda: collections.load(project).photo("0001").state  # noqa: E731
    assert state() == "new"
    collections.add_attempt(project, "0001", attempt(project))
    assert state() == "stylized"
    assert collections.load(project).photo("0001").accepted is None
    collections.edit(project, "0001", accepted_index=0)
    assert state() == "accepted"
    assert collections.load(project).photo("0001").accepted == attempt(project)
    collections.edit(project, "0001", rejected=True)
    assert state() == "rejected"
    assert collections.load(project).photo("0001").accepted_index is None
    collections.edit(project, "0001", accepted_index=0)
    assert (state(), collections.load(project).photo("0001").rejected) == ("accepted", False)


def test_fields_are_changed_and_cleaned(project):
    overrides = {"seed": 4, "prompt": "a rose"}
    changed = collections.edit(
        project, "0002", name=" Al-\nKhazneh\t", center=[0, "0.5"], split="validation", overrides=overrides
    )
    second = photo(
        "0002", "Al- Khazneh", center=(0.0, 0.5), split="validation", overrides={"prompt": "a rose", "seed": 4}
    )
    assert changed.photos == (photo("0001", "Big Ben"), second, photo("0003", "Petra"))
    assert collections.load(project) == changed
    assert collections.edit(project, "0002", split=None).photo("0002").split is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nmae": "x"}, "a photo has no field 'nmae' to edit; choose one of: name, location"),
        ({"attempts": ()}, "a photo has no field 'attempts' to edit"),
        ({"name": 3}, "name of photo 0001 must be text"),
        ({"description": "x" * 4001}, "description of photo 0001 must be text of at most 4000 characters"),
        ({"center": (0.5,)}, "give two shares of width and height"),
        ({"center": "ab"}, "give two shares of width and height"),
        ({"center": (0.5, 1.2)}, "center of photo 0001 is (0.5, 1.2); both must be between 0 and 1"),
        ({"center": (float("nan"), 0)}, "both must be between 0 and 1"),
        ({"split": "test"}, "it must be train, validation"),
        ({"overrides": {"sed": 1}}, "there is no setting 'sed'; did you mean 'seed'?"),
        ({"overrides": {"strength": 0}}, "strength is 0"),
        ({"accepted_index": 0}, "the photo has 0 attempts, counted from 0"),
        ({"accepted_index": True}, "the photo has 0 attempts"),
        ({"rejected": 1}, "it must be true or false"),
    ],
)
def test_bad_values_are_refused_and_change_nothing(project, changes, sentence):
    before = project.collection.file.read_bytes()
    assert sentence in refusal(collections.edit, project, "0001", **changes)
    assert project.collection.file.read_bytes() == before


def test_edits_of_several_photos_apply_together_or_not_at_all(project):
    before = project.collection.file.read_bytes()
    assert refusal(collections.edit, project, "9", name="x") == ("there is no photo '9'; the ids go from 0001 to 0003")
    refusal(collections.edit_many, project, {"0001": {"name": "x"}, "0002": {"name": 1}})
    refusal(collections.edit_many, project, {"0001": {"name": "x"}, "0009": {"name": "y"}})
    refusal(collections.remove, project, ["0001", "0009"])
    assert project.collection.file.read_bytes() == before
    changed = collections.edit_many(project, {"0003": {"name": "c"}, "0001": {"name": "a"}})
    assert [photo.name for photo in changed.photos] == ["a", "Petra", "c"]


def test_a_selection_keeps_the_order_of_the_collection(project):
    collection = collections.load(project)
    assert [photo.id for photo in collection.select(["0003", "0001"])] == ["0001", "0003"]
    assert collection.select(None) == list(collection.photos)
    assert collection.select([]) == []


def test_an_attempt_needs_its_file(project):
    missing = Attempt("0001-9.png", "", "prompt", 0, 0.5, 5.0, 20)
    assert "is missing; write the image first" in refusal(collections.add_attempt, project, "0001", missing)
    refusal(collections.add_attempt, project, "0009", attempt(project))


@pytest.mark.parametrize("name", ["../x.png", "/etc/passwd", "a/b.png", ".hidden", "", "x" * 200, "a\0.png", "ü.png"])
def test_a_file_name_cannot_leave_the_collection_folder(project, name):
    for path_of in (project.collection.source, project.collection.stylized):
        assert "cannot be a file of a collection" in refusal(path_of, name)


def test_removing_a_photo_deletes_its_files(project):
    source = project.collection.source("0001.png")
    source.parent.mkdir()
    source.write_bytes(b"x")
    collections.add_attempt(project, "0001", attempt(project))
    left = collections.remove(project, ["0001"])
    assert [photo.id for photo in left.photos] == ["0002", "0003"]
    assert not source.exists()
    assert not project.collection.stylized("0001-1.png").exists()


def test_the_batch_settings_are_saved(project):
    assert collections.save_stylization_settings(project, {"seed": 3}).stylization == {"seed": 3}
    assert collections.load(project).stylization == {"seed": 3}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "photos": [{"id": 3}]}'])
def test_a_damaged_file_is_reported(project, text):
    project.collection.file.write_text(text)
    assert "is damaged" in refusal(collections.load, project)


def test_another_version_is_reported(project):
    project.collection.file.write_text('{"version": 2}')
    assert "has a version other than 1" in refusal(collections.load, project)


def test_a_failed_write_leaves_the_old_collection(project, monkeypatch):
    before = collections.load(project)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(files.os, "fsync", full)
        assert "the disk is full" in refusal(collections.edit, project, "0001", name="x")
    assert collections.load(project) == before
    assert collections.edit(project, "0001", name="x").photo("0001").name == "x", "the lock was released"


def test_concurrent_changes_are_all_kept(project):
    def count(field):
        for _ in range(10):
            collections.change(
                project,
                lambda old: collections.apply_edits(old, {"0001": {field: getattr(old.photo("0001"), field) + "x"}}),
            )

    threads = [threading.Thread(target=count, args=[field]) for field in ("name", "name", "location")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = collections.load(project).photo("0001")
    assert (found.name, found.location) == ("Big Ben" + 20 * "x", 10 * "x")


def test_a_lock_timeout_is_reported(project, monkeypatch):
    monkeypatch.setattr(collections, "LOCK_TIMEOUT_SECONDS", 0.05)
    with collections.write_lock(project):
        assert "another user is changing the photos" in refusal(collections.edit, project, "0001", name="x")
