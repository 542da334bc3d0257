"""Verification of a weights folder against its SHA256SUMS. It reads files and loads no model.

`python -m ghibli_studio.miniature.checksums` verifies the embedded weights; `--write` writes SHA256SUMS of a folder.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from ghibli_studio.miniature import WEIGHTS

SUMS = "SHA256SUMS"
UNHASHED = (SUMS, "README.md")
LOADABLE = (".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".pkl")
"""Suffixes of files that a library might load as weights; an unlisted one is reported, other unlisted files are not."""
CHUNK = 1 << 20


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read one mebibyte at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sums(folder: Path, parts: Iterable[str] = (".",)) -> str:
    """Return the text of SHA256SUMS for the folder: one `<digest>  <relative path>` per line, sorted by path.

    `parts` are the subfolders to include.
    """
    files = (path for part in parts for path in (folder / part).rglob("*") if path.is_file())
    paths = sorted(path.relative_to(folder).as_posix() for path in files)
    return "".join(f"{file_digest(folder / path)}  {path}\n" for path in paths if path not in UNHASHED)


def folder_digest(folder: Path) -> str:
    """Return one SHA-256 of the names and contents of all files, except SHA256SUMS and README.md."""
    return hashlib.sha256(sums(folder).encode()).hexdigest()


def wrong_files(folder: Path) -> list[str]:
    """Return one sentence for each file that is missing, changed, or loadable but not listed; empty if none."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return [f"{folder / SUMS} is missing, so the folder cannot be verified."]
    wrong, listed = [], set()
    for number, line in enumerate(lines, 1):
        expected, separator, path = line.partition("  ")
        if not separator or len(expected) != 64:
            wrong.append(f"Line {number} of {SUMS} is not `<digest>  <path>`: {line[:80]!r}.")
            continue
        listed.add(path)
        if not (folder / path).is_file():
            wrong.append(f"{path} is missing.")
        elif (digest := file_digest(folder / path)) != expected:
            wrong.append(f"{path} has changed: its SHA-256 begins {digest[:12]}, expected {expected[:12]}.")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in LOADABLE}
    wrong += [f"{path} is not listed in {SUMS}." for path in sorted(present - listed)]
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Verify a weights folder and print what is wrong; exit code 0 if nothing is."""
    parser = argparse.ArgumentParser(prog="python -m ghibli_studio.miniature.checksums", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=WEIGHTS, help="default: the embedded weights")
    parser.add_argument("--write", action="store_true", help=f"write {SUMS} of the current files, then verify")
    options = parser.parse_args(arguments)
    if options.write:
        text, partial = sums(options.folder), options.folder / f"{SUMS}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(options.folder / SUMS)
    wrong = wrong_files(options.folder)
    print("\n".join(wrong) or f"{options.folder}: all files match {SUMS}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
