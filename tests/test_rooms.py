"""The design's rules on who may import whom, as a test; and a few rules on the code itself."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("adapters", "benchmarks", "ghibli_studio", "study")
FILES = [*sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")), ROOT / "app.py"]
STATISTICS = {"ghibli_studio/evaluation.py", "ghibli_studio/resampling.py"}
PURE = {f"ghibli_studio/{name}.py" for name in ("evaluation", "resampling", "set_distances")}
KNOW_THE_STUDY = {f"ghibli_studio/{name}.py" for name in ("blind_study", "doctor_hosting", "space")}
SCHEMA = ROOT / "study/schema.py"
SQL = {
    f"study/{name}.py"
    for name in ("audit", "backup", "copies", "creating", "export", "journal", "key", "participation", "places",
                 "restoring", "schema", "status", "store")
}
STATEMENT = re.compile(r"\s*(SELECT\s.+\sFROM|INSERT\s+(OR|INTO)|UPDATE\s.+\sSET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX"
                       r"|TRIGGER)|PRAGMA|BEGIN IMMEDIATE|VACUUM)\b", re.DOTALL)
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
        assert not uses(path, "study")
    if here.startswith("study/"):
        for package in ("torch", "ghibli_studio", "adapters", "gradio"):
            assert not uses(path, package)
    if here.startswith("ghibli_studio/") and not here.startswith("ghibli_studio/ui/"):
        assert not uses(path, "ghibli_studio.ui")
        assert not uses(path, "study") or here in KNOW_THE_STUDY or statistics_only(path, here)
    if here.startswith("ghibli_studio/ui/"):
        assert not uses(path, "torch")
        assert not uses(path, "sqlite3")
    if uses(path, "gradio"):
        assert here.startswith("ghibli_studio/ui/") or here == "app.py"
    if uses(path, "peft"):
        # the recipe trains a teacher long before there is a studio; an anchor does what others do
        assert here in ("adapters/lora.py", "ghibli_studio/miniature/pretrain/teacher.py", "benchmarks/anchors.py")
    assert not uses(path, "tests")
    assert here.startswith("benchmarks/") or not uses(path, "benchmarks")


def statistics_only(path, here):
    """True for a room that borrows the study's tests, which are pure functions of numbers, and nothing else of it."""
    borrowed = {name for name in imported(path) if name.split(".")[0] == "study"}
    return here in STATISTICS and borrowed == {"study.statistics"}


@pytest.mark.parametrize("path", FILES, ids=place)
def test_sql_and_statistics_and_http_have_rooms_of_their_own(path):
    here = place(path)
    if uses(path, "sqlite3") or uses(path, "sqlite_utils") or speaks_sql(path):
        assert here in SQL
    if here.startswith("study/") and uses(path, "scipy"):
        assert here == "study/statistics.py" or here.startswith("study/analysis_")
    for package in ("fastapi", "uvicorn", "starlette"):
        if uses(path, package):
            assert here in ("study/page.py", "study/serving.py", "ghibli_studio/ui/gate.py",
                            "ghibli_studio/ui/guard.py")


def test_the_rooms_that_speak_sql_are_those_that_the_schema_names():
    named = re.search(r"SQL is spoken in this room and in (.*?)\.\n", ast.get_docstring(ast.parse(SCHEMA.read_text())),
                      re.DOTALL)
    assert {place(SCHEMA), *(f"study/{name}.py" for name in re.findall(r"`(\w+)`", named[1]))} == SQL
    assert {place(path) for path in FILES if speaks_sql(path)} <= SQL


def speaks_sql(path):
    """True if a text in the code is a statement of SQL."""
    texts = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return any(isinstance(text, str) and STATEMENT.match(text) for text in texts)


@pytest.mark.parametrize("path", [path for path in FILES if place(path) in PURE], ids=place)
def test_arithmetic_touches_no_file_and_no_network(path):
    assert not any(uses(path, package) for package in ("pathlib", "os", "transformers", "torchvision", "diffusers"))
    for room in ("workspace", "files", "features", "base_model", "generation"):
        assert not uses(path, f"ghibli_studio.{room}")
    assert "open(" not in path.read_text()


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


@pytest.mark.parametrize("name", ["features", "published", "metrics", "scores"])
def test_what_looks_at_pictures_and_what_scores_them_know_no_project(name):
    path = ROOT / f"ghibli_studio/{name}.py"
    for room in ("workspace", "dataset", "generation", "training", "runs"):
        assert not uses(path, f"ghibli_studio.{room}")
    if name in ("metrics", "scores"):
        assert not uses(path, "transformers")


@pytest.mark.parametrize("name", [
    "collection", "photographs", "gathering", "prompts", "prompt_files", "sidecars", "splitting", "checking",
    "finishing",
])
def test_a_data_set_is_gathered_and_finished_without_a_model(name):
    path = ROOT / f"ghibli_studio/{name}.py"
    for room in ("generation", "styling", "training", "runs", "jobs", "latents", "features", "captioning"):
        assert not uses(path, f"ghibli_studio.{room}")
    for package in HEAVY:
        assert not uses(path, package)


@pytest.mark.parametrize("name", ["likeness", "collection_folder", "miniature/bundled"])
def test_what_looks_at_one_thing_knows_no_project(name):
    for room in ("workspace", "dataset", "collection", "base_model"):
        assert not uses(ROOT / f"ghibli_studio/{name}.py", f"ghibli_studio.{room}")


@pytest.mark.parametrize(("name", "rooms"), [
    ("crops", ("workspace", "dataset", "collection", "generation")),
    ("layouts", ("workspace", "collection", "generation", "base_model")),
    ("exporting", ("collection", "generation")),
    ("survey", ("generation", "styling")),
    ("contact_sheets", ("generation", "styling")),
])
def test_how_a_data_set_is_cut_handed_on_and_surveyed_needs_no_model(name, rooms):
    path = ROOT / f"ghibli_studio/{name}.py"
    for room in rooms:
        assert not uses(path, f"ghibli_studio.{room}")
        assert f"ghibli_studio import {room}" not in path.read_text()
