"""The perceptual hash knows a picture again after what happens to pictures, and keeps others apart."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ghibli_studio.imaging.perceptual_hash import ALIKE_BITS, Union, alike, distance, groups, look
from ghibli_studio.miniature.photo_credits import PHOTOGRAPHS


@pytest.fixture(scope="module")
def photographs():
    return [Image.open(path).convert("RGB") for path in sorted(PHOTOGRAPHS.glob("*.webp"))]


def saved_anew(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    return Image.open(buffer).convert("RGB")


def trimmed(image):
    x, y = image.width // 50, image.height // 50
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES = {
    "saved anew": saved_anew,
    "half": lambda i: i.resize((i.width // 2, i.height // 2)),
    "trimmed": trimmed,
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.3),
    "gray": lambda i: i.convert("L"),
}


def test_changed_photographs_are_known_again_and_others_are_not(photographs):
    """What the docstring of ALIKE_BITS says, measured."""
    hashes = [look(image)[0] for image in photographs]
    for name, change in CHANGES.items():
        known = sum(distance(look(change(image))[0], value) <= ALIKE_BITS for image, value in zip(photographs, hashes))
        assert known >= 44, name
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) == 18


def test_the_hash_is_that_of_the_cosines_signs():
    """Against the sum written out: bit (v, u) is whether that cosine's share is above the median of all but the mean's.

    The picture is 32 x 32, so that nothing is resampled.
    """
    luma = np.random.default_rng(1).integers(0, 256, (32, 32), dtype=np.uint8)
    shares = []
    for v, u in itertools.product(range(8), range(8)):
        shares.append(
            sum(
                float(luma[y, x]) * np.cos(np.pi * (2 * y + 1) * v / 64) * np.cos(np.pi * (2 * x + 1) * u / 64)
                for y in range(32)
                for x in range(32)
            )
        )
    bits = "".join("1" if share > np.median(shares[1:]) else "0" for share in shares)
    assert look(Image.fromarray(luma)) == (f"{int(bits, 2):016x}", round(luma.mean() / 255, 4))


@pytest.mark.parametrize(("shade", "brightness"), [(0, 0.0), (51, 0.2), (255, 1.0)])
def test_brightness(shade, brightness):
    assert look(Image.new("RGB", (100, 70), (shade,) * 3))[1] == brightness


def test_plain_colors_are_alike_whatever_rounding_does():
    assert {look(Image.new("RGB", size, (n, n, n)))[0] for n in (1, 77, 200) for size in ((64, 64), (301, 77))} == {
        "8000000000000000"
    }


def test_distances():
    assert (distance("0" * 16, "0" * 16), distance("0" * 16, "f" * 16), distance("8" + "0" * 15, "0" * 15 + "1")) == (
        0,
        64,
        2,
    )


def test_pairs_are_those_that_comparing_each_with_each_finds():
    """More hashes than one block holds, with near ones over its border."""
    rng = np.random.default_rng(2)
    values = rng.integers(0, 2**63, 1100, dtype=np.int64).tolist()
    values += [values[n] ^ (2**n - 1) for n in range(1, 13)]  # n bits away from the n-th
    hashes = [f"{value:016x}" for value in values]
    every = itertools.combinations(range(len(values)), 2)
    want = {(a, b) for a, b in every if (values[a] ^ values[b]).bit_count() <= 8}
    found = list(alike(hashes))
    assert set(found) == want
    assert len(found) == len(want) == 8
    assert list(alike([])) == []


def test_groups_join_what_is_joined_by_others_in_order():
    a, b, c = "0" * 16, f"{2**8 - 1:016x}", f"{2**16 - 1:016x}"  # a is near b, b is near c, a is far from c
    far = "f" * 16
    hashes = {"x": far, "c": c, "lonely": "aaaaaaaaaaaaaaaa", "a": a, "y": far, "b": b}
    assert groups(hashes) == [["x", "y"], ["c", "a", "b"]]
    assert groups({}) == []


def test_things_put_together():
    things = Union(range(6))
    for a, b in ((0, 1), (4, 5), (1, 4), (0, 5)):
        things.join(a, b)
    assert sorted(map(sorted, things.groups())) == [[0, 1, 4, 5], [2], [3]]
