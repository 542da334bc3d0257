"""The import order of the packages, from the ground to the roof, and a few rules on the code itself."""

import ast
import re
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter

import pytest

from docs.architecture import LAYERS, ROOT, imports_of, module_files, package_of

FILES = [path for path, _ in module_files()]
STATISTICS = {"ghibli_studio/evaluation/analysis.py", "ghibli_studio/evaluation/bootstrap.py"}
PURE = {*STATISTICS, "ghibli_studio/evaluation/distribution_metrics.py"}
KNOW_THE_STUDY = {
    "ghibli_studio/evaluation/blind_study.py",
    "ghibli_studio/deployment/hosting_check.py",
    "ghibli_studio/deployment/space.py",
    "ghibli_studio/cli/app.py",
    "ghibli_studio/cli/study.py",
}
SCHEMA = ROOT / "study/database/schema.py"
SQL = {
    "study/store.py",
    "study/replica/journal.py",
    "study/replica/layout.py",
    "study/replica/restore.py",
    *(
        f"study/database/{name}.py"
        for name in (
            "audit_log",
            "backup",
            "creation",
            "export",
            "key",
            "participation",
            "schema",
            "slots",
            "transactions",
            "trials",
            "status",
        )
    ),
}
STATEMENT = re.compile(
    r"\s*(SELECT\s.+\sFROM|INSERT\s+(OR|INTO)|UPDATE\s.+\sSET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX"
    r"|TRIGGER)|PRAGMA|BEGIN IMMEDIATE|VACUUM)\b",
    re.DOTALL,
)
HEAVY = {"torch", "diffusers", "transformers", "peft", "accelerate", "torchmetrics", "torchvision", "matplotlib"}
MOST_MODULES = 14
"""In one folder."""
MOST_LINES = 300
"""In one module."""


@cache
def all_imports(path):
    """(module, at the top level of the file) of every import that happens at run time."""
    return list(_imports(path))


def _imports(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
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
    return {name for name, _ in all_imports(path)}


def uses(path, package):
    return any(name == package or name.startswith(package + ".") for name in imported(path))


def place(path):
    return path.relative_to(ROOT).as_posix()


def test_every_module_belongs_to_a_package_of_the_order():
    assert {package_of(path) for path in FILES} <= set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=place)
def test_imports_go_down_only(path):
    here = LAYERS.index(package_of(path))
    upward = [other for other in imports_of(path) if LAYERS.index(package_of(ROOT / other)) > here]
    assert not upward, f"{place(path)} imports from packages above its own: {upward}"


def test_no_circle_of_modules():
    graph = {place(path): set(imports_of(path)) for path in FILES}
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def test_no_folder_has_too_many_modules():
    counts = Counter(path.parent for path in FILES if path.name not in ("__init__.py", "__main__.py"))
    assert {place(folder): count for folder, count in counts.items() if count > MOST_MODULES} == {}


@pytest.mark.parametrize("path", FILES, ids=place)
def test_outside_packages_are_known_where_they_belong(path):
    here = place(path)
    if here.startswith("adapters/"):
        assert not uses(path, "gradio")
    if here.startswith("study/"):
        for package in ("torch", "gradio"):
            assert not uses(path, package)
    if here.startswith("ghibli_studio/") and not here.startswith("ghibli_studio/ui/"):
        assert not uses(path, "study") or here in KNOW_THE_STUDY or statistics_only(path, here)
    if here.startswith("ghibli_studio/ui/"):
        assert not uses(path, "torch")
        assert not uses(path, "sqlite3")
    if uses(path, "gradio"):
        assert here.startswith("ghibli_studio/ui/") or here == "app.py"
    if uses(path, "peft"):
        # the miniature's training needs a teacher before there is a studio; a baseline does what others do
        assert here in (
            "adapters/methods/lora.py",
            "ghibli_studio/pretraining/stages/style_teacher.py",
            "benchmarks/baselines.py",
        )
    assert not uses(path, "tests")


