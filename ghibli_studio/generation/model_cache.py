"""The base model that is kept loaded, and adapters attached to it and checked to change its prediction."""

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
PROOF_CAPTION = "a landmark"
PROOF_TIMESTEP = 500
MIN_DIFFERENCE = 1e-6


@dataclass(frozen=True)
class Loaded:
    """A base model with at most one adapter on it."""

    base: BaseModel
    method: str = BASE
    adapter: Adapter | None = None
    identity: dict[str, Any] | None = None
    """What a recipe says of the adapter: file, hash, where it was trained."""
    style_words: str | None = None
    """Words that ask the bare model for a style; None asks for its plain one."""

    def caption(self, prompt: str) -> str:
        """The prompt with the trigger of the adapter, or with the words that ask the bare model for a style."""
        if self.adapter is not None:
            return self.adapter.caption(prompt)
        if self.style_words is not None:
            return with_trigger(prompt, self.style_words)
        return self.base.description.plain_caption(prompt)

    def unconditional(self, negative_prompt: str) -> str:
        """What guidance steers away from: the negative prompt, with the adapter's negative word if it has one."""
        return negative_prompt if self.adapter is None else self.adapter.unconditional(negative_prompt)


@contextmanager
def with_adapter(base: BaseModel, path: Path) -> Iterator[Loaded]:
    """The base model with the adapter of a file on it; raises StudioError if it does not fit or does nothing."""
    recipe = safetensors_file.recipe_of(path)
    if "base_model" in recipe and recipe["base_model"]["shape"] != base.shape:
        raise StudioError(
            f"{path.name} was trained on {recipe['base_model']['spec']!r}, not on {base.description.spec!r}; "
            "choose that base model"
        )
    before = _proof_prediction(base, text := _proof_caption(path))
    adapter, host = registry.attach_file(path, base.host)
    try:
        attached = replace(base, host=host)
        difference = (_proof_prediction(attached, text) - before).abs().max().item()
        if difference <= MIN_DIFFERENCE:
            raise StudioError(
                f"{path.name} changes nothing: the prediction on a fixed input is the base model's own; the adapter is "
                "untrained or was saved for another program"
            )
        identity = {
            "method": adapter.method,
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "trained_on": recipe.get("base_model", {}).get("digest", "unknown"),
            "run": recipe.get("run"),
            "epoch": recipe.get("epoch"),
        }
        yield Loaded(attached, adapter.method, adapter, identity)
    finally:
        adapter.detach()


def _proof_caption(path: Path) -> str:
    """A caption with the adapter's trigger, the same text for the prediction with and without the adapter."""
    return registry.open_file(path).caption(PROOF_CAPTION)


def _proof_prediction(base: BaseModel, caption: str) -> Tensor:
    """The UNet's prediction on a fixed input."""
    import torch

    latents = torch.randn((1, *base.description.latent_shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        text = encode(base.host, token_ids(base.host, [caption], base.description.token_limit))
        timestep = torch.tensor(PROOF_TIMESTEP, device=base.device)
        return base.host.unet(latents.to(base.device, base.dtype), timestep, text, return_dict=False)[0].float()


def base_of(project: Project, files: dict[str, Path | None]) -> str:
    """The base model that the adapters were trained on, else the data set's; raises StudioError if they differ."""
    trained_on = {
        recipe["base_model"]["spec"]
        for path in files.values()
        if path is not None and "base_model" in (recipe := safetensors_file.recipe_of(path))
    }
    if len(trained_on) > 1:
        raise StudioError(
            f"the adapters were trained on different base models ({', '.join(sorted(trained_on))}); "
            "compare adapters of one base model"
        )
    return trained_on.pop() if trained_on else datasets.load(project).base_model


_loaded: dict[tuple[str, str, str, bool], BaseModel] = {}
_loading = threading.Lock()


def loaded_base(spec: str, device: str = "auto", attention: str = "sdpa") -> BaseModel:
    """The base model, kept in memory for the next set; one at a time."""
    key = (spec, device, attention, zero_gpu.without_gpu())
    with _loading:
        if key not in _loaded:
            _loaded.clear()
            _loaded[key] = base_model.load(spec, device=device, attention=attention)
        return _loaded[key]


def on_base(model: BaseModel, file: Path | None) -> AbstractContextManager[Loaded]:
    """The base model with an adapter's file on it, or by itself."""
    return nullcontext(Loaded(model)) if file is None else with_adapter(model, file)
