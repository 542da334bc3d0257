"""Is a folder of weights what it was when its SHA256SUMS was written? Reads files; loads no model.

`python -m ghibli_studio.miniature.hashes` checks the embedded weights; `--write` records a folder as it is now.
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
"""Endings that a library might load as weights; an unlisted file of these is reported, any other is let be."""
CHUNK = 1 << 20


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, read a mebibyte at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sums(folder: Path, parts: Iterable[str] = (".",)) -> str:
    """The text of SHA256SUMS for the folder as it is now: `<digest>  <relative path>` a line, sorted by path.

    `parts` are the folders in it that count.
    """
    files = (path for part in parts for path in (folder / part).rglob("*") if path.is_file())
    paths = sorted(path.relative_to(folder).as_posix() for path in files)
    return "".join(f"{file_digest(folder / path)}  {path}\n" for path in paths if path not in UNHASHED)


def folder_digest(folder: Path) -> str:
    """One SHA-256 for all files of the folder but SHA256SUMS and README.md; names count, times do not."""
    return hashlib.sha256(sums(folder).encode()).hexdigest()


def wrong_files(folder: Path) -> list[str]:
    """One sentence for each file that is missing, changed, or loadable but not listed; empty when all is well."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return [f"{folder / SUMS} is missing, so nothing in that folder can be checked."]
    wrong, listed = [], set()
    for number, line in enumerate(lines, 1):
        expected, separator, path = line.partition("  ")
        if not separator or len(expected) != 64:
            wrong.append(f"Line {number} of {SUMS} is not `<digest>  <path>`: {line[:80]!r}.")
            continue
        listed.add(path)
        if not (folder / path).is_file():
            wrong.append(f"{path} is missing.")
        elif (found := file_digest(folder / path)) != expected:
            wrong.append(f"{path} has changed: its SHA-256 begins {found[:12]}, expected {expected[:12]}.")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in LOADABLE}
    wrong += [f"{path} is not listed in {SUMS}." for path in sorted(present - listed)]
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Print what is wrong with a folder of weights; 0 when nothing is."""
    parser = argparse.ArgumentParser(prog="python -m ghibli_studio.miniature.hashes", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=WEIGHTS, help="default: the embedded weights")
    parser.add_argument("--write", action="store_true", help=f"write {SUMS} from the files as they are, and check")
    choices = parser.parse_args(arguments)
    if choices.write:
        text, partial = sums(choices.folder), choices.folder / f"{SUMS}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(choices.folder / SUMS)
    wrong = wrong_files(choices.folder)
    print("\n".join(wrong) or f"{choices.folder}: every file is as listed.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
