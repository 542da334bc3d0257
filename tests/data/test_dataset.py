"""The dataset: items, split and manifest, and what is refused before training."""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.config.evaluation import PAPER_LANDMARKS
from ghibli_studio.data.dataset import (
    Dataset,
    check_caption,
    digest,
    edit_lock,
    images,
    load,
    set_captions,
    split_by_landmark,
)
from ghibli_studio.miniature.landmarks.catalog import LANDMARKS
from ghibli_studio.models.tokenizer import load_tokenizer, token_count
from ghibli_studio.workspace.files import read_json, write_json
from tests.support.dataset_files import tree

ALL = [landmark.name for landmark in LANDMARKS]


def changed_manifest(project, **values):
    """Rewrite the manifest with some values replaced and others removed."""
    manifest = {**read_json(project.manifest_file), **values}
    write_json(project.manifest_file, {name: value for name, value in manifest.items() if value is not ...})


def test_the_manifest_matches_the_folder(project, tiny_folder):
    dataset = load(project)
    assert replace(dataset, items=()) == Dataset(str(tiny_folder), 64, 77, 0, (), (), ())
    assert [item.id for item in dataset.items] == [f"{number:04d}" for number in range(1, 9)]
    assert set(tree(project.dataset)) == {"manifest.json"} | {
        f"{item.id}.{kind}" for item in dataset.items for kind in ("png", "txt")
    }
    assert set(tree(project.sources)) == {item.source for item in dataset.items}
    tokenizer = load_tokenizer(str(tiny_folder))
    for item in dataset.items:
        assert (project.dataset / f"{item.id}.txt").read_text() == item.caption + "\n"
        assert hashlib.sha256((project.dataset / f"{item.id}.png").read_bytes()).hexdigest() == item.sha256
        assert item.tokens == token_count(tokenizer, item.caption)
        assert item.caption.startswith(item.landmark + ", ")


def test_splits_and_search_by_landmark(project):
    dataset = load(project)
    train, validation = dataset.part("train"), dataset.part("validation")
    assert sorted([*train, *validation], key=lambda item: item.id) == list(dataset.items)
    assert [item.landmark for item in validation] == ["Big Ben", "Colosseum"]
    assert dataset.by_landmark(" bIG bEN ") == dataset.items[0]
    assert dataset.by_landmark("Big") is None


def test_images_come_in_order_as_rgb(project):
    dataset = load(project)
    chosen = [dataset.items[3], dataset.items[0]]
    found = list(images(project, chosen))
    for item, image in zip(chosen, found):
        assert (image.mode, image.size) == ("RGB", (64, 64))
        assert image.tobytes() == Image.open(project.dataset / f"{item.id}.png").tobytes()


def test_a_missing_or_changed_image_is_refused(project):
    item = load(project).items[2]
    path = project.dataset / f"{item.id}.png"
    Image.new("RGB", (64, 64)).save(path)
    with pytest.raises(StudioError) as caught:
        list(images(project, [item]))
    assert str(caught.value) == f"{path} was changed after the import; import the images again"
    path.unlink()
    with pytest.raises(StudioError) as caught:
        list(images(project, [item]))
    assert str(caught.value) == f"{path} of the dataset is missing; import the images again"


# the split


def splits_of(landmarks, *arguments, **named):
    """Return the split of each landmark; fails if one is in both."""
    found = {}
    for name, side in zip(landmarks, split_by_landmark(landmarks, *arguments, **named)):
        assert found.setdefault(name, side) == side
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_fifth_of_all_landmarks_is_for_validation_with_the_papers_five(seed):
    split = splits_of(ALL, seed, held_out=PAPER_LANDMARKS)
    assert Counter(split.values()) == {"train": 92, "validation": 23}
    assert {split[name] for name in PAPER_LANDMARKS} == {"validation"}


def test_the_split_depends_only_on_the_seed():
    first = splits_of(ALL, 1, held_out=PAPER_LANDMARKS)
    assert first == splits_of(ALL[::-1], 1, held_out=PAPER_LANDMARKS)
    others = [splits_of(ALL, seed, held_out=PAPER_LANDMARKS) for seed in range(2, 6)]
    assert all(first != other for other in others)


