"""Blind copies: pictures that differ in what they show and in nothing else. Which picture is whose is not known here.

PNG, because it is without loss: people judge the very pixels that a method drew, a copy of a copy is the same copy,
and a padding chunk that every decoder skips makes all files equally long. (JPEG would cost a third of the bytes and
would leave its own blocks in pictures that had none.)
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

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from study import StudyError

MEDIA_TYPE = "image/png"
MAX_PIXELS = 64_000_000
LARGEST_SIDE = 768
"""More than a screen shows of one picture beside two others, and a download that a telephone bears."""

# Pillow's other readers are rarely needed, and one of them starts a program
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
PADDING = b"paDd"  # by its letters: ancillary, private, safe to copy (PNG specification, 5.4)


@dataclass(frozen=True)
class BlindImage:
    """One blind copy."""

    data: bytes
    """PNG, 8-bit RGB, of pixels and padding only."""
    sha256: str
    """Of the data, hexadecimal."""
    width: int
    """px"""
    height: int
    """px"""


def common_side(pictures: Sequence[bytes | Path]) -> int:
    """The largest side in px, at most 768, to which every picture can be brought without enlarging it."""
    return min([LARGEST_SIDE, *(min(_decode(picture, number).size) for number, picture in enumerate(pictures, 1))])


def blind(pictures: Sequence[bytes | Path], size: int) -> list[BlindImage]:
    """Blind copies of size x size px, all of one byte length, in the same order.

    Upright, sRGB, 8 bit, transparency on white, center crop, one Lanczos resize, one encoder with one setting, no
    metadata. Equal pictures give equal bytes, and blind copies are their own blind copies. Raises StudyError for what
    cannot be decoded, has more than 64 million pixels, or would have to be enlarged: its softness would tell it apart.
    """
    squares = [
        _square(_decode(picture, number), size, _name(picture, number)) for number, picture in enumerate(pictures, 1)
    ]
    encoded = [_encode(square) for square in squares]
    longest = max(map(len, encoded), default=0)
    padded = [_pad(data, longest - len(data)) for data in encoded]
    return [BlindImage(data, hashlib.sha256(data).hexdigest(), size, size) for data in padded]


def _name(picture: bytes | Path, number: int) -> str:
    return picture.name if isinstance(picture, Path) else f"picture {number}"


def _decode(picture: bytes | Path, number: int) -> Image.Image:
    """Upright 8-bit sRGB without transparency."""
    name = _name(picture, number)
    try:
        data = picture.read_bytes() if isinstance(picture, Path) else picture
    except OSError as error:
        raise StudyError(f"{name} cannot be read ({error.strerror}); was it moved or deleted?") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own warning of large pictures: the bound is below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise StudyError(
                    f"{name} has {image.width} x {image.height} px, at most {MAX_PIXELS // 10**6} million pixels are "
                    "opened; make it smaller first"
                )
            Image.open(io.BytesIO(data), formats=FORMATS).verify()  # a PNG's checksums, which decoding does not read
            image.load()
            return _flat(ImageOps.exif_transpose(image), image.info.get("icc_profile"), name)
    except UnidentifiedImageError as error:
        raise StudyError(f"{name} is not a picture that can be read; save it as PNG, JPEG or WebP") from error
    except Image.DecompressionBombError as error:
        raise StudyError(
            f"{name} has too many pixels, at most {MAX_PIXELS // 10**6} million are opened; make it smaller first"
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"{name} is broken ({error}); export it again") from error


def _flat(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """RGB on white, with the picture's own color profile turned into sRGB."""
    if image.mode == "F":
        raise StudyError(f"{name} has floating-point pixels; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value / 257 + 0.5).convert("L")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")  # a profile of gray fits only gray
    if profile:
        image = _to_srgb(image, profile, name)
    page = Image.new("RGB", image.size, "white")
    page.paste(image.convert("RGB"), mask=alpha)
    return page


def _to_srgb(image: Image.Image, profile: bytes, name: str) -> Image.Image:
    """The same colors in sRGB; raises StudyError if the profile is damaged or of another kind of picture."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise StudyError(f"the color profile of {name} cannot be used ({error}); export it as sRGB") from error


def _square(image: Image.Image, size: int, name: str) -> Image.Image:
    """The largest centerd square, resampled; a picture of that size already takes the same way."""
    side = min(image.size)
    if side < size:
        raise StudyError(
            f"{name} has {image.width} x {image.height} px and would have to be enlarged to {size}, which shows; "
            f"use larger pictures or a size of at most {side}"
        )
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.LANCZOS, box=box)


def _encode(image: Image.Image) -> bytes:
    """PNG from raw pixels: a picture that has never been opened carries nothing but them."""
    raw = Image.frombytes("RGB", image.size, image.tobytes())
    buffer = io.BytesIO()
    raw.save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


def _pad(png: bytes, length: int) -> bytes:
    """The PNG with a chunk of `length` bytes before its end.

    The bytes are noise seeded by the pixels, since zeros would vanish again where a server compresses what it sends.
    """
    body = png.removesuffix(END)
    noise = hashlib.shake_256(body).digest(length)
    return body + struct.pack(">I", length) + PADDING + noise + struct.pack(">I", zlib.crc32(PADDING + noise)) + END
