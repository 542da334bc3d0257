"""Prompts: composed and taken apart, measured with the triggers, changed many at once, out to files and in again."""

import csv
import io
import json

import numpy as np
import pytest

from adapters import registry
from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation import photos, prompts
from ghibli_studio.curation.caption_files import escape, unescape
from ghibli_studio.curation.prompt_files import read_prompts, to_csv, to_jsonl, write_prompts
from ghibli_studio.curation.prompts import Gauge, compose, gauges, name_from_file, parse
from ghibli_studio.data.captions import clean
from ghibli_studio.miniature.landmarks.captions import prompt
from ghibli_studio.miniature.landmarks.catalogue import LANDMARKS
from ghibli_studio.miniature.landmarks.scene import COMPOSITIONS, sample_scene
from ghibli_studio.miniature.photo_credits import PHOTOGRAPHS
from ghibli_studio.models.tokenizer import load_tokenizer, token_count
from tests.data.test_file_source import folder_of, tree, zip_of
from tests.support.collection_project import photo, put

BIG_BEN = {
    "name": "Big Ben",
    "location": "London, England",
    "description": "a tower, by night",
    "composition": "wide shot",
}


@pytest.fixture
def project(workspace):
    project = workspace.project("p", new=True)
    put(project, [photo("0001", **BIG_BEN), photo("0002", "Petra"), photo("0003", description="a rose red city")])
    return project


def words(collection, id):
    return {name: getattr(collection.photo(id), name) for name in photos.WORDS}


def refusal(act, *arguments, **options):
    with pytest.raises(StudioError) as told:
        act(*arguments, **options)
    return str(told.value)


# the template


def test_a_prompt_is_its_parts_with_commas():
    assert compose(photo("0001", **BIG_BEN)) == "Big Ben, London, England, a tower, by night, wide shot"
    assert compose(photo("0001", "Petra, ", composition=" close-up")) == "Petra, close-up"
    assert compose(photo("0001")) == ""


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        (
            "Big Ben, London, England, a tower, by night, wide shot",
            ["Big Ben", "London, England", "a tower, by night", "wide shot"],
        ),
        ("Petra , Jordan,rose red", ["Petra", "Jordan", "rose red", ""]),
        ("a castle on a hill", ["", "", "a castle on a hill", ""]),
        ("Stairs, Rome, 1,000 steps, seen from above", ["Stairs", "Rome", "1,000 steps", "seen from above"]),
        (
            "a long road that goes ever on and on, Bergen, fog",
            ["", "", "a long road that goes ever on and on, Bergen, fog", ""],
        ),
        ("close-up", ["", "", "", "close-up"]),
        ("X, A, B, C, D, e", ["X", "A, B, C", "D, e", ""]),
        ("東京タワー, 赤い塔", ["東京タワー", "", "赤い塔", ""]),
        ("", ["", "", "", ""]),
        (" , ,", ["", "", "", ""]),
    ],
)
def test_a_prompt_is_taken_apart(caption, parts):
    assert parse(caption) == dict(zip(photos.WORDS, parts))


def test_what_the_painter_says_is_taken_apart_as_it_was_put_together():
    for index, landmark in enumerate(LANDMARKS):
        scene = sample_scene(np.random.default_rng([1, index]), landmark)
        parts = parse(prompt(scene))
        assert compose(photo("0001", **parts)) == prompt(scene)
        assert (parts["name"], parts["location"], parts["composition"]) == (
            landmark.name,
            landmark.location,
            COMPOSITIONS[scene.composition],
        )


def test_the_bundled_prompts_are_taken_apart_without_loss():
    captions = [line.partition("|")[2] for line in (PHOTOGRAPHS / "captions.txt").read_text().splitlines()]
    assert len(captions) == 45
    for caption in captions:
        parts = parse(caption)
        assert compose(photo("0001", **parts)) == caption
        assert parts["name"]
        assert parts["location"]
        assert parts["description"][0].islower()


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("eiffel-tower_2", "eiffel tower"),
        ("Big Ben (3)", "Big Ben"),
        ("東京タワー", "東京タワー"),
        ("Taj.Mahal", "Taj Mahal"),
        ("IMG_1234", ""),
        ("DSC0001", ""),
        ("PXL_20240101_1", ""),
        ("20210304_112233", ""),
        ("3f2a9b8c11de", ""),
        ("a", ""),
        ("Screenshot 2024", ""),
        ("", ""),
        ("x" * 61, ""),
    ],
)
def test_names_from_files_called_after_what_they_show(stem, name):
    assert name_from_file(stem) == name


