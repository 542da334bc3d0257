"""One pretraining run: its settings, its folder, and the results of its finished stages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ghibli_studio.miniature.photo_credits import PHOTOS
from ghibli_studio.pretraining.checkpoint import Budget, Training
from ghibli_studio.pretraining.data.renderer import Renderer
from ghibli_studio.pretraining.data.scenes import TrainingImages, read_descriptions
from ghibli_studio.pretraining.loop import move
from ghibli_studio.pretraining.settings import TARGET_STYLE, Settings
from ghibli_studio.pretraining.stages import clip, tokenizer
from ghibli_studio.pretraining.stages import unet as stages_unet

if TYPE_CHECKING:
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.modeling_utils import ModelMixin
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from torch import Tensor
    from transformers import CLIPModel, CLIPTokenizer


DiffusersModel = TypeVar("DiffusersModel", bound="ModelMixin")
LATENTS = "latents.npy"


@dataclass(frozen=True)
class Run:
    """One pretraining run: its settings, folder, device and workers."""

    settings: Settings
    out: Path
    photos: Path | None = PHOTOS
    """Folder of photos with their captions.txt; unused if the settings use no photos."""
    device: str = "cpu"
    """'cpu' or 'cuda'."""
    workers: int = 0
    """Number of rendering processes; 0 renders in this process."""
    compiled: bool = False
    """Whether torch compiles the UNet: minutes at the start for faster steps on a GPU."""
    checkpoint_seconds: float = 60
    """Seconds between checkpoints of a training stage."""

    def stage_folder(self, stage: str) -> Path:
        """Return the folder of a stage's result for later stages."""
        return self.out / "stages" / stage

    def checkpoint(self, stage: str) -> Path:
        """Return the file of an unfinished training stage's state."""
        return self.out / "stages" / "checkpoints" / f"{stage}.safetensors"

    def training(
        self, stage: str, tensors: dict[str, list[Tensor]], optimizers: dict[str, torch.optim.Optimizer]
    ) -> Training:
        """Return the state of a stage's loop, restored from its checkpoint if there is one."""
        budget = Budget(getattr(self.settings, f"{stage}_steps"), getattr(self.settings, f"{stage}_seconds"))
        return Training(
            self.checkpoint(stage), tensors, optimizers, budget, self.settings.seed, self.checkpoint_seconds
        )

    def training_of(self, stage: str) -> partial[Training]:
        """Return `training` with the stage filled in."""
        return partial(self.training, stage)

    def renderer(self) -> Renderer:
        """Return the renderer of the images, finished or not."""
        return Renderer(self.settings, self.photos, self.stage_folder("rendering"), self.workers)

    def training_images(self) -> TrainingImages:
        """Return all images and captions; unfinished rows are black."""
        images = np.load(self.stage_folder("rendering") / "images.npy", mmap_mode="r", allow_pickle=False)
        return TrainingImages(images, read_descriptions(self.stage_folder("captions")), self.settings.held_out)

    def tokenizer(self) -> CLIPTokenizer:
        """Return the trained tokenizer."""
        from transformers import CLIPTokenizer

        trained = CLIPTokenizer.from_pretrained(self.stage_folder("tokenizer"), local_files_only=True)
        for how_loaded in ("is_local", "local_files_only"):  # otherwise they would be saved with the tokenizer
            trained.init_kwargs.pop(how_loaded, None)
        return trained

    def autoencoder(self) -> AutoencoderKL:
        """Return the trained autoencoder in full precision, on the run's device."""
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

        vae = AutoencoderKL.from_pretrained(self.stage_folder("autoencoder"), local_files_only=True)
        return move(without_name_or_path(vae), self.device)

    def clip(self) -> CLIPModel:
        """Return the trained CLIP in full precision, on the run's device."""
        from transformers import CLIPModel

        return move(CLIPModel.from_pretrained(self.stage_folder("clip"), local_files_only=True), self.device).eval()

    def denoiser(self) -> UNet2DConditionModel:
        """Return the trained UNet in full precision, on the run's device."""
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        unet = UNet2DConditionModel.from_pretrained(self.stage_folder("denoiser"), local_files_only=True)
        return move(without_name_or_path(unet), self.device)

    def noisy_latents(self, *, target_style: bool) -> stages_unet.NoisyLatentsSource:
        """Return the training data of the UNet (all styles but the target) or the teacher (the target style only)."""
        images, trained = self.training_images(), self.tokenizer()
        rows = np.flatnonzero((images.styles[: images.count] == TARGET_STYLE) == target_style)
        latents = np.load(self.stage_folder("latents") / LATENTS, allow_pickle=False)
        ids, empty = tokenizer.token_ids(trained, images.captions[: images.count]), tokenizer.empty_ids(trained)
        return stages_unet.build_source(latents, ids, empty, rows, clip.text_encoder(self.clip()), self.device)


def without_name_or_path(model: DiffusersModel) -> DiffusersModel:
    """Return the model without the folder that it was loaded from in its config."""
    model.register_to_config(_name_or_path="")
    return model
