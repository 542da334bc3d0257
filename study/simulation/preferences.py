"""What artificial participants like: shares that are given, and one person's choices drawn from them.

How they find their way through the pages is `simulate`. What they choose says nothing about any picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from random import Random

from study import ORIGINS, StudyError
from study.design.spec import Picture

METHODS = ("lora", "ti")


@dataclass(frozen=True)
class Preferences:
    """Shares from 0 to 1, of all artificial people together."""

    buy: float = 0.5
    """Choose the LoRA's picture, of those who choose either method's; so in the two next."""
    landmark: float = 0.5
    style: float = 0.5
    guess: float = 0.5
    """Take the LoRA's picture for the LoRA's, of those who guess at all."""
    either: float = 0.8
    """Choose one of the two methods at all, where there is something else to choose."""
    steady: float = 0.9
    """Answer a question that comes again as before."""
    correlation: float = 0.2
    """Of two answers of one person to the same question, below 1: people differ, and each is true to a taste."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not 0 <= value <= 1:
                raise StudyError(f"the preference {one.name} is {value:g}; it is a share, from 0 to 1")
        if self.correlation == 1:
            raise StudyError("the preference correlation is 1; it must be below, since nobody answers always the same")

    @classmethod
    def told(cls, texts: Iterable[str]) -> Preferences:
        """From texts such as `buy=0.75`; `lora=0.75` means the first three questions."""
        given: dict[str, float] = {}
        names = [one.name for one in fields(cls)]
        for text in texts:
            name, _, value = text.partition("=")
            if name not in (*names, "lora"):
                raise StudyError(f"there is no preference {name!r}; known are lora, {', '.join(names)}")
            try:
                share = float(value)
            except ValueError:
                raise StudyError(f"the preference {name} is {value!r}; write a share as {name}=0.75") from None
            given |= dict.fromkeys(("buy", "landmark", "style") if name == "lora" else (name,), share)
        return cls(**given)


class Taste:
    """One artificial person: the same one whatever comes in which order, since all chance hangs on what is asked."""

    def __init__(self, preferences: Preferences, seed: int, person: int):
        self.preferences = preferences
        self._who = f"{seed} {person}"
        self._before: dict[tuple[str, str | None, frozenset[str]], str] = {}

    def choose(
        self, question: str, landmark: str | None, pictures: Sequence[Picture], menu: Sequence[str]
    ) -> int | str:
        """The position from 1 of the chosen picture, or a word of the menu."""
        if question == "view":
            return "seen"
        known = right(landmark, pictures)
        if known is not None:
            return known
        random = self._random("choice", question, *sorted({one.landmark for one in pictures}))
        if pictures[0].role == "practice":
            return 1 + random.randrange(len(pictures))
        weights = self._weights(question, pictures, menu)
        asked = (question, landmark, frozenset(f"{one.landmark} {one.origin}" for one in pictures))
        if (before := self._before.get(asked)) is not None:
            random = self._random("again", *map(str, asked[:2]))
            if random.random() < self.preferences.steady:
                weights = {before: 1.0}
            else:
                others = {name: weight for name, weight in weights.items() if name != before}
                weights = others if any(others.values()) else dict.fromkeys(others, 1.0)
        (chosen,) = random.choices(list(weights), list(weights.values()))
        self._before[asked] = chosen
        if chosen in menu:
            return chosen
        # a board has five pictures of every origin
        there = [number for number, one in enumerate(pictures, 1) if one.origin == chosen]
        return random.choice(sorted(there, key=lambda number: pictures[number - 1].landmark))

    def milliseconds(self, number: int) -> int:
        """How long this person claims to have thought over an answer: about five seconds, more than one and a half."""
        return 1500 + int(1000 * self._random("time", str(number)).lognormvariate(1.2, 0.5))

    def _weights(self, question: str, pictures: Sequence[Picture], menu: Sequence[str]) -> dict[str, float]:
        """Origin or word -> its weight for this person."""
        share = self._share(question)
        rest = [name for name in ORIGINS if name not in METHODS and any(one.origin == name for one in pictures)]
        rest += menu
        either = self.preferences.either if rest else 1.0
        weights = {"lora": either * share, "ti": either * (1 - share)}
        return weights | {name: (1 - either) / len(rest) for name in rest}

    def _share(self, question: str) -> float:
        """This person's own share: a beta distribution with the given mean, and the correlation within people.

        For a beta(a, b) mixture of yes and no, the correlation of two answers is 1 / (a + b + 1).
        """
        mean, correlation = getattr(self.preferences, question), self.preferences.correlation
        if mean in (0, 1) or correlation == 0:
            return mean
        both = 1 / correlation - 1
        return self._random("taste", question).betavariate(mean * both, (1 - mean) * both)

    def _random(self, *what: str) -> Random:
        return Random("|".join((self._who, *what)))


def right(landmark: str | None, pictures: Sequence[Picture]) -> int | None:
    """The position from 1 of the picture that any attentive person takes; None where it is a matter of taste."""
    roles = [one.role for one in pictures]
    if "candidate" in roles and len(set(roles)) > 1:
        return 1 + roles.index("candidate")  # the landmark that was asked for, or the one that is no photograph
    shown = [one.landmark for one in pictures]
    if roles[0] == "practice" and landmark in shown:
        return 1 + shown.index(landmark)
    return None
