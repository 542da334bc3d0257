"""The API: names, descriptions, results and errors of its endpoints; the README's script."""

import asyncio
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from adapters import settings
from ghibli_studio.data import dataset as datasets
from ghibli_studio.generation import gallery, model_choice, reproduction
from ghibli_studio.generation.metadata import read_metadata
from ghibli_studio.jobs import status
from ghibli_studio.ui import api
from ghibli_studio.ui.app import build
from tests.support.collection_project import encoded, scene
from tests.support.servers import studio

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
SCRIPT = re.search(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), re.S)[1]


@pytest.fixture(scope="module")
def served(generated_project, tmp_path_factory):
    """(project, address) of a real server, with a copy that may be written to."""
    import shutil

    from ghibli_studio.workspace.project import Workspace

    folder = tmp_path_factory.mktemp("api")
    shutil.copytree(generated_project.workspace.root, folder / "workspace")
    with studio(folder / "workspace", folder / "log.txt") as address:
        yield Workspace(folder / "workspace").project("sample"), address


@pytest.fixture(scope="module")
def client(served):
    return Client(served[1], verbose=False)


def test_nothing_else_is_public_and_every_part_is_typed_and_described(workspace):
    info = build(workspace).get_api_info()
    named = info["named_endpoints"]
    assert sorted(named) == sorted(f"/{name}" for name in api.NAMES)
    assert info["unnamed_endpoints"] == {}
    for name, endpoint in named.items():
        assert len(endpoint["description"]) > 30, name
        assert all(one["python_type"]["type"] != "Any" for one in (*endpoint["parameters"], *endpoint["returns"])), name
    document = (ROOT / "docs/api.md").read_text()
    assert {name for name in named if f"| `{name}` |" not in document} == set()
    for endpoint in named.values():
        for one in endpoint["parameters"]:
            assert f"`{one['parameter_name']}" in document


def test_projects_and_what_can_generate(client, served):
    project, _ = served
    (reply,) = client.predict(api_name="/projects")
    dataset = datasets.load(project)
    assert (reply["project"], reply["images"], reply["runs"]) == ("sample", 8, len(project.runs()))
    assert reply["landmarks"] == sorted(item.landmark for item in dataset.items)
    names = [one["name"] for one in client.predict("sample", api_name="/adapters")]
    assert names == [one.name for one in model_choice.model_choices(project)]


def test_images_come_as_files_with_their_metadata(client, served):
    made = client.predict(
        "sample", "Petra, Jordan, a temple", "base,lora", 5, num_inference_steps=1, api_name="/generate"
    )
    assert [(one["method"], one["seed"]) for one in made] == [("base", 5), ("lora", 5)]
    assert [read_metadata(Path(one["file"])) for one in made] == [one["metadata"] for one in made]
    assert {one["id"] for one in made} <= {entry.id for entry in gallery.search(served[0])}


def test_a_photo_is_generated_in_the_style_and_kept(client, served, tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encoded(scene(3, (300, 200)), "JPEG"))
    (made,) = client.predict(
        "sample",
        "Petra",
        "lora",
        num_inference_steps=4,
        init_image=handle_file(photo),
        strength=0.5,
        api_name="/generate",
    )
    assert made["metadata"]["init_image"]["strength"] == 0.5
    assert (
        list(reproduction.reproduce(served[0], Path(made["file"])))[-1].metadata["init_image"]
        == made["metadata"]["init_image"]
    )


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (("nowhere", "Petra"), "there is no project 'nowhere'"),
        (("sample", " "), "there is no prompt"),
        (("sample", "Petra", "ti"), "no trained Textual Inversion yet"),
        (("sample", "Petra", "../x"), "project 'sample' has no model '../x'"),
        (("sample", "Petra", "base", -1), "seed is -1"),
        (("sample", "Petra", "base", 0, 99999), "num_inference_steps is 99999"),
    ],
)
def test_what_cannot_be_done_is_reported_in_one_sentence(client, inputs, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(*inputs, api_name="/generate")


@pytest.mark.parametrize("path", ["/etc/hostname", str(ROOT / "ghibli_studio/ui/screenshot.png"), "../../x.png", ""])
def test_a_file_of_the_server_is_not_accepted_as_a_photo(workspace, path):
    with pytest.raises(settings.StudioError, match="is not an uploaded file"):
        api.uploaded({"path": path, "meta": {"_type": "gradio.FileData"}})


def test_images_are_found_and_evaluations_told(client, served):
    found = client.predict("sample", "big ben", api_name="/find_images", kind="generated", limit=1)
    assert [one["prompt"] for one in found] == ["Big Ben, London, a tower"]
    assert read_metadata(Path(found[0]["file"])) == found[0]["metadata"]
    with pytest.raises(AppError, match="limit is 0"):
        client.predict("sample", limit=0, api_name="/find_images")
    with pytest.raises(AppError, match="has no evaluation ''; it has none finished yet"):
        client.predict("sample", api_name="/evaluation")


def test_a_run_is_queued_watched_and_cancelled(client, served):
    run = client.predict("sample", "lora", "quick", {"num_train_epochs": 500, "rank": 2}, api_name="/train")
    assert run["state"] in ("queued", "running")
    reply = client.predict("sample", run["run"], api_name="/cancel_run")
    assert (reply["run"], reply["state"]) == (run["run"], "cancelled")
    assert client.predict("sample", api_name="/run_status")[0]["run"] == run["run"]
    assert status.status(served[0].run(run["run"])).state == "cancelled"
    with pytest.raises(AppError, match="there is no setting 'rnak'; did you mean 'rank'"):
        client.predict("sample", "lora", "quick", {"rnak": 2}, api_name="/train")


def test_the_readmes_script_runs(served, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(encoded(scene(4)))
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py", served[1], "sample", str(photo)],
        cwd=tmp_path,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert first.split()[1] == "done"
    assert {line.split()[0] for line in lines} == {"base", "lora"}
    assert all(Path(line.split(maxsplit=2)[2]).suffix == ".png" for line in lines)


def test_an_agent_finds_the_tools_and_gets_an_image(served, tmp_path):
    pytest.importorskip("mcp")
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def talk():
        async with (
            streamable_http_client(f"{served[1]}gradio_api/mcp/") as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            asked = {"project": "sample", "prompt": "Petra", "num_inference_steps": 1}
            return tools, await session.call_tool("generate", asked)

    tools, made = asyncio.run(talk())
    assert sorted(tool.name for tool in tools) == sorted(api.NAMES)
    assert all(tool.description for tool in tools)
    generate = next(tool for tool in tools if tool.name == "generate")
    assert generate.inputSchema["required"] == ["project", "prompt"]
    assert "url to a file" in str(generate.inputSchema["properties"]["init_image"])
    assert not made.isError
    (address,) = re.findall(r"'url': '([^']+\.png)'", made.content[0].text)
    image = tmp_path / "image.png"
    image.write_bytes(urllib.request.urlopen(address, timeout=30).read())
    assert read_metadata(image)["prompt"] == "Petra"
