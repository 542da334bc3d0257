"""Taking apart, changing and reassembling the bytes of blind copies."""

import io
import struct
import zlib

from PIL import Image

from study.design import blind_image

END = b"\0\0\0\0IEND\xaeB`\x82"


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def unpadded(data):
    """Return a blind copy without its padding."""
    end = data.find(b"paDd") - 4
    return data if end < 0 else data[:end] + END


def padded(files, length):
    return [blind_image._pad(data, length - len(data) - 12) for data in files]


def after_header(data, *chunks):
    return data[:33] + b"".join(chunks) + data[33:]


def saved(data, form="PNG", **values):
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(buffer, form, **values)
    return buffer.getvalue()


def unfiltered(data):
    """Return the same pixels without a filter in any row."""
    with Image.open(io.BytesIO(data)) as image:
        rows = [b"\0" + image.crop((0, y, image.width, y + 1)).tobytes() for y in range(image.height)]
    return data[:33] + chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + END


def zeros_after(files, length):
    return [data.ljust(length, b"\0") for data in files]
