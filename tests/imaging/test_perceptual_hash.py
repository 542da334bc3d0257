"""The perceptual hash recognizes edited images and distinguishes different ones."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ghibli_studio.imaging.perceptual_hash import (
    NEAR_DUPLICATE_BITS,
    UnionFind,
    distance,
    hash_and_brightness,
    near_duplicate_groups,
    near_duplicates,
)
from ghibli_studio.miniature.photo_credits import PHOTOS


@pytest.fixture(scope="module")
def photos():
    return [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.webp"))]


def saved_again(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    return Image.open(buffer).convert("RGB")


def cropped(image):
    x, y = image.width // 50, image.height // 50
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES = {
    "saved again": saved_again,
    "half": lambda i: i.resize((i.width // 2, i.height // 2)),
    "cropped": cropped,
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.3),
    "gray": lambda i: i.convert("L"),
}


def test_edited_photos_are_recognized_and_others_are_not(photos):
    """Measures the numbers in the docstring of NEAR_DUPLICATE_BITS."""
    hashes = [hash_and_brightness(image)[0] for image in photos]
    for name, change in CHANGES.items():
        recognized = sum(
            distance(hash_and_brightness(change(image))[0], value) <= NEAR_DUPLICATE_BITS
            for image, value in zip(photos, hashes)
        )
        assert recognized >= 44, name
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) == 18


def test_the_hash_is_the_signs_of_the_cosine_transform():
    """Compare with the explicit sum: bit (v, u) is set if that coefficient is above the median of all but the first.

    The image is 32 x 32, so that nothing is resampled.
    """
    luma = np.random.default_rng(1).integers(0, 256, (32, 32), dtype=np.uint8)
    coefficients = []
    for v, u in itertools.product(range(8), range(8)):
        coefficients.append(
            sum(
                float(luma[y, x]) * np.cos(np.pi * (2 * y + 1) * v / 64) * np.cos(np.pi * (2 * x + 1) * u / 64)
                for y in range(32)
                for x in range(32)
            )
        )
    bits = "".join("1" if value > np.median(coefficients[1:]) else "0" for value in coefficients)
    assert hash_and_brightness(Image.fromarray(luma)) == (f"{int(bits, 2):016x}", round(luma.mean() / 255, 4))


@pytest.mark.parametrize(("shade", "brightness"), [(0, 0.0), (51, 0.2), (255, 1.0)])
def test_brightness(shade, brightness):
    assert hash_and_brightness(Image.new("RGB", (100, 70), (shade,) * 3))[1] == brightness


def test_plain_colors_have_the_same_hash_despite_rounding():
    assert {
        hash_and_brightness(Image.new("RGB", size, (n, n, n)))[0]
        for n in (1, 77, 200)
        for size in ((64, 64), (301, 77))
    } == {"8000000000000000"}


def test_distances():
    assert (distance("0" * 16, "0" * 16), distance("0" * 16, "f" * 16), distance("8" + "0" * 15, "0" * 15 + "1")) == (
        0,
        64,
        2,
    )


def test_pairs_equal_those_of_a_full_comparison():
    """More hashes than one block, with near duplicates across its border."""
    rng = np.random.default_rng(2)
    values = rng.integers(0, 2**63, 1100, dtype=np.int64).tolist()
    values += [values[n] ^ (2**n - 1) for n in range(1, 13)]  # n bits away from the n-th
    hashes = [f"{value:016x}" for value in values]
    every = itertools.combinations(range(len(values)), 2)
    expected = {(a, b) for a, b in every if (values[a] ^ values[b]).bit_count() <= 8}
    found = list(near_duplicates(hashes))
    assert set(found) == expected
    assert len(found) == len(expected) == 8
    assert list(near_duplicates([])) == []


def test_groups_are_transitive_and_in_order():
    a, b, c = "0" * 16, f"{2**8 - 1:016x}", f"{2**16 - 1:016x}"  # a is near b, b is near c, a is far from c
    far = "f" * 16
    hashes = {"x": far, "c": c, "single": "aaaaaaaaaaaaaaaa", "a": a, "y": far, "b": b}
    assert near_duplicate_groups(hashes) == [["x", "y"], ["c", "a", "b"]]
    assert near_duplicate_groups({}) == []


def test_union_find():
    union = UnionFind(range(6))
    for a, b in ((0, 1), (4, 5), (1, 4), (0, 5)):
        union.join(a, b)
    assert sorted(map(sorted, union.groups())) == [[0, 1, 4, 5], [2], [3]]
