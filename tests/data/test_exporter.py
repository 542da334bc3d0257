"""Exports of the dataset: each layout fits its reader, and importing it gives the same dataset."""

import dataclasses
import hashlib
import json
import zipfile

import pytest

from adapters.settings import StudioError
from ghibli_studio.config.export import DatasetExportSettings
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.ingest import add_photos
from ghibli_studio.curation.prompts import compose
from ghibli_studio.data.dataset import digest, load
from ghibli_studio.data.exporter import default_target, export
from ghibli_studio.data.importer import import_images
from ghibli_studio.workspace.project import Workspace
from tests.support.dataset_files import tree

LAYOUTS = ("folder", "imagefolder", "kohya")


def exported(project, target=None, **settings):
    chosen = DatasetExportSettings.checked(settings)
    list(export(project, chosen, target))
    return target or default_target(project, chosen)


def imported(path, tmp_path, tiny_folder):
    project = Workspace(tmp_path / "other").project("again", new=True)
    list(import_images(project, path, str(tiny_folder)))
    return project


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_with_manifest_and_sources_an_import_gives_the_same_dataset(project, layout, zipped, tmp_path, tiny_folder):
    place = exported(project, layout=layout, zipped=zipped, sources=True)
    again = imported(place, tmp_path, tiny_folder)
    assert load(again) == load(project)
    for folder in ("dataset", "sources"):
        assert tree(again.folder / folder) == tree(project.folder / folder)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_them_an_import_gives_the_same_training_data(project, layout, tmp_path, tiny_folder):
    again = load(imported(exported(project, layout=layout, manifest=False), tmp_path, tiny_folder))
    names = {
        "folder": "{id}.png",
        "imagefolder": "{split}/{id}.png",
        "kohya": "{split}/{repeats}_ghibli style landmark/{id}.png",
    }
    expected = tuple(
        dataclasses.replace(
            item,
            original=names[layout].format(
                id=item.id, split=item.split, repeats={"train": 10, "validation": 1}[item.split]
            ),
        )
        for item in load(project).items
    )
    assert again.items == expected
    assert digest(again) == digest(load(project))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_added_as_photos_captions_have_no_trigger(project, layout, tmp_path):
    place = exported(project, layout=layout, manifest=False, trigger="gvis")
    again = Workspace(tmp_path / "other").project("again", new=True)
    list(add_photos(again, place))
    captions = sorted(compose(photo) for photo in collections.load(again).photos)
    assert captions == sorted(item.caption for item in load(project).items)


def test_the_folder_layout_has_plain_captions_and_lists(project, tmp_path):
    dataset = load(project)
    files = tree(exported(project, tmp_path / "out", manifest=False))
    sides = {"train.txt": "train", "val.txt": "validation"}
    assert files == {
        **{f"{item.id}.png": (project.dataset / f"{item.id}.png").read_bytes() for item in dataset.items},
        **{f"{item.id}.txt": f"{item.caption}\n".encode() for item in dataset.items},
        **{name: "".join(f"{item.id}.png\n" for item in dataset.part(side)).encode() for name, side in sides.items()},
    }


def test_imagefolder_has_a_metadata_file_per_split(project, tmp_path):
    files = tree(exported(project, tmp_path / "out", layout="imagefolder", sources=True))
    dataset = load(project)
    for side in ("train", "validation"):
        rows = [json.loads(line) for line in files.pop(f"{side}/metadata.jsonl").decode().splitlines()]
        assert rows == [
            {
                "file_name": f"{item.id}.png",
                "text": f"{item.caption}, ghibli style",
                "landmark": item.landmark,
                "trigger": "ghibli style",
            }
            for item in dataset.part(side)
        ]
    assert json.loads(files.pop("manifest.json"))["items"] == [dataclasses.asdict(item) for item in dataset.items]
    assert sorted(files) == sorted(
        [f"{item.split}/{item.id}.png" for item in dataset.items] + [f"sources/{item.source}" for item in dataset.items]
    )


def test_the_kohya_layout_has_repeats_trigger_and_class_in_folder_names(project, tmp_path):
    files = tree(
        exported(
            project, tmp_path / "out", layout="kohya", manifest=False, trigger="gvis", class_word="building", repeats=3
        )
    )
    dataset = load(project)
    for item in dataset.items:
        place = f"{item.split}/{3 if item.split == 'train' else 1}_gvis building/{item.id}"
        assert hashlib.sha256(files.pop(f"{place}.png")).hexdigest() == item.sha256
        assert files.pop(f"{place}.txt").decode() == f"{item.caption}, gvis\n"
    assert files == {}


def test_without_a_trigger_captions_are_unchanged(project, tmp_path):
    files = tree(exported(project, tmp_path / "k", layout="kohya", trigger="", manifest=False))
    item = load(project).part("train")[0]
    assert files[f"train/10_landmark/{item.id}.txt"].decode() == f"{item.caption}\n"
    rows = tree(exported(project, tmp_path / "i", layout="imagefolder", trigger=""))["train/metadata.jsonl"].decode()
    assert json.loads(rows.splitlines()[0]) == {
        "file_name": f"{item.id}.png",
        "text": item.caption,
        "landmark": item.landmark,
    }


@pytest.mark.parametrize(
    ("trigger", "class_word"), [("", ""), ("../..", ""), ("a/b", "c"), ("<gvis>", "x"), ("a", ".")]
)
def test_an_invalid_folder_name_is_refused(project, tmp_path, trigger, class_word):
    with pytest.raises(StudioError, match=r"cannot be the name of kohya's folder; set trigger or class_word"):
        exported(project, tmp_path / "out", layout="kohya", trigger=trigger, class_word=class_word)
    assert list(tmp_path.glob("*out*")) == []


def test_sources_need_the_manifest():
    with pytest.raises(StudioError, match=r"^sources is on and manifest is off, but sources need it; turn manifest on"):
        DatasetExportSettings.checked({"sources": True, "manifest": False})


def test_the_same_dataset_gives_the_same_zip(project, tmp_path):
    first, second = (exported(project, tmp_path / name, zipped=True, sources=True) for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.testzip() is None
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_previous_export_of_the_project_is_replaced(project):
    path = exported(project)
    (path / "0001.png").unlink()
    assert len(tree(exported(project))) == 2 * 8 + 3
    assert [path.name for path in path.parent.iterdir()] == ["sample-folder"]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_users_own_files_are_never_overwritten(project, tmp_path, zipped):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "novel.txt").write_text("chapter one")
    file = tmp_path / "one.zip"
    file.write_text("mine too")
    for place in (target, file):
        with pytest.raises(StudioError, match="exists already; choose another name, or move it away"):
            exported(project, place, zipped=zipped)
    assert (target / "novel.txt").read_text() + file.read_text() == "chapter onemine too"
    (target / "novel.txt").unlink()
    exported(project, target, zipped=zipped)
    assert target.is_file() == zipped


@pytest.mark.parametrize("zipped", [False, True])
def test_a_failed_or_stopped_export_leaves_nothing(project, tmp_path, zipped):
    work = export(project, DatasetExportSettings(zipped=zipped), tmp_path / "out")
    next(work)
    work.close()
    path = project.dataset / "0003.png"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(StudioError, match=r"0003\.png was changed after the import"):
        exported(project, tmp_path / "out", zipped=zipped)
    assert list(tmp_path.glob("*out*")) == []
