"""One picture: opened safely, turned upright, flattened to RGB, cropped to a square. No data set in here."""

from __future__ import annotations

import io
import struct
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from adapters.settings import StudioError

HEIF = (".heic", ".heif") if find_spec("pillow_heif") else ()
"""What telephones save, where the package that reads it is installed; it is not required."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jfif", *HEIF)
MAX_PIXELS = 100_000_000
MIN_SIDE = 64


def open_image(data: bytes, name: str) -> Image.Image:
    """Decode to an upright 8-bit RGB picture; raises StudioError for what cannot or should not be used.

    EXIF rotation is applied, colors are converted from the file's profile to sRGB, transparency is laid on white,
    16-bit and CMYK are converted, of an animation the first frame is taken. Nothing is decoded before its size is known
    to be bearable.
    """
    _learn_heif()
    if not data:
        raise StudioError(f"{name} is empty (0 bytes); export it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning: our bound is below
            image = Image.open(io.BytesIO(data))
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise StudioError(
                    f"{name} has {width} x {height} px, at most {MAX_PIXELS // 10**6} million pixels are opened; "
                    "make it smaller first"
                )
            if min(width, height) < MIN_SIDE:
                raise StudioError(
                    f"{name} has {width} x {height} px, the shorter side needs {MIN_SIDE}; use a larger picture"
                )
            Image.open(io.BytesIO(data)).verify()  # a PNG's checksums, which decoding does not look at
            image.load()
            upright = _rgb(ImageOps.exif_transpose(image))
            upright.info = {}  # a color profile of the CMYK or gray original would be saved into the RGB picture
            return upright
    except UnidentifiedImageError as error:
        raise StudioError(f"{name} is not a picture that can be read; save it as PNG, JPEG or WebP") from error
    except Image.DecompressionBombError as error:
        raise StudioError(
            f"{name} has too many pixels, at most {MAX_PIXELS // 10**6} million are opened; make it smaller first"
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
    ) as error:  # all of these were seen, or are raised by some decoder on a damaged file
        if isinstance(error, StudioError):
            raise
        raise StudioError(f"{name} is broken ({error}); export it again") from error


@cache
def _learn_heif() -> None:
    if HEIF:
        from pillow_heif import register_heif_opener

        register_heif_opener()


def _srgb(image: Image.Image) -> Image.Image:
    """The picture in sRGB, by the color profile in its file; as it is where that is missing, broken or of no use."""
    if not (data := image.info.get("icc_profile")):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if ImageCms.getProfileDescription(profile).startswith("sRGB"):
            return image
        if image.mode in ("P", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
        alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
        bare = image.convert(image.mode.removesuffix("A")) if alpha else image
        if {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(profile.profile.xcolor_space.strip()) != bare.mode:
            return image
        converted = ImageCms.profileToProfile(bare, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
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
    """PNG with text chunks; the same picture and text give the same bytes."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def png_text(path: Path) -> dict[str, str]:
    """The text chunks of a PNG; raises StudioError for a file that is none."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            return dict(image.text)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StudioError(f"{path} is not a PNG that can be read ({error})") from error
