"""One run of the recipe: its settings, its folder, and what its finished stages have left there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ghibli_studio.miniature.photo_credits import PHOTOGRAPHS
from ghibli_studio.pretraining.checkpoint import Budget, Training
from ghibli_studio.pretraining.data.renderer import Painting
from ghibli_studio.pretraining.data.scenes import Pictures, read_described
from ghibli_studio.pretraining.settings import TARGET_STYLE, Settings
from ghibli_studio.pretraining.stages import clip, tokenizer
from ghibli_studio.pretraining.stages import unet as stages_unet

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, ModelMixin, UNet2DConditionModel
    from torch import Tensor
    from transformers import CLIPModel, CLIPTokenizer


LATENTS = "latents.npy"


@dataclass(frozen=True)
class Run:
    """One run of the recipe: its settings, its folder, and the means to compute."""

    settings: Settings
    out: Path
    photographs: Path | None = PHOTOGRAPHS
    """Folder of photographs with their captions.txt; not looked at when the settings want no photographs."""
    device: str = "cpu"
    """'cpu' or 'cuda'."""
    workers: int = 0
    """Processes that paint; 0 paints in this one."""
    compiled: bool = False
    """Whether torch compiles the UNet: minutes at the beginning for quicker steps on a GPU."""
    checkpoint_seconds: float = 60
    """Seconds between two checkpoints of a training stage."""

    def kept(self, stage: str) -> Path:
        """Where a stage leaves what later stages need."""
        return self.out / "stages" / stage

    def checkpoint(self, stage: str) -> Path:
        """Where a training stage that is not finished keeps its state."""
        return self.out / "stages" / "checkpoints" / f"{stage}.safetensors"

    def training(
        self, stage: str, tensors: dict[str, list[Tensor]], optimizers: dict[str, torch.optim.Optimizer]
    ) -> Training:
        """The state of a stage's loop, as its checkpoint has it; `partial(run.training, stage)` is what stages take."""
        budget = Budget(getattr(self.settings, f"{stage}_steps"), getattr(self.settings, f"{stage}_seconds"))
        return Training(
            self.checkpoint(stage), tensors, optimizers, budget, self.settings.seed, self.checkpoint_seconds
        )

    def training_of(self, stage: str) -> partial[Training]:
        """`training` for one stage."""
        return partial(self.training, stage)

    def painting(self) -> Painting:
        """The pictures, finished or not."""
        return Painting(self.settings, self.photographs, self.kept("painting"), self.workers)

    def pictures(self) -> Pictures:
        """All pictures and captions; rows that are not painted yet are black."""
        images = np.load(self.kept("painting") / "pictures.npy", mmap_mode="r", allow_pickle=False)
        return Pictures(images, read_described(self.kept("captions")), self.settings.held_out)

    def tokenizer(self) -> CLIPTokenizer:
        """The trained tokenizer."""
        from transformers import CLIPTokenizer

        words = CLIPTokenizer.from_pretrained(self.kept("tokenizer"), local_files_only=True)
        for how_loaded in ("is_local", "local_files_only"):  # or they would be saved with the tokenizer
            words.init_kwargs.pop(how_loaded, None)
        return words

    def autoencoder(self) -> AutoencoderKL:
        """The trained autoencoder in full precision, on the run's device."""
        from diffusers import AutoencoderKL

        vae = AutoencoderKL.from_pretrained(self.kept("autoencoder"), local_files_only=True)
        return nameless(vae).to(self.device)

    def clip(self) -> CLIPModel:
        """The trained CLIP in full precision, on the run's device."""
        from transformers import CLIPModel

        return CLIPModel.from_pretrained(self.kept("clip"), local_files_only=True).to(self.device).eval()

    def denoiser(self) -> UNet2DConditionModel:
        """The trained UNet in full precision, on the run's device."""
        from diffusers import UNet2DConditionModel

        unet = UNet2DConditionModel.from_pretrained(self.kept("denoiser"), local_files_only=True)
        return nameless(unet).to(self.device)

    def noisy_latents(self, *, target_style: bool) -> stages_unet.NoisyLatentsSource:
        """What the UNet (every style but the target) or the teacher (the target style only) learns from."""
        shown, words = self.pictures(), self.tokenizer()
        rows = np.flatnonzero((shown.styles[: shown.count] == TARGET_STYLE) == target_style)
        latents = np.load(self.kept("latents") / LATENTS, allow_pickle=False)
        ids, empty = tokenizer.token_ids(words, shown.captions[: shown.count]), tokenizer.empty_ids(words)
        return stages_unet.source(latents, ids, empty, rows, clip.text_encoder(self.clip()), self.device)


def nameless(model: ModelMixin) -> ModelMixin:
    """The model, which will not write into its config the folder that it was loaded from."""
    model.register_to_config(_name_or_path="")
    return model
