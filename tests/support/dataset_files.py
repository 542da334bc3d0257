"""Files to import: images with captions, as a folder or as a ZIP, and ZIPs with falsified headers."""

import io
import struct
import zipfile
from pathlib import Path

from PIL import Image

CAPTIONS = {
    "a.png": "Big Ben, London",
    "b.png": "Petra, Jordan",
    "c.png": "Colosseum, Rome",
    "d.png": "Taj Mahal, Agra",
    "e.png": "Eiffel Tower, Paris",
}


def image_bytes(shade=0, size=(80, 64), kind="PNG"):
    """Return an encoded image of one color."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


def with_captions(captions):
    """Return file name -> bytes: an image and a caption file for each caption."""
    files = {}
    for shade, (name, caption) in enumerate(captions.items()):
        files[name] = image_bytes(shade)
        files[str(Path(name).with_suffix(".txt"))] = caption.encode()
    return files


def folder_of(root, files):
    """Write the files to a folder and return it."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def zip_of(path, files, method=zipfile.ZIP_DEFLATED):
    """Write the files to a ZIP and return its path."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def tree(folder):
    """Return every file below a folder with its bytes, except locks."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def patched(path, name, **fields):
    """Change a member's size, flags or checksum in both headers of the ZIP, and return its path."""
    data = bytearray(path.read_bytes())
    places = {"flags": (6, 8, "<H"), "size": (22, 24, "<I"), "crc": (14, 16, "<I")}
    for signature, fixed, which in ((b"PK\x03\x04", 30, 0), (b"PK\x01\x02", 46, 1)):
        start = data.find(name.encode()) - fixed
        while data[start : start + 4] != signature:
            start = data.find(name.encode(), start + fixed + 1) - fixed
        for field, value in fields.items():
            offset, kind = places[field][which], places[field][2]
            data[start + offset : start + offset + struct.calcsize(kind)] = struct.pack(kind, value)
    path.write_bytes(data)
    return path
