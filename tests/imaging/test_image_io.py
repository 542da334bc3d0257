"""Any file becomes an upright RGB image or one error message."""

import io
import struct
import zlib
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from adapters.settings import StudioError
from ghibli_studio.imaging.crop import square
from ghibli_studio.imaging.image_io import SUFFIXES, open_image, png_bytes, png_text

SIZE = (80, 64)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colors(width=SIZE[0], height=SIZE[1]):
    """A image in which every pixel is different."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 3 % 256, y * 3 % 256, (x + y) % 256], -1).astype(np.uint8))


def noise():
    """A image that cannot be compressed."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))


def pixels(image):
    assert image.mode == "RGB"
    return np.asarray(image)


def corners(image):
    """Top left, top right, bottom left, bottom right."""
    w, h = image.width - 1, image.height - 1
    return [image.getpixel(place) for place in ((0, 0), (w, 0), (0, h), (w, h))]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_a_lossless_image_is_unchanged(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert (pixels(open_image(encoded(colors(), kind, **options), "x")) == np.asarray(colors())).all()


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", [1, *TURNS])
def test_an_image_is_turned_upright(orientation):
    """The camera did `ROTATE_90`, which has to be undone."""
    lying = colors().transpose(TURNS[orientation]) if orientation in TURNS else colors()
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = open_image(encoded(lying, exif=exif), "x")
    assert upright.size == SIZE
    assert (pixels(upright) == np.asarray(colors())).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(("alpha", "shown"), [(0, 255), (255, 50), (51, 214)])
def test_transparency_becomes_white(mode, alpha, shown):
    gray = Image.new("L", SIZE, 50)
    image = Image.merge(mode, [*[gray] * (len(mode) - 1), Image.new("L", SIZE, alpha)])
    assert (pixels(open_image(encoded(image), "x")) == shown).all()


def test_a_transparent_palette_color_becomes_white():
    image = Image.new("P", SIZE, 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 40, 64))
    found = open_image(encoded(image, transparency=0), "x")
    assert corners(found) == [(255, 255, 255), (0, 0, 255)] * 2
    found = open_image(encoded(image, transparency=bytes([128, 255])), "x")
    assert corners(found) == [(255, 127, 127), (0, 0, 255)] * 2
    assert corners(open_image(encoded(image), "x")) == [(255, 0, 0), (0, 0, 255)] * 2


def test_a_transparent_color_of_a_true_color_image_becomes_white():
    image = Image.new("RGB", SIZE, (9, 8, 7))
    image.paste((1, 2, 3), (0, 0, 40, 64))
    assert corners(open_image(encoded(image, transparency=(1, 2, 3)), "x")) == [(255, 255, 255), (9, 8, 7)] * 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(("deep", "shown"), [(0, 0), (65535, 255), (32768, 128), (257 * 77, 77)])
