"""Descriptions from an image-to-text model, such as BLIP, that the user has on disk.

It is optional and never downloaded; a file that could run code (a pickle) is not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.data.captions import clean
from ghibli_studio.runtime.progress import Progress
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from PIL import Image


MAX_NEW_TOKENS = 40


def caption_photos(
    project: Project, model: Path, ids: Iterable[str] | None = None, *, again: bool = False, device: str = "auto"
) -> Iterator[Progress]:
    """Fill in empty descriptions, or with `again` all of these photos; each is written at once.

    `model` is a folder in the transformers layout with an image-to-text model as `.safetensors` (BLIP, Li et al. 2022,
    arXiv:2201.12086). Raises StudioError if it is not. Closing the iterator keeps the descriptions so far.
    """
    selected = collections.load(project).select(ids)
    photos = [photo for photo in selected if again or not photo.description]
    captioner = _Captioner(Path(model).expanduser(), device)
    for done, photo in enumerate(photos, 1):
        text = captioner.describe(collections.load_photo(project, photo))
        collections.edit(project, photo.id, description=text)
        yield Progress(done, len(photos), f"{photo.name or photo.original}: {text}")


class _Captioner:
    """A loaded image-to-text model."""

    def __init__(self, folder: Path, device: str):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        from ghibli_studio.runtime.device import choose_device

        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            raise StudioError(
                f"{folder} has no image-to-text model (config.json and .safetensors); give the folder of a BLIP model, "
                "such as a download of Salesforce/blip-image-captioning-base"
            )
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.processor = AutoProcessor.from_pretrained(folder, **options)
            model: Any = AutoModelForImageTextToText.from_pretrained(folder, use_safetensors=True, **options)
        except (OSError, ValueError, KeyError) as error:
            reason = clean(str(error))[:200]
            raise StudioError(
                f"{folder} has no readable image-to-text model ({reason}); give the folder of a BLIP model"
            ) from error
        self.device = choose_device(device)
        self.model = model.to(self.device).eval()

    def describe(self, image: Image.Image) -> str:
        """Return a description without commas at its ends: the most likely words, always the same for an image."""
        import torch

        inputs = self.processor(images=image, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            ids = self.model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        return clean(self.processor.batch_decode(ids, skip_special_tokens=True)[0]).strip(" ,.")
