"""What was accepted becomes the data set: styled picture, prompt, and the crop that it was styled from."""

import numpy as np
import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.build import finish
from ghibli_studio.curation.ingest import gather
from ghibli_studio.data import dataset as datasets
from ghibli_studio.imaging.crop import crop, square
from ghibli_studio.imaging.image_io import open_image
from tests.data.test_file_source import folder_of, tree
from tests.support.collection_project import encoded, scene, style


@pytest.fixture
def project(workspace, tmp_path, tiny_folder):
    """Six photographs of five landmarks, the first four styled and accepted, the fifth styled."""
    project = workspace.project("p", new=True)
    names = ["Petra", "petra", "Colosseum", "Big Ben", "Moai", "Ur"]
    files = {f"{n}.jpg": encoded(scene(n, (160, 120)), "JPEG") for n in range(1, 7)}
    files |= {f"{n}.txt": f"{name}, Somewhere, a sight, wide shot".encode() for n, name in enumerate(names, 1)}
    list(gather(project, folder_of(tmp_path / "in", files), str(tiny_folder)))
    for n in range(1, 5):
        style(project, f"{n:04d}")
    style(project, "0005", accept=False)
    return project


def pixels(image):
    return np.asarray(image)


def refusal(project, **options):
    with pytest.raises(StudioError) as told:
        list(finish(project, **options))
    return str(told.value)


def test_what_was_accepted_is_the_data_set(project, tiny_folder):
    before = collections.load(project)
    steps = list(finish(project, seed=4))
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
    assert dataset.notes == ("2 photographs are neither accepted nor rejected yet; they are not in the set.",)
    for photo, item, image in zip(before.photos, dataset.items, datasets.images(project, dataset.items)):
        styled = Image.open(project.collection.styled(photo.accepted.file))
        assert (pixels(image) == pixels(styled)).all()
        assert (project.sources / item.source).read_bytes() == project.collection.source(photo.file).read_bytes()
    assert collections.load(project) == before, "the collection stays, to go on with later"


def test_a_moved_crop_is_the_same_in_photograph_and_picture(project):
    """Whoever takes the source's center, as training's comparisons do, sees what was styled."""
    collections.edit(project, "0003", center=(0.0, 0.5))
    style(project, "0003")
    collections.edit(project, "0003", center=(1.0, 0.5))  # moved again, but not styled again
    list(finish(project))
    dataset = datasets.load(project)
    photograph = collections.picture(project, collections.load(project).photo("0003"))
    item = dataset.items[2]
    assert item.source == "0003.png"
    source = datasets.photograph(project, item)
    assert source.size == (120, 120)
    assert (pixels(source) == pixels(photograph)[:, :120]).all()
    seen, styled = (pixels(image).astype(int) for image in (square(source, 64), crop(photograph, (0.0, 0.5), 64)))
    assert (seen[:, :60] == styled[:, :60]).all()
    assert np.abs(seen - styled).max() <= 3, "Lanczos looks over the square's edge where there is something"
    assert np.abs(seen - pixels(square(photograph, 64))).max() > 30


def test_a_fixed_side_stays(project):
    for id, side in (("0003", "validation"), ("0004", "validation"), ("0001", "train")):
        collections.edit(project, id, split=side)
    list(finish(project))
    assert [item.split for item in datasets.load(project).items] == ["train", "train", "validation", "validation"]


def test_look_alikes_on_both_sides_are_told(project):
    first = collections.load(project).photo("0001").likeness
    collections.change(
        project,
        lambda old: collections.replace(
            old,
            photos=tuple(collections.replace(one, likeness=first) if one.id == "0003" else one for one in old.photos),
        ),
    )
    collections.edit_many(project, {"0001": {"split": "train"}, "0003": {"split": "validation"}})
    list(finish(project))
    assert (
        "1 pairs of photographs that look alike were put on both sides of the split (0001 and 0003)"
        in (datasets.load(project).notes[1])
    )


def test_what_cannot_be_used_is_left_out_and_told(project):
    project.collection.styled("0001-1.png").write_bytes(encoded(scene(77, (64, 64))))
    project.collection.source("0003.jpg").write_bytes(b"changed")
    collections.edit(project, "0002", name="", location="", description="", composition="")
    style(project, "0005")
    list(finish(project))
    dataset = datasets.load(project)
    assert [item.original for item in dataset.items] == ["4.jpg", "5.jpg"]
    told = {problem["file"]: problem["reason"] for problem in dataset.problems}
    assert "was changed after it was styled; style the photograph again" in told["1.jpg"]
    assert "photograph 0002 (2.jpg) has no caption" in told["2.jpg"]
    assert told["3.jpg"] == "3.jpg was changed after it was gathered; gather it again"


def test_a_photograph_without_a_name_stands_for_itself(project):
    collections.edit_many(project, {id: {"name": ""} for id in ("0001", "0002")})
    list(finish(project))
    assert [item.landmark for item in datasets.load(project).items][:2] == ["photograph 0001", "photograph 0002"]


def test_a_rejected_photograph_is_not_in_it(project):
    collections.edit(project, "0004", rejected=True)
    list(finish(project))
    assert [item.landmark for item in datasets.load(project).items] == ["Petra", "petra", "Colosseum"]


def test_nothing_accepted_is_refused(project):
    collections.edit_many(project, {f"{n:04d}": {"chosen": None} for n in range(1, 5)})
    assert refusal(project) == (
        "none of the 6 photographs of project 'p' has an accepted styled picture; style them, and accept those that "
        "are good"
    )
    assert not datasets.exists(project)


def test_one_landmark_is_refused(project):
    collections.edit_many(project, {f"{n:04d}": {"name": "Petra"} for n in range(1, 5)})
    assert "training and validation need a landmark each" in refusal(project)
    assert not datasets.exists(project)


def test_a_data_set_is_not_replaced_unasked(project):
    list(finish(project))
    made = tree(project.dataset)
    collections.edit(project, "0003", description="another sight")
    assert "has a data set already" in refusal(project)
    assert tree(project.dataset) == made
    list(finish(project, replace=True))
    assert datasets.load(project).items[2].caption == "Colosseum, Somewhere, another sight, wide shot"


def test_stopping_in_the_middle_leaves_no_data_set(project):
    steps = finish(project)
    next(steps)
    steps.close()
    assert not datasets.exists(project)
    assert not project.building("dataset").exists()
    assert open_image(project.collection.source("0001.jpg").read_bytes(), "x").size == (160, 120)
