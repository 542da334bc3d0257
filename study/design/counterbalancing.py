"""Counterbalancing across the slots of a study: orders of landmarks, positions, sides, and the random numbers for them.

Which trials a plan consists of is in `plan`. The random numbers of a slot are the same on every machine and in every
Python version, because they come from `Random.random()` seeded by a sha256, the one sequence that Python guarantees.
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
    """Return orders of 0..n-1 in which each number is equally often at every position and right after every other.

    n rows for an even n, 2n for an odd one (Williams, Australian Journal of Scientific Research A2, 1949).
    """
    zigzag = [number // 2 if number % 2 == 0 else n - 1 - number // 2 for number in range(n)]
    rows = [[(entry + shift) % n for entry in zigzag] for shift in range(n)]
    return rows if n % 2 == 0 else rows + [row[::-1] for row in rows]


@dataclass(frozen=True)
class Slot:
    """One participant's slot, and the random numbers that it shares with its neighbors."""

    definition: Definition
    number: int
    """From 0."""

    def own_random(self) -> Random:
        """Return the random numbers of this slot alone."""
        return self._random(self.number)

    def shared_random(self, what: str, size: int) -> tuple[Random, int]:
        """Return the random numbers that a block of `size` slots shares, and this slot's index in the block, from 0."""
        block, index = divmod(self.number, size)
        return self._random(what, block), index

    def order(self, question: str) -> list[str]:
        """Return the landmarks in the order in which this slot's participant sees them."""
        rows = williams(len(self.definition.landmarks))
        random, index = self.shared_random(f"order {question}", len(rows))
        return [self.definition.landmarks[entry] for entry in shuffled(rows, random)[index]]

    def arrangements(self, question: str) -> dict[str, tuple[str, ...]]:
        """Return landmark -> the origins of its images by position: three for buy, else LoRA's and TI's."""
        landmarks = self.definition.landmarks
        if question == "buy":
            orders = list(permutations(ORIGINS))
            random, index = self.shared_random("positions buy", len(orders))
            return {landmark: shuffled(orders, random)[index] for landmark in landmarks}
        # two or three of five are on the left, so that a preference for one side is hardly a vote for either method
        random, index = self.shared_random(f"sides {question}", 2)
        left = shuffled(landmarks, random)[: random_integer(2, 3, random)]
        return {
            landmark: ("lora", "ti") if (landmark in left) != (index == 1) else ("ti", "lora") for landmark in landmarks
        }

    def attention_check_side(self, question: str) -> int:
        """Return the position of the right answer, 1 or 2.

        It differs between landmark and style, so that a participant who always picks one side fails.
        """
        random, index = self.shared_random("sides catch", 2)
        return 1 + ((random.random() < 0.5) ^ (index == 1) ^ (question == "landmark"))

    def _random(self, *what: object) -> Random:
        words = "||".join(str(word) for word in (self.definition.version, self.definition.seed, *what))
        return Random(int.from_bytes(hashlib.sha256(words.encode()).digest(), "big"))


def derange(arrangement: tuple[str, ...], random: Random) -> tuple[str, ...]:
    """Return a random arrangement with every image at another position.

    Agreement with the first answer is then not a preference for one position.
    """
    derangements = [
        order for order in permutations(arrangement) if all(new != old for new, old in zip(order, arrangement))
    ]
    return shuffled(derangements, random)[0]


def shuffled(items: Iterable[T], random: Random) -> list[T]:
    """Return the items in a random order."""
    return sorted(items, key=lambda _: random.random())


def random_integer(low: int, high: int, random: Random) -> int:
    """Return a random integer from `low` to `high`, both included."""
    return low + int(random.random() * (high - low + 1))
