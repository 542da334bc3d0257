"""What a person may choose when an adapter is handed on: its card, its files, its place on the hub."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from adapters import Settings

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}", re.ASCII)


class SharingSettings(Settings):
    """How an adapter is exported for other programs and for the hub."""

    name: str = Field("", max_length=80)
    """What the files and the card are called, such as my-style. Empty: the project and the method."""
    license: str = Field("other", min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """The hub's short word for the licence, such as creativeml-openrail-m; the base model's terms go with it."""
    description: str = Field("", max_length=4000)
    """A few sentences on the card. Empty: what can be said of any."""
    pictures: int = Field(6, ge=0, le=24)
    """Sample pictures on the card, at most; those drawn from a photograph are never taken."""
    zipped: bool = False
    """One ZIP instead of a folder."""

    @field_validator("name")
    @classmethod
    def _fit_for_files(cls, name: str) -> str:
        if name and not NAME.fullmatch(name):
            raise ValueError(f"name is {name!r}; use letters, digits, '-', '_' or '.', with a letter or digit first")
        return name