# the gauge


def test_the_gauge_counts_the_longest_trigger(project):
    tokenizer = load_tokenizer("miniature")
    collection = collections.load(project)
    found = gauges(collection)
    for one, gauge in zip(collection.photos, found):
        triggers = [
            registry.build(name, module.SETTINGS()).trigger_tokens(tokenizer)
            for name, module in registry.methods().items()
        ]
        assert (gauge.tokens, gauge.limit) == (token_count(tokenizer, compose(one)) + max(triggers), 77)
    assert gauges(collection, [collection.photos[1]]) == [found[1]]
    assert gauges(collection, []) == []


def test_the_gauge():
    assert (Gauge(77, 77).share, Gauge(77, 77).over) == (1.0, 0)
    assert (Gauge(154, 77).share, Gauge(154, 77).over) == (2.0, 77)


def test_nothing_is_cut(project):
    collections.edit(project, "0002", description=400 * "tower ")
    collection = collections.load(project)
    assert gauges(collection, [collection.photo("0002")])[0].over > 300
    assert len(compose(collection.photo("0002")).split()) == 401


# many at once


def test_parts_are_set(project):
    changed = prompts.set_words(project, ["0003", "0001"], location=" Wadi\nMusa ", composition="")
    assert words(changed, "0001") == {**BIG_BEN, "location": "Wadi Musa", "composition": ""}
    assert words(changed, "0002") == words(collections.load(project), "0002")
    assert changed.photo("0002").location == ""
    assert {one.composition for one in prompts.set_words(project, None, composition="close-up").photos} == {"close-up"}


def test_words_are_replaced_as_they_are_written(project):
    changed = prompts.replace_words(project, None, "a t", "A (t", fields=["description"])
    assert [one.description for one in changed.photos] == ["A (tower, by night", "", "a rose red city"]
    changed = prompts.replace_words(project, ["0002"], "Petra", "")
    assert [one.name for one in changed.photos] == ["Big Ben", "", ""]
    assert "words to find are empty" in refusal(prompts.replace_words, project, None, "", "x")


def test_words_are_appended_once(project):
    for _ in range(2):
        changed = prompts.append_words(project, None, "description", " in the rain ")
    assert [one.description for one in changed.photos] == [
        "a tower, by night in the rain",
        "in the rain",
        "a rose red city in the rain",
    ]
    changed = prompts.append_words(project, ["0003"], "description", ", at dusk")
    assert changed.photo("0003").description == "a rose red city in the rain, at dusk"


def test_an_unknown_part_or_photograph_is_refused(project):
    before = project.collection.file.read_bytes()
    assert "a prompt has no part 'title'; its parts are name" in refusal(prompts.set_words, project, None, title="x")
    assert "there is no photograph '0009'" in refusal(prompts.set_words, project, ["0001", "0009"], name="x")
    assert "at most 4000 characters" in refusal(prompts.set_words, project, None, name="x" * 4001)
    assert project.collection.file.read_bytes() == before


# files


@pytest.mark.parametrize("name", ["p.csv", "p.JSONL", "p.zip", "folder"])
def test_what_comes_back_unchanged_changes_nothing(project, tmp_path, name):
    before = collections.load(project)
    target = write_prompts(project, tmp_path / name)
    assert read_prompts(project, target) == (before, [])
    made = tree(tmp_path)
    write_prompts(project, tmp_path / name)
    assert tree(tmp_path) == made, "the same prompts give the same bytes"


def test_what_was_changed_in_the_files_is_taken_over(project, tmp_path):
    root = write_prompts(project, tmp_path / "texts")
    assert tree(root) == {
        "0001.txt": b"Big Ben, London, England, a tower, by night, wide shot\n",
        "0002.txt": b"Petra\n",
        "0003.txt": b"a rose red city\n",
    }
    (root / "0002.txt").write_text("Petra, Wadi Musa, Jordan, a temple, close-up", encoding="utf-8-sig")
    changed, problems = read_prompts(project, root)
    assert problems == []
    assert words(changed, "0002") == {
        "name": "Petra",
        "location": "Wadi Musa, Jordan",
        "description": "a temple",
        "composition": "close-up",
    }
    assert words(changed, "0001") == BIG_BEN
    text = to_csv(changed).replace("close-up", "low angle view").replace("a rose red city", "a city")
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    changed, problems = read_prompts(project, tmp_path / "p.csv")
    assert (problems, changed.photo("0002").composition, changed.photo("0003").description) == (
        [],
        "low angle view",
        "a city",
    )


