"""Descriptions by a model that looks, where the person has one on the disk: BLIP and what is built like it.

It is never needed and never downloaded; a file that could run code (a pickle) is not read.
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


def describe_photographs(
    project: Project, model: Path, ids: Iterable[str] | None = None, *, again: bool = False, device: str = "auto"
) -> Iterator[Progress]:
    """Fill the descriptions that are empty, or with `again` all of these photographs; each is written at once.

    `model` is a folder in the layout of transformers with an image-to-text model as `.safetensors` (BLIP, Li et al.
    2022, arXiv:2201.12086). Raises StudioError where it is none. Closing the iterator keeps what was described.
    """
    chosen = collections.load(project).select(ids)
    wanted = [photo for photo in chosen if again or not photo.description]
    captioner = _Captioner(Path(model).expanduser(), device)
    for done, photo in enumerate(wanted, 1):
        text = captioner.describe(collections.picture(project, photo))
        collections.edit(project, photo.id, description=text)
        yield Progress(done, len(wanted), f"{photo.name or photo.original}: {text}")


class _Captioner:
    """A loaded image-to-text model."""

    def __init__(self, folder: Path, device: str):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        from ghibli_studio.runtime.device import choose_device

        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            raise StudioError(
                f"{folder} holds no image-to-text model (config.json and .safetensors); give the folder of a BLIP, "
                "such as a download of Salesforce/blip-image-captioning-base"
            )
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.processor = AutoProcessor.from_pretrained(folder, **options)
            self.model = AutoModelForImageTextToText.from_pretrained(folder, use_safetensors=True, **options)
        except (OSError, ValueError, KeyError) as error:
            reason = clean(str(error))[:200]
            raise StudioError(
                f"{folder} holds no image-to-text model that can be read ({reason}); give the folder of a BLIP"
            ) from error
        self.device = choose_device(device)
        self.model = self.model.to(self.device).eval()

    def describe(self, image: Image.Image) -> str:
        """What the picture shows, without commas at its ends: the most likely words, the same every time."""
        import torch

        inputs = self.processor(images=image, return_tensors="pt").to(self.device)
        with torch.inference_mode():
            ids = self.model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        return clean(self.processor.batch_decode(ids, skip_special_tokens=True)[0]).strip(" ,.")
