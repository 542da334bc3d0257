"""The design's rules on who may import whom, as a test; and a few rules on the code itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("adapters", "ghibli_studio", "study")
FILES = [*sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")), ROOT / "app.py"]
HEAVY = {"torch", "diffusers", "transformers", "peft", "accelerate", "torchmetrics", "torchvision", "matplotlib"}


def imports(path):
    """(module, at the top level of the file) of every import that really happens."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            above, top, typing_only = node, True, False
            while hasattr(above, "parent"):
                above = above.parent
                top = top and not isinstance(above, (ast.FunctionDef, ast.AsyncFunctionDef))
                typing_only = typing_only or (isinstance(above, ast.If) and "TYPE_CHECKING" in ast.unparse(above.test))
            if not typing_only:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                yield from ((name, top) for name in names)


def imported(path):
    return {name for name, _ in imports(path)}


def uses(path, package):
    return any(name == package or name.startswith(package + ".") for name in imported(path))


def place(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=place)
def test_a_room_knows_only_what_lies_below_it(path):
    here = place(path)
    if here.startswith("adapters/"):
        assert not uses(path, "gradio")
        assert not uses(path, "ghibli_studio")
    if here.startswith("study/"):
        assert not uses(path, "torch")
        assert not uses(path, "ghibli_studio")
    if here.startswith("ghibli_studio/") and not here.startswith("ghibli_studio/ui/"):
        assert not uses(path, "ghibli_studio.ui")
        assert not uses(path, "study")
    if here.startswith("ghibli_studio/ui/"):
        assert not uses(path, "torch")
        assert not uses(path, "sqlite3")
    if uses(path, "gradio"):
        assert here.startswith("ghibli_studio/ui/") or here in ("app.py", "study/page.py")
    if uses(path, "peft"):
        # the recipe trains a teacher long before there is a studio
        assert here in ("adapters/lora.py", "ghibli_studio/miniature/pretrain/teacher.py")
    assert not uses(path, "tests")


@pytest.mark.parametrize("path", FILES, ids=place)
def test_heavy_libraries_are_imported_where_they_are_needed(path):
    top = {name for name, at_top in imports(path) if at_top}
    assert not {name for name in top if name in HEAVY or name.split(".")[0] in HEAVY}


@pytest.mark.parametrize("path", FILES, ids=place)
def test_a_room_is_small_and_says_what_it_is(path):
    assert len(path.read_text().splitlines()) <= 300
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert path.name not in ("utils.py", "helpers.py", "common.py")


@pytest.mark.parametrize("path", FILES, ids=place)
def test_nothing_is_unpickled_or_evaluated(path):
    text = path.read_text()
    assert "torch.load(" not in text
    assert not uses(path, "pickle")
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    assert not calls & {"eval", "exec", "os.system"}
