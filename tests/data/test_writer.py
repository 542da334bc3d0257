"""A data set while it grows, and how it takes its place: whatever happens, one whole data set is there."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.data.dataset import Dataset, Item, changing, exists, load
from ghibli_studio.data.writer import Draft
from ghibli_studio.models.description import describe
from ghibli_studio.workspace.files import read_json

ROOT = Path(__file__).parents[2]


def tree(folder):
    """Every file below a folder with its bytes, the lock aside."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def fill(workspace, tiny_folder):
    """A function that makes a data set with the given (landmark, side) and returns the project."""

    def make(*wanted, name="p", size=(80, 64), problems=()):
        project = workspace.project(name, new=True)
        with Draft.of(project, describe(str(tiny_folder)), 7) as draft:
            for file, reason in problems:
                draft.leave_out(file, reason)
            for number, (landmark, side) in enumerate(wanted):
                draft.add(
                    Image.new("RGB", size, (number, 0, 0)),
                    f"{landmark}, somewhere",
                    landmark=landmark,
                    source=f"source of {landmark}".encode(),
                    suffix=".jpg",
                    original=f"in/{number}.jpg",
                    split=side,
                )
            draft.finish()
        return project

    return make


def test_a_draft_becomes_a_data_set(fill, tiny_folder):
    project = fill(("A", "train"), ("B", "validation"), problems=[("x.png", "x.png is empty")])
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


def test_nothing_is_in_its_place_before_the_draft_is_finished(workspace, tiny_folder):
    project = workspace.project("p", new=True)
    before = tree(project.folder)
    with Draft.of(project, describe(str(tiny_folder)), 0) as draft:
        draft.add(Image.new("RGB", (64, 64)), "A", landmark="A", source=b"", suffix=".png", original="a")
        assert not project.dataset.exists()
        assert project.building("dataset").exists()
        assert workspace.projects() == []
    assert tree(project.folder) == before == {}
    assert workspace.projects() == []


def test_too_few_landmarks_are_told_with_what_was_left_out(fill):
    hint = (
        "are too few: training and validation need a landmark each; the landmark is the caption up to its first comma, "
        "or else the file's name without its number"
    )
    with pytest.raises(StudioError) as told:
        fill()
    assert str(told.value) == f"0 usable pictures {hint}"
    with pytest.raises(StudioError) as told:
        fill(("IMG", "train"), ("IMG", "train"))
    assert str(told.value) == f"2 usable pictures of one landmark (IMG) {hint}"
    with pytest.raises(StudioError) as told:
        fill(problems=[(f"{n}.png", f"{n}.png is empty") for n in range(4)])
    assert str(told.value) == (
        f"0 usable pictures {hint}. Left out: 4 (0.png is empty; 1.png is empty; 2.png is empty)"
    )


def test_pictures_on_one_side_only_are_told(fill):
    with pytest.raises(StudioError) as told:
        fill(("A", "validation"), ("B", "validation"))
    assert str(told.value) == (
        "all 2 usable pictures are for validation; name some of them in train.txt and those of another landmark in "
        "val.txt, or leave both files out"
    )


def test_a_failed_draft_leaves_the_old_data_set(fill):
    project = fill(("A", "train"), ("B", "validation"))
    before = tree(project.folder)
    with pytest.raises(StudioError):
        fill(("A", "train"))
    assert tree(project.folder) == before


def test_a_draft_that_cannot_be_moved_leaves_the_old_data_set(fill, monkeypatch):
    project = fill(("A", "train"), ("B", "validation"))
    before = tree(project.folder)

    def rename(self, to):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.rename", rename)
    with pytest.raises(OSError, match="Permission denied"):
        fill(("C", "train"), ("D", "validation"))
    assert tree(project.folder) == before


