"""Every change of a collection is whole on disk, nobody's is lost, and nonsense is refused with the way out."""

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
    with pytest.raises(StudioError) as told:
        act(*arguments, **options)
    return str(told.value)


def attempt(project, file="0001-1.png", **fields):
    path = project.collection.styled(file)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encoded(scene(1)))
    return Attempt(file, "a prompt", "teacher", 7, 0.6, 5.0, 25, **fields)


def test_what_is_written_comes_back(project):
    one = photo(
        "0004",
        "Ünder 東京",
        location='a "b"',
        center=(0.25, 1.0),
        split="train",
        styling={"seed": 3},
        rejected=True,
        credit="somebody",
        attempts=(attempt(project, "0004-1.png", sha256="ab"),),
    )
    whole = Collection(
        "miniature", 256, 77, (one,), ({"file": "x", "reason": "broken"},), ("a note",), {"strength": 0.6}
    )
    with collections.changing(project):
        collections.save(project, whole)
    assert collections.load(project) == whole
    stored = json.loads(project.collection.file.read_text(encoding="utf-8"))
    assert (stored["version"], [photo["id"] for photo in stored["photos"]]) == (1, ["0004"])


def test_an_empty_one_is_begun_once_and_for_another_model_changed(workspace, tiny_folder):
    project = workspace.project("new", new=True)
    assert "has no photographs yet" in refusal(collections.load, project)
    assert collections.begin(project, "miniature") == Collection("miniature", 256, 77)
    assert workspace.projects() == ["new"]
    put(project, [photo("0001")])
    assert collections.begin(project, str(tiny_folder)) == Collection(str(tiny_folder), 64, 77, (photo("0001"),))
    assert collections.load(project).resolution == 64


def test_states(project):
    state = lambda: collections.load(project).photo("0001").state  # noqa: E731
    assert state() == "new"
    collections.add_attempt(project, "0001", attempt(project))
    assert state() == "styled"
    assert collections.load(project).photo("0001").accepted is None
    collections.edit(project, "0001", chosen=0)
    assert state() == "accepted"
    assert collections.load(project).photo("0001").accepted == attempt(project)
    collections.edit(project, "0001", rejected=True)
    assert state() == "rejected"
    assert collections.load(project).photo("0001").chosen is None
    collections.edit(project, "0001", chosen=0)
    assert (state(), collections.load(project).photo("0001").rejected) == ("accepted", False)


def test_fields_are_changed_and_cleaned(project):
    changed = collections.edit(
        project,
        "0002",
        name=" Al-\nKhazneh\t",
        center=[0, "0.5"],
        split="validation",
        styling={"seed": 4, "prompt": "a rose"},
    )
    want = photo("0002", "Al- Khazneh", center=(0.0, 0.5), split="validation", styling={"prompt": "a rose", "seed": 4})
    assert changed.photos == (photo("0001", "Big Ben"), want, photo("0003", "Petra"))
    assert collections.load(project) == changed
    assert collections.edit(project, "0002", split=None).photo("0002").split is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nmae": "x"}, "a photograph has no 'nmae' to change; there are name, location"),
        ({"attempts": ()}, "a photograph has no 'attempts' to change"),
        ({"name": 3}, "name of photograph 0001 must be text"),
        ({"description": "x" * 4001}, "description of photograph 0001 must be text of at most 4000 characters"),
        ({"center": (0.5,)}, "give two shares of width and height"),
        ({"center": "ab"}, "give two shares of width and height"),
        ({"center": (0.5, 1.2)}, "center of photograph 0001 is (0.5, 1.2); both must be 0 to 1"),
        ({"center": (float("nan"), 0)}, "both must be 0 to 1"),
        ({"split": "test"}, "it must be train, validation"),
        ({"styling": {"sed": 1}}, "there is no setting 'sed'; did you mean 'seed'?"),
        ({"styling": {"strength": 0}}, "denoising_strength is 0"),
        ({"chosen": 0}, "it has 0 styled pictures, counted from 0"),
        ({"chosen": True}, "it has 0 styled pictures"),
        ({"rejected": 1}, "it must be true or false"),
    ],
)
def test_bad_values_are_refused_and_change_nothing(project, changes, sentence):
    before = project.collection.file.read_bytes()
    assert sentence in refusal(collections.edit, project, "0001", **changes)
    assert project.collection.file.read_bytes() == before


