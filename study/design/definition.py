"""The definition of a study: frozen settings, their checks, JSON and hash. Orders of trials are in `plan`."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from study import StudyError

CONSENT = """\
You will see pictures of five landmarks and answer short questions about them. It takes about ten minutes.

We keep your answers, how long each took, and the time of your consent. We keep no name, no address of your computer \
and nothing about your browser. The answers are kept for two years and may be published without any link to you.

Taking part is voluntary. You can stop at any time, and at the end you get a code that deletes your answers."""


class Exclusions(BaseModel):
    """Rules for excluding participants from the second analysis; fixed when the study is locked."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    max_failed_attention_checks: int = Field(default=0, ge=0, le=2)
    """More failed attention checks than this exclude a participant."""
    min_median_seconds: float = Field(default=1.5, ge=0, le=60)
    """A median time per answer below this, in seconds, excludes a participant."""
    max_same_position: float = Field(default=0.9, gt=0, le=1)
    """A larger share of answers at one position excludes a participant."""


class Definition(BaseModel):
    """All settings of a study; its images are separate."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Version of this format."""
    title: str = Field(default="Pictures of landmarks", min_length=1, max_length=200)
    """Title that participants read; it must not say what is compared."""
    instrument: Literal["triad", "paper"] = "triad"
    """`triad`: five landmarks by three questions; `paper`: the procedure of the published study."""
    landmarks: tuple[str, ...] = Field(min_length=5, max_length=5)
    """The five landmarks, in any order."""
    participants: int = Field(default=48, ge=2, le=1000)
    """Target number of complete participants."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of every order and every position."""
    consent: str = Field(default=CONSENT, min_length=20, max_length=5000)
    """Text that participants agree to."""
    contact: str = Field(default="", max_length=200)
    """Contact for questions, shown with the consent."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Family-wise level of the three questions (Holm)."""
    lease_minutes: int = Field(default=120, ge=5, le=10_000)
    """Minutes without activity after which a slot goes to another participant when no slot is free."""
    exclusions: Exclusions = Exclusions()
    """Rules of the analysis that excludes participants."""

    @field_validator("landmarks")
    @classmethod
    def _different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        # names that differ in case or spaces only would be two landmarks to the program and one to the participant
        normalized = {" ".join(name.casefold().split()) for name in names}
        if len(normalized) != len(names) or "" in normalized:
            raise ValueError(f"the landmarks are {', '.join(names)}; name five different ones")
        return names

    @classmethod
    def checked(cls, values: dict[str, Any]) -> Definition:
        """Return the definition with these plain values; raise StudyError with name, value and bound of a wrong one."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StudyError(_explain(error)) from None

    def text(self) -> str:
        """Return canonical JSON: equal definitions give equal texts."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """Return the sha256 of the canonical JSON, hexadecimal."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def _explain(error: ValidationError) -> str:
    """Return the first of pydantic's errors as one sentence with name, value and bound."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or "the definition"
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{name} is missing; add it to the definition"
    if first["type"] == "extra_forbidden":
        model = Exclusions if first["loc"][0] == "exclusions" else Definition
        return f"{name!r} is not a setting of a study; use {', '.join(model.model_fields)}"
    value, bound = repr(first["input"]), first["msg"]
    return f"{name} is {value if len(value) <= 80 else value[:77] + '...'}; {bound[0].lower()}{bound[1:]}"
