"""Descriptions from a BLIP of a few kilobytes with random weights, whose code is never run."""

import json

import pytest

from adapters.settings import StudioError
from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.captioner import caption_photos
from ghibli_studio.curation.ingest import add_photos
from tests.support.collection_project import encoded, scene
from tests.support.dataset_files import folder_of

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "tower", "of", "stone", "by", "night", ","]


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    """Return a folder in the layout of `Salesforce/blip-image-captioning-base`."""
    import torch
    from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor
    from transformers import BlipProcessor as Processor

    folder = tmp_path_factory.mktemp("blip") / "model"
    tokenizer = BertTokenizerFast(vocab=dict(zip(VOCABULARY, range(len(VOCABULARY)))))
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BlipConfig(
        text_config={
            **size,
            "vocab_size": len(VOCABULARY),
            "encoder_hidden_size": 16,
            "bos_token_id": 5,
            "pad_token_id": 0,
            "eos_token_id": 3,
            "sep_token_id": 3,
            "max_position_embeddings": 64,
        },
        vision_config={**size, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BlipForConditionalGeneration(config).save_pretrained(folder)
    Processor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def project(workspace, tmp_path):
    project = workspace.project("p", new=True)
    files = {f"{n}.png": encoded(scene(n)) for n in range(1, 4)} | {"2.txt": b"Petra, Jordan, a temple"}
    list(add_photos(project, folder_of(tmp_path / "in", files)))
    return project


def descriptions(project):
    return [photo.description for photo in collections.load(project).photos]


def test_only_empty_descriptions_are_filled_in(project, blip):
    steps = list(caption_photos(project, blip, device="cpu"))
    assert [(step.done, step.total) for step in steps] == [(1, 2), (2, 2)]
    first, second, third = descriptions(project)
    assert second == "a temple"
    assert first
    assert third
    assert {*first.replace(",", " ").split()} <= {*VOCABULARY}
    assert list(caption_photos(project, blip, device="cpu")) == []


def test_descriptions_repeat_and_again_replaces_all(project, blip):
    list(caption_photos(project, blip, ["0001"], device="cpu"))
    first = descriptions(project)
    assert first[2] == ""
    list(caption_photos(project, blip, again=True, device="cpu"))
    assert descriptions(project)[0] == first[0]
    assert descriptions(project)[1] != "a temple"


def test_stopping_keeps_the_descriptions_so_far(project, blip):
    steps = caption_photos(project, blip, device="cpu")
    next(steps)
    steps.close()
    first, _, third = descriptions(project)
    assert (bool(first), third) == (True, "")


@pytest.mark.parametrize(
    "files", [{}, {"config.json": b"{}"}, {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04."}]
)
def test_a_folder_without_safetensors_is_refused(project, tmp_path, files):
    folder = folder_of(tmp_path / "model", files)
    folder.mkdir(exist_ok=True)
    with pytest.raises(StudioError, match=r"has no image-to-text model \(config.json and .safetensors\)"):
        list(caption_photos(project, folder))


def test_another_model_is_refused(project, tmp_path):
    files = {"config.json": json.dumps({"model_type": "bert"}).encode(), "model.safetensors": b"x"}
    with pytest.raises(StudioError, match="has no readable image-to-text model"):
        list(caption_photos(project, folder_of(tmp_path / "model", files), device="cpu"))


def test_code_beside_the_model_is_not_run(project, tmp_path, blip):
    folder = folder_of(tmp_path / "model", {path.name: path.read_bytes() for path in blip.iterdir()})
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForImageTextToText": "evil.Model", "AutoConfig": "evil.Config"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    list(caption_photos(project, folder, device="cpu"))
    assert not (tmp_path / "ran").exists()
    assert descriptions(project)[0]
