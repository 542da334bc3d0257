"""Leaks planted in the blind copies, in addition to those of `study_plants`."""

import io
from hashlib import sha256

import pytest
from PIL import Image, ImageCms

from study import ORIGINS
from study.database import creation
from study.design import blind_image
from study.design.blind_image import BlindImage, blind_copies
from tests.support.study_blindness_site import opened
from tests.support.study_copies import after_header, chunk, padded, saved, unfiltered, unpadded, zeros_after
from tests.support.study_plants import PLANTS, plants

__all__ = ["PLANTS"]


def with_copies(site, folder, change, pad=padded):
    """Show a study whose blind copies are change(unpadded PNG, origin), brought to one length."""

    def flawed(given, size):
        origins = [ORIGINS[number % 3] if number < 15 else "" for number in range(len(given))]
        files = [change(unpadded(copy.data), origin) for copy, origin in zip(blind_copies(given, size), origins)]
        files = pad(files, max(map(len, files)) + 12)
        return [BlindImage(data, sha256(data).hexdigest(), size, size) for data in files]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(creation, "blind_copies", flawed)
        site.show(*opened(folder))


def for_lora(change):
    return lambda data, origin: change(data) if origin == "lora" else data


@plants("EXIF")
def camera(site, folder):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    with_copies(site, folder, for_lora(lambda data: saved(data, compress_level=9, exif=exif)))


@plants("XMP")
def editor(site, folder):
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>")
    with_copies(site, folder, for_lora(lambda data: after_header(data, xmp)))


@plants("ICC")
def color_profile(site, folder):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with_copies(site, folder, for_lora(lambda data: saved(data, compress_level=9, icc_profile=profile)))


@plants("PNG text")
def prompt_in_the_image(site, folder):
    with_copies(site, folder, lambda data, _: after_header(data, chunk(b"tEXt", b"Title\0same")))


@plants("C2PA")
def manifest(site, folder):
    box = chunk(b"caBX", b"\0\0\0\x21jumb\0\0\0\x19jumdc2pa" + bytes(17))
    with_copies(site, folder, for_lora(lambda data: after_header(data, box)))


@plants("codec")
def another_format(site, folder):
    with_copies(site, folder, lambda data, origin: saved(data, "WEBP" if origin == "ti" else "GIF"), zeros_after)


@plants("encoder")
def fast_compression(site, folder):
    with_copies(site, folder, for_lora(lambda data: saved(data, compress_level=1)))


@plants("encoder")
def no_filter(site, folder):
    with_copies(site, folder, for_lora(unfiltered))


@plants("encoder")
def another_chunk(site, folder):
    with_copies(site, folder, for_lora(lambda data: after_header(data, chunk(b"gAMA", b"\0\0\xb1\x8f"))))


@plants("encoder")
def quality_of_jpeg(site, folder):
    with_copies(
        site, folder, lambda data, origin: saved(data, "JPEG", quality=80 if origin == "ti" else 95), zeros_after
    )


@plants("byte length")
def one_byte_more(site, folder):
    def unevenly(files, length):
        return [
            blind_image._pad(data, length - len(data) - 12 + (number % 3 == 1)) for number, data in enumerate(files)
        ]

    with_copies(site, folder, lambda data, _: data, unevenly)


@plants("pixel size")
def a_row_less(site, folder):
    def smaller(data):
        with Image.open(io.BytesIO(data)) as image:
            return unpadded(blind_copies([saved(data)], 31)[0].data) if image.width == 32 else data

    with_copies(site, folder, for_lora(smaller))
