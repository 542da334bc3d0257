"""Writing a dataset and moving it into place: whatever happens, there is one complete dataset."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.data.dataset import Dataset, Item, edit_lock, exists, load
from ghibli_studio.data.writer import DatasetWriter
from ghibli_studio.models.description import describe
from ghibli_studio.workspace.files import read_json
from tests.support.dataset_files import tree

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fill(workspace, tiny_folder):
    """A function that writes a dataset with the given (landmark, split) and returns the project."""

    def make(*wanted, name="p", size=(80, 64), skipped=()):
        project = workspace.project(name, new=True)
        with DatasetWriter.create(project, describe(str(tiny_folder)), 7) as writer:
            for file, reason in skipped:
                writer.skip(file, reason)
            for number, (landmark, split) in enumerate(wanted):
                writer.add(
                    Image.new("RGB", size, (number, 0, 0)),
                    f"{landmark}, somewhere",
                    landmark=landmark,
                    source=f"source of {landmark}".encode(),
                    suffix=".jpg",
                    original=f"in/{number}.jpg",
                    split=split,
                )
            writer.build()
        return project

    return make


def test_a_writer_builds_a_dataset(fill, tiny_folder):
    project = fill(("A", "train"), ("B", "validation"), skipped=[("x.png", "x.png is empty")])
    dataset = load(project)
    shas = [hashlib.sha256((project.dataset / f"000{n}.png").read_bytes()).hexdigest() for n in (1, 2)]
    assert dataset == Dataset(
        str(tiny_folder),
        64,
        77,
        7,
        (
            Item("0001", "A", "A, somewhere", 9, "train", "0001.jpg", "in/0.jpg", shas[0]),
            Item("0002", "B", "B, somewhere", 9, "validation", "0002.jpg", "in/1.jpg", shas[1]),
        ),
        ({"file": "x.png", "reason": "x.png is empty"},),
        (),
    )
    assert tree(project.sources) == {"0001.jpg": b"source of A", "0002.jpg": b"source of B"}
    assert Image.open(project.dataset / "0002.png").size == (64, 64)
    assert not project.building("dataset").parent.exists()
    assert project.workspace.projects() == ["p"]


def test_nothing_is_in_place_before_the_dataset_is_built(workspace, tiny_folder):
    project = workspace.project("p", new=True)
    before = tree(project.folder)
    with DatasetWriter.create(project, describe(str(tiny_folder)), 0) as writer:
        writer.add(Image.new("RGB", (64, 64)), "A", landmark="A", source=b"", suffix=".png", original="a")
        assert not project.dataset.exists()
        assert project.building("dataset").exists()
        assert workspace.projects() == []
    assert tree(project.folder) == before == {}
    assert workspace.projects() == []


def test_too_few_landmarks_are_reported_with_the_skipped_files(fill):
    hint = (
        "training and validation need a landmark each; the landmark is the caption up to its first comma, or else the "
        "file name without its number"
    )
    with pytest.raises(StudioError) as caught:
        fill()
    assert str(caught.value) == f"only 0 usable images: {hint}"
    with pytest.raises(StudioError) as caught:
        fill(("IMG", "train"), ("IMG", "train"))
    assert str(caught.value) == f"only 2 usable images of one landmark (IMG): {hint}"
    with pytest.raises(StudioError) as caught:
        fill(skipped=[(f"{n}.png", f"{n}.png is empty") for n in range(4)])
    assert str(caught.value) == (
        f"only 0 usable images: {hint}. Skipped: 4 (0.png is empty; 1.png is empty; 2.png is empty)"
    )


def test_images_in_one_split_only_are_reported(fill):
    with pytest.raises(StudioError) as caught:
        fill(("A", "validation"), ("B", "validation"))
    assert str(caught.value) == (
        "all 2 usable images are in the validation split; list images of one landmark in train.txt and of another in "
        "val.txt, or remove both files"
    )


def test_a_failed_writer_leaves_the_old_dataset(fill):
    project = fill(("A", "train"), ("B", "validation"))
    before = tree(project.folder)
    with pytest.raises(StudioError):
        fill(("A", "train"))
    assert tree(project.folder) == before


def test_a_dataset_that_cannot_be_moved_leaves_the_old_one(fill, monkeypatch):
    project = fill(("A", "train"), ("B", "validation"))
    before = tree(project.folder)

    def rename(self, to):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.rename", rename)
    with pytest.raises(OSError, match="Permission denied"):
        fill(("C", "train"), ("D", "validation"))
    assert tree(project.folder) == before


def test_a_full_disk_is_reported(fill, monkeypatch):
    def write_bytes(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", write_bytes)
    with pytest.raises(StudioError, match=r"^the disk is full \(\d+ MB free, cannot write .*0001\.jpg\)"):
        fill(("A", "train"))


def complete(project):
    """Return the landmarks of the dataset, and check that it is complete and nothing of another one is left."""
    landmarks = [item.landmark for item in load(project).items]
    assert tree(project.sources) == {
        f"000{n}.jpg": f"source of {landmark}".encode() for n, landmark in enumerate(landmarks, 1)
    }
    for item in load(project).items:
        assert hashlib.sha256((project.dataset / f"{item.id}.png").read_bytes()).hexdigest() == item.sha256
        assert (project.dataset / f"{item.id}.txt").read_text() == item.caption + "\n"
    assert len(tree(project.dataset)) == 2 * len(landmarks) + 1
    return landmarks


def names_in(project):
    """Return the names in the project folder, except locks."""
    return {path.name for path in project.folder.iterdir() if path.suffix != ".lock"}


@contextlib.contextmanager
def killed_after(renames):
    """Simulate a kill after so many renames of folders; a kill cleans nothing up."""
    real_rename, real_rmtree, done = Path.rename, shutil.rmtree, []

    def rename(self, target):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(self)
        return real_rename(self, target)

    def rmtree(*arguments, **named):
        if len(done) < renames:
            real_rmtree(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Path, "rename", rename)
        patch.setattr(shutil, "rmtree", rmtree)
        yield


@pytest.mark.parametrize("renames", range(5))
def test_a_kill_during_a_replacement_leaves_one_complete_dataset(fill, renames):
    """After 0 to 3 of the four renames the old dataset is there, after 4 the new one."""
    project = fill(("A", "train"), ("B", "validation"))
    with killed_after(renames):
        fill(("C", "train"), ("D", "validation"))
    assert exists(project)
    assert complete(project) == (["C", "D"] if renames == 4 else ["A", "B"])
    fill(("E", "train"), ("F", "validation"), ("G", "train"))
    assert complete(project) == ["E", "F", "G"]
    assert names_in(project) == {"project.json", "dataset", "sources"}


@pytest.mark.parametrize("again", range(3))
@pytest.mark.parametrize("renames", range(1, 4))
def test_a_kill_during_the_repair_is_repaired_too(fill, renames, again):
    project = fill(("A", "train"), ("B", "validation"))
    with killed_after(renames):
        fill(("C", "train"), ("D", "validation"), ("E", "train"))
    with killed_after(again):
        load(project)
    with killed_after(again):
        fill(("F", "train"), ("G", "validation"))
    assert complete(project) == ["A", "B"]
    fill(("H", "train"), ("I", "validation"))
    assert (complete(project), names_in(project)) == (["H", "I"], {"project.json", "dataset", "sources"})


@pytest.mark.parametrize("renames", range(3))
def test_a_kill_during_the_first_dataset_leaves_none_or_a_complete_one(fill, workspace, renames):
    with killed_after(renames):
        fill(("A", "train"), ("B", "validation"))
    project = workspace.project("p", new=True)
    assert exists(project) == (renames == 2)
    if exists(project):
        assert complete(project) == ["A", "B"]
    assert complete(fill(("C", "train"), ("D", "validation"))) == ["C", "D"]
    assert names_in(project) == {"project.json", "dataset", "sources"}


def test_a_reader_does_not_restore_a_dataset_that_is_being_replaced(fill):
    """Between two renames of another process, its files stay where they are."""
    project = fill(("A", "train"), ("B", "validation"))
    with edit_lock(project):
        project.dataset.rename(project.previous("dataset"))
        before = tree(project.folder)
        assert not exists(project)
        assert tree(project.folder) == before
    assert complete(project) == ["A", "B"]


def test_a_failed_first_dataset_leaves_no_project(workspace, fill):
    with pytest.raises(StudioError):
        fill(("A", "train"))
    assert workspace.projects() == []


def test_a_disk_full_at_the_last_file_leaves_no_project(workspace, fill, monkeypatch):
    def write_json(path, value):
        raise StudioError(f"{path.name} does not fit")

    monkeypatch.setattr("ghibli_studio.data.writer.write_json", write_json)
    with pytest.raises(StudioError, match=r"^manifest\.json does not fit$"):
        fill(("A", "train"), ("B", "validation"))
    assert (workspace.projects(), tree(workspace.root)) == ([], {})


def test_a_file_in_place_of_the_project_is_reported(workspace, tiny_folder):
    workspace.root.mkdir()
    (workspace.root / "p").write_text("")
    with (
        pytest.raises(StudioError, match=r"^.*/p cannot be used \(.*\); choose another folder with --workspace$"),
        DatasetWriter.create(workspace.project("p", new=True), describe(str(tiny_folder)), 0),
    ):
        pass


def test_only_one_process_writes_a_dataset(workspace, tiny_folder):
    project, description = workspace.project("p", new=True), describe(str(tiny_folder))
    with DatasetWriter.create(project, description, 0) as writer:
        writer.add(Image.new("RGB", (64, 64)), "A", landmark="A", source=b"", suffix=".png", original="a")
        with pytest.raises(StudioError) as caught, DatasetWriter.create(project, description, 0):
            pass
        assert str(caught.value) == "the dataset of project 'p' is being written; wait until that is done"
        assert (project.building("dataset") / "0001.png").exists()


@pytest.mark.integration
def test_kill_minus_9_unlocks_the_project(workspace, tiny_folder, fill):
    code = (
        "import os, sys; from pathlib import Path; from ghibli_studio.workspace.project import Workspace;"
        "from ghibli_studio.data.dataset import edit_lock;"
        "project = Workspace(Path(sys.argv[1])).project('p', new=True)\n"
        "with edit_lock(project): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(workspace.root)], cwd=ROOT)
    assert done.returncode == -9
    assert complete(fill(("A", "train"), ("B", "validation"))) == ["A", "B"]


def test_a_writer_unlocks_the_project_however_it_ends(fill, workspace, tiny_folder):
    project, description = workspace.project("p", new=True), describe(str(tiny_folder))

    def going():
        with DatasetWriter.create(project, description, 0):
            yield

    stopped = going()
    next(stopped)
    stopped.close()
    with pytest.raises(ZeroDivisionError), DatasetWriter.create(project, description, 0):
        raise ZeroDivisionError
    assert complete(fill(("A", "train"), ("B", "validation"))) == ["A", "B"]


def test_enlarged_images_are_counted(fill):
    small = load(fill(("A", "train"), ("B", "validation"), name="small", size=(80, 63)))
    assert small.notes == ("2 images are smaller than 64 px and were enlarged; larger ones would be sharper.",)
    assert read_json(fill(("A", "train"), ("B", "validation"), name="tall", size=(63, 80)).manifest_file)["notes"] == [
        "2 images are smaller than 64 px and were enlarged; larger ones would be sharper."
    ]
    assert load(fill(("A", "train"), ("B", "validation"), size=(64, 64))).notes == ()


def test_images_with_the_same_landmark_can_count_as_their_own(workspace, tiny_folder):
    with DatasetWriter.create(workspace.project("p", new=True), describe(str(tiny_folder)), 0) as writer:
        for split in ("train", "validation"):
            writer.add(
                Image.new("RGB", (64, 63)),
                "my style, x",
                landmark="my style",
                source=b"",
                suffix=".png",
                original=split,
                split=split,
            )
        writer.use_one_landmark_per_image()
        made = writer.build()
    assert [(item.landmark, item.caption, item.split) for item in made.items] == [
        ("my style 0001", "my style, x", "train"),
        ("my style 0002", "my style, x", "validation"),
    ]
    assert made.notes == (
        "All captions or file names start with the same words (my style), so every image counts as its own landmark. "
        "If several images show the same thing, start their captions with its name and a comma.",
        "2 images are smaller than 64 px and were enlarged; larger ones would be sharper.",
    )
    assert load(workspace.project("p")) == made
