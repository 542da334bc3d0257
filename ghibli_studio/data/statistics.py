"""Statistics of a dataset: sizes, tokens, landmarks, brightness, splits, and near duplicates across splits.

Only numbers and text; `statistics_plot` draws them. A collection gets the same statistics, by `Entry`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from PIL import Image

from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.dataset import Item, Split
from ghibli_studio.imaging import perceptual_hash
from ghibli_studio.imaging.crop import square
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.workspace.project import Project

MANY_LANDMARKS = 20
"""Number of landmarks with a bar of their own; the others share one."""
TOKENS_PER_BAR = 11


@dataclass(frozen=True)
class Entry:
    """Facts about one image."""

    id: str
    landmark: str
    split: Split | None
    """None while not decided."""
    tokens: int
    """Tokens of the caption, start and end included, without a trigger."""
    width: int
    """Width of the source image, upright, px."""
    height: int
    """Height of the source image, upright, px."""
    brightness: float
    """Mean luma, 0 (black) to 1 (white)."""
    perceptual_hashes: tuple[str, ...]
    """Perceptual hashes of the image, and of its source photo if that differs."""


@dataclass(frozen=True)
class Bin:
    """One bar: counts of images by split."""

    label: str
    train: int = 0
    validation: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class Leak:
    """A validation image that is a near duplicate of a training image: validation would measure memorization."""

    train: str
    """Id of the training image."""
    validation: str
    """Id of the validation image."""
    bits: int
    """Bits in which the perceptual hashes differ, of 64."""


@dataclass(frozen=True)
class DatasetStatistics:
    """Statistics of a dataset or collection."""

    rows: tuple[tuple[str, str], ...]
    """Name and value, as text."""
    sizes: tuple[Bin, ...]
    """By the shorter side of the source image, px."""
    tokens: tuple[Bin, ...]
    brightness: tuple[Bin, ...]
    landmarks: tuple[Bin, ...]
    """The most frequent landmarks first, then "all others"."""
    leaks: tuple[Leak, ...]


def dataset_statistics(project: Project) -> DatasetStatistics:
    """Return the statistics of the finished dataset; reads every image and source, about 30 ms per megapixel photo."""
    dataset = datasets.load(project)
    images = datasets.images(project, dataset.items)
    entries = [_entry(project, item, image) for item, image in zip(dataset.items, images)]
    return compute_statistics(entries, dataset.resolution, dataset.token_limit)


def compute_statistics(entries: Sequence[Entry], resolution: int, token_limit: int) -> DatasetStatistics:
    """Return the statistics of these images, for a model of this resolution (px) and token limit."""
    shorter = [min(entry.width, entry.height) for entry in entries]
    leaks = tuple(find_leaks(entries))
    return DatasetStatistics(
        _rows(entries, shorter, resolution, token_limit, leaks),
        _bins(entries, shorter, [0, resolution, 2 * resolution, 4 * resolution, math.inf], " px"),
        _bins(
            entries,
            [entry.tokens for entry in entries],
            [*range(0, token_limit + 1 - TOKENS_PER_BAR, TOKENS_PER_BAR), token_limit + 1, math.inf],
        ),
        _bins(entries, [entry.brightness for entry in entries], [step / 10 for step in range(11)]),
        _by_landmark(entries),
        leaks,
    )


def find_leaks(entries: Sequence[Entry]) -> list[Leak]:
    """Return near duplicates across the splits (see `perceptual_hash`), the most similar first."""
    by_value: dict[str, list[Entry]] = {}
    hashes = [(value, entry) for entry in entries if entry.split for value in entry.perceptual_hashes]
    for value, entry in hashes:
        by_value.setdefault(value, []).append(entry)
    values = list(by_value)
    found: dict[tuple[str, str], int] = {}
    equal = ((index, index) for index in range(len(values)))
    for a, b in (*equal, *perceptual_hash.near_duplicates(values)):
        bits = perceptual_hash.distance(values[a], values[b])
        for first in by_value[values[a]]:
            for second in by_value[values[b]]:
                if first.split != second.split:
                    pair = (first.id, second.id) if first.split == "train" else (second.id, first.id)
                    found[pair] = min(bits, found.get(pair, 64))
    return sorted((Leak(*pair, bits) for pair, bits in found.items()), key=lambda leak: (leak.bits, leak.train))


def _entry(project: Project, item: Item, image: Image.Image) -> Entry:
    value, brightness = perceptual_hash.hash_and_brightness(image)
    hashes, size = [value], image.size
    path = project.sources / item.source
    if item.source and path.is_file():
        source = open_image(path.read_bytes(), path.name)
        size = source.size
        hashes.append(perceptual_hash.hash_and_brightness(square(source, image.width))[0])
    return Entry(item.id, item.landmark, item.split, item.tokens, *size, brightness, tuple(dict.fromkeys(hashes)))


def _rows(
    entries: Sequence[Entry], shorter: Sequence[int], resolution: int, token_limit: int, leaks: Sequence[Leak]
) -> tuple[tuple[str, str], ...]:
    if not entries:
        return (("Images", "none yet"),)
    splits = Counter(entry.split for entry in entries)
    undecided = f", {splits[None]} undecided" if splits[None] else ""
    landmarks = Counter(entry.landmark.casefold() for entry in entries)
    too_long = sum(entry.tokens > token_limit for entry in entries)
    small = sum(side < resolution for side in shorter)
    return (
        ("Images", f"{len(entries)}: {splits['train']} training, {splits['validation']} validation{undecided}"),
        ("Landmarks", f"{len(landmarks)}; images per landmark: {_range(list(landmarks.values()), '{:.0f}')}"),
        ("Shorter side of the source", f"{_range(shorter, '{:.0f}')} (px); {small} below {resolution} px, enlarged"),
        (
            "Tokens per caption",
            f"{_range([e.tokens for e in entries], '{:.0f}')}; {too_long} over the token limit of {token_limit}, "
            "without a trigger",
        ),
        ("Brightness, 0 to 1", _range([entry.brightness for entry in entries], "{:.2f}")),
        ("Near duplicates across splits", f"{len(leaks)} pairs" if leaks else "none"),
    )


def _range(values: Sequence[float], form: str) -> str:
    low, middle, high = (form.format(value) for value in (min(values), median(values), max(values)))
    return low if low == high else f"{low} to {high}, median {middle}"


def _bins(entries: Sequence[Entry], values: Sequence[float], edges: Sequence[float], unit: str = "") -> tuple[Bin, ...]:
    """Return bars between edges, lower edge included; the last bar includes its upper edge."""
    bins = []
    for low, high in pairwise(edges):
        last = high == edges[-1]
        inside = [e for e, value in zip(entries, values) if low <= value < high or (last and value == high)]
        until = high - 1 if isinstance(high, int) else high  # integers end before the next bar begins
        bins.append(_bin(f"{low:g}{unit} or more" if math.isinf(high) else f"{low:g} to {until:g}{unit}", inside))
    return tuple(bins)


def _bin(label: str, entries: Iterable[Entry]) -> Bin:
    splits = Counter(entry.split for entry in entries)
    return Bin(label, splits["train"], splits["validation"], splits[None])


def _by_landmark(entries: Sequence[Entry]) -> tuple[Bin, ...]:
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.landmark.casefold(), []).append(entry)
    ranked = sorted(by_name.values(), key=len, reverse=True)
    bars = [_bin(group[0].landmark or "unnamed", group) for group in ranked[:MANY_LANDMARKS]]
    rest = [entry for group in ranked[MANY_LANDMARKS:] for entry in group]
    return (*bars, _bin("all others", rest)) if rest else tuple(bars)
