"""Which pictures look alike: perceptual hashes, and groups of those that differ in few bits. No files in here.

The hash is pHash: the signs of the 64 slowest cosines of the picture's luma against their median (Krawetz 2011, "Looks
Like It"; Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

ALIKE_BITS = 8
"""Hashes that differ in at most so many of 64 bits are taken for one picture.

Of the 45 bundled photographs, saved anew, made half as large, a third brighter or without 2 % at each edge, 44 or more
were recognized; any two of them differ in 18 bits or more, and any two of the 115 drawn ones in 12.
"""
_SIDE = 32
_BLOCK = 1024  # rows of distances in memory at once: 1024 x 20,000 x 4 bytes are 80 MB
_COSINES = np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(_SIDE)[None] + 1) / (2 * _SIDE))  # DCT-II, (8, 32)


def look(image: Image.Image) -> tuple[str, float]:
    """Perceptual hash (16 hexadecimal digits) and mean luma, 0 (black) to 1 (white), of a picture of any size."""
    luma = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    values = np.asarray(luma, dtype=np.float64)
    slow = (_COSINES @ values @ _COSINES.T).ravel()
    bits = slow > np.median(slow[1:]) + 1e-6  # the first is the brightness; rounding sets no bit of a plain color
    return np.packbits(bits).tobytes().hex(), round(float(values.mean()) / 255, 4)


def distance(a: str, b: str) -> int:
    """Bits in which two hashes differ, 0 to 64."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def alike(hashes: Sequence[str], bits: int = ALIKE_BITS) -> Iterator[tuple[int, int]]:
    """Pairs of indices, the smaller first, of different hashes that differ in at most `bits` bits.

    One product of matrices of signs: a second for 20,000 hashes.
    """
    if not hashes:
        return
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8).reshape(-1, 8)
    signs = np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1  # (hashes, 64); a product is 64 - 2 x distance
    for start in range(0, len(signs), _BLOCK):
        near = signs[start : start + _BLOCK] @ signs[start:].T >= 64 - 2 * bits
        for row, column in zip(*np.nonzero(near)):
            if row < column:
                yield start + int(row), start + int(column)


def groups(hashes: Mapping[str, str], bits: int = ALIKE_BITS) -> list[list[str]]:
    """Names of pictures that look alike, two or more a group; names and groups in the order of the mapping.

    What looks like a member of a group is in it, even where it looks less like the others.
    """
    named = defaultdict(list)
    for name, value in hashes.items():
        named[value].append(name)
    values = list(named)
    together = Union(range(len(values)))
    for a, b in alike(values, bits):
        together.join(a, b)
    found = [[name for index in group for name in named[values[index]]] for group in together.groups()]
    order = {name: number for number, name in enumerate(hashes)}
    return sorted(
        (sorted(group, key=order.__getitem__) for group in found if len(group) > 1), key=lambda group: order[group[0]]
    )


class Union:
    """Things that are put together step by step (Tarjan 1975)."""

    def __init__(self, things):
        self._above = {thing: thing for thing in things}

    def find(self, thing):
        """The one that stands for all that are together with this one."""
        while self._above[thing] != thing:
            self._above[thing] = self._above[self._above[thing]]
            thing = self._above[thing]
        return thing

    def join(self, a, b) -> None:
        """Put two together, and all that are with them."""
        self._above[self.find(b)] = self.find(a)

    def groups(self) -> list[list]:
        """All things, each with those it is together with."""
        found = defaultdict(list)
        for thing in self._above:
            found[self.find(thing)].append(thing)
        return list(found.values())
