"""Near duplicates: perceptual hashes, and groups of images whose hashes differ in few bits. Reads no files.

The hash is pHash: the signs of the 64 lowest frequencies of the luma's cosine transform against their median (Krawetz
2011, "Looks Like It"; Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

T = TypeVar("T")
NEAR_DUPLICATE_BITS = 8
"""Hashes that differ in at most this many of 64 bits count as near duplicates.

Of the 45 bundled photos, saved again, at half size, a third brighter or cropped by 2 % at each edge, at least 44 were
recognized. Any two of them differ in 18 bits or more, and any two of the 115 painted ones in 12.
"""
_SIDE = 32
_BLOCK = 1024  # rows of distances in memory at once: 1024 x 20,000 x 4 bytes are 80 MB
_COSINES = np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(_SIDE)[None] + 1) / (2 * _SIDE))  # DCT-II, (8, 32)


def hash_and_brightness(image: Image.Image) -> tuple[str, float]:
    """Return the perceptual hash (16 hexadecimal digits) and the mean luma, 0 (black) to 1 (white), of any image."""
    luma = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    values = np.asarray(luma, dtype=np.float64)
    frequencies = (_COSINES @ values @ _COSINES.T).ravel()
    # the first value is the brightness; rounding errors set no bit of a plain color
    bits = frequencies > np.median(frequencies[1:]) + 1e-6
    return np.packbits(bits).tobytes().hex(), round(float(values.mean()) / 255, 4)


def distance(a: str, b: str) -> int:
    """Return the number of bits in which two hashes differ, 0 to 64."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def near_duplicates(hashes: Sequence[str], bits: int = NEAR_DUPLICATE_BITS) -> Iterator[tuple[int, int]]:
    """Yield pairs of indices, the smaller first, of different hashes that differ in at most `bits` bits.

    Computed as one product of sign matrices: a second for 20,000 hashes.
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


def near_duplicate_groups(hashes: Mapping[str, str], bits: int = NEAR_DUPLICATE_BITS) -> list[list[str]]:
    """Return groups of two or more names of near duplicates; names and groups in the order of the mapping.

    A near duplicate of one member belongs to the group, even if it differs more from the others.
    """
    names_of = defaultdict(list)
    for name, value in hashes.items():
        names_of[value].append(name)
    values = list(names_of)
    union = UnionFind(range(len(values)))
    for a, b in near_duplicates(values, bits):
        union.join(a, b)
    found = [[name for index in group for name in names_of[values[index]]] for group in union.groups()]
    order = {name: number for number, name in enumerate(hashes)}
    return sorted(
        (sorted(group, key=order.__getitem__) for group in found if len(group) > 1), key=lambda group: order[group[0]]
    )


class UnionFind(Generic[T]):
    """Disjoint sets that are joined step by step (Tarjan 1975)."""

    def __init__(self, items: Iterable[T]):
        self._parent = {item: item for item in items}

    def find(self, item: T) -> T:
        """Return the representative of the item's set."""
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def join(self, a: T, b: T) -> None:
        """Join the sets of two items."""
        self._parent[self.find(b)] = self.find(a)

    def groups(self) -> list[list[T]]:
        """Return all sets as lists."""
        found: dict[T, list[T]] = defaultdict(list)
        for item in self._parent:
            found[self.find(item)].append(item)
        return list(found.values())
