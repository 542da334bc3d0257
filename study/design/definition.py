"""What a study is: frozen, checked, JSON, and its hash. Who sees what in which order is `design`."""

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
    """Who is left out of the second analysis; fixed when the study is locked."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    max_wrong_catches: int = Field(0, ge=0, le=2)
    """More wrong answers than this to the questions with a known answer exclude a person."""
    min_median_seconds: float = Field(1.5, ge=0, le=60)
    """A median time per answer below this excludes a person."""
    max_same_position: float = Field(0.9, gt=0, le=1)
    """A larger share of answers at one position excludes a person."""


class Definition(BaseModel):
    """Everything that decides a study but its pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Of this form."""
    title: str = Field("Pictures of landmarks", min_length=1, max_length=200)
    """What participants read at the top; must not tell what is compared."""
    instrument: Literal["triad", "paper"] = "triad"
    """`triad`: five landmarks by three questions; `paper`: the published study's way."""
    landmarks: tuple[str, ...] = Field(min_length=5, max_length=5)
    """The five landmarks, in any order."""
    participants: int = Field(48, ge=2, le=1000)
    """How many complete answers are wanted."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Decides every order and every position."""
    consent: str = Field(CONSENT, min_length=20, max_length=5000)
    """What a participant agrees to."""
    contact: str = Field("", max_length=200)
    """Whom to ask, shown with the consent."""
    alpha: float = Field(0.05, gt=0, lt=0.5)
    """Family-wise level of the three questions (Holm)."""
    lease_minutes: int = Field(120, ge=5, le=10_000)
    """A place without a sign of life for so long is given to somebody else when places run out."""
    exclusions: Exclusions = Exclusions()
    """Rules of the analysis that leaves people out."""

    @field_validator("landmarks")
    @classmethod
    def _different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        # names that look alike would be two landmarks to the program and one to the participant
        alike = {" ".join(name.casefold().split()) for name in names}
        if len(alike) != len(names) or "" in alike:
            raise ValueError(f"landmarks are {', '.join(names)}; name five different ones")
        return names

    @classmethod
    def checked(cls, values: dict[str, Any]) -> Definition:
        """Build from plain values; a wrong one raises StudyError with its name, value and bound."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StudyError(_explain(error)) from None

    def text(self) -> str:
        """Canonical JSON: equal studies give equal texts."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """sha256 of the canonical JSON, hexadecimal."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def _explain(error: ValidationError) -> str:
    """The first of pydantic's complaints as one sentence with name, value and bound."""
    problem = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in problem["loc"]) or "the study"
    if problem["type"] == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{name} is missing; a study needs it"
    if problem["type"] == "extra_forbidden":
        form = Exclusions if problem["loc"][0] == "exclusions" else Definition
        return f"there is no {name!r} in a study; known are {', '.join(form.model_fields)}"
    value, bound = repr(problem["input"]), problem["msg"]
    return f"{name} is {value if len(value) <= 80 else value[:77] + '...'}; {bound[0].lower()}{bound[1:]}"
