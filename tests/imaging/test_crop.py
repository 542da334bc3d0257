"""Square crops: the box for any center, and that the centered crop is the same everywhere."""

import numpy as np
import pytest
from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.imaging.crop import CENTER, box, crop, crop_overlay, crop_preview, square


def noise_image(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8), "RGB")


@pytest.mark.parametrize(
    ("size", "center", "edges"),
    [
        ((400, 200), (0.5, 0.5), (100, 0, 300, 200)),
        ((401, 200), (0.5, 0.5), (100.5, 0, 300.5, 200)),
        ((400, 200), (0.5, 0.1), (100, 0, 300, 200)),  # the shorter side is always kept whole
        ((400, 200), (0.3, 0.5), (20, 0, 220, 200)),
        ((400, 200), (0.25, 0.5), (0, 0, 200, 200)),
        ((400, 200), (0.0, 1.0), (0, 0, 200, 200)),
        ((400, 200), (1.0, 0.0), (200, 0, 400, 200)),
        ((200, 400), (0.0, 0.9), (0, 200, 200, 400)),
        ((64, 64), (0.9, 0.1), (0, 0, 64, 64)),
    ],
)
def test_the_square_is_as_large_as_possible_and_stays_inside(size, center, edges):
    assert box(size, center) == edges


@pytest.mark.parametrize("center", [(-0.01, 0.5), (0.5, 1.01), (float("nan"), 0.5), (0.5, float("inf"))])
def test_a_center_outside_is_refused(center):
    with pytest.raises(StudioError, match="both must be 0 to 1, fractions of width and height"):
        box((10, 10), center)


def test_a_size_of_zero_is_refused():
    with pytest.raises(StudioError, match="size is 0 px; it must be at least 1"):
        crop(noise_image(80, 70), CENTER, 0)


@pytest.mark.parametrize("size", [(90, 70), (91, 70), (70, 133), (64, 64)])
def test_the_centered_crop_equals_square(size):
    image = noise_image(*size)
    assert crop(image, CENTER, 32).tobytes() == square(image, 32).tobytes()


def test_an_image_of_the_right_size_is_unchanged():
    image = noise_image(32, 32)
    assert crop(image, (0.1, 0.9), 32) is image


def test_the_center_decides_what_is_kept():
    image = Image.new("RGB", (300, 100), "red")
    image.paste("blue", (150, 0, 300, 100))  # Lanczos reads a little beyond the edge of the square
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
def test_the_preview_has_every_step_of_the_crop(size, center, kept):
    image = noise_image(*size)
    shown = crop_preview(image, center, 32)
    assert shown.photo is image
    assert shown.square.tobytes() == image.crop(kept).tobytes()
    assert shown.image.tobytes() == crop(image, center, 32).tobytes()


def test_the_overlay_frames_the_crop_and_dims_the_rest():
    shown = crop_overlay(Image.new("RGB", (1280, 640), (200, 100, 50)), (1.0, 0.5))
    assert shown.size == (640, 320)
    dim, kept, frame, line = (shown.getpixel(at) for at in ((10, 160), (480, 160), (320, 160), (321, 160)))
    assert (dim, kept, frame, line) == ((80, 40, 20), (200, 100, 50), (0, 0, 0), (255, 255, 255))


def test_the_overlay_does_not_change_the_photo():
    image = noise_image(100, 80)
    before = image.tobytes()
    crop_overlay(image, CENTER)
    assert image.tobytes() == before
