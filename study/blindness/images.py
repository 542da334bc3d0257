"""What comes with an image besides its pixels: address, headers, metadata, encoder, length. All must be equal.

Addresses are compared as texts here, and as random numbers in `rank_test`.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import unquote, urlsplit

from PIL import Image

from study import StudyError
from study.blindness.leak import Leak, leak_if_different
from study.blindness.rank_test import varying_headers
from study.blindness.visit import UNKNOWN, ImageView, Visit
from study.design.blind_image import FORMATS, blind_copies

HEADERS = {
    "content-disposition": "Content-Disposition",
    "last-modified": "Last-Modified",
    "etag": "ETag",
    "content-length": "byte length",
    "content-type": "codec",
    "cache-control": "browser cache",
    "set-cookie": "cookie",
}
FORBIDDEN = ("content-disposition", "last-modified", "etag")
WHERE = "images"
MAGIC = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP", b"GIF8": "GIF", b"BM": "BMP"}
# by the name of the PNG chunk; other formats are searched for the start of such a block
CHUNKS = {
    b"eXIf": "EXIF",
    b"iCCP": "ICC",
    b"tEXt": "PNG text",
    b"zTXt": "PNG text",
    b"iTXt": "PNG text",
    b"caBX": "C2PA",
}
XMP = (b"<x:xmpmeta", b"XML:com.adobe.xmp", b"http://ns.adobe.com/xap/")
C2PA = b"jumdc2pa"  # the description box of a C2PA manifest store (C2PA 2.1, 11.1)


def image_leaks(visits: Sequence[Visit], names: Collection[str]) -> Iterator[Leak]:
    """Yield all leaks of what comes with images; `names` must not be in an address."""
    views = [view for visit in visits for view in visit.views]
    yield from _addresses(views, names)
    yield from _headers(views, varying_headers(visits))
    yield from _bytes(views)


def pixel_stream(png: bytes) -> bytes:
    """Return the compressed pixels of a PNG."""
    return b"".join(content for name, content in chunks(png) if name == b"IDAT")


def id_format(token: str) -> str:
    """Return length and alphabet of a random id, which are the only things it may show."""
    hexadecimal = re.fullmatch(r"[0-9a-f]+", token)
    return f"{len(token)} {'hexadecimal digits' if hexadecimal else 'letters'}"


def _addresses(views: Sequence[ImageView], names: Collection[str]) -> Iterator[Leak]:
    parts = [urlsplit(view.reply.path) for view in views]
    yield from leak_if_different(
        "cache folder",
        "addresses of images",
        ((view.label, part.path.rpartition("/")[0]) for view, part in zip(views, parts)),
    )
    yield from leak_if_different(
        "address",
        "the format of addresses",
        ((view.label, id_format(view.token)) for view in views if "." not in view.token),
    )
    words = [letters for letters in map(_letters, names) if len(letters) > 3]
    named = {view.label for view in views if "." in view.token or _has_any(_letters(unquote(view.reply.path)), words)}
    if named:
        yield Leak("file name", "addresses of images", f"contain a name ({', '.join(sorted(named))})")
    if queried := {view.label for view, part in zip(views, parts) if part.query}:
        yield Leak("address", "addresses of images", f"have a query ({', '.join(sorted(queried))})")
    repeated = {view.label for view, count in zip(views, _counts(views)) if count > 1}
    if repeated:
        yield Leak("address", "addresses of images", f"are used twice ({', '.join(sorted(repeated))})")


def _has_any(text: str, words: Iterable[str]) -> bool:
    return any(word in text for word in words)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _counts(views: Sequence[ImageView]) -> list[int]:
    counts = Counter(view.reply.path for view in views)
    return [counts[view.reply.path] for view in views]


def _headers(views: Sequence[ImageView], varying: Collection[str]) -> Iterator[Leak]:
    names = {name for view in views for name, _ in view.reply.headers}
    for name in sorted(names):
        kind, what = HEADERS.get(name, "header"), f"the header {name} of images"
        leaks = list(leak_if_different(kind, what, ((view.label, view.reply.header(name)) for view in views)))
        if name in FORBIDDEN and not leaks:
            leaks = [Leak(kind, what, "is sent, though equal for all images")]
        if name not in varying or name in FORBIDDEN:
            yield from leaks
    header_sets = {frozenset(name for name, _ in view.reply.headers) for view in views}
    if len(header_sets) == 1:  # else yielded above
        yield from leak_if_different(
            "header",
            "the order of headers",
            ((view.label, tuple(name for name, _ in view.reply.headers)) for view in views),
        )


def _bytes(views: Sequence[ImageView]) -> Iterator[Leak]:
    unknown = sum(view.label == UNKNOWN for view in views)
    if unknown:
        yield Leak("alteration", WHERE, f"{unknown} of {len(views)} are not the bytes of any image of the study")
    files = {hashlib.sha256(view.reply.body).digest(): (view.label, view.reply.body) for view in views}.values()
    metadata = {(kind, label) for label, data in files for kind in metadata_kinds(data)}
    for kind in {kind for kind, _ in metadata}:
        yield Leak(kind, WHERE, f"contain it ({', '.join(sorted(label for own, label in metadata if own == kind))})")
    yield from leak_if_different("codec", WHERE, ((label, codec(data)) for label, data in files))
    yield from leak_if_different("pixel size", WHERE, ((label, pixel_size(data)) for label, data in files))
    yield from leak_if_different("byte length", WHERE, ((label, len(data)) for label, data in files))
    yield from leak_if_different(
        "byte length", "images on the wire", ((view.label, view.reply.length) for view in views)
    )
    for name in sorted({codec(data) for _, data in files}):
        yield from leak_if_different(
            "encoder", f"{name} images", ((label, encoder(data)) for label, data in files if codec(data) == name)
        )
    buffers = ((label, _buffer(data)) for label, data in files)
    yield from leak_if_different(
        "encoder", "the buffer of the encoder", ((label, size) for label, size in buffers if size)
    )


def metadata_kinds(data: bytes) -> set[str]:
    """Return the kinds of metadata in an image: EXIF, XMP, ICC, PNG text, C2PA."""
    kinds = set()
    if any(mark in data for mark in XMP):
        kinds.add("XMP")
    if C2PA in data:
        kinds.add("C2PA")
    for name, content in chunks(data):
        if name in CHUNKS and not content.startswith(XMP):
            kinds.add(CHUNKS[name])
    info = _opened(data)[1]
    if "exif" in info:
        kinds.add("EXIF")
    if "icc_profile" in info:
        kinds.add("ICC")
    return kinds


def codec(data: bytes) -> str:
    """Return the format by the first bytes."""
    return next((name for magic, name in MAGIC.items() if data.startswith(magic)), "unknown")


def pixel_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height); None if it is not an image."""
    image = _opened(data)[0]
    return image.size if image else None


