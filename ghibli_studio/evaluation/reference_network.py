"""The networks that published FID and LPIPS values are computed with, where their weights are at hand.

They are not embedded. They are taken from a folder (default: what the environment variable GHIBLI_METRICS names) that
holds them as safetensors, with the names that their publishers gave: `inception.safetensors` (torch-fidelity's
`weights-inception-2015-12-05`), `alexnet.safetensors` or `vgg16.safetensors` (torchvision's, IMAGENET1K_V1). Nothing is
downloaded and no foreign pickle is opened. One line makes of a published `.pth` what is wanted here:
`safetensors.torch.save_file(weights, "x.safetensors")`, after torch has loaded it with `weights_only=True`.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.settings import StudioError
from ghibli_studio.evaluation.clip import INCEPTION, VARIABLE, Network, clip_at_hand, metrics_folder, pixels
from ghibli_studio.models.location import files_digest
from ghibli_studio.runtime.device import choose_device

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor, nn


HEADS = Path(__file__).parent / "lpips_heads"
TRUNKS = {"alexnet": ("alex", "AlexNet"), "vgg16": ("vgg", "VGG16")}
"""File name of a trunk's weights -> torchmetrics' word for it, and people's. The first one there is taken."""


@dataclass(frozen=True)
class Inception:
    """Inception v3 with the weights that FID is defined by."""

    network: Network
    model: nn.Module
    device: torch.device

    def images(self, images: Sequence[Image.Image]) -> Tensor:
        """(n, 2048) features of pictures of any size, which are resized as torchmetrics does; on the CPU, float32."""
        import torch

        with torch.no_grad():
            rows = [self.model((pixels(image) * 255).round().to(self.device, torch.uint8)) for image in images]
        return torch.cat(rows).float().cpu()


def inception(folder: Path | None = None, device: str = "auto") -> Inception | None:
    """FID's network, or None where its weights (or torch-fidelity, which has its layers) are not at hand."""
    file = _weights("inception", folder)
    if file is None or importlib.util.find_spec("torch_fidelity") is None:
        return None
    return _load_inception(file, str(choose_device(device)))


@lru_cache(maxsize=1)
def _load_inception(file: Path, device: str) -> Inception:
    import torch
    from torchmetrics.image.fid import NoTrainInceptionV3

    buffer = io.BytesIO()  # torch-fidelity wants what torch.save writes: it gets the values that we have just read
    torch.save(_read(file), buffer)
    buffer.seek(0)
    try:
        model = NoTrainInceptionV3("inception-v3-compat", ["2048"], buffer)
    except RuntimeError as error:
        raise _not_the_network(file, "torch-fidelity's Inception v3", error) from error
    network = Network(INCEPTION, False, files_digest([file]))
    return Inception(network, model.requires_grad_(False).to(device), torch.device(device))


@dataclass(frozen=True)
class Perceptual:
    """LPIPS: a trunk trained on ImageNet, and the learned weights of its channels."""

    network: Network
    model: nn.Module
    device: torch.device

    def distance(self, a: Image.Image, b: Image.Image) -> float:
        """LPIPS of two pictures of one size, 64 px a side or more; 0 is equal."""
        import torch

        with torch.no_grad():
            return self.model(pixels(a).to(self.device), pixels(b).to(self.device), normalize=True).item()


def perceptual(folder: Path | None = None, device: str = "auto") -> Perceptual | None:
    """LPIPS on AlexNet, or else on VGG16; None where the weights of neither are at hand."""
    for trunk in TRUNKS:
        if file := _weights(trunk, folder):
            return _load_perceptual(file, trunk, str(choose_device(device)))
    return None


@lru_cache(maxsize=1)
def _load_perceptual(file: Path, trunk: str, device: str) -> Perceptual:
    import torch
    from safetensors.torch import load_file
    from torchmetrics.functional.image.lpips import _NoTrainLpips  # the public function downloads the trunk

    word, name = TRUNKS[trunk]
    model = _NoTrainLpips(pretrained=False, net=word, pnet_rand=True)
    published = _read(file)
    try:
        # torchmetrics sorts torchvision's layers into slices: `slice1.0.weight` is `features.0.weight`
        state = {own: published[f"features.{own.split('.', 1)[1]}"] for own in model.net.state_dict()}
        model.net.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise _not_the_network(file, f"torchvision's {name}", error) from error
    heads = HEADS / f"{word}.safetensors"
    for own, values in load_file(heads).items():  # lin0.model.1.weight
        getattr(model, own.split(".")[0]).load_state_dict({own.split(".", 1)[1]: values})
    network = Network(name, False, files_digest([file, heads]))
    return Perceptual(network, model.to(device), torch.device(device))


def absent(folder: Path | None = None) -> list[str]:
    """One sentence for each of the published networks that is not at hand: what is used instead, and the mend."""
    place = f"the folder that {VARIABLE} names"
    told = []
    if clip_at_hand(folder) is None:
        told.append(
            "CLIP scores come from the miniature's own CLIP, which has seen painted landmarks only: they "
            "compare methods on the miniature and mean little elsewhere. Put a CLIP into the folder `clip` in "
            f"{place}, or name one in clip_model."
        )
    if _weights("inception", folder) is None:
        told.append(
            "FID's Inception v3 is not here; distances of sets use CLIP's features and are not called FID. Put "
            f"inception.safetensors into {place}."
        )
    elif importlib.util.find_spec("torch_fidelity") is None:
        told.append(
            "FID's weights are here, but the layers are not: pip install torch-fidelity. Until then, distances "
            "of sets use CLIP's features and are not called FID."
        )
    if not any(_weights(trunk, folder) for trunk in TRUNKS):
        told.append(
            "LPIPS's AlexNet is not here; a stand-in compares the pictures patch by patch with CLIP's eyes. "
            f"Put alexnet.safetensors (or vgg16.safetensors) into {place}."
        )
    return told


def _weights(name: str, folder: Path | None) -> Path | None:
    place = folder or metrics_folder()
    return place / f"{name}.safetensors" if place and (place / f"{name}.safetensors").is_file() else None


def _read(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise StudioError(f"{file} cannot be read ({error}); copy it again, or take it away") from error


def _not_the_network(file: Path, wanted: str, error: Exception) -> StudioError:
    reason = " ".join(str(error).split())[:160]
    return StudioError(f"{file} does not hold {wanted} ({reason}); put the right file there, or take it away")
