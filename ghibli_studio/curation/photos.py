"""One photo of a collection with its prompt, crop and attempts, and which fields can be edited. No disk access."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from adapters.settings import StudioError
from ghibli_studio.config.stylization import PhotoStylization
from ghibli_studio.data.captions import MAX_CHARACTERS, clean
from ghibli_studio.data.dataset import Split

PROMPT_PARTS = ("name", "location", "description", "composition")
"""The parts of a prompt, in the order of the paper's template."""
EDITABLE = (*PROMPT_PARTS, "center", "split", "overrides", "accepted_index", "rejected", "credit")
State = Literal["new", "stylized", "accepted", "rejected"]


@dataclass(frozen=True)
class Attempt:
    """One stylized image of a photo; its file has the full generation metadata."""

    file: str
    """In `collection/stylized`: `<photo id>-<attempt>.png`."""
    prompt: str
    """The prompt, without the words that the style source adds."""
    source: str
    """Style source: "teacher", "prompt", or the name of an adapter file."""
    seed: int
    strength: float
    """Of img2img, above 0 to 1."""
    guidance_scale: float
    num_inference_steps: int
    adapter_scale: float = 1.0
    center: tuple[float, float] = (0.5, 0.5)
    """Center of the crop that was stylized."""
    sha256: str = ""
    """Hash of the file."""


@dataclass(frozen=True)
class Photo:
    """One photo of a collection."""

    id: str
    """Four digits or more."""
    file: str
    """In `collection/sources`: `<id>.<suffix>`, the original bytes."""
    original: str
    """File name in the source that it was added from."""
    sha256: str
    """Hash of the original bytes."""
    width: int
    """Pixels, upright."""
    height: int
    """Pixels, upright."""
    perceptual_hash: str
    """Hash of the upright image, 16 hexadecimal digits (see `imaging.perceptual_hash`)."""
    brightness: float
    """Mean luma, 0 (black) to 1 (white)."""
    name: str = ""
    location: str = ""
    description: str = ""
    composition: str = ""
    center: tuple[float, float] = (0.5, 0.5)
    """Center of the square crop: shares of width and height, from the upper left corner."""
    split: Split | None = None
    """None: decided by landmark when the dataset is built."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """This photo's own stylization settings (`config.PhotoStylization`); the batch settings apply to the rest."""
    attempts: tuple[Attempt, ...] = ()
    """Stylized images, oldest first."""
    accepted_index: int | None = None
    """Index of the accepted attempt, from 0."""
    rejected: bool = False
    """Excluded from the dataset with all attempts."""
    credit: str = ""
    """Author, license and source, if known."""

    @property
    def state(self) -> State:
        """Review state."""
        if self.rejected:
            return "rejected"
        if self.accepted_index is not None:
            return "accepted"
        return "stylized" if self.attempts else "new"

    @property
    def pending(self) -> bool:
        """Whether no attempt has the current crop."""
        return all(attempt.center != self.center for attempt in self.attempts)

    @property
    def accepted(self) -> Attempt | None:
        """The stylized image that goes into the dataset."""
        return None if self.accepted_index is None or self.rejected else self.attempts[self.accepted_index]


def edited(photo: Photo, changes: Mapping[str, Any]) -> Photo:
    """Return the photo with fields changed; raises StudioError for an unknown field or a bad value."""
    if unknown := sorted(changes.keys() - set(EDITABLE)):
        raise StudioError(f"a photo has no field {unknown[0]!r} to edit; choose one of: {', '.join(EDITABLE)}")
    new = {name: _checked(photo, name, value) for name, value in changes.items()}
    if new.get("rejected"):
        new["accepted_index"] = None
    elif new.get("accepted_index") is not None:
        new["rejected"] = False
    return replace(photo, **new)


def _checked(photo: Photo, name: str, value: Any) -> Any:
    label = f"{name} of photo {photo.id}"
    if name in (*PROMPT_PARTS, "credit"):
        if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
            raise StudioError(f"{label} must be text of at most {MAX_CHARACTERS} characters; shorten it")
        return clean(value)
    if name == "center":
        try:
            x, y = (float(share) for share in value)
        except (TypeError, ValueError) as error:
            raise StudioError(
                f"{label} is {value!r}; give two shares of width and height, such as (0.5, 0.4)"
            ) from error
        if not (math.isfinite(x) and math.isfinite(y) and 0 <= x <= 1 and 0 <= y <= 1):
            raise StudioError(f"{label} is ({x:g}, {y:g}); both must be between 0 and 1, shares of width and height")
        return x, y
    if name == "split":
        if value not in (None, "train", "validation"):
            raise StudioError(f"{label} is {value!r}; it must be train, validation, or empty for an automatic split")
        return value
    if name == "overrides":
        return PhotoStylization.checked(dict(value)).model_dump(mode="json", exclude_none=True)
    if name == "accepted_index":
        if value is not None and (type(value) is not int or not 0 <= value < len(photo.attempts)):
            raise StudioError(f"{label} is {value!r}; the photo has {len(photo.attempts)} attempts, counted from 0")
        return value
    if not isinstance(value, bool):
        raise StudioError(f"{label} is {value!r}; it must be true or false")
    return value