def test_what_imagefolder_reads(project):
    lines = [json.loads(line) for line in to_jsonl(collections.load(project)).splitlines()]
    assert lines == [
        {"file_name": "0001.png", "text": "Big Ben, London, England, a tower, by night, wide shot"},
        {"file_name": "0002.png", "text": "Petra"},
        {"file_name": "0003.png", "text": "a rose red city"},
    ]


def test_photographs_are_named_by_id_file_or_where_they_came_from(project, tmp_path):
    put(
        project,
        [
            photo("0001", original="x/a.jpg"),
            photo("0002", original="y/a.jpg"),
            photo("0003", original="b.png"),
            photo("0004", original="0001.png"),
        ],
    )
    rows = "file_name,name\n0001,one\n0002.png,two\nb,three\nx/a.jpg,\na.jpg,either\nc.png,nobody\n"
    changed, problems = read_prompts(project, tree_file(tmp_path / "n.csv", rows))
    assert [one.name for one in changed.photos] == ["one", "two", "three", ""], "an own id comes before another's name"
    assert problems == [
        {"file": "a.jpg", "reason": "a.jpg: 2 photographs are called so; name it by its id"},
        {"file": "c.png", "reason": "c.png: no photograph is called so; name it by its id, such as 0001"},
    ]


def tree_file(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("p.csv", b"name,location\nx,y\n", "p.csv has no column file_name"),
        ("p.csv", b"", "p.csv has no column file_name"),
        ("p.csv", b"file_name,name\n,x\n", "line 2 of p.csv names no file"),
        ("p.csv", b"file_name,name\n0001," + b"x" * 200_000, "is no CSV"),
        ("p.jsonl", b'{"file_name": "0001.png", "text": "x"\n', "line 1 of p.jsonl is no JSON"),
        ("p.jsonl", b"\n[1]\n", "line 2 of p.jsonl is no object"),
        ("p.jsonl", b"[" * 100_000, "line 1 of p.jsonl is no JSON"),
        ("p.jsonl", b'{"text": "x"}', "line 1 of p.jsonl names no file"),
        ("0001.txt", b"\xff\xfe", "0001.txt is not UTF-8 text"),
        ("0001.txt", b"x" * 4001, "must be text of at most 4000 characters"),
    ],
)
def test_files_that_cannot_be_read_are_told_and_change_nothing(project, tmp_path, name, data, sentence):
    before = collections.load(project)
    path = tmp_path / name
    path.write_bytes(data)
    for source in (path, [path], folder_of(tmp_path / "in", {name: data}), zip_of(tmp_path / "in.zip", {name: data})):
        changed, problems = read_prompts(project, source)
        assert changed == before
        assert len(problems) == 1
        assert sentence in problems[0]["reason"]


def test_other_endings_are_refused(project, tmp_path):
    assert "give .csv, .jsonl, .zip, or a folder" in refusal(write_prompts, project, tmp_path / "p.xlsx")
    (tmp_path / "file").write_text("")
    refusal(write_prompts, project, tmp_path / "file")


CELLS = ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''@x", "'s-Hertogenbosch", "plain", "", "-", "'", '=HYPERLINK("x")']


def test_no_cell_is_a_formula_and_every_cell_comes_back(project, tmp_path):
    assert [unescape(escape(cell)) for cell in CELLS] == CELLS
    put(
        project,
        [photo(f"{n:04d}", name=cell, description=cell, original=cell or "x") for n, cell in enumerate(CELLS, 1)],
    )
    before = collections.load(project)
    table = list(csv.reader(io.StringIO(to_csv(before))))
    assert not [cell for row in table for cell in row if cell[:1] in {*"=+-@"}]
    assert [row[2] for row in table[1:]] == [escape(cell) for cell in CELLS]
    prompts.set_words(project, None, name="", description="")
    write = tree_file(tmp_path / "p.csv", to_csv(before))
    changed, problems = read_prompts(project, write)
    assert [(one.name, one.description) for one in changed.photos] == [(clean(cell), clean(cell)) for cell in CELLS]
    assert problems == []
