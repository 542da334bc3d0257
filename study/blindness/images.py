"""What comes with a picture beside its pixels: address, headers, metadata, encoder, length. All must be alike for all.

Addresses are compared as they are here, and as random numbers in `blindness_chance`.
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
from study.blindness.leak import Leak, unlike
from study.blindness.rank_test import changing
from study.blindness.visit import UNKNOWN, View, Visit
from study.design.blind_image import FORMATS, blind

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
WHERE = "pictures"
MAGIC = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP", b"GIF8": "GIF", b"BM": "BMP"}
# by the name of the PNG chunk; what other formats carry is found by what every such block begins with
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


def pictures(visits: Sequence[Visit], names: Collection[str]) -> Iterator[Leak]:
    """All leaks of what comes with pictures; `names` must not be in an address."""
    views = [view for visit in visits for view in visit.views]
    yield from _addresses(views, names)
    yield from _headers(views, changing(visits))
    yield from _bytes(views)


def stream(png: bytes) -> bytes:
    """The compressed pixels of a PNG."""
    return b"".join(content for name, content in chunks(png) if name == b"IDAT")


def shape(token: str) -> str:
    """Length and alphabet of a random id: all that may be said of it."""
    hexadecimal = re.fullmatch(r"[0-9a-f]+", token)
    return f"{len(token)} {'hexadecimal digits' if hexadecimal else 'letters'}"


def _addresses(views: Sequence[View], names: Collection[str]) -> Iterator[Leak]:
    parts = [urlsplit(view.reply.path) for view in views]
    yield from unlike(
        "cache folder",
        "addresses of pictures",
        ((view.label, part.path.rpartition("/")[0]) for view, part in zip(views, parts)),
    )
    yield from unlike(
        "address", "the form of addresses", ((view.label, shape(view.token)) for view in views if "." not in view.token)
    )
    wanted = [letters for letters in map(_letters, names) if len(letters) > 3]
    named = {view.label for view in views if "." in view.token or _in(_letters(unquote(view.reply.path)), wanted)}
    if named:
        yield Leak("file name", "addresses of pictures", f"have a name in them ({', '.join(sorted(named))})")
    if queried := {view.label for view, part in zip(views, parts) if part.query}:
        yield Leak("address", "addresses of pictures", f"have a query ({', '.join(sorted(queried))})")
    again = {view.label for view, count in zip(views, _counts(views)) if count > 1}
    if again:
        yield Leak("address", "addresses of pictures", f"come back ({', '.join(sorted(again))})")


def _in(path: str, names: Iterable[str]) -> bool:
    return any(name in path for name in names)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _counts(views: Sequence[View]) -> list[int]:
    counts = Counter(view.reply.path for view in views)
    return [counts[view.reply.path] for view in views]


def _headers(views: Sequence[View], changing: Collection[str]) -> Iterator[Leak]:
    names = {name for view in views for name, _ in view.reply.headers}
    for name in sorted(names):
        kind, what = HEADERS.get(name, "header"), f"the header {name} of pictures"
        told = list(unlike(kind, what, ((view.label, view.reply.header(name)) for view in views)))
        if name in FORBIDDEN and not told:
            told = [Leak(kind, what, "is there, though the same for all")]
        if name not in changing or name in FORBIDDEN:
            yield from told
    everywhere = [(view.label, tuple(sorted({name for name, _ in view.reply.headers}))) for view in views]
    if len({headers for _, headers in everywhere}) == 1:  # else told above
        yield from unlike(
            "header",
            "the order of headers",
            ((view.label, tuple(name for name, _ in view.reply.headers)) for view in views),
        )


def _bytes(views: Sequence[View]) -> Iterator[Leak]:
    strange = sum(view.label == UNKNOWN for view in views)
    if strange:
        yield Leak("alteration", WHERE, f"{strange} of {len(views)} are not the bytes of any picture of the study")
    every = {hashlib.sha256(view.reply.body).digest(): (view.label, view.reply.body) for view in views}.values()
    found = {(kind, label) for label, data in every for kind in carried(data)}
    for kind in {kind for kind, _ in found}:
        yield Leak(kind, WHERE, f"have it ({', '.join(sorted(label for of, label in found if of == kind))})")
    yield from unlike("codec", WHERE, ((label, codec(data)) for label, data in every))
    yield from unlike("pixel size", WHERE, ((label, pixel_size(data)) for label, data in every))
    yield from unlike("byte length", WHERE, ((label, len(data)) for label, data in every))
    yield from unlike("byte length", "pictures on the line", ((view.label, view.reply.length) for view in views))
    for name in sorted({codec(data) for _, data in every}):
        yield from unlike(
            "encoder", f"{name} pictures", ((label, encoder(data)) for label, data in every if codec(data) == name)
        )
    buffers = ((label, _buffer(data)) for label, data in every)
    yield from unlike("encoder", "the buffer of the encoder", ((label, size) for label, size in buffers if size))


def carried(data: bytes) -> set[str]:
    """Kinds of metadata in a picture: EXIF, XMP, ICC, PNG text, C2PA."""
    found = set()
    if any(mark in data for mark in XMP):
        found.add("XMP")
    if C2PA in data:
        found.add("C2PA")
    for name, content in chunks(data):
        if name in CHUNKS and not content.startswith(XMP):
            found.add(CHUNKS[name])
    info = _opened(data)[1]
    if "exif" in info:
        found.add("EXIF")
    if "icc_profile" in info:
        found.add("ICC")
    return found


def codec(data: bytes) -> str:
    """The format by its first bytes."""
    return next((name for magic, name in MAGIC.items() if data.startswith(magic)), "unknown")


def pixel_size(data: bytes) -> tuple[int, int] | None:
    """(width, height); None for what is no picture."""
    image = _opened(data)[0]
    return image and image.size


def encoder(data: bytes) -> tuple[Any, ...]:
    """Everything that an encoder was told and that does not depend on the pixels."""
    if codec(data) == "PNG":
        return _png(data)
    image, info = _opened(data)
    if image is None:
        return ()
    tables = {number: tuple(table) for number, table in getattr(image, "quantization", {}).items()}
    layers = tuple(getattr(image, "layer", ()))  # of a JPEG: components with their sampling
    return (image.mode, tuple(tables.items()), layers, "progressive" in info, info.get("jfif_version"))


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the chunks of a PNG; what follows them, or cannot be read, under an empty name."""
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
    whole = b"".join(packed)
    return (tuple(header[8:]), order, whole[:2].hex(), _filtered(header, whole), _own(data, header, whole))


