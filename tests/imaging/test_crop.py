"""The square out of a photograph: where it lies for any center, and that it is the same in every room."""

import numpy as np
import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.imaging.crop import CENTER, box, crop, preview, square, steps


def picture(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8), "RGB")


@pytest.mark.parametrize(
    ("size", "center", "edges"),
    [
        ((400, 200), (0.5, 0.5), (100, 0, 300, 200)),
        ((401, 200), (0.5, 0.5), (100.5, 0, 300.5, 200)),
        ((400, 200), (0.5, 0.1), (100, 0, 300, 200)),  # the shorter side leaves no choice
        ((400, 200), (0.3, 0.5), (20, 0, 220, 200)),
        ((400, 200), (0.25, 0.5), (0, 0, 200, 200)),
        ((400, 200), (0.0, 1.0), (0, 0, 200, 200)),
        ((400, 200), (1.0, 0.0), (200, 0, 400, 200)),
        ((200, 400), (0.0, 0.9), (0, 200, 200, 400)),
        ((64, 64), (0.9, 0.1), (0, 0, 64, 64)),
    ],
)
def test_the_square_is_as_large_as_it_can_be_and_stays_inside(size, center, edges):
    assert box(size, center) == edges


@pytest.mark.parametrize("center", [(-0.01, 0.5), (0.5, 1.01), (float("nan"), 0.5), (0.5, float("inf"))])
def test_a_center_outside_is_refused(center):
    with pytest.raises(StudioError, match="both must be 0 to 1, shares of width and height"):
        box((10, 10), center)


def test_a_size_of_nothing_is_refused():
    with pytest.raises(StudioError, match="size is 0 px; it must be at least 1"):
        crop(picture(80, 70), CENTER, 0)


@pytest.mark.parametrize("size", [(90, 70), (91, 70), (70, 133), (64, 64)])
def test_the_middle_is_the_crop_of_all_other_rooms(size):
    image = picture(*size)
    assert crop(image, CENTER, 32).tobytes() == square(image, 32).tobytes()


def test_a_picture_of_the_size_is_left_as_it_is():
    image = picture(32, 32)
    assert crop(image, (0.1, 0.9), 32) is image


def test_the_center_decides_what_is_kept():
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (150, 0, 300, 100))  # Lanczos looks a little over the edge of the square
    assert crop(image, (1, 0.5), 8).getcolors() == [(64, (0, 0, 255))]
    assert crop(image, (0, 0.5), 8).getcolors() == [(64, (255, 0, 0))]


@pytest.mark.parametrize(
    ("size", "center", "kept"),
    [
        ((90, 70), (0.5, 0.5), (10, 0, 80, 70)),
        ((91, 70), (0.5, 0.5), (11, 0, 81, 70)),
        ((70, 133), (0.5, 1.0), (0, 63, 70, 133)),
    ],
)
def test_the_three_steps_of_the_paper(size, center, kept):
    image = picture(*size)
    shown = steps(image, center, 32)
    assert shown.photograph is image
    assert shown.square.tobytes() == image.crop(kept).tobytes()
    assert shown.picture.tobytes() == crop(image, center, 32).tobytes()


def test_the_preview_frames_what_is_kept_and_dims_the_rest():
    shown = preview(Image.new("RGB", (1280, 640), (200, 100, 50)), (1.0, 0.5))
    assert shown.size == (640, 320)
    dim, kept, frame, line = (shown.getpixel(at) for at in ((10, 160), (480, 160), (320, 160), (321, 160)))
    assert (dim, kept, frame, line) == ((80, 40, 20), (200, 100, 50), (0, 0, 0), (255, 255, 255))


def test_the_preview_leaves_the_photograph_alone():
    image = picture(100, 80)
    before = image.tobytes()
    preview(image, CENTER)
    assert image.tobytes() == before