def test_sixteen_bits_of_gray_become_eight(kind, deep, shown):
    values = np.full((64, 80), deep, np.uint16)
    values[0, 0] = 65535
    found = pixels(open_image(encoded(Image.fromarray(values), kind), "x"))
    assert (found[1:] == shown).all()
    assert (found[0, 0] == 255).all()


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", SIZE, (0, 255, 255, 0))
    image.paste((255, 0, 0, 0), (40, 0, 80, 64))
    red, cyan = corners(open_image(encoded(image, "TIFF"), "x"))[:2]
    assert (red, cyan) == ((255, 0, 0), (0, 255, 255))
    red, cyan = corners(open_image(encoded(image, "JPEG", quality=95), "x"))[:2]
    assert np.abs(np.subtract([red, cyan], [(255, 0, 0), (0, 255, 255)])).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(kind):
    first, second = Image.new("RGB", SIZE, (255, 0, 0)), Image.new("RGB", SIZE, (0, 0, 255))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(first, kind, save_all=True, append_images=[second], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert (pixels(open_image(data, "x")) == (255, 0, 0)).all()


def test_one_bit_becomes_black_and_white():
    image = Image.new("1", SIZE, 1)
    image.paste(0, (0, 0, 40, 64))
    assert corners(open_image(encoded(image), "x")) == [(0, 0, 0), (255, 255, 255)] * 2


def test_metadata_and_profiles_are_removed():
    """Neither EXIF nor a color profile of another color space gets into the dataset."""
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    data = encoded(Image.new("CMYK", SIZE), "TIFF", icc_profile=b"a profile for CMYK", exif=exif)
    bare = encoded(Image.new("CMYK", SIZE), "TIFF")
    assert png_bytes(open_image(data, "x")) == png_bytes(open_image(bare, "x"))


def swapped_profile():
    """An ICC profile (version 2, matrix and curve) of sRGB with red and green swapped, gamma 1.8.

    Its color (r, g, b) is sRGB's (g, r, b) but for the curve, so what should come out is known by hand.
    """

    def tag(kind, data):
        return kind + bytes(4) + data + bytes(-len(data) % 4)

    def xyz(*values):
        return tag(b"XYZ ", struct.pack(">3i", *(round(value * 65536) for value in values)))

    red, green, blue = (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)
    curve = tag(b"curv", struct.pack(">IH", 1, round(1.8 * 256)))
    text = b"swapped\0"
    described = tag(b"desc", struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67))
    tags = {
        b"desc": described,
        b"cprt": tag(b"text", b"none\0"),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(*green),
        b"gXYZ": xyz(*red),
        b"bXYZ": xyz(*blue),
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    body, table, place = b"", struct.pack(">I", len(tags)), 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", place + len(body), len(data))
        body += data
    illuminant = struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    head = (
        struct.pack(
            ">I4sI4s4s4s12s4s4sIIIQI",
            place + len(body),
            b"none",
            0x02400000,
            b"mntr",
            b"RGB ",
            b"XYZ ",
            bytes(12),
            b"acsp",
            b"none",
            0,
            0,
            0,
            0,
            0,
        )
        + illuminant
    )
    return head + bytes(128 - len(head)) + table + body


def in_srgb(value):
    """Return one channel of the profile's gamma 1.8 in the sRGB curve, 0 to 255."""
    linear = (value / 255) ** 1.8
    return round(255 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 100, "subsampling": 0})],
)
def test_colors_are_converted_from_the_files_profile(kind, options):
    image = Image.new("RGB", SIZE, (200, 100, 50))
    data = encoded(image, kind, icc_profile=swapped_profile(), **options)
    want = [in_srgb(100), in_srgb(200), in_srgb(50)]
    assert np.abs(pixels(open_image(data, "x")).astype(int) - want).max() <= 2
    assert "icc_profile" not in Image.open(io.BytesIO(png_bytes(open_image(data, "x")))).info


def test_transparency_and_palettes_work_with_a_profile():
    image = Image.new("RGBA", SIZE, (200, 100, 50, 255))
    image.paste((0, 0, 0, 0), (0, 0, 40, 64))
    want = (in_srgb(100), in_srgb(200), in_srgb(50))
    for one in (image, image.convert("P")):
        options = {"transparency": one.getpixel((0, 0))} if one.mode == "P" else {}
        found = corners(open_image(encoded(one, icc_profile=swapped_profile(), **options), "x"))
        assert found[0] == found[2] == (255, 255, 255)
        assert np.abs(np.subtract(found[1], want)).max() <= 5


@pytest.mark.parametrize("mode", ["L", "LA", "CMYK", "I;16", "1"])
def test_a_profile_of_another_color_space_is_ignored(mode):
    image = Image.new(mode, SIZE, 1 if mode == "1" else 0)
    kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
    assert (
        pixels(open_image(encoded(image, kind, icc_profile=swapped_profile()), "x"))
        == pixels(open_image(encoded(image, kind), "x"))
    ).all()


@pytest.mark.parametrize(
    "profile", [b"x", swapped_profile()[:200], bytes(3000), swapped_profile()[:128] + b"\xff" * 400]
)
def test_a_broken_profile_is_ignored(profile):
    found = open_image(encoded(colors(), icc_profile=profile), "x")
    assert (pixels(found) == np.asarray(colors())).all()


def test_an_srgb_profile_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (pixels(open_image(encoded(colors(), icc_profile=profile), "x")) == np.asarray(colors())).all()


def test_heic_is_read_if_the_package_is_installed():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    data = encoded(Image.new("RGB", SIZE, (200, 100, 50)), "HEIF", quality=100)
    assert np.abs(pixels(open_image(data, "x.heic")).astype(int) - (200, 100, 50)).max() <= 4
    assert ".heic" in SUFFIXES


@pytest.mark.skipif(find_spec("pillow_heif") is not None, reason="the package is installed")
def test_heic_is_refused_if_the_package_is_missing():
    assert ".heic" not in SUFFIXES
    assert refusal(b"\0\0\0\x18ftypheic" + bytes(100), "a.heic") == (
        "a.heic is not a readable image; save it as PNG, JPEG or WebP"
    )


