"""Base of all settings: frozen, checked, with errors in one sentence."""

from __future__ import annotations

import difflib
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class StudioError(ValueError):
    """Something a person can mend: the message is one sentence with the value, the bound and the way out."""


class Settings(BaseModel):
    """Base of all settings: frozen, checked, JSON; the docstring under a field is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def checked(cls, values: dict[str, Any]) -> Settings:
        """Build from plain values; a wrong one raises StudioError with its name, value and bound."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise StudioError(explain(error, cls)) from None

    def changed(self, **values: Any) -> Settings:
        """A checked copy with some values replaced."""
        return type(self).checked({**self.model_dump(), **values})


def explain(error: ValidationError, settings: type[BaseModel]) -> str:
    """Turn pydantic's report into one sentence a person can act on."""
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
