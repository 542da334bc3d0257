"""X/Y grids: every combination, each with its recipe, stopped and gone on with, on one picture with labeled axes."""

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


def plan(x, y, drawer="lora", prompt=PROMPT, photograph=None):
    return xy_grid.Plan(*axes(x, y), prompt, drawer, FEW, photograph)


def test_every_combination_is_drawn_with_its_own_recipe(drawn_copy):
    events = list(xy_grid.draw(drawn_copy, plan("strength=0.5,1,1.5", "seed=3,4")))
    files = [event.picture for event in events if event.picture]
    told = [metadata.read_recipe(file)["settings"] for file in files]
    assert [(one["adapter_scale"], one["seed"]) for one in told] == [(s, n) for n in (3, 4) for s in (0.5, 1.0, 1.5)]
    assert len({file.read_bytes() for file in files}) == 6
    assert (events[-1].done, events[-1].total, events[-1].whole.exists()) == (6, 6, True)
    again = list(reproduction.reproduce(drawn_copy, files[2]))[-1]
    assert metadata.to_png(again.image, again.recipe) == files[2].read_bytes()


def test_epoch_by_prompt_and_method_by_steps(drawn_copy):
    run = drawn_copy.runs()[0]
    cells = xy_grid.cells(drawn_copy, plan("epoch=1,2", "prompt=Petra, Jordan | Big Ben, London", prompt=""))
    assert [(c.drawer, c.prompt) for c in cells] == [
        (f"{run.id}@{epoch}", prompt) for prompt in ("Petra, Jordan", "Big Ben, London") for epoch in (1, 2)
    ]
    cells = xy_grid.cells(drawn_copy, plan("method=base,lora", "num_inference_steps=1,2"))
    assert [(c.drawer, c.settings.num_inference_steps) for c in cells] == [
        ("base", 1),
        ("lora", 1),
        ("base", 2),
        ("lora", 2),
    ]
    assert cells[0].file is None


def test_a_stopped_grid_goes_on_where_it_was(drawn_copy):
    going = xy_grid.draw(drawn_copy, plan("strength=0.5,1", "seed=3,4"))
    first = next(event.picture for event in going if event.picture)
    going.close()
    folder = drawn_copy.made.grids()[0]
    assert not xy_grid.finished(folder)
    before = first.stat().st_mtime_ns
    events = list(xy_grid.resume(drawn_copy, folder))
    assert (events[0].total, sum(event.picture is not None for event in events)) == (3, 3)
    assert first.stat().st_mtime_ns == before
    assert xy_grid.finished(folder)
    unbroken = list(xy_grid.draw(drawn_copy, plan("strength=0.5,1", "seed=3,4")))[-1].whole
    assert Image.open(unbroken).tobytes() == Image.open(folder / xy_grid.WHOLE).tobytes()
    other = json.loads((folder / xy_grid.ASKED).read_text())
    other["adapters"]["lora"] = "0" * 64
    (folder / xy_grid.ASKED).write_text(json.dumps(other))
    with pytest.raises(StudioError, match="LoRA has changed since the grid was begun"):
        list(xy_grid.resume(drawn_copy, folder))


def test_a_grid_from_a_photograph_varies_how_much_is_drawn_anew(drawn_copy, tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(encoded(scene(1, (3000, 2100)), "JPEG"))
    image = init_image.read(file)
    assert min(image.size) == init_image.SHORTER_SIDE
    init_image.keep(drawn_copy, image)
    start = init_image.Photograph(image, 0.5)
    asked = plan("denoising_strength=0.5,1", "seed=1,2", "base", photograph={"sha256": start.sha256, "strength": 0.5})
    asked = replace(asked, settings=GenerationSettings(num_inference_steps=4))
    events = list(xy_grid.draw(drawn_copy, asked))
    assert events[-1].total == 2 * (2 + 4)
    picture = next(event.picture for event in events if event.picture)
    assert metadata.read_recipe(picture)["photograph"]["sha256"] == start.sha256
    again = list(reproduction.reproduce(drawn_copy, picture))[-1]
    assert metadata.to_png(again.image, again.recipe) == picture.read_bytes()


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        ("strength=1,2", "strength=0,1", "both sides of the grid vary strength"),
        ("strength=3", "seed=1", "strength is 3.0; it must be less than or equal to 2"),
        ("epoch=9", "seed=1", "has no epoch 9; it has 1 to 2"),
        ("method=base", "epoch=1", "the base model has no epochs"),
        ("method=ti", "seed=1", "no trained Textual Inversion yet"),
        ("denoising_strength=0.5", "seed=1", "varies only where the pictures start from a photograph"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_a_folder_is_made(drawn, x, y, sentence):
    with pytest.raises(StudioError, match=sentence):
        list(xy_grid.draw(drawn, plan(x, y)))
    assert drawn.made.grids() == []


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("size", "1", "a grid cannot vary 'size'; it can vary strength, seed"),
        ("seed", "1,x", "seed is '1,x'; it must be whole numbers with commas between"),
        ("seed", " ", "there is no value for seed; write some, such as 0, 1, 2"),
        ("adapter_scale", "1,1.0", "strength has the value 1.0 twice"),
    ],
)
def test_a_wrong_axis_is_told(name, text, sentence):
    with pytest.raises(StudioError, match=sentence):
        xy_grid.read_axis(name, text)


