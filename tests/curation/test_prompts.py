"""Prompts: composed, parsed, counted with the triggers, edited in bulk, exported and imported."""

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
from ghibli_studio.curation.prompt_files import export_prompts, import_prompts, to_csv, to_jsonl
from ghibli_studio.curation.prompts import TokenUsage, compose, name_from_file, parse, token_usage
from ghibli_studio.data.captions import clean
from ghibli_studio.miniature.landmarks.captions import prompt
from ghibli_studio.miniature.landmarks.catalog import LANDMARKS
from ghibli_studio.miniature.landmarks.scene import COMPOSITIONS, sample_scene
from ghibli_studio.miniature.photo_credits import PHOTOS
from ghibli_studio.models.tokenizer import load_tokenizer, token_count
from tests.support.collection_project import photo, put
from tests.support.dataset_files import folder_of, tree, zip_of

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


def parts_of(collection, id):
    return {name: getattr(collection.photo(id), name) for name in photos.PROMPT_PARTS}


def refusal(act, *arguments, **options):
    with pytest.raises(StudioError) as caught:
        act(*arguments, **options)
    return str(caught.value)


# the template


def test_a_prompt_joins_its_parts_with_commas():
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
def test_a_prompt_is_parsed(caption, parts):
    assert parse(caption) == dict(zip(photos.PROMPT_PARTS, parts))


def test_the_painters_captions_are_parsed_into_their_parts():
    for index, landmark in enumerate(LANDMARKS):
        scene = sample_scene(np.random.default_rng([1, index]), landmark)
        parts = parse(prompt(scene))
        assert compose(photo("0001", **parts)) == prompt(scene)
        assert (parts["name"], parts["location"], parts["composition"]) == (
            landmark.name,
            landmark.location,
            COMPOSITIONS[scene.composition],
        )


def test_the_bundled_captions_are_parsed_without_loss():
    captions = [line.partition("|")[2] for line in (PHOTOS / "captions.txt").read_text().splitlines()]
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
def test_names_from_file_names(stem, name):
    assert name_from_file(stem) == name


# token usage


def test_token_usage_includes_the_longest_trigger(project):
    tokenizer = load_tokenizer("miniature")
    collection = collections.load(project)
    usages = token_usage(collection)
    for one, usage in zip(collection.photos, usages):
        triggers = [
            registry.build(name, module.SETTINGS()).trigger_tokens(tokenizer)
            for name, module in registry.methods().items()
        ]
        assert (usage.tokens, usage.limit) == (token_count(tokenizer, compose(one)) + max(triggers), 77)
    assert token_usage(collection, [collection.photos[1]]) == [usages[1]]
    assert token_usage(collection, []) == []


def test_token_usage_over_the_limit():
    assert (TokenUsage(77, 77).share, TokenUsage(77, 77).over) == (1.0, 0)
    assert (TokenUsage(154, 77).share, TokenUsage(154, 77).over) == (2.0, 77)


def test_a_long_prompt_is_not_truncated(project):
    collections.edit(project, "0002", description=400 * "tower ")
    collection = collections.load(project)
    assert token_usage(collection, [collection.photo("0002")])[0].over > 300
    assert len(compose(collection.photo("0002")).split()) == 401


# bulk edits


def test_parts_are_set(project):
    changed = prompts.set_parts(project, ["0003", "0001"], location=" Wadi\nMusa ", composition="")
    assert parts_of(changed, "0001") == {**BIG_BEN, "location": "Wadi Musa", "composition": ""}
    assert parts_of(changed, "0002") == parts_of(collections.load(project), "0002")
    assert changed.photo("0002").location == ""
    assert {one.composition for one in prompts.set_parts(project, None, composition="close-up").photos} == {"close-up"}


def test_text_is_replaced_literally(project):
    changed = prompts.find_and_replace(project, None, "a t", "A (t", fields=["description"])
    assert [one.description for one in changed.photos] == ["A (tower, by night", "", "a rose red city"]
    changed = prompts.find_and_replace(project, ["0002"], "Petra", "")
    assert [one.name for one in changed.photos] == ["Big Ben", "", ""]
    assert "the text to find is empty" in refusal(prompts.find_and_replace, project, None, "", "x")


def test_text_is_appended_once(project):
    for _ in range(2):
        changed = prompts.append_text(project, None, "description", " in the rain ")
    assert [one.description for one in changed.photos] == [
        "a tower, by night in the rain",
        "in the rain",
        "a rose red city in the rain",
    ]
    changed = prompts.append_text(project, ["0003"], "description", ", at dusk")
    assert changed.photo("0003").description == "a rose red city in the rain, at dusk"


def test_an_unknown_part_or_photo_is_refused(project):
    before = project.collection.file.read_bytes()
    assert "a prompt has no part 'title'; choose one of: name" in refusal(prompts.set_parts, project, None, title="x")
    assert "there is no photo '0009'" in refusal(prompts.set_parts, project, ["0001", "0009"], name="x")
    assert "at most 4000 characters" in refusal(prompts.set_parts, project, None, name="x" * 4001)
    assert project.collection.file.read_bytes() == before


# files