def test_a_full_disk_is_told(fill, monkeypatch):
    def write_bytes(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", write_bytes)
    with pytest.raises(StudioError, match=r"^the disk is full \(\d+ MB free where .*0001\.jpg was to be written\)"):
        fill(("A", "train"))


def whole(project):
    """The landmarks of the data set, if all of it is there and nothing of another one is."""
    landmarks = [item.landmark for item in load(project).items]
    assert tree(project.sources) == {
        f"000{n}.jpg": f"source of {landmark}".encode() for n, landmark in enumerate(landmarks, 1)
    }
    for item in load(project).items:
        assert hashlib.sha256((project.dataset / f"{item.id}.png").read_bytes()).hexdigest() == item.sha256
        assert (project.dataset / f"{item.id}.txt").read_text() == item.caption + "\n"
    assert len(tree(project.dataset)) == 2 * len(landmarks) + 1
    return landmarks


def kept_in(project):
    """What lies in the project's folder, locks aside."""
    return {path.name for path in project.folder.iterdir() if path.suffix != ".lock"}


@contextlib.contextmanager
def killed_after(renames):
    """What is done in here is killed when it has renamed so many folders; a kill tidies nothing up."""
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
def test_a_kill_in_the_middle_of_a_replacement_leaves_one_whole_data_set(fill, renames):
    """Killed after 0 to 4 of the four renames: the old one until the new one is whole, then the new one."""
    project = fill(("A", "train"), ("B", "validation"))
    with killed_after(renames):
        fill(("C", "train"), ("D", "validation"))
    assert exists(project)
    assert whole(project) == (["C", "D"] if renames == 4 else ["A", "B"])
    fill(("E", "train"), ("F", "validation"), ("G", "train"))
    assert whole(project) == ["E", "F", "G"]
    assert kept_in(project) == {"project.json", "dataset", "sources"}


@pytest.mark.parametrize("again", range(3))
@pytest.mark.parametrize("renames", range(1, 4))
def test_a_kill_in_the_middle_of_the_mending_is_mended_too(fill, renames, again):
    project = fill(("A", "train"), ("B", "validation"))
    with killed_after(renames):
        fill(("C", "train"), ("D", "validation"), ("E", "train"))
    with killed_after(again):
        load(project)
    with killed_after(again):
        fill(("F", "train"), ("G", "validation"))
    assert whole(project) == ["A", "B"]
    fill(("H", "train"), ("I", "validation"))
    assert (whole(project), kept_in(project)) == (["H", "I"], {"project.json", "dataset", "sources"})


@pytest.mark.parametrize("renames", range(3))
def test_a_kill_in_the_middle_of_the_first_data_set_leaves_none_or_a_whole_one(fill, workspace, renames):
    with killed_after(renames):
        fill(("A", "train"), ("B", "validation"))
    project = workspace.project("p", new=True)
    assert exists(project) == (renames == 2)
    if exists(project):
        assert whole(project) == ["A", "B"]
    assert whole(fill(("C", "train"), ("D", "validation"))) == ["C", "D"]
    assert kept_in(project) == {"project.json", "dataset", "sources"}


def test_a_data_set_that_is_being_replaced_is_not_put_back_by_a_reader(fill):
    """Between two renames of another process: what it has put aside stays there, and so does what it has made."""
    project = fill(("A", "train"), ("B", "validation"))
    with changing(project):
        project.dataset.rename(project.replaced("dataset"))
        before = tree(project.folder)
        assert not exists(project)
        assert tree(project.folder) == before
    assert whole(project) == ["A", "B"]


def test_a_failed_first_data_set_leaves_no_project(workspace, fill):
    with pytest.raises(StudioError):
        fill(("A", "train"))
    assert workspace.projects() == []


def test_a_disk_that_is_full_at_the_last_leaves_no_project(workspace, fill, monkeypatch):
    def write_json(path, value):
        raise StudioError(f"{path.name} does not fit")

    monkeypatch.setattr("ghibli_studio.draft.write_json", write_json)
    with pytest.raises(StudioError, match=r"^manifest\.json does not fit$"):
        fill(("A", "train"), ("B", "validation"))
    assert (workspace.projects(), tree(workspace.root)) == ([], {})


def test_a_file_in_the_projects_place_is_told(workspace, tiny_folder):
    workspace.root.mkdir()
    (workspace.root / "p").write_text("")
    with (
        pytest.raises(StudioError, match=r"^.*/p cannot be used \(.*\); choose another folder with --workspace$"),
        Draft.of(workspace.project("p", new=True), describe(str(tiny_folder)), 0),
    ):
        pass


def test_only_one_makes_a_projects_data_set(workspace, tiny_folder):
    project, description = workspace.project("p", new=True), describe(str(tiny_folder))
    with Draft.of(project, description, 0) as draft:
        draft.add(Image.new("RGB", (64, 64)), "A", landmark="A", source=b"", suffix=".png", original="a")
        with pytest.raises(StudioError) as told, Draft.of(project, description, 0):
            pass
        assert str(told.value) == "project 'p' is getting a data set just now; wait until it is done"
        assert (project.building("dataset") / "0001.png").exists()


def test_a_kill_minus_9_frees_the_project_for_the_next(workspace, tiny_folder, fill):
    code = (
        "import os, sys; from pathlib import Path; from ghibli_studio.workspace import Workspace;"
        "from ghibli_studio.dataset import changing;"
        "project = Workspace(Path(sys.argv[1])).project('p', new=True)\n"
        "with changing(project): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(workspace.root)], cwd=ROOT)
    assert done.returncode == -9
    assert whole(fill(("A", "train"), ("B", "validation"))) == ["A", "B"]


def test_a_draft_frees_its_project_however_it_ends(fill, workspace, tiny_folder):
    project, description = workspace.project("p", new=True), describe(str(tiny_folder))

    def going():
        with Draft.of(project, description, 0):
            yield

    stopped = going()
    next(stopped)
    stopped.close()
    with pytest.raises(ZeroDivisionError), Draft.of(project, description, 0):
        raise ZeroDivisionError
    assert whole(fill(("A", "train"), ("B", "validation"))) == ["A", "B"]


def test_pictures_that_were_enlarged_are_counted(fill):
    small = load(fill(("A", "train"), ("B", "validation"), name="small", size=(80, 63)))
    assert small.notes == ("2 pictures are smaller than 64 px and were enlarged; larger ones would be sharper.",)
    assert read_json(fill(("A", "train"), ("B", "validation"), name="tall", size=(63, 80)).manifest_file)["notes"] == [
        "2 pictures are smaller than 64 px and were enlarged; larger ones would be sharper."
    ]
    assert load(fill(("A", "train"), ("B", "validation"), size=(64, 64))).notes == ()


def test_pictures_that_nothing_tells_apart_count_for_themselves(workspace, tiny_folder):
    with Draft.of(workspace.project("p", new=True), describe(str(tiny_folder)), 0) as draft:
        for side in ("train", "validation"):
            draft.add(
                Image.new("RGB", (64, 63)),
                "my style, x",
                landmark="my style",
                source=b"",
                suffix=".png",
                original=side,
                split=side,
            )
        draft.tell_pictures_apart()
        made = draft.finish()
    assert [(item.landmark, item.caption, item.split) for item in made.items] == [
        ("my style 0001", "my style, x", "train"),
        ("my style 0002", "my style, x", "validation"),
    ]
    assert made.notes == (
        "All captions or file names begin alike (my style), so every picture counts as a landmark of its own. If "
        "several show the same, begin their captions with what it is, and a comma.",
        "2 pictures are smaller than 64 px and were enlarged; larger ones would be sharper.",
    )
    assert load(workspace.project("p")) == made