@pytest.mark.parametrize("seed", range(20))
def test_landmarks_of_different_sizes_give_about_a_fifth(seed):
    landmarks = [name for number, name in enumerate("ABCDEFGHIJ", 1) for _ in range(number)]
    split = split_by_landmark(landmarks, seed)
    assert 0.1 <= split.count("validation") / len(split) <= 0.2
    splits_of(landmarks, seed)


@pytest.mark.parametrize(
    ("landmarks", "expected"),
    [
        ([], []),
        (["A"], ["train"]),
        (["A"] * 9, ["train"] * 9),
        (["A", "A", "A", "B"], ["train", "train", "train", "validation"]),
        (["A"] * 5 + ["B"] * 4, ["train"] * 5 + ["validation"] * 4),
    ],
)
def test_few_landmarks(landmarks, expected):
    assert [split_by_landmark(landmarks, seed) for seed in range(5)] == [expected] * 5


def test_two_landmarks_of_one_image_are_in_different_splits():
    assert {tuple(split_by_landmark(["A", "B"], seed)) for seed in range(20)} == {
        ("train", "validation"),
        ("validation", "train"),
    }


def test_held_out_landmarks_come_first_up_to_the_share():
    assert split_by_landmark(list("ABCDE"), 0, held_out=["D", "A"]) == [*["train"] * 3, "validation", "train"]
    assert splits_of(list("ABCDEFGHIJ"), 3, held_out=["D", "nowhere", "A"]) == {
        name: "validation" if name in "AD" else "train" for name in "ABCDEFGHIJ"
    }
    for seed in range(5):  # none fits into a fifth, and there is no other
        assert split_by_landmark(["A"] * 5 + ["B"] * 4, seed, held_out=["A", "B"]) == ["train"] * 5 + ["validation"] * 4


def test_names_that_differ_only_in_case_are_one_landmark():
    landmarks = ["Big Ben", "big ben", "BIG BEN", *"ABCDEFGHIJKL"]
    for seed in range(20):
        assert len(set(split_by_landmark(landmarks, seed)[:3])) == 1
    assert split_by_landmark(landmarks, 0, held_out=["biG beN"])[:3] == ["validation"] * 3


def test_the_validation_share_is_a_setting():
    assert split_by_landmark(ALL, 0, share=0.5).count("validation") == 58
    assert split_by_landmark(list("AB"), 0, share=0.9).count("validation") == 1, "one image is left for training"


# the manifest


def test_no_dataset_yet(workspace):
    project = workspace.project("p", new=True)
    with pytest.raises(StudioError) as caught:
        load(project)
    assert str(caught.value) == (
        "project 'p' has no dataset yet; create one in the Dataset tab, or with: ghibli-studio dataset sample 'p'"
    )


@pytest.mark.parametrize("version", [..., None, 0, 2, "1"])
def test_a_manifest_of_another_version(project, version):
    changed_manifest(project, version=version)
    with pytest.raises(StudioError) as caught:
        load(project)
    assert str(caught.value) == f"{project.manifest_file} does not have version 1; import the images again"


@pytest.mark.parametrize(
    "values",
    [
        {"items": ...},
        {"items": 3},
        {"items": [{"id": "0001"}]},
        {"items": [3]},
        {"skipped": ...},
        {"notes": ...},
        {"notes": 3},
        {"resolution": ...},
        {"color": "green"},
        {"items": None},
    ],
)
def test_a_damaged_manifest(project, values):
    changed_manifest(project, **values)
    with pytest.raises(StudioError, match=r"manifest\.json is damaged \(.*\); import the images again$"):
        load(project)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"'])
def test_a_manifest_of_another_kind(project, text):
    project.manifest_file.write_text(text)
    with pytest.raises(StudioError, match=r"manifest\.json is damaged \(.*\); import the images again$"):
        load(project)


def test_a_truncated_manifest(project):
    project.manifest_file.write_text(project.manifest_file.read_text()[:500])
    with pytest.raises(StudioError, match=r"manifest\.json is damaged \(.*\); restore it from a copy or delete it$"):
        load(project)


