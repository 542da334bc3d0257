"""The accepted photos become the dataset: stylized image, prompt, and the crop that was stylized."""

import numpy as np
import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.build import build_dataset
from ghibli_studio.curation.ingest import add_photos
from ghibli_studio.data import dataset as datasets
from ghibli_studio.imaging.crop import crop, square
from ghibli_studio.imaging.image_io import open_image
from tests.support.collection_project import encoded, scene, stylize
from tests.support.dataset_files import folder_of, tree


@pytest.fixture
def project(workspace, tmp_path, tiny_folder):
    """Return a project with six photos of five landmarks: four accepted, the fifth stylized, the sixth new."""
    project = workspace.project("p", new=True)
    names = ["Petra", "petra", "Colosseum", "Big Ben", "Moai", "Ur"]
    files = {f"{n}.jpg": encoded(scene(n, (160, 120)), "JPEG") for n in range(1, 7)}
    files |= {f"{n}.txt": f"{name}, Somewhere, a sight, wide shot".encode() for n, name in enumerate(names, 1)}
    list(add_photos(project, folder_of(tmp_path / "in", files), str(tiny_folder)))
    for n in range(1, 5):
        stylize(project, f"{n:04d}")
    stylize(project, "0005", accept=False)
    return project


def pixels(image):
    return np.asarray(image)


def refusal(project, **options):
    with pytest.raises(StudioError) as caught:
        list(build_dataset(project, **options))
    return str(caught.value)


def test_the_accepted_photos_become_the_dataset(project, tiny_folder):
    before = collections.load(project)
    steps = list(build_dataset(project, seed=4))
    assert [(step.done, step.total) for step in steps] == [(n, 4) for n in range(1, 5)]
    dataset = datasets.load(project)
    assert (dataset.base_model, dataset.resolution, dataset.seed) == (str(tiny_folder), 64, 4)
    assert [(item.landmark, item.original, item.source) for item in dataset.items] == [
        ("Petra", "1.jpg", "0001.jpg"),
        ("petra", "2.jpg", "0002.jpg"),
        ("Colosseum", "3.jpg", "0003.jpg"),
        ("Big Ben", "4.jpg", "0004.jpg"),
    ]
    assert [item.caption for item in dataset.items][2] == "Colosseum, Somewhere, a sight, wide shot"
    assert dataset.items[0].split == dataset.items[1].split == "train"
    assert len(dataset.part("validation")) == 1
    assert dataset.notes == ("2 photos not in the dataset, because neither accepted nor rejected yet.",)
    for photo, item, image in zip(before.photos, dataset.items, datasets.images(project, dataset.items)):
        stylized = Image.open(project.collection.stylized(photo.accepted.file))
        assert (pixels(image) == pixels(stylized)).all()
        assert (project.sources / item.source).read_bytes() == project.collection.source(photo.file).read_bytes()
    assert collections.load(project) == before, "the collection stays unchanged"


def test_a_moved_crop_is_the_same_in_source_and_image(project):
    """The center square of the source, which the training comparisons show, is what was stylized."""
    collections.edit(project, "0003", center=(0.0, 0.5))
    stylize(project, "0003")
    collections.edit(project, "0003", center=(1.0, 0.5))  # moved again, but not stylized again
    list(build_dataset(project))
    dataset = datasets.load(project)
    photo = collections.load_photo(project, collections.load(project).photo("0003"))
    item = dataset.items[2]
    assert item.source == "0003.png"
    source = datasets.source_photo(project, item)
    assert source.size == (120, 120)
    assert (pixels(source) == pixels(photo)[:, :120]).all()
    center, stylized = (pixels(image).astype(int) for image in (square(source, 64), crop(photo, (0.0, 0.5), 64)))
    assert (center[:, :60] == stylized[:, :60]).all()
    assert np.abs(center - stylized).max() <= 3, "Lanczos reads beyond the edge of the square"
    assert np.abs(center - pixels(square(photo, 64))).max() > 30


def test_a_fixed_side_stays(project):
    for id, side in (("0003", "validation"), ("0004", "validation"), ("0001", "train")):
        collections.edit(project, id, split=side)
    list(build_dataset(project))
    assert [item.split for item in datasets.load(project).items] == ["train", "train", "validation", "validation"]


def test_near_duplicates_on_both_sides_are_reported(project):
    first = collections.load(project).photo("0001").perceptual_hash
    collections.change(
        project,
        lambda old: collections.replace(
            old,
            photos=tuple(
                collections.replace(photo, perceptual_hash=first) if photo.id == "0003" else photo
                for photo in old.photos
            ),
        ),
    )
    collections.edit_many(project, {"0001": {"split": "train"}, "0003": {"split": "validation"}})
    list(build_dataset(project))
    assert "1 pair of near duplicates on both sides of the split (0001 and 0003)" in (datasets.load(project).notes[1])


def test_unusable_photos_are_skipped_and_reported(project):
    project.collection.stylized("0001-1.png").write_bytes(encoded(scene(77, (64, 64))))
    project.collection.source("0003.jpg").write_bytes(b"changed")
    collections.edit(project, "0002", name="", location="", description="", composition="")
    stylize(project, "0005")
    list(build_dataset(project))
    dataset = datasets.load(project)
    assert [item.original for item in dataset.items] == ["4.jpg", "5.jpg"]
    reasons = {skipped["file"]: skipped["reason"] for skipped in dataset.skipped}
    assert "was changed after it was stylized; stylize the photo again" in reasons["1.jpg"]
    assert "photo 0002 (2.jpg) has no caption" in reasons["2.jpg"]
    assert reasons["3.jpg"] == "3.jpg was changed after it was added; add it again"


def test_a_photo_without_a_name_is_its_own_landmark(project):
    collections.edit_many(project, {id: {"name": ""} for id in ("0001", "0002")})
    list(build_dataset(project))
    assert [item.landmark for item in datasets.load(project).items][:2] == ["photo 0001", "photo 0002"]


def test_a_rejected_photo_is_not_in_the_dataset(project):
    collections.edit(project, "0004", rejected=True)
    list(build_dataset(project))
    assert [item.landmark for item in datasets.load(project).items] == ["Petra", "petra", "Colosseum"]


def test_building_without_accepted_photos_is_refused(project):
    collections.edit_many(project, {f"{n:04d}": {"accepted_index": None} for n in range(1, 5)})
    assert refusal(project) == (
        "none of the 6 photos of project 'p' has an accepted stylized image; stylize them and accept the good ones"
    )
    assert not datasets.exists(project)


def test_one_landmark_is_refused(project):
    collections.edit_many(project, {f"{n:04d}": {"name": "Petra"} for n in range(1, 5)})
    assert "training and validation need a landmark each" in refusal(project)
    assert not datasets.exists(project)


def test_a_dataset_is_not_replaced_by_default(project):
    list(build_dataset(project))
    before = tree(project.dataset)
    collections.edit(project, "0003", description="another sight")
    assert "has a dataset already" in refusal(project)
    assert tree(project.dataset) == before
    list(build_dataset(project, replace=True))
    assert datasets.load(project).items[2].caption == "Colosseum, Somewhere, another sight, wide shot"


def test_stopping_halfway_leaves_no_dataset(project):
    steps = build_dataset(project)
    next(steps)
    steps.close()
    assert not datasets.exists(project)
    assert not project.building("dataset").exists()
    assert open_image(project.collection.source("0001.jpg").read_bytes(), "x").size == (160, 120)
