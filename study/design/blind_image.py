"""Blind copies: images that differ in their content and in nothing else. Origins are not used here.

The format is PNG because it is lossless: participants judge exactly the pixels that a method generated, a copy of a
copy is the same copy, and a padding chunk that every decoder skips makes all files equally long. (JPEG would cost a
third of the bytes and would add its own blocks to images that had none.)
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image, ImageOps, UnidentifiedImageError

from study import StudyError

MEDIA_TYPE = "image/png"
MAX_PIXELS = 64_000_000
MAX_SIDE = 768
"""px; more than a screen shows of one image beside two others, and a download that a phone can handle."""

# Pillow's other readers are rarely needed, and one of them runs an external program
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
PADDING = b"paDd"  # case of the letters: ancillary, private, safe to copy (PNG specification, 5.4)


@dataclass(frozen=True)
class BlindImage:
    """One blind copy."""

    data: bytes
    """PNG, 8-bit RGB; only pixels and padding."""
    sha256: str
    """sha256 of the data, hexadecimal."""
    width: int
    """px"""
    height: int
    """px"""


def common_side(images: Sequence[bytes | Path]) -> int:
    """Return the largest side in px, at most 768, to which no image has to be enlarged."""
    return min([MAX_SIDE, *(min(_decode(image, number).size) for number, image in enumerate(images, 1))])


def blind_copies(images: Sequence[bytes | Path], size: int) -> list[BlindImage]:
    """Return blind copies of size x size px, all of one byte length, in the same order.

    Upright, sRGB, 8 bit, transparency on white, center crop, one Lanczos resize, one encoder with one setting, no
    metadata. Equal images give equal bytes, and a blind copy is its own blind copy. Raises StudyError for an image that
    cannot be decoded, has more than 64 million pixels, or would have to be enlarged, because blur would identify it.
    """
    squares = [_square(_decode(image, number), size, _name(image, number)) for number, image in enumerate(images, 1)]
    encoded = [_encode(square) for square in squares]
    longest = max(map(len, encoded), default=0)
    padded = [_pad(data, longest - len(data)) for data in encoded]
    return [BlindImage(data, hashlib.sha256(data).hexdigest(), size, size) for data in padded]


def _name(image: bytes | Path, number: int) -> str:
    return image.name if isinstance(image, Path) else f"image {number}"


def _decode(file: bytes | Path, number: int) -> Image.Image:
    """Return an upright 8-bit sRGB image without transparency."""
    name = _name(file, number)
    try:
        data = file.read_bytes() if isinstance(file, Path) else file
    except OSError as error:
        raise StudyError(f"{name} cannot be read ({error.strerror}); check that it was not moved or deleted") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about large images itself; the bound is checked below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise StudyError(
                    f"{name} has {image.width} x {image.height} px; the limit is {MAX_PIXELS // 10**6} million pixels, "
                    "so scale it down first"
                )
            Image.open(io.BytesIO(data), formats=FORMATS).verify()  # checksums of a PNG, which decoding does not check
            image.load()
            return _flat(ImageOps.exif_transpose(image), image.info.get("icc_profile"), name)
    except UnidentifiedImageError as error:
        raise StudyError(f"{name} is not a readable image; save it as PNG, JPEG or WebP") from error
    except Image.DecompressionBombError as error:
        raise StudyError(
            f"{name} has too many pixels; the limit is {MAX_PIXELS // 10**6} million, so scale it down first"
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"{name} is damaged ({error}); export it again") from error


def _flat(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """Return RGB on white, converted from the image's color profile to sRGB."""
    if image.mode == "F":
        raise StudyError(f"{name} has floating-point pixels; save it with 8 or 16 bits per channel")
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value / 257 + 0.5).convert("L")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert(
            "L" if image.mode in ("1", "LA", "La") else "RGB"
        )  # a gray profile fits only a gray image
    if profile:
        image = _to_srgb(image, profile, name)
    page = Image.new("RGB", image.size, "white")
    page.paste(image.convert("RGB"), mask=alpha)
    return page


def _to_srgb(image: Image.Image, profile: bytes, name: str) -> Image.Image:
    """Return the same colors in sRGB; raise StudyError if the profile is damaged or does not fit the image."""
    from PIL import ImageCms  # takes 70 ms to import, and few images have a profile

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        return cast(Image.Image, converted)  # None only for a conversion in place
    except (ImageCms.PyCMSError, OSError) as error:
        raise StudyError(f"the color profile of {name} cannot be used ({error}); export it as sRGB") from error


def _square(image: Image.Image, size: int, name: str) -> Image.Image:
    """Return the largest centered square, resampled; an image of the right size goes through the same steps."""
    side = min(image.size)
    if side < size:
        raise StudyError(
            f"{name} has {image.width} x {image.height} px and would have to be enlarged to {size}, which is visible; "
            f"use larger images or a size of at most {side}"
        )
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.LANCZOS, box=box)


def _encode(image: Image.Image) -> bytes:
    """Return a PNG from raw pixels, so that no metadata of the opened file comes along."""
    raw = Image.frombytes("RGB", image.size, image.tobytes())
    buffer = io.BytesIO()
    raw.save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


def _pad(png: bytes, length: int) -> bytes:
    """Return the PNG with a chunk of `length` bytes before its end.

    The bytes are noise seeded by the pixels, because zeros would vanish when a server compresses its responses.
    """
    body = png.removesuffix(END)
    noise = hashlib.shake_256(body).digest(length)
    return body + struct.pack(">I", length) + PADDING + noise + struct.pack(">I", zlib.crc32(PADDING + noise)) + END
