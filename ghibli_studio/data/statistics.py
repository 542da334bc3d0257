"""What a set of pictures is like: sizes, tokens, landmarks, brightness, split, and what leaks across it.

Numbers and plain rows; whoever shows them draws. The data set and the collection are surveyed alike, by `Entry`.
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
"""So many landmarks have a bar of their own; the others share one."""
TOKENS_A_BAR = 11


@dataclass(frozen=True)
class Entry:
    """One picture, as far as statistics go."""

    id: str
    landmark: str
    split: Split | None
    """None: not decided yet."""
    tokens: int
    """Of the prompt, start and end included, without a trigger."""
    width: int
    """As it came, upright, px."""
    height: int
    """As it came, upright, px."""
    brightness: float
    """Mean luma, 0 (black) to 1 (white)."""
    likenesses: tuple[str, ...]
    """Perceptual hashes: of the picture, and of the photograph behind it where that is another."""


@dataclass(frozen=True)
class Bin:
    """A bar: how many pictures, by side."""

    label: str
    train: int = 0
    validation: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class Leak:
    """A picture to validate on that looks like one to train on: validation would measure memory."""

    train: str
    """Id of the picture to train on."""
    validation: str
    bits: int
    """In which the perceptual hashes differ, of 64."""


@dataclass(frozen=True)
class Survey:
    """What a set is like."""

    rows: tuple[tuple[str, str], ...]
    """Name and value, in words."""
    sizes: tuple[Bin, ...]
    """By the shorter side as it came, px."""
    tokens: tuple[Bin, ...]
    brightness: tuple[Bin, ...]
    landmarks: tuple[Bin, ...]
    """The most frequent ones first, then "all others"."""
    leaks: tuple[Leak, ...]


def survey_dataset(project: Project) -> Survey:
    """The finished data set; reads every picture and its source: about 30 ms each for photographs of a megapixel."""
    dataset = datasets.load(project)
    pictures = datasets.images(project, dataset.items)
    entries = [_entry(project, item, picture) for item, picture in zip(dataset.items, pictures)]
    return survey(entries, dataset.resolution, dataset.token_limit)


def survey(entries: Sequence[Entry], resolution: int, token_limit: int) -> Survey:
    """Statistics of these pictures, for a model of this size (px) and limit of tokens."""
    shorter = [min(entry.width, entry.height) for entry in entries]
    leaks = tuple(find_leaks(entries))
    return Survey(
        _rows(entries, shorter, resolution, token_limit, leaks),
        _bins(entries, shorter, [0, resolution, 2 * resolution, 4 * resolution, math.inf], " px"),
        _bins(
            entries,
            [entry.tokens for entry in entries],
            [*range(0, token_limit + 1 - TOKENS_A_BAR, TOKENS_A_BAR), token_limit + 1, math.inf],
        ),
        _bins(entries, [entry.brightness for entry in entries], [step / 10 for step in range(11)]),
        _by_landmark(entries),
        leaks,
    )


def find_leaks(entries: Sequence[Entry]) -> list[Leak]:
    """Pairs across the split whose pictures or photographs look alike (see `likeness`), the most alike first."""
    hashes = [(hash, entry) for entry in entries if entry.split for hash in entry.likenesses]
    by_value: dict[str, list[Entry]] = {}
    for value, entry in hashes:
        by_value.setdefault(value, []).append(entry)
    values = list(by_value)
    found: dict[tuple[str, str], int] = {}
    same = ((index, index) for index in range(len(values)))
    for a, b in (*same, *perceptual_hash.alike(values)):
        bits = perceptual_hash.distance(values[a], values[b])
        for one in by_value[values[a]]:
            for other in by_value[values[b]]:
                if one.split != other.split:
                    pair = (one.id, other.id) if one.split == "train" else (other.id, one.id)
                    found[pair] = min(bits, found.get(pair, 64))
    return sorted((Leak(*pair, bits) for pair, bits in found.items()), key=lambda leak: (leak.bits, leak.train))


def _entry(project: Project, item: Item, picture: Image.Image) -> Entry:
    hash, brightness = perceptual_hash.look(picture)
    hashes, size = {hash: None}, picture.size
    path = project.sources / item.source
    if item.source and path.is_file():
        source = open_image(path.read_bytes(), path.name)
        size = source.size
        hashes[perceptual_hash.look(square(source, picture.width))[0]] = None
    return Entry(item.id, item.landmark, item.split, item.tokens, *size, brightness, tuple(hashes))


def _rows(
    entries: Sequence[Entry], shorter: Sequence[int], resolution: int, token_limit: int, leaks: Sequence[Leak]
) -> tuple[tuple[str, str], ...]:
    if not entries:
        return (("Pictures", "none yet"),)
    sides = Counter(entry.split for entry in entries)
    undecided = f", {sides[None]} not decided" if sides[None] else ""
    landmarks = Counter(entry.landmark.casefold() for entry in entries)
    too_long = sum(entry.tokens > token_limit for entry in entries)
    small = sum(side < resolution for side in shorter)
    return (
        ("Pictures", f"{len(entries)}: {sides['train']} to train on, {sides['validation']} to validate on{undecided}"),
        ("Landmarks", f"{len(landmarks)}; pictures of each: {_range(list(landmarks.values()), '{:.0f}')}"),
        ("Shorter side as it came", f"{_range(shorter, '{:.0f}')} (px); {small} below {resolution} px, enlarged"),
        (
            "Tokens of a prompt",
            f"{_range([e.tokens for e in entries], '{:.0f}')}; {too_long} over the model's "
            f"{token_limit}, without a trigger",
        ),
        ("Brightness, 0 to 1", _range([entry.brightness for entry in entries], "{:.2f}")),
        ("Alike across the split", f"{len(leaks)} pairs" if leaks else "none"),
    )


def _range(values: Sequence[float], form: str) -> str:
    low, middle, high = (form.format(value) for value in (min(values), median(values), max(values)))
    return low if low == high else f"{low} to {high}, median {middle}"


def _bins(entries: Sequence[Entry], values: Sequence[float], edges: Sequence[float], unit: str = "") -> tuple[Bin, ...]:
    """Bars between edges, each from its lower edge on; the last one with its upper edge."""
    made = []
    for low, high in pairwise(edges):
        last = high == edges[-1]
        inside = [e for e, value in zip(entries, values) if low <= value < high or (last and value == high)]
        until = high - 1 if isinstance(high, int) else high  # whole numbers end before the next bar begins
        made.append(_bin(f"{low:g}{unit} or more" if math.isinf(high) else f"{low:g} to {until:g}{unit}", inside))
    return tuple(made)


def _bin(label: str, entries: Iterable[Entry]) -> Bin:
    sides = Counter(entry.split for entry in entries)
    return Bin(label, sides["train"], sides["validation"], sides[None])


def _by_landmark(entries: Sequence[Entry]) -> tuple[Bin, ...]:
    shown: dict[str, list[Entry]] = {}
    for entry in entries:
        shown.setdefault(entry.landmark.casefold(), []).append(entry)
    ranked = sorted(shown.values(), key=len, reverse=True)
    bars = [_bin(group[0].landmark or "no name yet", group) for group in ranked[:MANY_LANDMARKS]]
    rest = [entry for group in ranked[MANY_LANDMARKS:] for entry in group]
    return (*bars, _bin("all others", rest)) if rest else tuple(bars)