def test_too_many_pictures_and_no_prompt_are_told(drawn):
    many = ",".join(map(str, range(30)))
    with pytest.raises(StudioError, match="the grid has 900 pictures, at most 400"):
        xy_grid.cells(drawn, plan(f"seed={many}", f"num_inference_steps={many.replace('0,', '100,', 1)}"))
    with pytest.raises(StudioError, match="the prompt is empty"):
        xy_grid.cells(drawn, plan("seed=1", "strength=1", prompt=" "))


def test_the_sheet_has_every_picture_in_its_place():
    colors = [["#ff0000", "#00ff00"], ["#0000ff", None]]
    rows = [[color and Image.new("RGB", (64, 64), color) for color in row] for row in colors]
    page = labeled_grid.sheet(rows, ["one", "two"], ["first", "second"], "adapter_scale", "seed", "prompt: a tower")
    step = 64 + labeled_grid.GAP
    top = 2 * labeled_grid.GAP + 2 * labeled_grid.LINE
    seen = [
        [page.getpixel((labeled_grid.LEFT + column * step + 32, top + row * step + 32)) for column in range(2)]
        for row in range(2)
    ]
    assert seen == [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (217, 222, 227)]]
    blank = labeled_grid.sheet(rows, ["", "two"], ["first", "second"], "adapter_scale", "seed", "prompt: a tower")
    assert page.tobytes() != blank.tobytes()


def test_a_label_never_runs_into_its_neighbor():
    font = ImageFont.load_default(size=labeled_grid.FONT)
    pencil = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines = labeled_grid.wrapped("Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch by the sea " * 9, font, 90)
    assert len(lines) == labeled_grid.MOST_LINES
    assert max(pencil.textlength(line, font=font) for line in lines) <= 90
    assert lines[-1].endswith("…")


def test_the_command_line_draws_a_grid_and_goes_on(drawn_copy, capsys, tmp_path):
    place = ["--workspace", str(drawn_copy.workspace.root)]
    out = tmp_path / "grid.png"
    asked = ["grid", "sample", "--x", "method=base,lora", "--y", "seed=1,2", "--prompt", PROMPT, "--steps", "1"]
    assert main([*asked, "--out", str(out), "--json", *place]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["file"], out.exists()) == ("done", str(out), True)
    assert json.loads(Image.open(out).text["grid"])["x"] == {"name": "method", "values": ["base", "lora"]}
    assert main(["grid", "sample", "--resume", last["grid"], *place]) == 0
    assert main(["grid", "sample", "--resume", "x", *place]) == 1
    assert main(["grid", "sample", "--x", "seed", "--y", "seed=1", *place]) == 1
    assert "--x does not say what varies" in capsys.readouterr().err


def test_the_command_line_draws_from_a_photograph(drawn_copy, tmp_path, capsys):
    photo, prompts = tmp_path / "photo.png", tmp_path / "prompts.txt"
    photo.write_bytes(encoded(scene(2)))
    prompts.write_text(PROMPT)
    asked = [
        "generate",
        "sample",
        "--methods",
        "base",
        "--prompts",
        str(prompts),
        "--steps",
        "4",
        "--json",
        "--workspace",
        str(drawn_copy.workspace.root),
    ]
    assert main([*asked, "--photograph", str(photo), "--denoising-strength", "0.5"]) == 0
    made = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["event"] == "picture"]
    again = list(reproduction.reproduce(drawn_copy, made[0]["file"]))[-1]
    assert again.recipe["photograph"]["strength"] == 0.5
    photo.write_bytes(b"broken")
    assert main([*asked, "--photograph", str(photo)]) == 1
