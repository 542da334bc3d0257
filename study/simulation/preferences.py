"""The preferences of simulated participants: given shares, and one participant's choices drawn from them.

How simulated participants use the pages is in `participant`. Their choices say nothing about any image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from random import Random

from study import ORIGINS, StudyError
from study.design.spec import StimulusImage

METHODS = ("lora", "ti")
SEED_NAMES = {"blinding_check": "guess"}
"""Question -> its name in the random seeds; fixed, so that equal seeds keep giving equal choices."""


@dataclass(frozen=True)
class Preferences:
    """Shares from 0 to 1, over all simulated participants."""

    buy: float = 0.5
    """Share that chooses the LoRA image, of those who choose either method's; the next two are the same."""
    landmark: float = 0.5
    style: float = 0.5
    blinding_check: float = 0.5
    """Share that guesses the LoRA image right, of those who guess at all."""
    either: float = 0.8
    """Share that chooses one of the two methods at all, where there is something else to choose."""
    consistency: float = 0.9
    """Share of retests that are answered as before."""
    correlation: float = 0.2
    """Correlation of two answers of one participant to the same question, below 1."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise StudyError(f"the preference {field.name} is {value:g}; it must be a share from 0 to 1")
        if self.correlation == 1:
            raise StudyError("the preference correlation is 1; it must be below 1")

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Preferences:
        """Read texts such as `buy=0.75`; `lora=0.75` sets buy, landmark and style."""
        shares: dict[str, float] = {}
        names = [field.name for field in fields(cls)]
        for text in texts:
            name, _, value = text.partition("=")
            if name not in (*names, "lora"):
                raise StudyError(f"there is no preference {name!r}; choose one of lora, {', '.join(names)}")
            try:
                share = float(value)
            except ValueError:
                raise StudyError(f"the preference {name} is {value!r}; write a share such as {name}=0.75") from None
            shares |= dict.fromkeys(("buy", "landmark", "style") if name == "lora" else (name,), share)
        return cls(**shares)


class SimulatedParticipant:
    """One simulated participant, whose choices depend on the question and not on the order of the trials."""

    def __init__(self, preferences: Preferences, seed: int, number: int):
        self.preferences = preferences
        self._seed = f"{seed} {number}"
        self._previous: dict[tuple[str, str | None, frozenset[str]], str] = {}

    def choose(
        self, question: str, landmark: str | None, images: Sequence[StimulusImage], menu: Sequence[str]
    ) -> int | str:
        """Return the position from 1 of the chosen image, or a word of the menu."""
        if question == "view":
            return "seen"
        correct = correct_position(landmark, images)
        if correct is not None:
            return correct
        random = self._random("choice", seed_name(question), *sorted({image.landmark for image in images}))
        if images[0].role == "practice":
            return 1 + random.randrange(len(images))
        weights = self._weights(question, images, menu)
        trial = (question, landmark, frozenset(f"{image.landmark} {image.origin}" for image in images))
        if (previous := self._previous.get(trial)) is not None:
            random = self._random("again", seed_name(question), str(landmark))
            if random.random() < self.preferences.consistency:
                weights = {previous: 1.0}
            else:
                others = {name: weight for name, weight in weights.items() if name != previous}
                weights = others if any(others.values()) else dict.fromkeys(others, 1.0)
        (chosen,) = random.choices(list(weights), list(weights.values()))
        self._previous[trial] = chosen
        if chosen in menu:
            return chosen
        # a board has five images of every origin
        positions = [position for position, image in enumerate(images, 1) if image.origin == chosen]
        return random.choice(sorted(positions, key=lambda position: images[position - 1].landmark))

    def milliseconds(self, number: int) -> int:
        """Return the claimed response time of answer `number`: about five seconds, never below 1.5 s."""
        return 1500 + int(1000 * self._random("time", str(number)).lognormvariate(1.2, 0.5))

    def _weights(self, question: str, images: Sequence[StimulusImage], menu: Sequence[str]) -> dict[str, float]:
        """Return origin or menu word -> its weight for this participant."""
        share = self._share(question)
        rest = [name for name in ORIGINS if name not in METHODS and any(image.origin == name for image in images)]
        rest += menu
        either = self.preferences.either if rest else 1.0
        weights = {"lora": either * share, "ti": either * (1 - share)}
        return weights | {name: (1 - either) / len(rest) for name in rest}

    def _share(self, question: str) -> float:
        """Draw this participant's own share from a beta distribution with the given mean and correlation.

        For a beta(a, b) mixture of yes and no, the correlation of two answers is 1 / (a + b + 1).
        """
        mean, correlation = getattr(self.preferences, question), self.preferences.correlation
        if mean in (0, 1) or correlation == 0:
            return mean
        total = 1 / correlation - 1
        return self._random("taste", seed_name(question)).betavariate(mean * total, (1 - mean) * total)

    def _random(self, *names: str) -> Random:
        return Random("|".join((self._seed, *names)))


def seed_name(question: str) -> str:
    """Return the name of a question in the random seeds."""
    return SEED_NAMES.get(question, question)


def correct_position(landmark: str | None, images: Sequence[StimulusImage]) -> int | None:
    """Return the position from 1 of the image that any attentive participant chooses; None for a matter of taste."""
    roles = [image.role for image in images]
    if "candidate" in roles and len(set(roles)) > 1:
        return 1 + roles.index("candidate")  # the landmark in question, or the image that is not a photo
    landmarks = [image.landmark for image in images]
    if roles[0] == "practice" and landmark in landmarks:
        return 1 + landmarks.index(landmark)
    return None
