"""X/Y grids: every combination with its metadata, stopping and resuming, one image with labeled axes."""

import json
from dataclasses import replace

import pytest
from PIL import Image, ImageDraw, ImageFont

from adapters.settings import StudioError
from ghibli_studio.cli.app import main
from ghibli_studio.config.generation import GenerationSettings
from ghibli_studio.generation import init_image, metadata, reproduction, xy_grid
from ghibli_studio.imaging import labeled_grid
from tests.support.collection_project import encoded, scene

FEW = GenerationSettings(num_inference_steps=1)
PROMPT = "Petra, Jordan, a temple"


def axes(x, y):
    return (xy_grid.read_axis(*x.split("=")), xy_grid.read_axis(*y.split("=")))


def plan(x, y, model="lora", prompt=PROMPT, init_image=None):
    return xy_grid.Plan(*axes(x, y), prompt, model, FEW, init_image)


def test_every_combination_is_generated_with_its_own_metadata(generated_copy):
    events = list(xy_grid.generate_grid(generated_copy, plan("adapter_scale=0.5,1,1.5", "seed=3,4")))
    files = [event.image_file for event in events if event.image_file]
    settings = [metadata.read_metadata(file)["settings"] for file in files]
    assert [(values["adapter_scale"], values["seed"]) for values in settings] == [
        (s, n) for n in (3, 4) for s in (0.5, 1.0, 1.5)
    ]
    assert len({file.read_bytes() for file in files}) == 6
    assert (events[-1].done, events[-1].total, events[-1].grid_file.exists()) == (6, 6, True)
    again = list(reproduction.reproduce(generated_copy, files[2]))[-1]
    assert metadata.to_png(again.image, again.metadata) == files[2].read_bytes()


def test_epoch_by_prompt_and_method_by_steps(generated_copy):
    run = generated_copy.runs()[0]
    cells = xy_grid.cells(generated_copy, plan("epoch=1,2", "prompt=Petra, Jordan | Big Ben, London", prompt=""))
    assert [(c.model, c.prompt) for c in cells] == [
        (f"{run.id}@{epoch}", prompt) for prompt in ("Petra, Jordan", "Big Ben, London") for epoch in (1, 2)
    ]
    cells = xy_grid.cells(generated_copy, plan("method=base,lora", "num_inference_steps=1,2"))
    assert [(c.model, c.settings.num_inference_steps) for c in cells] == [
        ("base", 1),
        ("lora", 1),
        ("base", 2),
        ("lora", 2),
    ]
    assert cells[0].file is None


def test_a_stopped_grid_resumes_where_it_was(generated_copy):
    stopped = xy_grid.generate_grid(generated_copy, plan("adapter_scale=0.5,1", "seed=3,4"))
    first = next(event.image_file for event in stopped if event.image_file)
    stopped.close()
    folder = generated_copy.outputs.grids()[0]
    assert not xy_grid.is_finished(folder)
    before = first.stat().st_mtime_ns
    events = list(xy_grid.resume(generated_copy, folder))
    assert (events[0].total, sum(event.image_file is not None for event in events)) == (3, 3)
    assert first.stat().st_mtime_ns == before
    assert xy_grid.is_finished(folder)
    unbroken = list(xy_grid.generate_grid(generated_copy, plan("adapter_scale=0.5,1", "seed=3,4")))[-1].grid_file
    assert Image.open(unbroken).tobytes() == Image.open(folder / xy_grid.GRID_IMAGE).tobytes()
    content = json.loads((folder / xy_grid.GRID_FILE).read_text())
    content["adapters"]["lora"] = "0" * 64
    (folder / xy_grid.GRID_FILE).write_text(json.dumps(content))
    with pytest.raises(StudioError, match="LoRA has changed since the grid started"):
        list(xy_grid.resume(generated_copy, folder))


