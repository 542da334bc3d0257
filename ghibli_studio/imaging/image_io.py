"""Reads and writes one image: opened safely, turned upright, converted to RGB. No dataset here."""

from __future__ import annotations

import io
import struct
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from adapters.settings import StudioError

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngImageFile

HEIF = (".heic", ".heif") if find_spec("pillow_heif") else ()
"""Suffixes of phone photos, if the optional package that reads them is installed."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jfif", *HEIF)
MAX_PIXELS = 100_000_000
MIN_SIDE = 64


def open_image(data: bytes, name: str) -> Image.Image:
    """Decode to an upright 8-bit RGB image; raises StudioError for a file that cannot or should not be used.

    Applies EXIF rotation, converts colors from the file's profile to sRGB, puts transparency on white, converts 16-bit
    and CMYK, and takes the first frame of an animation. Checks the size before decoding.
    """
    _register_heif()
    if not data:
        raise StudioError(f"{name} is empty (0 bytes); export it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of decompression bombs: the limit is below
            image = Image.open(io.BytesIO(data))
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise StudioError(
                    f"{name} has {width} x {height} px, at most {MAX_PIXELS // 10**6} million pixels are allowed; "
                    "make it smaller first"
                )
            if min(width, height) < MIN_SIDE:
                raise StudioError(
                    f"{name} has {width} x {height} px, the shorter side needs {MIN_SIDE}; use a larger image"
                )
            Image.open(io.BytesIO(data)).verify()  # checks a PNG's checksums, which decoding ignores
            image.load()
            upright = _rgb(ImageOps.exif_transpose(image))
            upright.info = {}  # else a CMYK or gray profile would be saved into the RGB image
            return upright
    except UnidentifiedImageError as error:
        raise StudioError(f"{name} is not a readable image; save it as PNG, JPEG or WebP") from error
    except Image.DecompressionBombError as error:
        raise StudioError(
            f"{name} has too many pixels, at most {MAX_PIXELS // 10**6} million are allowed; make it smaller first"
        ) from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        LookupError,
        TypeError,
        ArithmeticError,
        RuntimeError,
        struct.error,
    ) as error:  # some decoder raises each of these on a damaged file
        if isinstance(error, StudioError):
            raise
        raise StudioError(f"{name} is broken ({error}); export it again") from error


@cache
def _register_heif() -> None:
    if HEIF:
        from pillow_heif import register_heif_opener

        register_heif_opener()


def _srgb(image: Image.Image) -> Image.Image:
    """Return the image in sRGB by its embedded color profile; unchanged if that is missing, broken or unusable."""
    if not (data := image.info.get("icc_profile")):
        return image
    from PIL import ImageCms  # takes 70 ms to import, and few images have a profile

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if ImageCms.getProfileDescription(profile).startswith("sRGB"):
            return image
        if image.mode in ("P", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
        alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
        opaque = image.convert(image.mode.removesuffix("A")) if alpha else image
        if {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(profile.profile.xcolor_space.strip()) != opaque.mode:
            return image
        converted = ImageCms.profileToProfile(opaque, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if converted is None:  # only where the conversion is in place
        return image
    if alpha:
        converted.putalpha(alpha)
    return converted


def _rgb(image: Image.Image) -> Image.Image:
    image = _srgb(image)
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray((values / top * 255).clip(0, 255).round().astype(np.uint8), "L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(page, image).convert("RGB")
    return image.convert("RGB")


def png_bytes(image: Image.Image, text: dict[str, str] | None = None) -> bytes:
    """Return a PNG with text chunks; the same image and text give the same bytes."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def png_text(path: Path) -> dict[str, str]:
    """Return the text chunks of a PNG; raises StudioError for any other file."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            return dict(cast("PngImageFile", image).text)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StudioError(f"{path} is not a readable PNG ({error})") from error
