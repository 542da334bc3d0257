"""Small trainable parts for Stable Diffusion behind one Protocol; a method is one module of this package.

A method's module has NAME, LABEL, SHORT_LABEL, SETTINGS, PRESETS, ADAPTER, `recognizes` and `settings_from_file`. It
may have `fitted` (a foreign file's tensors as its settings say), and `scaled` and `averaged` (see `merging`).
This package knows neither gradio nor ghibli_studio, and imports nothing heavy until an adapter is attached.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from adapters import methods as methods_package
from adapters.base import Adapter, AdapterSettings, Host
from adapters.formats.compatibility import refuse_misfit
from adapters.formats.reader import Content, read
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


@cache
def methods() -> dict[str, ModuleType]:
    """Every method by its short name: the modules of this package that have a NAME."""
    modules = [
        importlib.import_module(f"{methods_package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(methods_package.__path__)
    ]
    return {module.NAME: module for module in modules if hasattr(module, "NAME")}


def method(name: str) -> ModuleType:
    """The module of one method; raises StudioError for an unknown name."""
    if name not in methods():
        raise StudioError(f"there is no method {name!r}; known are {', '.join(methods())}")
    return methods()[name]


def build(name: str, settings: AdapterSettings) -> Adapter:
    """A new, untrained adapter, not yet attached."""
    return method(name).ADAPTER(settings)


def open_file(path: Path) -> Adapter:
    """The adapter that a file describes, not yet attached; raises StudioError for a file of no known method."""
    return described(Path(path), read(path, tensors=False))


def described(path: Path, content: Content) -> Adapter:
    """The adapter that the content of a file is of."""
    for name, module in methods().items():
        if module.recognizes(content.shapes):
            recipe = content.recipe
            settings = (
                module.SETTINGS.checked(recipe["adapter"])
                if "adapter" in recipe
                else module.settings_from_file(content.shapes, content.metadata)
            )
            return build(name, settings)
    shapes = content.shapes
    raise StudioError(
        f"{path.name} has {len(shapes)} tensors (first: {next(iter(sorted(shapes)), 'none')}) of no layout known here; "
        f"known are {', '.join(module.LABEL for module in methods().values())} as diffusers, kohya's sd-scripts and "
        "AUTOMATIC1111 write them"
    )


def load_file(path: Path) -> tuple[Adapter, dict[str, Tensor]]:
    """The adapter that a file describes, not attached, and its tensors as that adapter takes them."""
    path = Path(path)
    content = read(path)
    adapter, tensors = described(path, content), content.tensors
    module = method(adapter.method)
    if "adapter" not in content.recipe and hasattr(module, "fitted"):
        tensors = module.fitted(tensors, content.metadata)
    return adapter, tensors


def attach_file(path: Path, host: Host) -> tuple[Adapter, Host]:
    """Open, attach and load an adapter file; the host is left as it was if the file does not fit."""
    path = Path(path)
    content = read(path, tensors=False)
    if "adapter" not in content.recipe:
        refuse_misfit(path.name, content.shapes, host)
    adapter, tensors = load_file(path)
    attached = adapter.attach(host)
    try:
        adapter.load_state(tensors)
    except StudioError:
        adapter.detach()
        raise
    return adapter, attached