def test_unknown_ids_are_refused_and_many_are_changed_together_or_not_at_all(project):
    before = project.collection.file.read_bytes()
    assert refusal(collections.edit, project, "9", name="x") == (
        "there is no photograph '9'; they go from 0001 to 0003"
    )
    refusal(collections.edit_many, project, {"0001": {"name": "x"}, "0002": {"name": 1}})
    refusal(collections.edit_many, project, {"0001": {"name": "x"}, "0009": {"name": "y"}})
    refusal(collections.remove, project, ["0001", "0009"])
    assert project.collection.file.read_bytes() == before
    changed = collections.edit_many(project, {"0003": {"name": "c"}, "0001": {"name": "a"}})
    assert [photo.name for photo in changed.photos] == ["a", "Petra", "c"]


def test_a_selection_is_in_the_collections_order(project):
    collection = collections.load(project)
    assert [photo.id for photo in collection.select(["0003", "0001"])] == ["0001", "0003"]
    assert collection.select(None) == list(collection.photos)
    assert collection.select([]) == []


def test_an_attempt_needs_its_file(project):
    missing = Attempt("0001-9.png", "", "prompt", 0, 0.5, 5.0, 20)
    assert "is not there; write the picture first" in refusal(collections.add_attempt, project, "0001", missing)
    refusal(collections.add_attempt, project, "0009", attempt(project))


@pytest.mark.parametrize("name", ["../x.png", "/etc/passwd", "a/b.png", ".hidden", "", "x" * 200, "a\0.png", "ü.png"])
def test_no_name_in_the_file_leads_elsewhere(project, name):
    for place in (project.collection.source, project.collection.styled):
        assert "cannot be a file of a collection" in refusal(place, name)


def test_what_is_removed_goes_with_its_files(project):
    source = project.collection.source("0001.png")
    source.parent.mkdir()
    source.write_bytes(b"x")
    collections.add_attempt(project, "0001", attempt(project))
    left = collections.remove(project, ["0001"])
    assert [photo.id for photo in left.photos] == ["0002", "0003"]
    assert not source.exists()
    assert not project.collection.styled("0001-1.png").exists()


def test_the_batchs_settings_are_kept(project):
    assert collections.set_style(project, {"seed": 3}).style == {"seed": 3}
    assert collections.load(project).style == {"seed": 3}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "photos": [{"id": 3}]}'])
def test_a_damaged_file_is_told(project, text):
    project.collection.file.write_text(text)
    assert "is damaged" in refusal(collections.load, project)


def test_another_version_is_told(project):
    project.collection.file.write_text('{"version": 2}')
    assert "is of another version than 1" in refusal(collections.load, project)


def test_a_write_that_fails_leaves_the_old_one(project, monkeypatch):
    before = collections.load(project)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(files.os, "fsync", full)
        assert "the disk is full" in refusal(collections.edit, project, "0001", name="x")
    assert collections.load(project) == before
    assert collections.edit(project, "0001", name="x").photo("0001").name == "x", "the lock was given back"


def test_changes_of_several_at_once_all_count(project):
    def count(field):
        for _ in range(10):
            collections.change(
                project,
                lambda old: collections.with_changes(old, {"0001": {field: getattr(old.photo("0001"), field) + "x"}}),
            )

    threads = [threading.Thread(target=count, args=[field]) for field in ("name", "name", "location")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = collections.load(project).photo("0001")
    assert (found.name, found.location) == ("Big Ben" + 20 * "x", 10 * "x")


def test_who_waits_in_vain_is_told(project, monkeypatch):
    monkeypatch.setattr(collections, "PATIENCE_SECONDS", 0.05)
    with collections.changing(project):
        assert "are being changed by somebody else" in refusal(collections.edit, project, "0001", name="x")