def test_an_img2img_grid_varies_the_strength(generated_copy, tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(encoded(scene(1, (3000, 2100)), "JPEG"))
    image = init_image.open_photo(file)
    assert min(image.size) == init_image.MAX_SHORTER_SIDE
    init_image.store(generated_copy, image)
    start = init_image.InitImage(image, 0.5)
    grid = plan("strength=0.5,1", "seed=1,2", "base", init_image={"sha256": start.sha256, "strength": 0.5})
    grid = replace(grid, settings=GenerationSettings(num_inference_steps=4))
    events = list(xy_grid.generate_grid(generated_copy, grid))
    assert events[-1].total == 2 * (2 + 4)
    image_file = next(event.image_file for event in events if event.image_file)
    assert metadata.read_metadata(image_file)["init_image"]["sha256"] == start.sha256
    again = list(reproduction.reproduce(generated_copy, image_file))[-1]
    assert metadata.to_png(again.image, again.metadata) == image_file.read_bytes()


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ("adapter_scale=1,2", "adapter_scale=0,1", "both axes are adapter_scale"),
        ("adapter_scale=3", "seed=1", "adapter_scale is 3.0; it must be less than or equal to 2"),
        ("epoch=9", "seed=1", "has no epoch 9; it has epochs 1 to 2"),
        ("method=base", "epoch=1", "the base model has no epochs"),
        ("method=ti", "seed=1", "no trained Textual Inversion yet"),
        ("strength=0.5", "seed=1", "strength can be an axis only for image to image"),
    ],
)
def test_an_impossible_grid_is_refused_before_its_folder_is_created(generated_project, x, y, sentence):
    with pytest.raises(StudioError, match=sentence):
        list(xy_grid.generate_grid(generated_project, plan(x, y)))
    assert generated_project.outputs.grids() == []


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("size", "1", "an axis cannot be 'size'; choose one of: adapter_scale, seed"),
        ("seed", "1,x", "seed is '1,x'; it must be whole numbers separated by commas"),
        ("seed", " ", "seed has no values; write some, such as 0, 1, 2"),
        ("adapter_scale", "1,1.0", "adapter_scale has the value 1.0 twice"),
    ],
)
def test_a_wrong_axis_is_reported(name, text, sentence):
    with pytest.raises(StudioError, match=sentence):
        xy_grid.read_axis(name, text)


def test_too_many_images_and_an_empty_prompt_are_reported(generated_project):
    many = ",".join(map(str, range(30)))
    with pytest.raises(StudioError, match="the grid has 900 images, and at most 400"):
        xy_grid.cells(generated_project, plan(f"seed={many}", f"num_inference_steps={many.replace('0,', '100,', 1)}"))
    with pytest.raises(StudioError, match="the prompt is empty"):
        xy_grid.cells(generated_project, plan("seed=1", "adapter_scale=1", prompt=" "))


def test_the_grid_has_every_image_in_its_cell():
    colors = [["#ff0000", "#00ff00"], ["#0000ff", None]]
    rows = [[color and Image.new("RGB", (64, 64), color) for color in row] for row in colors]
    page = labeled_grid.render_grid(
        rows, ["one", "two"], ["first", "second"], "adapter_scale", "seed", "prompt: a tower"
    )
    step = 64 + labeled_grid.GAP
    top = 2 * labeled_grid.GAP + 2 * labeled_grid.LINE
    centers = [
        [page.getpixel((labeled_grid.LEFT + column * step + 32, top + row * step + 32)) for column in range(2)]
        for row in range(2)
    ]
    assert centers == [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (217, 222, 227)]]
    blank = labeled_grid.render_grid(rows, ["", "two"], ["first", "second"], "adapter_scale", "seed", "prompt: a tower")
    assert page.tobytes() != blank.tobytes()


def test_a_label_does_not_overlap_its_neighbor():
    font = ImageFont.load_default(size=labeled_grid.FONT)
    pencil = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines = labeled_grid.wrap_text(
        "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch by the sea " * 9, font, 90
    )
    assert len(lines) == labeled_grid.MAX_LINES
    assert max(pencil.textlength(line, font=font) for line in lines) <= 90
    assert lines[-1].endswith("…")


def test_the_command_line_generates_a_grid_and_resumes_it(generated_copy, capsys, tmp_path):
    place = ["--workspace", str(generated_copy.workspace.root)]
    out = tmp_path / "grid.png"
    command = [
        "generate",
        "grid",
        "sample",
        "--x",
        "method=base,lora",
        "--y",
        "seed=1,2",
        "--prompt",
        PROMPT,
        "--steps",
        "1",
    ]
    assert main([*command, "--out", str(out), "--json", *place]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["file"], out.exists()) == ("done", str(out), True)
    assert json.loads(Image.open(out).text["grid"])["x"] == {"name": "method", "values": ["base", "lora"]}
    assert main(["generate", "grid", "sample", "--resume", last["grid"], *place]) == 0
    assert main(["generate", "grid", "sample", "--resume", "x", *place]) == 1
    assert main(["generate", "grid", "sample", "--x", "seed", "--y", "seed=1", *place]) == 1
    assert "--x is 'seed'; write it as --x" in capsys.readouterr().err


def test_the_command_line_generates_from_a_photo(generated_copy, tmp_path, capsys):
    photo, prompts = tmp_path / "photo.png", tmp_path / "prompts.txt"
    photo.write_bytes(encoded(scene(2)))
    prompts.write_text(PROMPT)
    command = [
        "generate",
        "images",
        "sample",
        "--models",
        "base",
        "--prompts",
        str(prompts),
        "--steps",
        "4",
        "--json",
        "--workspace",
        str(generated_copy.workspace.root),
    ]
    assert main([*command, "--init-image", str(photo), "--strength", "0.5"]) == 0
    images = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["event"] == "image"]
    again = list(reproduction.reproduce(generated_copy, images[0]["file"]))[-1]
    assert again.metadata["init_image"]["strength"] == 0.5
    photo.write_bytes(b"broken")
    assert main([*command, "--init-image", str(photo)]) == 1
