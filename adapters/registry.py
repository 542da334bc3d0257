"""Finds the methods and opens adapter files: which method a file belongs to, and its tensors as that method needs them.

A method is one module of `adapters.methods` with NAME, LABEL, SHORT_LABEL, SETTINGS, PRESETS, ADAPTER, `recognizes` and
`settings_from_file`. It may have `normalize_state` (another program's tensors as the settings describe them),
`export_files` (files for other programs), and `scale` and `merge` (see `adapters.merge`).
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from adapters import methods as methods_package
from adapters.base import Adapter, AdapterSettings, Host
from adapters.formats.compatibility import check_fit
from adapters.formats.reader import Content, read
from adapters.settings import StudioError

if TYPE_CHECKING:
    from torch import Tensor


@cache
def methods() -> dict[str, ModuleType]:
    """Return every method by its short name: the modules of `adapters.methods` that have a NAME."""
    modules = [
        importlib.import_module(f"{methods_package.__name__}.{info.name}")
        for info in pkgutil.iter_modules(methods_package.__path__)
    ]
    return {module.NAME: module for module in modules if hasattr(module, "NAME")}


def method(name: str) -> ModuleType:
    """Return the module of one method; raise StudioError for an unknown name."""
    if name not in methods():
        raise StudioError(f"there is no method {name!r}; known are {', '.join(methods())}")
    return methods()[name]


def build(name: str, settings: AdapterSettings) -> Adapter:
    """Return a new, untrained adapter, not yet attached."""
    return cast(Adapter, method(name).ADAPTER(settings))


def open_file(path: Path) -> Adapter:
    """Return the adapter of a file, not yet attached; raise StudioError for a file of no known method."""
    return adapter_from_content(Path(path), read(path, tensors=False))


def adapter_from_content(path: Path, content: Content) -> Adapter:
    """Return the adapter that the content of a file belongs to, not yet attached."""
    for name, module in methods().items():
        if module.recognizes(content.shapes):
            metadata = content.adapter_metadata
            settings = (
                module.SETTINGS.checked(metadata["adapter"])
                if "adapter" in metadata
                else module.settings_from_file(content.shapes, content.metadata)
            )
            return build(name, settings)
    shapes = content.shapes
    raise StudioError(
        f"{path.name} has {len(shapes)} tensors (first: {next(iter(sorted(shapes)), 'none')}) in an unknown layout; "
        f"known are {', '.join(module.LABEL for module in methods().values())} as diffusers, kohya's sd-scripts and "
        "AUTOMATIC1111 write them"
    )


def load_file(path: Path) -> tuple[Adapter, dict[str, Tensor]]:
    """Return the adapter of a file, not attached, and its tensors as that adapter loads them."""
    path = Path(path)
    content = read(path)
    adapter, tensors = adapter_from_content(path, content), content.tensors or {}
    module = method(adapter.method)
    if "adapter" not in content.adapter_metadata and hasattr(module, "normalize_state"):
        tensors = module.normalize_state(tensors, content.metadata)
    return adapter, tensors


def attach_file(path: Path, host: Host) -> tuple[Adapter, Host]:
    """Open, attach and load an adapter file; the host is left as it was if the file does not fit."""
    path = Path(path)
    content = read(path, tensors=False)
    if "adapter" not in content.adapter_metadata:
        check_fit(path.name, content.shapes, host)
    adapter, tensors = load_file(path)
    attached = adapter.attach(host)
    try:
        adapter.load_state(tensors)
    except StudioError:
        adapter.detach()
        raise
    return adapter, attached