def encoder(data: bytes) -> tuple[Any, ...]:
    """Return the settings of an encoder, as far as they do not depend on the pixels."""
    if codec(data) == "PNG":
        return _png(data)
    image, info = _opened(data)
    if image is None:
        return ()
    tables = {number: tuple(table) for number, table in getattr(image, "quantization", {}).items()}
    layers = tuple(getattr(image, "layer", ()))  # of a JPEG: components with their sampling
    return (image.mode, tuple(tables.items()), layers, "progressive" in info, info.get("jfif_version"))


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, content) of the chunks of a PNG; trailing or unreadable bytes have an empty name."""
    if codec(png) != "PNG":
        return
    at, name = 8, b""
    while at + 12 <= len(png) and name != b"IEND":
        (length,) = struct.unpack(">I", png[at : at + 4])
        name = png[at + 4 : at + 8]
        yield name, png[at + 8 : at + 8 + length]
        at += 12 + length
    if at < len(png):
        yield b"", png[at:]


def _png(data: bytes) -> tuple[Any, ...]:
    parts = [(name, content) for name, content in chunks(data) if name not in CHUNKS]
    header = next((content for name, content in parts if name == b"IHDR"), b"")
    packed = [content for name, content in parts if name == b"IDAT"]
    order = tuple(name.decode("latin-1") for name, _ in groupby(name for name, _ in parts))
    joined = b"".join(packed)
    return (tuple(header[8:]), order, joined[:2].hex(), _filtered(header, joined), _own_encoder(data, header, joined))


def _buffer(data: bytes) -> int | None:
    """Return the encoder's buffer size, as the length of the first of several chunks; None for a single chunk."""
    packed = [content for name, content in chunks(data) if name == b"IDAT"]
    return len(packed[0]) if len(packed) > 1 else None


def _filtered(header: bytes, packed: bytes) -> bool | None:
    """Return whether any row is filtered, as an encoder with filters does; None if the rows cannot be separated."""
    if len(header) < 13 or header[12] or header[8] != 8 or header[9] not in (2, 6):
        return None
    width, height = struct.unpack(">II", header[:8])
    row = 1 + width * {2: 3, 6: 4}[header[9]]
    try:
        return any(zlib.decompress(packed)[: row * height : row])
    except zlib.error:
        return None


def _own_encoder(data: bytes, header: bytes, packed: bytes) -> bool | None:
    """Return whether the encoder of `blind_image` makes the same stream from the same pixels."""
    bare = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    )
    size = pixel_size(data)
    if size is None or size[0] != size[1]:
        return None
    try:
        (again,) = blind_copies([bare], size[0])
    except StudyError:
        return None
    return pixel_stream(again.data) == packed


def _opened(data: bytes) -> tuple[Image.Image | None, dict[Any, Any]]:
    """Return the decoded image and its metadata; (None, {}) if it cannot be decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            image.load()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError):
        return None, {}
    return image, image.info
