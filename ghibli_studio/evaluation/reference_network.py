"""The reference networks of published FID, KID and LPIPS values, used where their weights are available.

The weights are not embedded. They are read from a folder (by default the one named by the environment variable
GHIBLI_METRICS) as safetensors with their publishers' names: `inception.safetensors` (torch-fidelity's
`weights-inception-2015-12-05`), `alexnet.safetensors` or `vgg16.safetensors` (torchvision's, IMAGENET1K_V1). Nothing is
downloaded and no foreign pickle is opened. To convert a published `.pth`, load it with torch and `weights_only=True`,
then call `safetensors.torch.save_file(weights, "x.safetensors")`.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from adapters.settings import StudioError
from ghibli_studio.evaluation.clip import (
    INCEPTION_NAME,
    METRICS_VARIABLE,
    Network,
    image_tensor,
    local_clip_folder,
    metrics_folder,
)
from ghibli_studio.models.location import files_digest
from ghibli_studio.runtime.device import choose_device

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor, nn


HEADS = Path(__file__).parent / "lpips_heads"
BACKBONES: dict[str, tuple[Literal["alex", "vgg"], str]] = {"alexnet": ("alex", "AlexNet"), "vgg16": ("vgg", "VGG16")}
"""File name of a backbone's weights -> (torchmetrics' name, display name). The first available one is used."""


@dataclass(frozen=True)
class Inception:
    """Inception v3 with the weights that FID is defined by."""

    network: Network
    model: nn.Module
    device: torch.device

    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the features of images, (n, 2048), on the CPU in float32.

        Images of any size are resized as torchmetrics does.
        """
        import torch

        with torch.no_grad():
            rows = [self.model((image_tensor(image) * 255).round().to(self.device, torch.uint8)) for image in images]
        return torch.cat(rows).float().cpu()


def load_inception(folder: Path | None = None, device: str = "auto") -> Inception | None:
    """Return FID's network, or None where its weights or torch-fidelity, which has its layers, are missing."""
    file = _weights_file("inception", folder)
    if file is None or importlib.util.find_spec("torch_fidelity") is None:
        return None
    return _load_cached_inception(file, str(choose_device(device)))


@lru_cache(maxsize=1)
def _load_cached_inception(file: Path, device: str) -> Inception:
    import torch
    from torchmetrics.image.fid import NoTrainInceptionV3

    buffer = io.BytesIO()  # torch-fidelity reads only torch.save's format, so it gets the values that we just read
    torch.save(_read_weights(file), buffer)
    buffer.seek(0)
    try:
        # torch.load, which gets this argument, takes a file object as well as a path
        model = NoTrainInceptionV3("inception-v3-compat", ["2048"], buffer)  # type: ignore[arg-type]
    except RuntimeError as error:
        raise _wrong_network(file, "torch-fidelity's Inception v3", error) from error
    network = Network(INCEPTION_NAME, False, files_digest([file]))
    return Inception(network, model.requires_grad_(False).to(device), torch.device(device))


@dataclass(frozen=True)
class Lpips:
    """LPIPS: a backbone trained on ImageNet, and the learned weights of its channels."""

    network: Network
    model: nn.Module
    device: torch.device

    def distance(self, a: Image.Image, b: Image.Image) -> float:
        """Return the LPIPS of two images of the same size, at least 64 px per side; 0 means equal."""
        import torch

        with torch.no_grad():
            return self.model(image_tensor(a).to(self.device), image_tensor(b).to(self.device), normalize=True).item()


def load_lpips(folder: Path | None = None, device: str = "auto") -> Lpips | None:
    """Return LPIPS on AlexNet, else on VGG16; None where the weights of both are missing."""
    for backbone in BACKBONES:
        if file := _weights_file(backbone, folder):
            return _load_cached_lpips(file, backbone, str(choose_device(device)))
    return None


@lru_cache(maxsize=1)
def _load_cached_lpips(file: Path, backbone: str, device: str) -> Lpips:
    import torch
    from safetensors.torch import load_file
    from torchmetrics.functional.image.lpips import _NoTrainLpips  # the public function downloads the backbone

    short_name, name = BACKBONES[backbone]
    model = _NoTrainLpips(pretrained=False, net=short_name, pnet_rand=True)
    published = _read_weights(file)
    try:
        # torchmetrics sorts torchvision's layers into slices: `slice1.0.weight` is `features.0.weight`
        state = {key: published[f"features.{key.split('.', 1)[1]}"] for key in model.net.state_dict()}
        model.net.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise _wrong_network(file, f"torchvision's {name}", error) from error
    heads = HEADS / f"{short_name}.safetensors"
    for key, values in load_file(heads).items():  # lin0.model.1.weight
        getattr(model, key.split(".")[0]).load_state_dict({key.split(".", 1)[1]: values})
    network = Network(name, False, files_digest([file, heads]))
    return Lpips(network, model.to(device), torch.device(device))


def missing_networks(folder: Path | None = None) -> list[str]:
    """Return one sentence per missing reference network: which proxy replaces it, and how to add the network."""
    place = f"the folder that {METRICS_VARIABLE} names"
    sentences = []
    if local_clip_folder(folder) is None:
        sentences.append(
            "CLIP scores come from the miniature's own CLIP, which was trained on painted landmarks only: they "
            "compare methods on the miniature and mean little elsewhere. Put a CLIP into the folder `clip` in "
            f"{place}, or name one in clip_model."
        )
    if _weights_file("inception", folder) is None:
        sentences.append(
            "FID's Inception v3 is missing, so distribution distances use CLIP's features and are not called FID. Put "
            f"inception.safetensors into {place}."
        )
    elif importlib.util.find_spec("torch_fidelity") is None:
        sentences.append(
            "FID's weights are here, but its layers are missing: pip install torch-fidelity. Until then, distribution "
            "distances use CLIP's features and are not called FID."
        )
    if not any(_weights_file(backbone, folder) for backbone in BACKBONES):
        sentences.append(
            "LPIPS's AlexNet is missing, so a proxy compares the images patch by patch in CLIP's features. "
            f"Put alexnet.safetensors (or vgg16.safetensors) into {place}."
        )
    return sentences


def _weights_file(name: str, folder: Path | None) -> Path | None:
    place = folder or metrics_folder()
    return place / f"{name}.safetensors" if place and (place / f"{name}.safetensors").is_file() else None


def _read_weights(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise StudioError(f"{file} cannot be read ({error}); copy it again, or remove it") from error


def _wrong_network(file: Path, expected: str, error: Exception) -> StudioError:
    reason = " ".join(str(error).split())[:160]
    return StudioError(f"{file} does not hold {expected} ({reason}); replace it with the right file, or remove it")