def refusal(data, name="a.png"):
    with pytest.raises(StudioError) as caught:
        open_image(data, name)
    return str(caught.value)


def test_a_file_of_zero_bytes():
    assert refusal(b"") == "a.png is empty (0 bytes); export it again"


@pytest.mark.parametrize("data", [b"Big Ben, London", b"<html>404</html>", b"%PDF-1.4", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_not_an_image(data):
    assert refusal(data) in (
        "a.png is not a readable image; save it as PNG, JPEG or WebP",
        "a.png is broken (unexpected end of data); export it again",
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_truncated_image(kind):
    data = encoded(noise(), kind)
    sentence = refusal(data[: len(data) // 2], f"a.{kind}")
    assert sentence.startswith((f"a.{kind} is broken (", f"a.{kind} is not a readable image"))
    assert sentence.endswith(("; export it again", "; save it as PNG, JPEG or WebP"))


def test_an_image_with_a_flipped_byte():
    """Decoding alone would accept most of these, with wrong pixels."""
    data = encoded(colors())
    for place in range(41, len(data) - 16):  # from the first compressed byte to the last
        damaged = bytes([*data[:place], data[place] ^ 255, *data[place + 1 :]])
        assert refusal(damaged).startswith("a.png is broken (")


def png_claiming(width, height):
    """Return a PNG whose header claims a size that its data does not have."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + encoded(Image.new("RGB", (1, 1)))[33:]
    )


def test_an_image_with_a_huge_claimed_size_is_refused_before_decoding():
    assert refusal(png_claiming(30_000, 30_000)) == (
        "a.png has too many pixels, at most 100 million are allowed; make it smaller first"
    )
    assert refusal(png_claiming(12_000, 10_000)) == (
        "a.png has 12000 x 10000 px, at most 100 million pixels are allowed; make it smaller first"
    )


def test_the_pixel_limit_applies_and_not_pillows_warning(recwarn):
    assert refusal(png_claiming(10_000, 9_999)).startswith("a.png is broken (")
    assert not recwarn.list


@pytest.mark.parametrize("size", [(63, 500), (500, 63), (1, 1)])
def test_an_image_that_is_too_small(size):
    assert refusal(encoded(Image.new("RGB", size))) == (
        f"a.png has {size[0]} x {size[1]} px, the shorter side needs 64; use a larger image"
    )
    assert open_image(encoded(Image.new("RGB", (64, 64))), "x").size == (64, 64)


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (301, 100), (100, 301), (90, 91), (50, 50)])
def test_the_square_is_the_lanczos_of_the_center(size):
    image = colors(*size)
    ours = pixels(square(image, 64))
    assert ours.shape == (64, 64, 3)
    assert (ours == np.asarray(ImageOps.fit(image, (64, 64), Image.Resampling.LANCZOS))).all()


def test_an_image_of_the_right_size_is_not_resampled():
    image = colors(64, 64)
    assert (pixels(square(image, 64)) == np.asarray(image)).all()


def test_png_text_and_pixels_round_trip(tmp_path):
    text = {"metadata": '{"prompt": "Đà Nẵng 🏯"}', "other": "x" * 100_000, "empty": ""}
    (tmp_path / "a.png").write_bytes(png_bytes(colors(), text))
    assert png_text(tmp_path / "a.png") == text
    assert (pixels(Image.open(tmp_path / "a.png")) == np.asarray(colors())).all()
    (tmp_path / "b.png").write_bytes(png_bytes(colors()))
    assert png_text(tmp_path / "b.png") == {}


def test_the_same_image_and_text_give_the_same_bytes():
    first = png_bytes(colors(), {"a": "1", "b": "2"})
    assert first == png_bytes(colors(), {"a": "1", "b": "2"})
    assert len({first, png_bytes(colors(), {"a": "1", "b": "3"}), png_bytes(Image.new("RGB", SIZE), {"a": "1"})}) == 3


@pytest.mark.parametrize(
    "data", [b"", b"text", encoded(colors(), "JPEG"), encoded(noise())[:5000], png_claiming(30_000, 30_000)]
)
def test_text_of_a_file_that_is_not_a_png_is_refused(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(StudioError, match=r"a\.png is not a readable PNG \("):
        png_text(path)


def test_text_of_a_missing_file_is_refused(tmp_path):
    with pytest.raises(StudioError, match=r"nowhere\.png is not a readable PNG \("):
        png_text(tmp_path / "nowhere.png")