@pytest.mark.parametrize("name", ["p.csv", "p.JSONL", "p.zip", "folder"])
def test_importing_an_unchanged_export_changes_nothing(project, tmp_path, name):
    before = collections.load(project)
    target = export_prompts(project, tmp_path / name)
    assert import_prompts(project, target) == (before, [])
    first = tree(tmp_path)
    export_prompts(project, tmp_path / name)
    assert tree(tmp_path) == first, "the same prompts give the same bytes"


def test_edits_in_exported_files_are_imported(project, tmp_path):
    root = export_prompts(project, tmp_path / "texts")
    assert tree(root) == {
        "0001.txt": b"Big Ben, London, England, a tower, by night, wide shot\n",
        "0002.txt": b"Petra\n",
        "0003.txt": b"a rose red city\n",
    }
    (root / "0002.txt").write_text("Petra, Wadi Musa, Jordan, a temple, close-up", encoding="utf-8-sig")
    changed, skipped = import_prompts(project, root)
    assert skipped == []
    assert parts_of(changed, "0002") == {
        "name": "Petra",
        "location": "Wadi Musa, Jordan",
        "description": "a temple",
        "composition": "close-up",
    }
    assert parts_of(changed, "0001") == BIG_BEN
    text = to_csv(changed).replace("close-up", "low angle view").replace("a rose red city", "a city")
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    changed, skipped = import_prompts(project, tmp_path / "p.csv")
    assert (skipped, changed.photo("0002").composition, changed.photo("0003").description) == (
        [],
        "low angle view",
        "a city",
    )


def test_the_imagefolder_export(project):
    lines = [json.loads(line) for line in to_jsonl(collections.load(project)).splitlines()]
    assert lines == [
        {"file_name": "0001.png", "text": "Big Ben, London, England, a tower, by night, wide shot"},
        {"file_name": "0002.png", "text": "Petra"},
        {"file_name": "0003.png", "text": "a rose red city"},
    ]


def test_photos_are_found_by_id_file_or_original_name(project, tmp_path):
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
    changed, skipped = import_prompts(project, text_file(tmp_path / "n.csv", rows))
    assert [one.name for one in changed.photos] == ["one", "two", "three", ""], "an id wins over an original name"
    assert skipped == [
        {"file": "a.jpg", "reason": "a.jpg: 2 photos have this name; use the photo's id"},
        {"file": "c.png", "reason": "c.png: no photo has this name; use the photo's id, such as 0001"},
    ]


def text_file(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("p.csv", b"name,location\nx,y\n", "p.csv has no column file_name"),
        ("p.csv", b"", "p.csv has no column file_name"),
        ("p.csv", b"file_name,name\n,x\n", "line 2 of p.csv names no file"),
        ("p.csv", b"file_name,name\n0001," + b"x" * 200_000, "is not CSV"),
        ("p.jsonl", b'{"file_name": "0001.png", "text": "x"\n', "line 1 of p.jsonl is not JSON"),
        ("p.jsonl", b"\n[1]\n", "line 2 of p.jsonl is not an object"),
        ("p.jsonl", b"[" * 100_000, "line 1 of p.jsonl is not JSON"),
        ("p.jsonl", b'{"text": "x"}', "line 1 of p.jsonl names no file"),
        ("0001.txt", b"\xff\xfe", "0001.txt is not UTF-8 text"),
        ("0001.txt", b"x" * 4001, "must be text of at most 4000 characters"),
    ],
)
def test_unreadable_files_are_reported_and_change_nothing(project, tmp_path, name, data, sentence):
    before = collections.load(project)
    path = tmp_path / name
    path.write_bytes(data)
    for source in (path, [path], folder_of(tmp_path / "in", {name: data}), zip_of(tmp_path / "in.zip", {name: data})):
        changed, skipped = import_prompts(project, source)
        assert changed == before
        assert len(skipped) == 1
        assert sentence in skipped[0]["reason"]


def test_other_suffixes_are_refused(project, tmp_path):
    assert "use .csv, .jsonl, .zip, or a folder" in refusal(export_prompts, project, tmp_path / "p.xlsx")
    (tmp_path / "file").write_text("")
    refusal(export_prompts, project, tmp_path / "file")


CELLS = ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''@x", "'s-Hertogenbosch", "plain", "", "-", "'", '=HYPERLINK("x")']


def test_cells_are_never_formulas_and_are_restored(project, tmp_path):
    assert [unescape(escape(cell)) for cell in CELLS] == CELLS
    put(
        project,
        [photo(f"{n:04d}", name=cell, description=cell, original=cell or "x") for n, cell in enumerate(CELLS, 1)],
    )
    before = collections.load(project)
    table = list(csv.reader(io.StringIO(to_csv(before))))
    assert not [cell for row in table for cell in row if cell[:1] in {*"=+-@"}]
    assert [row[2] for row in table[1:]] == [escape(cell) for cell in CELLS]
    prompts.set_parts(project, None, name="", description="")
    write = text_file(tmp_path / "p.csv", to_csv(before))
    changed, skipped = import_prompts(project, write)
    assert [(one.name, one.description) for one in changed.photos] == [(clean(cell), clean(cell)) for cell in CELLS]
    assert skipped == []
