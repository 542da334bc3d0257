"""Settings of exports: an adapter with its card, or a dataset for another program."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from adapters.settings import Settings

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}", re.ASCII)


class AdapterExportSettings(Settings):
    """How to export an adapter for other programs and for the Hub."""

    name: str = Field(default="", max_length=80)
    """Name of the files and the card, such as my-style; empty uses project and method."""
    license: str = Field(default="other", min_length=1, max_length=60, pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """License id as on the Hub, such as creativeml-openrail-m; it must fit the base model's."""
    description: str = Field(default="", max_length=4000)
    """A few sentences for the model card; empty writes a generic description."""
    images: int = Field(default=6, ge=0, le=24)
    """Most sample images on the card; images made from a photo are never included."""
    zipped: bool = False
    """Write one ZIP instead of a folder."""

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, name: str) -> str:
        if name and not NAME.fullmatch(name):
            raise ValueError(f"name is {name!r}; use letters, digits, '-', '_' or '.', with a letter or digit first")
        return name


class DatasetExportSettings(Settings):
    """How to export a dataset for another program."""

    layout: Literal["folder", "imagefolder", "kohya"] = "folder"
    """Layout: images with .txt captions, Hugging Face imagefolder, or kohya's sd-scripts."""
    zipped: bool = False
    """Write one ZIP instead of a folder; the same dataset gives the same bytes."""
    manifest: bool = True
    """Include manifest.json with the landmark, split and origin of every image."""
    sources: bool = False
    """Include the source images or photos; needs the manifest."""
    trigger: str = Field(default="ghibli style", max_length=60)
    """Trigger words appended to every caption; layout 'folder' leaves captions as they are."""
    class_word: str = Field(default="landmark", max_length=60)
    """Class word in the name of kohya's folder: what the images show."""
    repeats: int = Field(default=10, ge=1, le=1000)
    """Times that kohya's sd-scripts show each image per epoch; more make epochs longer."""

    @model_validator(mode="after")
    def _sources_need_the_manifest(self) -> DatasetExportSettings:
        if self.sources and not self.manifest:
            raise ValueError("sources is on and manifest is off, but sources need it; turn manifest on or sources off")
        return self
