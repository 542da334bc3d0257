"""What docs/ says is true: the example works, the picture is the code's, the files are all there."""

import ast
import importlib.util
import inspect
import re
import sys
from pathlib import Path

import pytest

from adapters import registry
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.config.training import preset
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import image_set
from ghibli_studio.training.runs import execute
from study.replica import backend
from study.web import hosting
from tests.adapters import test_base

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONTRACT = sorted(
    name
    for name, function in vars(test_base).items()
    if name.startswith("test_") and "name" in inspect.signature(function).parameters
)


@pytest.fixture
def third(tmp_path, monkeypatch):
    """The page's example, dropped into the package."""
    (listing,) = re.findall(r"```python\n(.+?)```", (DOCS / "new-method.md").read_text(), re.DOTALL)
    (tmp_path / "package").mkdir()
    (tmp_path / "package/ia3.py").write_text(listing)
    monkeypatch.setattr(registry, "__path__", [*registry.__path__, str(tmp_path / "package")])
    monkeypatch.setitem(test_base.WRONG, "ia3", {"target_modules": ("attn2.to_k", "attn2.to_v", "attn1.to_v")})
    registry.methods.cache_clear()
    yield "ia3"
    registry.methods.cache_clear()
    sys.modules.pop("adapters.ia3", None)


@pytest.mark.parametrize("promise", CONTRACT)
def test_the_third_method_keeps_the_contract(third, promise, tiny, tmp_path):
    function = getattr(test_base, promise)
    given = {"tiny": tiny, "name": third, "tmp_path": tmp_path}
    function(**{name: given[name] for name in inspect.signature(function).parameters})


def test_the_third_method_trains_and_draws_like_the_others(third, project):
    assert sorted(registry.methods()) == ["ia3", "lora", "ti"]
    base = datasets.load(project).base_model
    run = project.new_run(preset("quick", third, base_model=base, num_train_epochs=1))
    events = list(execute(run))
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [0, 1]
    assert registry.open_file(run.adapter_file).method == third
    names = [datasets.load(project).items[0].landmark]
    requests, settings = image_set.requests_for_landmarks(project, names), GenerationSettings(num_inference_steps=2)
    drawn = image_set.draw_set(project, requests, {"base": None, third: run.adapter_file}, settings)
    assert [event.picture.method for event in drawn if event.picture] == ["base", third]


def architecture():
    """The script that draws the picture."""
    spec = importlib.util.spec_from_file_location("architecture", DOCS / "architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_the_architecture_is_the_codes():
    drawn = architecture().svg()
    assert (DOCS / "architecture.svg").read_text() == drawn, "draw it again with: python docs/architecture.py"
    for name in ("ui", "adapters", "study", "training", "textual_inversion", "second_store"):
        assert f">{name}<" in drawn


def test_the_picture_shows_what_is_imported(tmp_path):
    module = architecture()
    (tmp_path / "app.py").write_text("from ghibli_studio import ui\n")
    (tmp_path / "ghibli_studio/ui").mkdir(parents=True)
    for name, text in (
        ("ghibli_studio/__init__.py", ""),
        ("ghibli_studio/one.py", "from ghibli_studio import two\n"),
        ("ghibli_studio/two.py", "import os\n"),
        ("ghibli_studio/ui/__init__.py", ""),
        ("ghibli_studio/ui/page.py", "def f():\n    from ghibli_studio.one import x\n"),
    ):
        (tmp_path / name).write_text(text)
    found = module.imports(tmp_path)
    assert found["ghibli_studio/one.py"] == {"ghibli_studio/two.py"}
    assert found["ghibli_studio/ui/page.py"] == {"ghibli_studio/one.py"}
    assert found["app.py"] == {"ghibli_studio/ui/__init__.py"}
    assert module.levels({"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a", "c"}}) == {"a": 2, "b": 1, "c": 0, "d": 3}
    assert module.levels({"a": {"b"}, "b": {"a"}}) == {"a": 0, "b": 0}, "a circle does not hang"


def test_every_file_of_a_project_is_described():
    told = (DOCS / "formats.md").read_text()
    named = set()
    for room in ("workspace", "run_folder", "collection_folder", "made_folder", "adapter_folder", "xy_grid"):
        for node in ast.walk(ast.parse((ROOT / f"ghibli_studio/{room}.py").read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named |= set(re.findall(r"^[\w.-]+\.(?:json|jsonl|safetensors|html|txt|png|bin)$", node.value))
    named |= {"study.db", "key.db", "base.db"}
    assert len(named) > 10
    assert {name for name in named if f"`{name}`" not in told and name not in told} == set()


def test_what_is_said_of_a_study_names_its_variables_and_verbs():
    told = (DOCS / "study.md").read_text()
    for variable in (*backend.VARIABLES, hosting.STUDY_VARIABLE):
        assert variable in told
    from study.cli.app import _parser

    verbs = next(action for action in _parser()._actions if action.metavar == "VERB").choices
    assert {verb for verb in verbs if f"study {verb}" not in told} == set()
    for command in re.findall(r"^python -m study (.+)$", told, re.MULTILINE):
        _parser().parse_args(command.split("#")[0].split())
