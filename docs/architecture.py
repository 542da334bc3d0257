"""Draws docs/architecture.svg from the code's imports: `python docs/architecture.py`. A test says when it is due."""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = {
    "app.py": ("app.py",), "benchmarks": ("benchmarks/*.py",), "page": ("ghibli_studio/ui/*.py",),
    "studio": ("ghibli_studio/*.py",), "miniature": ("ghibli_studio/miniature/*.py",), "adapters": ("adapters/*.py",),
    "study": ("study/*.py",),
}
LABELS = {
    "app.py": "app.py: starts the page", "page": "ghibli_studio/ui: the page",
    "studio": "ghibli_studio: everything that works without the page",
    "miniature": "miniature: its model", "adapters": "adapters: the methods", "study": "study: the blind study",
    "benchmarks": "benchmarks",
}
COLOURS = {"app.py": "#e8f0ea", "page": "#dcefe5", "studio": "#e4ecf7", "miniature": "#f4ecd9", "adapters": "#f7e4da",
           "study": "#ece4f5", "benchmarks": "#eeeeee"}
WIDTH, MARGIN, PAD, LETTER, LINE, GAP = 1240, 20, 12, 6.3, 22, 6
BAND = 46
"""Between two rooms one above the other, px: room for the arrows."""
PLACES = (("app.py",), ("page", "benchmarks"), ("studio",), ("miniature", "adapters", "study"))
"""Rooms from top to bottom; imports go down."""
SHARE = {"page": 0.78, "benchmarks": 0.22, "miniature": 0.2, "adapters": 0.26, "study": 0.54}


def files(root: Path) -> dict[str, str]:
    """File -> room, in order."""
    return {path.relative_to(root).as_posix(): room for room, patterns in ROOMS.items() for pattern in patterns
            for path in sorted(root.glob(pattern))}


def imports(root: Path = ROOT) -> dict[str, set[str]]:
    """File -> our files that it imports, wherever in it, but for types alone."""
    known = files(root)
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in known}
    found: dict[str, set[str]] = {}
    for name in known:
        wanted: set[str] = set()
        tree = ast.parse((root / name).read_text(encoding="utf-8"))
        typing = {child for node in ast.walk(tree)
                  if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) for child in ast.walk(node)}
        for node in ast.walk(tree):
            if node in typing:
                continue
            if isinstance(node, ast.Import):
                wanted |= {one.name for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                parts = {f"{node.module}.{one.name}" for one in node.names}
                below = parts & modules.keys()
                wanted |= below if below == parts else below | {node.module}
        found[name] = {modules[one] for one in wanted if one in modules} - {name}
    return found


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """Length of the longest way down from each; what imports each other in a circle counts as one."""
    known: dict[str, int] = {}

    def level(name: str, above: tuple[str, ...]) -> int:
        if name not in known:
            below = [level(one, (*above, name)) for one in sorted(graph[name]) if one not in above and one in graph]
            deepest = max(below, default=-1) + 1
            if above and graph[name] & set(above):
                return max(deepest - 1, 0)
            known[name] = deepest - 1 if any(name in graph.get(one, ()) for one in graph[name]) else deepest
            known[name] = max(known[name], 0)
        return known[name]

    return {name: level(name, ()) for name in graph}


def title(name: str) -> str:
    """What a file is called in the picture."""
    path = Path(name)
    return path.parent.name if path.name == "__init__.py" else path.stem


def rows(names: list[str], graph: dict[str, set[str]], width: float) -> list[list[tuple[str, float]]]:
    """Lines of (file, width of its box): what is imported by others below, as many on a line as fit."""
    own = {name: graph[name] & set(names) for name in names}
    level, lines = levels(own), []
    for number in sorted(set(level.values()), reverse=True):
        line: list[tuple[str, float]] = []
        for name in sorted((one for one in names if level[one] == number), key=title):
            box = len(title(name)) * LETTER + 12
            if line and sum(w + GAP for _, w in line) + box > width - 2 * PAD:
                lines.append(line)
                line = []
            line.append((name, box))
        lines.append(line)
    return lines


def svg(root: Path = ROOT) -> str:
    """The picture as text."""
    graph, room_of = imports(root), files(root)
    by_room = {room: [name for name in graph if room_of[name] == room] for room in ROOMS}
    boxes, parts, y = {}, [], float(MARGIN)
    for place in PLACES:
        x, tallest = float(MARGIN), 0.0
        for room in place:
            width = (WIDTH - 2 * MARGIN - GAP * 2 * (len(place) - 1)) * SHARE.get(room, 1.0)
            lines = rows(by_room[room], graph, width)
            height = PAD * 2 + 14 + len(lines) * LINE
            boxes[room] = (x, y, width, height)
            parts.append(_room(room, x, y, width, height, lines, graph))
            x, tallest = x + width + 2 * GAP, max(tallest, height)
        y += tallest + BAND
    arrows = [_arrow(boxes, room, other, count) for (room, other), count in sorted(_between(graph, room_of).items())]
    height = y - BAND + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        'aria-label="Which part of the code imports which" font-family="system-ui, sans-serif" font-size="11">\n'
        '<defs><marker id="end" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="8" markerHeight="8" '
        'markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M0 0 6 3 0 6z" fill="#667"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#fff"/>\n' + "".join(arrows) + "".join(parts) + "</svg>\n"
    )


