"""One photograph of a collection, and all that was decided about it; what may be changed, and to what. No disk here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from adapters.settings import StudioError
from ghibli_studio.config.stylization import PhotographStyling
from ghibli_studio.data.captions import MAX_CHARACTERS, clean
from ghibli_studio.data.dataset import Split

WORDS = ("name", "location", "description", "composition")
"""The parts of a prompt, in the order of the paper's template."""
EDITABLE = (*WORDS, "center", "split", "styling", "chosen", "rejected", "credit")
State = Literal["new", "styled", "accepted", "rejected"]


@dataclass(frozen=True)
class Attempt:
    """One styled picture of a photograph; its file carries the whole recipe."""

    file: str
    """In `collection/styled`: `<photograph's id>-<attempt>.png`."""
    prompt: str
    """What was asked for, without the words that the style source adds."""
    source: str
    """Where the style came from: "teacher", "prompt", or the name of an adapter file."""
    seed: int
    strength: float
    guidance_scale: float
    num_inference_steps: int
    adapter_scale: float = 1.0
    """How strongly the adapter acted."""
    center: tuple[float, float] = (0.5, 0.5)
    """Of the square that was styled."""
    sha256: str = ""
    """Of the file."""


@dataclass(frozen=True)
class Photo:
    """One photograph, and all that was decided about it."""

    id: str
    """Four digits or more."""
    file: str
    """In `collection/sources`: `<id>.<suffix>`, the bytes as they came."""
    original: str
    """What it was called where it came from."""
    sha256: str
    """Of the bytes as they came."""
    width: int
    """Upright, px."""
    height: int
    """Upright, px."""
    likeness: str
    """Perceptual hash of the upright picture, 16 hexadecimal digits (see `likeness`)."""
    brightness: float
    """Mean luma, 0 (black) to 1 (white)."""
    name: str = ""
    location: str = ""
    description: str = ""
    composition: str = ""
    center: tuple[float, float] = (0.5, 0.5)
    """Of the square crop: shares of width and height, from the upper left corner."""
    split: Split | None = None
    """None: decided by landmark when the data set is made."""
    styling: Mapping[str, Any] = field(default_factory=dict)
    """This photograph's own settings (see `config.PhotographStyling`); what is not in here is the batch's."""
    attempts: tuple[Attempt, ...] = ()
    """Styled pictures, the oldest first."""
    chosen: int | None = None
    """Which attempt was accepted, counted from 0."""
    rejected: bool = False
    """Left out of the data set, attempts and all."""
    credit: str = ""
    """Author, license and source where known."""

    @property
    def state(self) -> State:
        """How far it is."""
        if self.rejected:
            return "rejected"
        if self.chosen is not None:
            return "accepted"
        return "styled" if self.attempts else "new"

    @property
    def waiting(self) -> bool:
        """Whether no attempt is of the crop as it is now."""
        return all(attempt.center != self.center for attempt in self.attempts)

    @property
    def accepted(self) -> Attempt | None:
        """The styled picture that goes into the data set."""
        return None if self.chosen is None or self.rejected else self.attempts[self.chosen]


def changed(photo: Photo, changes: Mapping[str, Any]) -> Photo:
    """The photograph with fields changed; raises StudioError for an unknown field or a bad value."""
    if unknown := sorted(changes.keys() - set(EDITABLE)):
        raise StudioError(f"a photograph has no {unknown[0]!r} to change; there are {', '.join(EDITABLE)}")
    new = {name: _checked(photo, name, value) for name, value in changes.items()}
    if new.get("rejected"):
        new["chosen"] = None
    elif new.get("chosen") is not None:
        new["rejected"] = False
    return replace(photo, **new)


def _checked(photo: Photo, name: str, value: Any) -> Any:
    of = f"{name} of photograph {photo.id}"
    if name in (*WORDS, "credit"):
        if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
            raise StudioError(f"{of} must be text of at most {MAX_CHARACTERS} characters; shorten it")
        return clean(value)
    if name == "center":
        try:
            x, y = (float(share) for share in value)
        except (TypeError, ValueError) as error:
            raise StudioError(f"{of} is {value!r}; give two shares of width and height, such as (0.5, 0.4)") from error
        if not (math.isfinite(x) and math.isfinite(y) and 0 <= x <= 1 and 0 <= y <= 1):
            raise StudioError(f"{of} is ({x:g}, {y:g}); both must be 0 to 1, shares of width and height")
        return x, y
    if name == "split":
        if value not in (None, "train", "validation"):
            raise StudioError(f"{of} is {value!r}; it must be train, validation, or empty to have it decided")
        return value
    if name == "styling":
        return PhotographStyling.checked(dict(value)).model_dump(mode="json", exclude_none=True)
    if name == "chosen":
        if value is not None and (type(value) is not int or not 0 <= value < len(photo.attempts)):
            raise StudioError(f"{of} is {value!r}; it has {len(photo.attempts)} styled pictures, counted from 0")
        return value
    if not isinstance(value, bool):
        raise StudioError(f"{of} is {value!r}; it must be true or false")
    return value
