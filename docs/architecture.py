"""The packages in their import order, and docs/architecture.svg drawn from it: `python -m docs.architecture`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
STUDIO = (
    "miniature", "plotting", "runtime", "config", "imaging", "workspace", "models", "data", "curation", "generation",
    "training", "tuning", "jobs", "evaluation", "reporting", "adapter_library", "deployment", "pretraining",
)  # fmt: skip
TABS = ("components", "server", "dataset", "training", "generation", "evaluation", "library", "study")
LAYERS = (
    "adapters", "adapters/settings", "adapters/base", "adapters/formats", "adapters/methods", "adapters/registry",
    "adapters/merge",
    "study", "study/design", "study/database", "study/replica", "study/store", "study/analysis", "study/web",
    "study/simulation", "study/blindness", "study/cli",
    "ghibli_studio", *(f"ghibli_studio/{name}" for name in STUDIO),
    "ghibli_studio/ui", *(f"ghibli_studio/ui/{name}" for name in TABS), "ghibli_studio/ui/api", "ghibli_studio/ui/app",
    "ghibli_studio/ui/launch", "ghibli_studio/cli", "study/__main__", "ghibli_studio/__main__", "benchmarks", "app",
)  # fmt: skip
"""Every package, from the ground to the roof: a module imports from its own package and from those before it."""
TINTS = {"adapters": "#f7e4da", "study": "#ece4f5", "ghibli_studio": "#e4ecf7", "ui": "#dcefe5", "": "#eeeeee"}
ROW, CELL, NAMES, WORDS, MARGIN = 17, 13, 196, 470, 16
"""px: height of a row, width of a column of the matrix, widths of the two text columns, margin."""


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
    return max((layer for layer in LAYERS if name == layer or name.startswith(f"{layer}/")), key=len)


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
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = parts & _modules().keys()
            wanted |= modules if modules == parts else modules | {node.module}
    here = path.relative_to(ROOT).as_posix()
    return frozenset({_modules()[name] for name in wanted if name in _modules()} - {here})


def package_imports() -> dict[str, dict[str, int]]:
    """Package -> package that it imports from -> number of imports, its own included."""
    counts: dict[str, dict[str, int]] = {layer: {} for layer in LAYERS}
    for path, _ in module_files():
        for other in imports_of(path):
            target = package_of(ROOT / other)
            counts[package_of(path)][target] = counts[package_of(path)].get(target, 0) + 1
    return counts


def purpose(layer: str) -> str:
    """The first sentence of a package's docstring, or of a module's."""
    folder = ROOT / layer
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def shown_layers() -> list[str]:
    """Packages that the picture shows, from the roof to the ground: those with code, starters left out."""
    coded = {package_of(path) for path, _ in module_files() if path.name not in ("__init__.py", "__main__.py")}
    return [layer for layer in reversed(LAYERS) if layer in coded]


def svg() -> str:
    """The picture: a row a package, and a dot in the column of every package that it imports from."""
    layers, counts = shown_layers(), package_imports()
    left, top = MARGIN + NAMES + WORDS, MARGIN + 44
    width, height = left + len(layers) * CELL + MARGIN, top + len(layers) * ROW + MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-label="Which package imports which" font-family="system-ui, sans-serif" font-size="11">\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n'
        f'<text x="{MARGIN}" y="{MARGIN + 12}" font-size="14" font-weight="600">Packages, from the roof to the ground'
        "</text>\n"
        f'<text x="{MARGIN}" y="{MARGIN + 30}" fill="#556">A dot: the package of the row imports from the one of the '
        "column, which has the same number. No dot lies left of the diagonal: imports go down only.</text>\n"
    ]
    for number, layer in enumerate(layers):
        y = top + number * ROW
        out.append(_row(layer, number, left, y, width, counts[layer]))
        for column, other in enumerate(layers):
            x = left + column * CELL + CELL / 2
            if column == number:
                out.append(
                    f'<text x="{x}" y="{y + 12}" text-anchor="middle" font-size="8" fill="#889">{number + 1}</text>\n'
                )
            elif other in counts[layer]:
                tip = f"{layer} imports from {other}: {counts[layer][other]}"
                out.append(
                    f'<circle cx="{x}" cy="{y + 8.5}" r="3.6" fill="#456"><title>{escape(tip)}</title></circle>\n'
                )
    return "".join([*out, "</svg>\n"])


def _row(layer: str, number: int, left: int, y: int, width: int, counts: dict[str, int]) -> str:
    part = "ui" if layer.startswith("ghibli_studio/ui") else layer.split("/")[0]
    modules = [name for name in _modules().values() if package_of(ROOT / name) == layer and "__" not in name]
    tip = ", ".join(Path(name).stem for name in modules)
    name = f"{layer}.py" if (ROOT / f"{layer}.py").exists() else layer
    return (
        f'<g><title>{escape(tip)}</title><rect x="{MARGIN}" y="{y}" width="{width - 2 * MARGIN}" height="{ROW - 1}" '
        f'fill="{TINTS.get(part, TINTS[""])}"/>\n'
        f'<text x="{MARGIN + 4}" y="{y + 12}"><tspan fill="#889">{number + 1}</tspan> '
        f'<tspan font-weight="600">{escape(name.removeprefix("ghibli_studio/"))}</tspan></text>\n'
        f'<text x="{MARGIN + NAMES}" y="{y + 12}">{escape(_short(purpose(layer)))}</text></g>\n'
    )


def _short(text: str, most: int = 84) -> str:
    return text if len(text) <= most else text[: most - 1].rsplit(" ", 1)[0] + " …"


if __name__ == "__main__":
    target = ROOT / "docs/architecture.svg"
    target.write_text(svg(), encoding="utf-8")
    print(target.relative_to(ROOT))