def _room(room: str, x: float, y: float, width: float, height: float, lines: list[list[tuple[str, float]]],
          graph: dict[str, set[str]]) -> str:
    out = [f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8" fill="{COLOURS[room]}" '
           f'stroke="#99a"/>\n<text x="{x + PAD:.1f}" y="{y + PAD + 6:.1f}" font-size="13" font-weight="600">'
           f"{escape(LABELS[room])}</text>\n"]
    for number, line in enumerate(lines):
        left, top = x + PAD, y + PAD + 14 + number * LINE
        for name, box in line:
            told = ", ".join(sorted(title(one) for one in graph[name])) or "nothing of ours"
            out.append(f'<g><title>{escape(name)} imports {escape(told)}</title><rect x="{left:.1f}" y="{top:.1f}" '
                       f'width="{box:.1f}" height="{LINE - 5}" rx="4" fill="#fff" stroke="#bbc"/>'
                       f'<text x="{left + box / 2:.1f}" y="{top + 12:.1f}" text-anchor="middle">'
                       f"{escape(title(name))}</text></g>\n")
            left += box + GAP
    return "".join([*out, "</g>\n"])


def _between(graph: dict[str, set[str]], room_of: dict[str, str]) -> dict[tuple[str, str], int]:
    """(room, room it imports from) -> imports."""
    counts: dict[tuple[str, str], int] = {}
    for name, wanted in graph.items():
        for one in wanted:
            pair = room_of[name], room_of[one]
            if pair[0] != pair[1]:
                counts[pair] = counts.get(pair, 0) + 1
    return counts


def _arrow(boxes: dict[str, tuple[float, float, float, float]], room: str, other: str, count: int) -> str:
    """From the bottom of a room to the top of one below, with the number of imports; drawn under the rooms."""
    (x, y, width, height), (to_x, to_y, to_width, _) = boxes[room], boxes[other]
    shift = (list(ROOMS).index(room) - 3) * 34.0
    end = to_x + to_width / 2 + shift
    start = min(max(end, x + 20), x + width - 20)
    top = y + height
    curve = f"M{start:.1f} {top:.1f}C{start:.1f} {top + 24:.1f} {end:.1f} {to_y - 24:.1f} {end:.1f} {to_y:.1f}"
    return (f'<path d="{curve}" '
            f'fill="none" stroke="#667" stroke-width="{min(1 + count / 40, 4):.1f}" marker-end="url(#end)"/>'
            f'<text x="{end + 5:.1f}" y="{to_y - 6:.1f}" fill="#445">{count}</text>\n')


if __name__ == "__main__":
    target = ROOT / "docs/architecture.svg"
    target.write_text(svg(), encoding="utf-8")
    print(target.relative_to(ROOT))
