"""What docs/ says is true: the example works, the picture is the code's, the files are all there."""

import ast
import inspect
import re
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from adapters import methods, registry
from docs import architecture
from ghibli_studio.cli.app import app
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
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path / "package")])
    monkeypatch.setitem(test_base.WRONG, "ia3", {"target_modules": ("attn2.to_k", "attn2.to_v", "attn1.to_v")})
    registry.methods.cache_clear()
    yield "ia3"
    registry.methods.cache_clear()
    sys.modules.pop("adapters.methods.ia3", None)


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
    drawn = image_set.generate_set(project, requests, {"base": None, third: run.adapter_file}, settings)
    assert [event.image.method for event in drawn if event.image] == ["base", third]


def test_the_picture_of_the_architecture_is_the_codes():
    assert (DOCS / "architecture.svg").read_text() == architecture.svg(), "draw it again with: make docs"


def test_the_picture_has_a_row_for_every_package_and_no_dot_goes_up():
    picture, layers = architecture.svg(), architecture.shown_layers()
    assert len(layers) > 40
    for layer in layers:
        assert f">{layer.removeprefix('ghibli_studio/')}" in picture
    for layer, counts in architecture.package_imports().items():
        assert all(architecture.LAYERS.index(other) <= architecture.LAYERS.index(layer) for other in counts)


def test_imports_are_found_wherever_they_stand():
    ui = architecture.imports_of(ROOT / "ghibli_studio/ui/launch.py")
    assert {"ghibli_studio/ui/app.py", "study/web/server.py", "ghibli_studio/workspace/files.py"} <= ui
    assert architecture.package_of(ROOT / "ghibli_studio/ui/training/tab.py") == "ghibli_studio/ui/training"
    assert architecture.package_of(ROOT / "adapters/merge.py") == "adapters/merge"


def test_every_file_of_a_project_is_described():
    described = (DOCS / "formats.md").read_text()
    named = set()
    for path in (*(ROOT / "ghibli_studio/workspace").glob("*.py"), ROOT / "ghibli_studio/generation/xy_grid.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named |= set(re.findall(r"^[\w.-]+\.(?:json|jsonl|safetensors|html|txt|png|bin)$", node.value))
    named |= {"study.db", "key.db", "base.db"}
    assert len(named) > 10
    assert {name for name in named if name not in described} == set()


def test_what_is_said_of_a_study_names_its_variables_and_commands():
    described = (DOCS / "study.md").read_text()
    for variable in (*backend.VARIABLES, hosting.STUDY_VARIABLE):
        assert variable in described
    known = get_command(app).commands["study"].commands
    assert {name for name in known if f"study {name}" not in described} == set()
