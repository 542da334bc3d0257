"""The base model kept in memory, and adapters attached to it and checked to change its prediction."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters import registry
from adapters.base import Adapter, with_trigger
from adapters.formats import safetensors_file
from adapters.settings import StudioError
from ghibli_studio.data import dataset as datasets
from ghibli_studio.models import base_model
from ghibli_studio.models.base_model import BaseModel
from ghibli_studio.models.text_encoder import encode, token_ids
from ghibli_studio.runtime import zero_gpu
from ghibli_studio.workspace.project import Project

if TYPE_CHECKING:
    from torch import Tensor

    from ghibli_studio.models.base_model import BaseModel


BASE = "base"
PROBE_PROMPT = "a landmark"
PROBE_TIMESTEP = 500
MIN_DIFFERENCE = 1e-6


@dataclass(frozen=True)
class LoadedModel:
    """A base model with at most one adapter on it."""

    base: BaseModel
    method: str = BASE
    adapter: Adapter | None = None
    identity: dict[str, Any] | None = None
    """The adapter's entry in the generation metadata: method, file, hash, run, epoch."""
    style_words: str | None = None
    """Style words added to the prompt when there is no adapter; None adds the model's own suffix, if it has one."""

    def caption(self, prompt: str) -> str:
        """Return the prompt with the adapter's trigger, or, without an adapter, with the style words."""
        if self.adapter is not None:
            return self.adapter.format_prompt(prompt)
        if self.style_words is not None:
            return with_trigger(prompt, self.style_words)
        return self.base.description.base_prompt(prompt)

    def unconditional(self, negative_prompt: str) -> str:
        """Return the negative prompt, with the adapter's negative trigger if it has one."""
        return negative_prompt if self.adapter is None else self.adapter.unconditional(negative_prompt)


@contextmanager
def with_adapter(base: BaseModel, path: Path) -> Iterator[LoadedModel]:
    """Yield the base model with an adapter file attached; raises StudioError if it does not fit or does nothing."""
    metadata = safetensors_file.read_adapter_metadata(path)
    if "base_model" in metadata and metadata["base_model"]["shape"] != base.shape:
        raise StudioError(
            f"{path.name} was trained on {metadata['base_model']['model_id']!r}, not on {base.description.model_id!r}; "
            "choose that base model"
        )
    before = _probe_prediction(base, text := _probe_caption(path))
    adapter, host = registry.attach_file(path, base.host)
    try:
        attached = replace(base, host=host)
        difference = (_probe_prediction(attached, text) - before).abs().max().item()
        if difference <= MIN_DIFFERENCE:
            raise StudioError(
                f"{path.name} has no effect: the prediction on a fixed input equals the base model's; the adapter is "
                "untrained or in another program's format, so train it or choose another file"
            )
        identity = {
            "method": adapter.method,
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "trained_on": metadata.get("base_model", {}).get("digest", "unknown"),
            "run": metadata.get("run"),
            "epoch": metadata.get("epoch"),
        }
        yield LoadedModel(attached, adapter.method, adapter, identity)
    finally:
        adapter.detach()


def _probe_caption(path: Path) -> str:
    """Return a caption with the adapter's trigger, used for the prediction with and without the adapter."""
    return registry.open_file(path).format_prompt(PROBE_PROMPT)


def _probe_prediction(base: BaseModel, caption: str) -> Tensor:
    """Return the UNet's prediction on a fixed input, (1, c, h, w)."""
    import torch

    latents = torch.randn((1, *base.description.latent_shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        text = encode(base.host, token_ids(base.host, [caption], base.description.token_limit))
        timestep = torch.tensor(PROBE_TIMESTEP, device=base.device)
        return base.host.unet(latents.to(base.device, base.dtype), timestep, text, return_dict=False)[0].float()


def base_model_of(project: Project, files: dict[str, Path | None]) -> str:
    """Return the id of the base model that the adapters were trained on, else the dataset's.

    Raises StudioError if the adapters were trained on different base models.
    """
    trained_on = {
        metadata["base_model"]["model_id"]
        for path in files.values()
        if path is not None and "base_model" in (metadata := safetensors_file.read_adapter_metadata(path))
    }
    if len(trained_on) > 1:
        raise StudioError(
            f"the adapters were trained on different base models ({', '.join(sorted(trained_on))}); "
            "choose adapters of one base model"
        )
    return trained_on.pop() if trained_on else datasets.load(project).base_model


_loaded: dict[tuple[str, str, str, bool], BaseModel] = {}
_loading = threading.Lock()


def load_base_model(model_id: str, device: str = "auto", attention: str = "sdpa") -> BaseModel:
    """Return the base model and keep it in memory; one base model is kept at a time."""
    key = (model_id, device, attention, zero_gpu.without_gpu())
    with _loading:
        if key not in _loaded:
            _loaded.clear()
            _loaded[key] = base_model.load(model_id, device=device, attention=attention)
        return _loaded[key]


def with_optional_adapter(model: BaseModel, file: Path | None) -> AbstractContextManager[LoadedModel]:
    """Return a context with the base model and the adapter file attached, or the bare model if `file` is None."""
    return nullcontext(LoadedModel(model)) if file is None else with_adapter(model, file)
