"""Dataset statistics with exact values, near duplicates across splits, and contact sheets."""

import numpy as np
import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation import review
from ghibli_studio.curation.contact_sheet import collection_sheet, dataset_sheet
from ghibli_studio.curation.review import collection_statistics
from ghibli_studio.data import dataset
from ghibli_studio.data.statistics import Bin, Entry, Leak, compute_statistics, dataset_statistics, find_leaks
from ghibli_studio.generation import stylization
from ghibli_studio.imaging import contact_sheet
from ghibli_studio.imaging.contact_sheet import GAP, Cell, page_count, render_sheet
from ghibli_studio.workspace.files import write_atomic
from tests.support.photo_project import FEW

A, NEAR_A, B = "00000000ffffffff", "0000000fffffffff", "f0f0f0f0f0f0f0f0"


def entry(id, split="train", landmark="Petra", tokens=30, size=(300, 200), brightness=0.5, perceptual_hashes=(B,)):
    return Entry(id, landmark, split, tokens, *size, brightness, perceptual_hashes)


def counts_of(bins):
    return {
        one.label: (one.train, one.validation, one.undecided)
        for one in bins
        if one.train + one.validation + one.undecided
    }


def test_statistics_of_a_small_set():
    found = compute_statistics(
        [
            entry("0001", tokens=10, size=(300, 200), brightness=0.1),
            entry("0002", landmark="PETRA", tokens=11, size=(64, 600), brightness=0.95),
            entry("0003", "validation", "Big Ben", tokens=77, size=(256, 256), brightness=1.0, perceptual_hashes=(A,)),
            entry("0004", None, "", tokens=78, size=(5000, 4000), brightness=0.0, perceptual_hashes=(A,)),
        ],
        resolution=256,
        token_limit=77,
    )
    assert found.rows == (
        ("Images", "4: 2 training, 1 validation, 1 undecided"),
        ("Landmarks", "3; images per landmark: 1 to 2, median 1"),
        ("Shorter side of the source", "64 to 4000, median 228 (px); 2 below 256 px, enlarged"),
        ("Tokens per caption", "10 to 78, median 44; 1 over the token limit of 77, without a trigger"),
        ("Brightness, 0 to 1", "0.00 to 1.00, median 0.53"),
        ("Near duplicates across splits", "none"),
    )
    assert counts_of(found.sizes) == {
        "0 to 255 px": (2, 0, 0),
        "256 to 511 px": (0, 1, 0),
        "1024 px or more": (0, 0, 1),
    }
    assert counts_of(found.tokens) == {
        "0 to 10": (1, 0, 0),
        "11 to 21": (1, 0, 0),
        "66 to 77": (0, 1, 0),
        "78 or more": (0, 0, 1),
    }
    assert counts_of(found.brightness) == {"0 to 0.1": (0, 0, 1), "0.1 to 0.2": (1, 0, 0), "0.9 to 1": (1, 1, 0)}
    assert found.landmarks == (Bin("Petra", 2), Bin("Big Ben", 0, 1), Bin("unnamed", 0, 0, 1))


def test_an_empty_set():
    found = compute_statistics([], 256, 77)
    assert (found.rows, found.landmarks, found.leaks) == ((("Images", "none yet"),), (), ())


def test_rare_landmarks_share_a_bar():
    entries = [entry(f"{n:04d}", landmark=f"L{n}") for n in range(23)] + [entry("0099", "validation", "L22")]
    bars = compute_statistics(entries, 256, 77).landmarks
    assert (len(bars), bars[0], bars[-1]) == (21, Bin("L22", 1, 1), Bin("all others", 3))


def test_leaks_are_near_duplicates_across_splits():
    entries = [
        entry("0001", perceptual_hashes=(A, B)),
        entry("0002", perceptual_hashes=(A,)),
        entry("0005", None, perceptual_hashes=(A,)),
        entry("0003", "validation", perceptual_hashes=(NEAR_A,)),
        entry("0004", "validation", perceptual_hashes=("0f" * 8, B)),
    ]
    assert find_leaks(entries) == [Leak("0001", "0004", 0), Leak("0001", "0003", 4), Leak("0002", "0003", 4)]


def test_statistics_of_a_dataset_find_a_copied_photo(project):
    before = dataset_statistics(project)
    assert before.rows[0] == ("Images", "8: 6 training, 2 validation")
    assert before.rows[2] == ("Shorter side of the source", "64 (px); 0 below 64 px, enlarged")
    assert before.leaks == ()
    held_out, learned = (dataset.load(project).part(side)[0] for side in ("validation", "train"))
    data = (project.sources / held_out.source).read_bytes()
    write_atomic(project.sources / learned.source, data)
    assert dataset_statistics(project).leaks == (Leak(learned.id, held_out.id, 0),)


def test_statistics_of_a_collection_read_no_image(with_photos):
    for number in (1, 2, 3):
        with_photos.collection.source(f"000{number}.png").unlink()
    review.reject(with_photos, ["0003"])
    found = collection_statistics(collections.load(with_photos))
    assert found.rows[0] == ("Images", "2: 0 training, 0 validation, 2 undecided")
    assert found.landmarks == (Bin("Big Ben", 0, 0, 1), Bin("Petra", 0, 0, 1))


def test_a_contact_sheet_has_every_image_in_its_place():
    plain = [Image.new("RGB", size, color) for size, color in (((40, 20), "red"), ((20, 40), "blue"))]
    page = render_sheet(
        [Cell("a", tuple(plain)), Cell("b", tuple(plain[:1])), Cell("c", tuple(plain))], columns=2, side=20
    )
    across, down = 40 + GAP, 20 + 15 + GAP
    assert page.size == (2 * across + GAP, 2 * down + GAP)
    for left, top in ((GAP, GAP), (GAP + across, GAP), (GAP, GAP + down)):
        assert page.getpixel((left + 10, top + 10)) == (255, 0, 0)
    assert [page.getpixel((GAP + x + 30, GAP + y + 10)) for x, y in ((0, 0), (across, 0), (0, down))] == [
        (0, 0, 255),
        (255, 255, 255),
        (0, 0, 255),
    ]


def test_a_long_label_stays_in_its_cell():
    white = Image.new("RGB", (8, 8), "white")
    page = np.asarray(render_sheet([Cell("m" * 200, (white,)), Cell("", (white,))], side=100))
    assert (page[:, : GAP + 100] < 200).any()
    assert not (page[:, GAP + 100 :] < 200).any()


def test_contact_sheets_of_a_dataset_and_a_collection(project, with_photos, monkeypatch):
    assert dataset_sheet(project).size == (6 * (256 + GAP) + GAP, 2 * (128 + 15 + GAP) + GAP)
    list(stylization.stylize_photos(with_photos, ["0001"], FEW))
    assert collection_sheet(with_photos).size == (3 * (256 + GAP) + GAP, 128 + 15 + 2 * GAP)
    monkeypatch.setattr(contact_sheet, "PER_PAGE", 2)
    assert page_count(3) == 2
    assert collection_sheet(with_photos, 2).size == (128 + 2 * GAP, 128 + 15 + 2 * GAP)
    with pytest.raises(StudioError, match=r"page is 3; it must be 1 to 2 \(2 images per page\)"):
        collection_sheet(with_photos, 3)
    with pytest.raises(StudioError, match="there is no image to show"):
        render_sheet([])
