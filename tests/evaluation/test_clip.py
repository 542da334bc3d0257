"""The networks that look: the embedded CLIP, and the published ones where somebody has put their weights."""

import io
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from adapters.settings import StudioError
from ghibli_studio.data.sample_dataset import draw_pair
from ghibli_studio.evaluation import clip as clip_features
from ghibli_studio.evaluation import reference_network
from ghibli_studio.miniature import WEIGHTS

CLIP = WEIGHTS / "clip"


@pytest.fixture(scope="module")
def pictures():
    return [Image.open(io.BytesIO(data)) for data in draw_pair(0, 0, 96)[2:]]


@pytest.fixture(scope="module")
def clip():
    return clip_features.clip("miniature", "cpu")


@pytest.fixture
def no_metrics(monkeypatch):
    monkeypatch.delenv(clip_features.VARIABLE, raising=False)


# CLIP


def test_clip_tells_its_name_and_what_it_is(clip):
    assert (clip.name, clip.stand_in, clip.device) == ("miniature CLIP", True, torch.device("cpu"))
    assert clip.network.json() == {"name": "miniature CLIP", "stand_in": True, "digest": clip.digest}
    assert len(clip.digest) == 64
    assert {parameter.dtype for parameter in clip.model.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in clip.model.parameters())


def test_embeddings_and_maps_are_those_of_transformers(clip, pictures):
    with torch.no_grad():
        given = clip.processor(images=pictures, text=["Petra, photo", "Big Ben"], padding=True, return_tensors="pt")
        theirs = clip.model(**given, output_hidden_states=True)
    images, texts = clip.images(pictures), clip.texts(["Petra, photo", "Big Ben"])
    unit = torch.nn.functional.normalize
    assert torch.allclose(unit(images, dim=-1), theirs.image_embeds, atol=1e-5)
    assert torch.allclose(unit(texts, dim=-1), theirs.text_embeds, atol=1e-5)
    assert (images.norm(dim=-1) - 1).abs().min() > 0.1  # not normalized
    states = theirs.vision_model_output.last_hidden_state[:, 1:]
    assert [tuple(depth.shape) for depth in clip.maps(pictures)] == [(2, 64, 192)] * 3
    assert torch.allclose(clip.maps(pictures)[-1], states, atol=1e-4)
    assert not torch.allclose(clip.maps(pictures)[0], states, atol=1)


def test_what_is_seen_does_not_depend_on_the_neighbors(clip, pictures):
    both = clip.see(pictures)
    for place, picture in enumerate(pictures):
        alone = clip.see([picture])
        assert torch.allclose(alone.embeddings[0], both.embeddings[place], atol=1e-4)
        assert all(torch.allclose(a[0], b[place], atol=1e-3) for a, b in zip(alone.maps, both.maps))
    words = ["a bridge", "Petra, Jordan, a rose-red temple carved into a cliff in the desert at sunset, wide shot"]
    for place, text in enumerate(words):
        assert torch.allclose(clip.texts([text])[0], clip.texts(words)[place], atol=1e-4)


def test_gray_and_transparent_pictures_are_seen_as_rgb(clip, pictures):
    gray = pictures[0].convert("L")
    assert torch.equal(clip.images([gray]), clip.images([gray.convert("RGB")]))
    assert torch.equal(clip.images([pictures[0].convert("RGBA")]), clip.images([pictures[0]]))


def test_a_long_text_is_cut_and_the_cut_can_be_asked_for(clip):
    long = "tower " * 100
    assert clip.unread("Big Ben, London") == 0
    assert clip.unread(long) == len(clip.processor.tokenizer(long).input_ids) - 77 > 0
    assert torch.equal(clip.texts([long]), clip.texts([long + "bridge"]))


def test_clip_is_loaded_once(clip):
    assert clip_features.clip("miniature", "cpu") is clip


def test_auto_is_the_folder_of_metrics_or_else_the_miniature(clip, no_metrics, monkeypatch, tmp_path):
    assert clip_features.clip("auto", "cpu") is clip
    monkeypatch.setenv(clip_features.VARIABLE, str(tmp_path))
    assert clip_features.clip("auto", "cpu") is clip
    shutil.copytree(CLIP, tmp_path / "clip")
    found = clip_features.clip("auto", "cpu")
    assert (found.name, found.stand_in, found.digest) == ("CLIP in clip", False, clip.digest)


def test_a_hub_id_is_taken_from_the_cache_only(monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda spec, **how: {True: str(CLIP)}[how["local_files_only"]]
    )
    found = clip_features.clip("somebody/their-clip", "cpu")
    assert (found.name, found.stand_in) == ("somebody/their-clip", False)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "nobody/nothing",
            "is not on this machine, and nothing is downloaded .* `hf download nobody/nothing --include",
        ),
        ("no such thing", "neither 'auto', 'miniature', a folder nor a hub id"),
        ("", "neither 'auto'"),
    ],
)
def test_a_clip_that_is_not_there_is_refused_with_the_way_out(spec, words):
    with pytest.raises(StudioError, match=words):
        clip_features.clip(spec, "cpu")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "siglip"}'), "it is a siglip"),
        (lambda folder: (folder / "model-00002-of-00002.safetensors").write_bytes(b"no weights"), "cannot be loaded"),
        (lambda folder: (folder / "model-00002-of-00002.safetensors").unlink(), "cannot be loaded"),
    ],
)
def test_a_folder_that_holds_no_whole_clip_is_refused(change, words, tmp_path):
    folder = shutil.copytree(CLIP, tmp_path / "clip")
    change(folder)
    with pytest.raises(StudioError, match=f"{words}.*or use 'miniature', which is always here"):
        clip_features.clip(str(folder), "cpu")


