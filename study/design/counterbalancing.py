"""What is balanced across the places of a study: orders of landmarks, positions and sides; and all its chance.

Which trials a plan is made of is `design`. A place's chance is the same on every machine and in every Python, since
it comes from `Random.random()` seeded by a sha256, the one sequence that Python promises to keep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import TypeVar

from study import ORIGINS
from study.design.definition import Definition

T = TypeVar("T")


def williams(n: int) -> list[list[int]]:
    """Orders of 0..n-1: each at every position, each right after every other, equally often.

    n rows for an even n, 2n for an odd one (Williams, Australian Journal of Scientific Research A2, 1949).
    """
    zigzag = [number // 2 if number % 2 == 0 else n - 1 - number // 2 for number in range(n)]
    rows = [[(entry + shift) % n for entry in zigzag] for shift in range(n)]
    return rows if n % 2 == 0 else rows + [row[::-1] for row in rows]


@dataclass(frozen=True)
class Place:
    """One participant's place, and the chance that it shares with its neighbors."""

    definition: Definition
    slot: int
    """From 0."""

    def own(self) -> Random:
        """Chance of this place alone."""
        return self._random(self.slot)

    def shared(self, what: str, size: int) -> tuple[Random, int]:
        """Chance that a run of `size` places has in common, and the number of this place in it, from 0."""
        run, number = divmod(self.slot, size)
        return self._random(what, run), number

    def order(self, question: str) -> list[str]:
        """The landmarks in the order in which this place is asked."""
        rows = williams(len(self.definition.landmarks))
        random, number = self.shared(f"order {question}", len(rows))
        return [self.definition.landmarks[entry] for entry in shuffled(rows, random)[number]]

    def arrangements(self, question: str) -> dict[str, tuple[str, ...]]:
        """Landmark -> the origins of its pictures by position: three for buy, else the LoRA's and TI's."""
        landmarks = self.definition.landmarks
        if question == "buy":
            orders = list(permutations(ORIGINS))
            random, number = self.shared("positions buy", len(orders))
            return {landmark: shuffled(orders, random)[number] for landmark in landmarks}
        # two or three of five on the left, so that a habit of one side is nearly no vote for either method
        random, number = self.shared(f"sides {question}", 2)
        left = shuffled(landmarks, random)[: between(2, 3, random)]
        return {one: ("lora", "ti") if (one in left) != (number == 1) else ("ti", "lora") for one in landmarks}

    def catch_side(self, question: str) -> int:
        """Position of the right answer, 1 or 2: landmark's and style's differ, so that a habit of one side fails."""
        random, number = self.shared("sides catch", 2)
        return 1 + ((random.random() < 0.5) ^ (number == 1) ^ (question == "landmark"))

    def _random(self, *what: object) -> Random:
        words = "||".join(str(word) for word in (self.definition.version, self.definition.seed, *what))
        return Random(int.from_bytes(hashlib.sha256(words.encode()).digest(), "big"))


def elsewhere(arrangement: tuple[str, ...], random: Random) -> tuple[str, ...]:
    """An arrangement with every picture at another position, so that agreement is not a habit of one position."""
    moved = [one for one in permutations(arrangement) if all(new != old for new, old in zip(one, arrangement))]
    return shuffled(moved, random)[0]


def shuffled(items: Iterable[T], random: Random) -> list[T]:
    """The items in an order of chance."""
    return sorted(items, key=lambda _: random.random())


def between(low: int, high: int, random: Random) -> int:
    """A whole number from `low` to `high`, both included."""
    return low + int(random.random() * (high - low + 1))