def test_the_digest_covers_exactly_what_training_sees(project):
    dataset = load(project)
    first, *rest = dataset.items

    def but(**values):
        return digest(replace(dataset, items=(replace(first, **values), *rest)))

    seen = [
        digest(dataset),
        but(caption="another"),
        but(split="train"),
        but(sha256="0" * 64),
        but(id="0009"),
        digest(replace(dataset, resolution=512)),
        digest(replace(dataset, items=(*rest, first))),
        digest(replace(dataset, items=tuple(rest))),
    ]
    assert len(set(seen)) == len(seen)
    assert len(seen[0]) == 64
    unseen = [
        digest(load(project)),
        but(source="x"),
        but(original="x"),
        but(tokens=1),
        but(landmark="x"),
        digest(replace(dataset, seed=5)),
        digest(replace(dataset, skipped=({"file": "x", "reason": "y"},))),
        digest(replace(dataset, notes=("x",))),
    ]
    assert set(unseen) == {digest(dataset)}


# captions


def test_captions_can_be_changed(project, tiny_folder):
    before = load(project)
    after = set_captions(project, {"0002": "  Zytglogge,\n Bern 🏯 ", "0003": before.items[2].caption})
    assert after == load(project)
    tokens = token_count(load_tokenizer(str(tiny_folder)), "Zytglogge, Bern 🏯")
    assert after.items[1] == replace(before.items[1], caption="Zytglogge, Bern 🏯", tokens=tokens)
    assert (project.dataset / "0002.txt").read_text() == "Zytglogge, Bern 🏯\n"
    assert [*after.items[:1], *after.items[2:]] == [*before.items[:1], *before.items[2:]]
    assert digest(after) != digest(before)


def test_captions_cannot_be_changed_while_the_dataset_is_written(project):
    before = tree(project.folder)
    with edit_lock(project), pytest.raises(StudioError) as caught:
        set_captions(project, {"0002": "Zytglogge, Bern"})
    assert str(caught.value) == "the dataset of project 'sample' is being written; wait until that is done"
    assert tree(project.folder) == before
    assert set_captions(project, {"0002": "Zytglogge, Bern"}).items[1].caption == "Zytglogge, Bern"


def test_no_captions_change_nothing(project):
    before = tree(project.dataset)
    set_captions(project, {})
    assert tree(project.dataset) == before


def test_captions_over_the_limit_are_kept_and_listed(project):
    assert load(project).too_long() == []
    long = "Big Ben, " + " ".join(["tower"] * 400)
    dataset = set_captions(project, {"0001": long})
    assert [(item.id, item.caption, item.tokens) for item in dataset.too_long()] == [("0001", long, 405)]
    edge = "tower " * 75
    assert [item.id for item in set_captions(project, {"0001": edge}).too_long()] == []
    assert [item.id for item in set_captions(project, {"0001": edge + "tower"}).too_long()] == ["0001"]


@pytest.mark.parametrize("caption", ["", "  \n\t ", "\u202e"])
def test_an_empty_caption_is_refused_and_no_caption_is_written(project, caption):
    before = tree(project.dataset)
    with pytest.raises(StudioError) as caught:
        set_captions(project, {"0001": "changed", "0002": caption})
    assert str(caught.value) == (
        "image 0002 has no caption; describe the image, such as 'Big Ben, London, a stone clock tower'"
    )
    assert tree(project.dataset) == before


def test_a_far_too_long_caption_is_refused(project):
    with pytest.raises(StudioError) as caught:
        set_captions(project, {"0001": "x" * 4001})
    assert str(caught.value) == "the caption of image 0001 has 4001 characters, at most 4000 are allowed; shorten it"
    assert check_caption("x" * 4000, "a.png") == "x" * 4000


def test_a_caption_for_an_unknown_image_is_refused(project):
    before = tree(project.dataset)
    with pytest.raises(StudioError) as caught:
        set_captions(project, {"0001": "changed", "0999": "x"})
    assert str(caught.value) == "the dataset has no image '0999'; its images are 0001 to 0008"
    assert tree(project.dataset) == before


def test_the_manifest_is_plain_json(project):
    manifest = json.loads(project.manifest_file.read_text())
    assert list(manifest) == ["version", "base_model", "resolution", "token_limit", "seed", "items", "skipped", "notes"]
    assert manifest["version"] == 1
    shutil.rmtree(project.sources)
    assert len(load(project).items) == 8, "training needs no sources"
