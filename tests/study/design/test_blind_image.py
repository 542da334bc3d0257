"""Blind copies differ in their content and in nothing else."""

import io
import struct
import zlib
from hashlib import sha256

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from study import StudyError
from study.design import blind_image
from study.design.blind_image import blind_copies, common_side
from tests.support.study_sample import png


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(side=40, name="noise"):
    return Image.open(io.BytesIO(png(name, side))).convert("RGB")


def gradient(width, height):
    """Return an image in which every pixel has its own color."""
    image = Image.new("RGB", (width, height))
    image.putdata([(x * 255 // (width - 1), y * 255 // (height - 1), 128) for y in range(height) for x in range(width)])
    return image


def pixels(copy):
    with Image.open(io.BytesIO(copy.data)) as image:
        image.load()
        return image.convert("RGB")


def chunks(data):
    """Return (name, content) of every chunk of a PNG, after checking the checksums."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, found = 8, []
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        name, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (written,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert written == zlib.crc32(name + content)
        found.append((name, content))
        at += 12 + length
    return found


def test_copies_have_the_same_length_size_and_format():
    flat, busy = encoded(Image.new("RGB", (64, 64), "navy")), png("busy", 64)
    jpeg = encoded(noise(70), "JPEG", quality=30)
    webp = encoded(noise(90), "WEBP", lossless=True)
    copies = blind_copies([flat, busy, jpeg, webp], 48)
    assert {len(copy.data) for copy in copies} == {max(len(copy.data) for copy in copies)}
    assert {(copy.width, copy.height) for copy in copies} == {(48, 48)}
    for copy in copies:
        assert copy.sha256 == sha256(copy.data).hexdigest()
        names = [name for name, _ in chunks(copy.data)]
        assert names == [b"IHDR", *[b"IDAT"] * names.count(b"IDAT"), b"paDd", b"IEND"]
        image = Image.open(io.BytesIO(copy.data))
        image.load()
        assert (image.format, image.mode, image.size, image.info) == ("PNG", "RGB", (48, 48), {})
    assert len({copy.sha256 for copy in copies}) == 4


def test_the_padding_stays_when_a_server_compresses():
    """A padding of zeros would make one of two equally long files shorter after compression."""
    flat, busy = blind_copies([encoded(Image.new("RGB", (64, 64), "navy")), png("busy", 64)], 64)
    packed = [len(zlib.compress(copy.data, 9)) for copy in (flat, busy)]
    assert abs(packed[0] - packed[1]) < 0.02 * packed[1]


def test_equal_images_give_equal_bytes_and_a_copy_is_its_own_copy():
    given = [png("a", 50), png("b", 64), encoded(noise(80), "JPEG")]
    once = blind_copies(given, 40)
    assert blind_copies(given, 40) == once
    assert blind_copies([copy.data for copy in once], 40) == once


def test_a_file_and_its_bytes_give_the_same_copy_without_the_name(tmp_path):
    path = tmp_path / "lora-petra-seed7.png"
    path.write_bytes(png("a"))
    from_file, from_bytes = blind_copies([path, png("a")], 32)
    assert from_file == from_bytes
    assert b"petra" not in from_file.data


def test_a_copy_has_no_metadata():
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "lora, seed 7")
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>SECRET</x:xmpmeta>")
    exif = Image.Exif()
    exif[0x010E] = "SECRET"
    plain = noise()
    loud = encoded(plain, pnginfo=text, exif=exif, dpi=(300, 300), icc_profile=srgb())
    assert b"SECRET" in loud
    quiet, reference = blind_copies([loud, encoded(plain)], 40)
    assert b"SECRET" not in quiet.data
    assert b"lora" not in quiet.data
    assert quiet == reference


def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_the_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise to view
    upright = gradient(40, 40)
    lying = encoded(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    turned, reference = blind_copies([lying, encoded(upright)], 40)
    assert turned == reference


def test_transparency_becomes_white():
    red = Image.new("RGBA", (32, 32), (255, 0, 0, 255))
    red.paste((0, 0, 0, 0), (0, 0, 16, 32))
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([10, 20, 30, 255, 0, 0] + [0] * 762)
    palette.paste(0, (0, 0, 16, 32))
    reference = Image.new("RGB", (32, 32), "red")
    reference.paste("white", (0, 0, 16, 32))
    copies = blind_copies([encoded(red), encoded(palette, transparency=0), encoded(reference)], 32)
    assert copies[0] == copies[1] == copies[2]


@pytest.mark.parametrize(
    ("mode", "value", "seen"),
    [
        ("L", 90, (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 90 * 257, (90, 90, 90)),
        ("I;16", 90 * 257 + 200, (91, 91, 91)),
        ("I;16", 254 * 257 + 2, (254, 254, 254)),
        ("I;16", 65535, (255, 255, 255)),
        ("LA", (90, 255), (90, 90, 90)),
    ],
)
def test_gray_and_16_bit_become_8_bit_rgb(mode, value, seen):
    (copy,) = blind_copies([encoded(Image.new(mode, (32, 32), value))], 32)
    assert pixels(copy).getcolors() == [(32 * 32, seen)]


def test_cmyk_becomes_rgb():
    (copy,) = blind_copies([encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "TIFF")], 32)
    assert pixels(copy).getcolors() == [(32 * 32, (255, 0, 0))]


def test_another_color_profile_is_converted_to_srgb():
    """Linear light at a quarter is 137 in sRGB (IEC 61966-2-1): 255 * (1.055 * .25 ** (1 / 2.4) - .055)."""
    linear = bytearray(srgb())
    tags = {
        linear[at : at + 4].decode(): struct.unpack(">II", linear[at + 4 : at + 12])
        for at in range(132, 132 + 12 * struct.unpack(">I", linear[128:132])[0], 12)
    }
    for tag in ("rTRC", "gTRC", "bTRC"):
        start, _ = tags[tag]
        linear[start : start + 12] = b"curv" + bytes(4) + struct.pack(">I", 0)  # no points: a linear curve
    image = Image.new("RGB", (32, 32), (64, 64, 64))
    plain, turned = blind_copies([encoded(image), encoded(image, icc_profile=bytes(linear))], 32)
    assert pixels(plain).getpixel((0, 0)) == (64, 64, 64)
    assert all(abs(value - 137) <= 1 for value in pixels(turned).getpixel((0, 0)))


def gray_profile():
    """Return the smallest gray profile with linear light: a white point and a linear curve."""
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)  # D50, in 65536ths
    line = b"curv" + bytes(4) + struct.pack(">I", 0)
    tags = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", 156, 20) + b"kTRC" + struct.pack(">II", 176, 12)
    head = struct.pack(">I4sI4s4s4s12s4s", 188, bytes(4), 0x02100000, b"mntr", b"GRAY", b"XYZ ", bytes(12), b"acsp")
    return (head + bytes(28) + white[8:]).ljust(128, b"\0") + tags + white + line


@pytest.mark.parametrize(("mode", "value"), [("L", 64), ("LA", (64, 255)), ("I;16", 64 * 257)])
def test_gray_with_a_gray_profile_becomes_srgb(mode, value):
    (copy,) = blind_copies([encoded(Image.new(mode, (32, 32), value), icc_profile=gray_profile())], 32)
    assert all(abs(value - 137) <= 1 for value in pixels(copy).getpixel((0, 0)))


def test_a_damaged_profile_is_an_error():
    broken = encoded(noise(), icc_profile=b"this is no profile")
    with pytest.raises(StudyError, match=r"^the color profile of image 1 cannot be used \(.*\); export it as sRGB$"):
        blind_copies([broken], 32)


def test_the_crop_is_centered():
    wide = Image.new("RGB", (96, 32), "white")
    wide.paste("navy", (32, 0, 64, 32))
    (copy,) = blind_copies([encoded(wide)], 32)
    assert pixels(copy).getcolors() == [(32 * 32, (0, 0, 128))]


def test_an_image_is_resized_once_with_lanczos():
    big = gradient(128, 96)
    (copy,) = blind_copies([encoded(big)], 48)
    expected = big.crop((16, 0, 112, 96)).resize((48, 48), Image.Resampling.LANCZOS)
    assert pixels(copy).tobytes() == expected.tobytes()


def test_an_image_of_the_right_size_keeps_its_pixels():
    (copy,) = blind_copies([png("a", 40)], 40)
    assert pixels(copy).tobytes() == noise(40, "a").tobytes()


def test_no_image_is_enlarged():
    with pytest.raises(StudyError) as raised:
        blind_copies([png("a", 64), encoded(gradient(80, 40))], 48)
    assert str(raised.value) == (
        "image 2 has 80 x 40 px and would have to be enlarged to 48, which is visible; use larger images or a size of "
        "at most 40"
    )


def test_the_common_side_is_the_smallest_up_to_768():
    assert common_side([png("a", 64), encoded(gradient(80, 40))]) == 40
    assert common_side([encoded(Image.new("RGB", (1024, 900)))]) == 768


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "image 1 is not a readable image; save it as PNG, JPEG or WebP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "image 1 is not a readable image; save it as PNG, JPEG or WebP"),
        (png("a")[:-400], r"image 1 is damaged \(.*\); export it again"),
        (png("a")[:200] + b"\x00" + png("a")[201:], r"image 1 is damaged \(.*\); export it again"),
        (png("a")[:-13] + bytes([png("a")[-13] ^ 1]) + png("a")[-12:], r"image 1 is damaged \(.*\); export it again"),
        (
            encoded(Image.new("F", (32, 32)), "TIFF"),
            "image 1 has floating-point pixels; save it with 8 or 16 bits per channel",
        ),
    ],
)
def test_an_incomplete_image_is_an_error(data, message):
    with pytest.raises(StudyError, match=f"^{message}$"):
        blind_copies([data], 32)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(StudyError) as raised:
        blind_copies([tmp_path / "gone.png"], 32)
    assert str(raised.value) == (
        "gone.png cannot be read (No such file or directory); check that it was not moved or deleted"
    )


def bomb(width, height):
    """Return a PNG with a header for this size and no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (8001, 8000, "image 1 has 8001 x 8000 px; the limit is 64 million pixels, so scale it down first"),
        (60000, 60000, "image 1 has too many pixels; the limit is 64 million, so scale it down first"),
    ],
)
def test_a_large_image_is_refused_before_it_is_decoded(width, height, message):
    with pytest.raises(StudyError) as raised:
        blind_copies([bomb(width, height)], 32)
    assert str(raised.value) == message


def test_the_first_frame_of_an_animation_is_used():
    first, second = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    (copy,) = blind_copies([data], 32)
    assert pixels(copy).getcolors() == [(32 * 32, (255, 0, 0))]


def test_no_image_gives_no_copy():
    assert blind_copies([], 32) == []


def test_no_reader_that_runs_a_program_is_used():
    assert {"EPS", "PDF", "WMF"}.isdisjoint(blind_image.FORMATS)
