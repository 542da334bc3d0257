"""What a person may choose when an adapter is handed on: its card, its files, its place on the hub."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from adapters.settings import Settings

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}", re.ASCII)


class SharingSettings(Settings):
    """How an adapter is exported for other programs and for the hub."""

    name: str = Field("", max_length=80)
    """What the files and the card are called, such as my-style. Empty: the project and the method."""
    license: str = Field("other", min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """The hub's short word for the license, such as creativeml-openrail-m; the base model's terms go with it."""
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


class ExportSettings(Settings):
    """How a data set is handed to another program."""

    layout: Literal["folder", "imagefolder", "kohya"] = "folder"
    """Pictures with .txt files, as this studio imports them; for the `datasets` library; or for kohya's sd-scripts."""
    zipped: bool = False
    """One ZIP instead of a folder; the same data set gives the same bytes."""
    manifest: bool = True
    """Also manifest.json, which says of every picture its landmark, its side and where it came from."""
    sources: bool = False
    """Also the pictures as they came, or the photographs behind styled ones; needs the manifest."""
    trigger: str = Field("ghibli style", max_length=60)
    """Words at the end of every prompt that shall call the style; the layout 'folder' has the prompts as they are."""
    class_word: str = Field("landmark", max_length=60)
    """What the pictures show, in the name of kohya's folder."""
    repeats: int = Field(10, ge=1, le=1000)
    """How often kohya's sd-scripts show every picture in an epoch."""

    @model_validator(mode="after")
    def _sources_are_told_by_the_manifest(self) -> ExportSettings:
        if self.sources and not self.manifest:
            raise ValueError("sources need the manifest, which says whose they are; switch it on, or leave them out")
        return self