def _buffer(data: bytes) -> int | None:
    """What a stream in several chunks shows of the buffer that it went through; None of a stream in one."""
    packed = [content for name, content in chunks(data) if name == b"IDAT"]
    return len(packed[0]) if len(packed) > 1 else None


def _filtered(header: bytes, packed: bytes) -> bool | None:
    """True if any row is filtered, as an encoder does that may; None if the rows cannot be told apart."""
    if len(header) < 13 or header[12] or header[8] != 8 or header[9] not in (2, 6):
        return None
    width, height = struct.unpack(">II", header[:8])
    row = 1 + width * {2: 3, 6: 4}[header[9]]
    try:
        return any(zlib.decompress(packed)[: row * height : row])
    except zlib.error:
        return None


def _own(data: bytes, header: bytes, packed: bytes) -> bool | None:
    """True if the encoder of `images` makes the same stream of the same pixels."""
    bare = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    )
    size = pixel_size(data)
    if size is None or size[0] != size[1]:
        return None
    try:
        (again,) = blind([bare], size[0])
    except StudyError:
        return None
    return stream(again.data) == packed


def _opened(data: bytes) -> tuple[Image.Image | None, dict[str, Any]]:
    """The decoded picture and what lay with it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            image.load()
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError):
        return None, {}
    return image, image.info
