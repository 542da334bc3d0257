"""The base class of all settings (frozen, validated) and the error whose message users read."""

from __future__ import annotations

import difflib
import re
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class StudioError(ValueError):
    """An error that the user can fix: the message is one sentence with the value, the bound and what to do."""


class Settings(BaseModel):
    """Base of all settings: frozen, validated, saved as JSON; the docstring under a field is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def checked(cls, values: dict[str, Any]) -> Self:
        """Build settings from plain values; raise StudioError with the name, value and bound of a wrong one."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StudioError(explain(error, cls)) from None

    def changed(self, **values: Any) -> Self:
        """Return a validated copy with some values replaced."""
        return type(self).checked({**self.model_dump(), **values})


def explain(error: ValidationError, settings: type[BaseModel]) -> str:
    """Turn pydantic's report into one sentence for the user."""
    sentences = []
    for problem in error.errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name.rsplit(".", 1)[-1], settings.model_fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(settings.model_fields)}"
            sentences.append(f"there is no setting {name!r}; {hint}")
        elif problem["type"] == "value_error":
            sentences.append(problem["msg"].removeprefix("Value error, "))
        else:
            bound = re.sub(r"^\w+ should", "it must", problem["msg"])
            sentences.append(f"{name} is {problem['input']!r}; {bound[0].lower()}{bound[1:]}")
    return "; ".join(sentences)