def test_missing_weights_are_not_made_up(tmp_path):
    folder = shutil.copytree(CLIP, tmp_path / "clip")
    weights = {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}
    for file in (*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"):
        file.unlink()
    save_file(
        {name: value for name, value in weights.items() if name != "visual_projection.weight"},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(StudioError, match=r"it lacks 1 of its weights, first visual_projection\.weight"):
        clip_features.clip(str(folder), "cpu")


def test_a_pickle_is_not_opened(tmp_path):
    folder = shutil.copytree(CLIP, tmp_path / "clip", ignore=shutil.ignore_patterns("model*"))
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(StudioError, match="cannot be loaded"):
        clip_features.clip(str(folder), "cpu")


def test_pixels_are_between_0_and_1():
    assert clip_features.pixels(Image.new("RGB", (3, 2), (255, 0, 51))).tolist() == [
        [[[1.0] * 3] * 2, [[0.0] * 3] * 2, [[pytest.approx(0.2)] * 3] * 2]
    ]
    assert clip_features.pixels(Image.new("L", (3, 2), 255)).shape == (1, 1, 2, 3)


# The published networks


@pytest.fixture(scope="module")
def inception_weights():
    """Random weights with the names of torch-fidelity's file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Bare(FeatureExtractorInceptionV3):
        def load_state_dict(self, weights):
            """Keep the random ones."""

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Bare("bare", ["2048"], nothing).state_dict()


def test_inception_gives_the_features_that_torchmetrics_computes_fid_from(inception_weights, pictures, tmp_path):
    from torchmetrics.image.fid import FrechetInceptionDistance

    save_file(inception_weights, tmp_path / "inception.safetensors")
    torch.save(inception_weights, tmp_path / "theirs.pth")
    theirs = FrechetInceptionDistance(feature_extractor_weights_path=str(tmp_path / "theirs.pth")).inception
    found = reference_network.inception(tmp_path, "cpu")
    whole = torch.cat([(clip_features.pixels(picture) * 255).round().byte() for picture in pictures])
    assert (found.network.name, found.network.stand_in) == ("Inception v3", False)
    assert found.images(pictures).shape == (2, 2048)
    assert torch.allclose(found.images(pictures), theirs(whole), rtol=1e-4, atol=1e-6)
    assert found.images(pictures).std() > 0
    assert reference_network.inception(tmp_path, "cpu") is found


def test_a_file_of_other_weights_is_not_taken_for_inception(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "inception.safetensors")
    with pytest.raises(StudioError, match=r"does not hold torch-fidelity's Inception v3 .*; put the right file there"):
        reference_network.inception(tmp_path, "cpu")
    (tmp_path / "inception.safetensors").write_bytes(b"torn")
    with pytest.raises(StudioError, match=r"cannot be read .*; copy it again, or take it away"):
        reference_network.inception(tmp_path, "cpu")


def test_without_torch_fidelity_there_is_no_inception_and_a_sentence_says_so(tmp_path, monkeypatch):
    (tmp_path / "inception.safetensors").write_bytes(b"not looked at")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert reference_network.inception(tmp_path) is None
    assert any("pip install torch-fidelity" in sentence for sentence in reference_network.absent(tmp_path))


@pytest.fixture(scope="module", params=["alexnet", "vgg16"])
def trunk(request):
    """Random weights of torchvision's network, with its name."""
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return request.param, getattr(torchvision.models, request.param)(weights=None, num_classes=2).features


def test_lpips_is_that_of_torchmetrics(trunk, pictures, tmp_path, monkeypatch):
    from torchmetrics.functional.image import lpips

    name, network = trunk
    save_file(
        {f"features.{key}": value for key, value in network.state_dict().items()}, tmp_path / f"{name}.safetensors"
    )
    monkeypatch.setattr(lpips, "_get_tv_model_features", lambda net, pretrained=False: network)
    theirs = lpips.learned_perceptual_image_patch_similarity(
        *(clip_features.pixels(picture) for picture in pictures),
        net_type={"alexnet": "alex", "vgg16": "vgg"}[name],
        normalize=True,
    ).item()
    monkeypatch.undo()
    found = reference_network.perceptual(tmp_path, "cpu")
    assert found.network.name == {"alexnet": "AlexNet", "vgg16": "VGG16"}[name]
    assert found.distance(*pictures) == pytest.approx(theirs, rel=1e-4)
    assert theirs > 0
    assert found.distance(pictures[0], pictures[0]) == 0


def test_the_heads_of_lpips_are_those_that_torchmetrics_carries():
    import torchmetrics

    folder = Path(torchmetrics.__file__).parent / "functional/image/lpips_models"
    for word in ("alex", "vgg"):
        theirs = torch.load(folder / f"{word}.pth", map_location="cpu", weights_only=True)
        ours = load_file(reference_network.HEADS / f"{word}.safetensors")
        assert ours.keys() == {f"lin{layer}.model.1.weight" for layer in range(5)}
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_file_of_other_weights_is_not_taken_for_alexnet(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "alexnet.safetensors")
    with pytest.raises(StudioError, match="does not hold torchvision's AlexNet"):
        reference_network.perceptual(tmp_path, "cpu")


def test_what_is_absent_is_said_with_its_stand_in_and_the_mend(no_metrics, monkeypatch, tmp_path):
    told = reference_network.absent()
    assert [sentence.split()[0] for sentence in told] == ["CLIP", "FID's", "LPIPS's"]
    assert all(clip_features.VARIABLE in sentence for sentence in told)
    assert reference_network.inception() is None
    assert reference_network.perceptual() is None
    monkeypatch.setenv(clip_features.VARIABLE, str(tmp_path))
    assert reference_network.absent() == told
    (tmp_path / "clip").mkdir()
    for name in ("inception", "vgg16"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"")
    assert reference_network.absent() == []