def statistics_only(path, here):
    """True for a module that uses the study's tests, which are pure functions of numbers, and nothing else of it."""
    borrowed = {name for name in imported(path) if name.split(".")[0] == "study"}
    return here in STATISTICS and borrowed == {"study.analysis.statistics"}


@pytest.mark.parametrize("path", FILES, ids=place)
def test_sql_and_statistics_and_http_have_modules_of_their_own(path):
    here = place(path)
    if uses(path, "sqlite3") or uses(path, "sqlite_utils") or speaks_sql(path):
        assert here in SQL
    if here.startswith("study/") and uses(path, "scipy"):
        assert here in {f"study/analysis/{name}.py" for name in ("statistics", "paper", "quality", "triad")}
    for package in ("fastapi", "uvicorn", "starlette"):
        if uses(path, package):
            assert here in (
                "study/web/page.py",
                "study/web/server.py",
                "ghibli_studio/ui/server/auth.py",
                "ghibli_studio/ui/server/middleware.py",
            )


def test_the_modules_that_speak_sql_are_those_that_the_schema_names():
    named = re.search(
        r"SQL is used in this module and in (.*?)\.\n", ast.get_docstring(ast.parse(SCHEMA.read_text())), re.DOTALL
    )
    assert {place(SCHEMA), *(f"study/{name}.py" for name in re.findall(r"`([\w/]+)`", named[1]))} == SQL
    assert {place(path) for path in FILES if speaks_sql(path)} <= SQL


def speaks_sql(path):
    """True if a text in the code is a statement of SQL."""
    texts = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    return any(isinstance(text, str) and STATEMENT.match(text) for text in texts)


@pytest.mark.parametrize("path", [path for path in FILES if place(path) in PURE], ids=place)
def test_arithmetic_touches_no_file_and_no_network(path):
    assert not any(uses(path, package) for package in ("pathlib", "os", "transformers", "torchvision", "diffusers"))
    for package in ("workspace", "evaluation.clip", "models", "generation"):
        assert not uses(path, f"ghibli_studio.{package}")
    assert "open(" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=place)
def test_heavy_libraries_are_imported_where_they_are_needed(path):
    top = {name for name, at_top in all_imports(path) if at_top}
    assert not {name for name in top if name in HEAVY or name.split(".")[0] in HEAVY}


@pytest.mark.parametrize("path", FILES, ids=place)
def test_a_module_is_small_and_says_what_it_is(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert path.name not in ("utils.py", "helpers.py", "common.py")


@pytest.mark.parametrize("path", FILES, ids=place)
def test_nothing_is_unpickled_or_evaluated(path):
    text = path.read_text()
    assert "torch.load(" not in text
    assert not uses(path, "pickle")
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    assert not calls & {"eval", "exec", "os.system"}


@pytest.mark.parametrize("name", ["clip", "reference_network", "metrics", "scorer"])
def test_networks_and_scores_know_no_project(name):
    path = ROOT / f"ghibli_studio/evaluation/{name}.py"
    for package in ("workspace.project", "workspace.run", "data", "generation", "training"):
        assert not uses(path, f"ghibli_studio.{package}")
    if name in ("metrics", "scorer"):
        assert not uses(path, "transformers")


@pytest.mark.parametrize(
    "path", [path for path in FILES if "ghibli_studio/curation/" in place(path) and path.stem != "captioner"], ids=place
)
def test_a_dataset_is_curated_without_a_model(path):
    assert not uses(path, "ghibli_studio.curation.captioner")
    for package in HEAVY:
        assert not uses(path, package)


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in FILES
        if "ghibli_studio/imaging/" in place(path) or place(path) == "ghibli_studio/miniature/photo_credits.py"
    ],
    ids=place,
)
def test_functions_on_one_image_know_no_project(path):
    for package in ("workspace.project", "data", "curation", "models", "generation"):
        assert not uses(path, f"ghibli_studio.{package}")
