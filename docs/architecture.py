"""The packages in their import order, and docs/architecture.svg drawn from it: `python docs/architecture.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
STUDIO = (
    "miniature",
    "plotting",
    "runtime",
    "config",
    "imaging",
    "workspace",
    "models",
    "data",
    "curation",
    "generation",
    "training",
    "tuning",
    "jobs",
    "evaluation",
    "reporting",
    "adapter_library",
    "deployment",
    "pretraining",
    "cli",
)
TABS = ("components", "server", "dataset", "training", "generation", "evaluation", "library", "study")
LAYERS = (
    "adapters/settings",
    "adapters/base",
    "adapters/formats",
    "adapters/methods",
    "adapters/registry",
    "adapters/merge",
    "adapters",
    "study",
    "study/design",
    "study/database",
    "study/replica",
    "study/store",
    "study/analysis",
    "study/web",
    "study/simulation",
    "study/blindness",
    "study/cli",
    "study/__main__",
    "ghibli_studio",
    *(f"ghibli_studio/{name}" for name in STUDIO),
    "ghibli_studio/__main__",
    *(f"ghibli_studio/ui/{name}" for name in TABS),
    "ghibli_studio/ui/api",
    "ghibli_studio/ui/app",
    "ghibli_studio/ui",
    "benchmarks",
    "app",
)
"""Every package, from the ground to the roof: a module imports from its own package and from those before it."""


def module_files() -> Iterator[tuple[Path, str]]:
    """(file, dotted name) of every module of the project, without tests and docs."""
    for top in ("adapters", "study", "ghibli_studio", "benchmarks"):
        for path in sorted((ROOT / top).rglob("*.py")):
            yield path, _dotted(path)
    yield ROOT / "app.py", "app"


def _dotted(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


@cache
def package_of(path: Path) -> str:
    """The entry of LAYERS that a file belongs to: the longest that its path starts with."""
    name = _dotted(path).replace(".", "/")
    fitting = [layer for layer in LAYERS if name == layer or name.startswith(f"{layer}/")]
    return max(fitting, key=len)


@cache
def _modules() -> dict[str, str]:
    return {name: path.relative_to(ROOT).as_posix() for path, name in module_files()}


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Files of the project that a file imports, anywhere in it, but for types alone."""
    wanted: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            wanted |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{one.name}" for one in node.names}
            below = parts & _modules().keys()
            wanted |= below if below == parts else below | {node.module}
    here = path.relative_to(ROOT).as_posix()
    return frozenset({_modules()[one] for one in wanted if one in _modules()} - {here})
