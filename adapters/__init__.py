"""Small trainable parts for Stable Diffusion behind one Protocol; a method is one module of this package.

A method's module has NAME, LABEL, SHORT_LABEL, SETTINGS, PRESETS, ADAPTER, `recognises` and `settings_from_file`.
This package knows neither gradio nor ghibli_studio, and imports nothing heavy until an adapter is attached.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType

from adapters.base import Adapter, AdapterSettings, Host, Settings, StudioError
from adapters.formats import RECIPE_KEY, read_header, read_tensors, recipe_of, to_bytes

__all__ = [
    "Adapter",
    "AdapterSettings",
    "Host",
    "Settings",
    "StudioError",
    "attach_file",
    "build",
    "method",
    "methods",
    "open_file",
    "recipe_of",
    "to_bytes",
]


@cache
def methods() -> dict[str, ModuleType]:
    """Every method by its short name: the modules of this package that have a NAME."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
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
    path = Path(path)
    shapes, metadata = read_header(path)
    for name, module in methods().items():
        if module.recognises(shapes):
            settings = (
                module.SETTINGS.checked(recipe_of(path)["adapter"])
                if RECIPE_KEY in metadata
                else module.settings_from_file(shapes, metadata)
            )
            return build(name, settings)
    raise StudioError(
        f"{path.name} has {len(shapes)} tensors (first: {next(iter(sorted(shapes)), 'none')}) of no layout known here; "
        f"known are {', '.join(module.LABEL for module in methods().values())} as diffusers writes them"
    )


def attach_file(path: Path, host: Host) -> tuple[Adapter, Host]:
    """Open, attach and load an adapter file; the host is left as it was if the file does not fit."""
    adapter = open_file(path)
    tensors = read_tensors(path)
    attached = adapter.attach(host)
    try:
        adapter.load_state(tensors)
    except StudioError:
        adapter.detach()
        raise
    return adapter, attached
