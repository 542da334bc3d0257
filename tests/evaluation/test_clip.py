"""The scoring networks: the embedded CLIP, and the reference networks where their weights are available."""

import io
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from adapters.settings import StudioError
from ghibli_studio.data.sample_dataset import render_pair
from ghibli_studio.evaluation import clip as clip_features
from ghibli_studio.evaluation import reference_network
from ghibli_studio.miniature import WEIGHTS

CLIP = WEIGHTS / "clip"


@pytest.fixture(scope="module")
def images():
    return [Image.open(io.BytesIO(data)) for data in render_pair(0, 0, 96)[2:]]


@pytest.fixture(scope="module")
def clip():
    return clip_features.load_clip("miniature", "cpu")


@pytest.fixture
def no_metrics(monkeypatch):
    monkeypatch.delenv(clip_features.METRICS_VARIABLE, raising=False)


# CLIP


def test_clip_has_a_name_and_is_marked_as_a_proxy(clip):
    assert (clip.name, clip.proxy, clip.device) == ("miniature CLIP", True, torch.device("cpu"))
    assert clip.network.to_dict() == {"name": "miniature CLIP", "proxy": True, "digest": clip.digest}
    assert len(clip.digest) == 64
    assert {parameter.dtype for parameter in clip.model.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in clip.model.parameters())


def test_embeddings_and_feature_maps_equal_those_of_transformers(clip, images):
    with torch.no_grad():
        inputs = clip.processor(
            images=images, text=["Petra, photo", "Big Ben"], padding=True, truncation=True, return_tensors="pt"
        )
        theirs = clip.model(**inputs, output_hidden_states=True)
    embeddings, texts = clip.image_features(images), clip.text_features(["Petra, photo", "Big Ben"])
    unit = torch.nn.functional.normalize
    assert torch.allclose(unit(embeddings, dim=-1), theirs.image_embeds, atol=1e-5)
    assert torch.allclose(unit(texts, dim=-1), theirs.text_embeds, atol=1e-5)
    assert (embeddings.norm(dim=-1) - 1).abs().min() > 0.1  # not normalized
    states = theirs.vision_model_output.last_hidden_state[:, 1:]
    assert [tuple(depth.shape) for depth in clip.feature_maps(images)] == [(2, 64, 192)] * 3
    assert torch.allclose(clip.feature_maps(images)[-1], states, atol=1e-4)
    assert not torch.allclose(clip.feature_maps(images)[0], states, atol=1)


def test_features_do_not_depend_on_the_batch(clip, images):
    both = clip.encode_images(images)
    for index, image in enumerate(images):
        alone = clip.encode_images([image])
        assert torch.allclose(alone.embeddings[0], both.embeddings[index], atol=1e-4)
        assert all(torch.allclose(a[0], b[index], atol=1e-3) for a, b in zip(alone.maps, both.maps))
    texts = ["a bridge", "Petra, Jordan, a rose-red temple carved into a cliff in the desert at sunset, wide shot"]
    for index, text in enumerate(texts):
        assert torch.allclose(clip.text_features([text])[0], clip.text_features(texts)[index], atol=1e-4)


def test_gray_and_transparent_images_are_converted_to_rgb(clip, images):
    gray = images[0].convert("L")
    assert torch.equal(clip.image_features([gray]), clip.image_features([gray.convert("RGB")]))
    assert torch.equal(clip.image_features([images[0].convert("RGBA")]), clip.image_features([images[0]]))


def test_a_long_text_is_truncated_and_the_truncated_tokens_are_counted(clip):
    long = "tower " * 100
    assert clip.truncated_tokens("Big Ben, London") == 0
    assert clip.truncated_tokens(long) == len(clip.processor.tokenizer(long).input_ids) - 77 > 0
    assert torch.equal(clip.text_features([long]), clip.text_features([long + "bridge"]))


def test_clip_is_loaded_once(clip):
    assert clip_features.load_clip("miniature", "cpu") is clip


def test_auto_is_the_local_clip_else_the_miniature(clip, no_metrics, monkeypatch, tmp_path):
    assert clip_features.load_clip("auto", "cpu") is clip
    monkeypatch.setenv(clip_features.METRICS_VARIABLE, str(tmp_path))
    assert clip_features.load_clip("auto", "cpu") is clip
    shutil.copytree(CLIP, tmp_path / "clip")
    loaded = clip_features.load_clip("auto", "cpu")
    assert (loaded.name, loaded.proxy, loaded.digest) == ("CLIP in clip", False, clip.digest)


def test_a_hub_id_is_loaded_from_the_cache_only(monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda model_id, **how: {True: str(CLIP)}[how["local_files_only"]]
    )
    loaded = clip_features.load_clip("somebody/their-clip", "cpu")
    assert (loaded.name, loaded.proxy) == ("somebody/their-clip", False)


@pytest.mark.parametrize(
    ("model_id", "message"),
    [
        (
            "nobody/nothing",
            "is not on this machine, and an evaluation downloads nothing; .* `hf download nobody/nothing --include",
        ),
        ("no such thing", "neither 'auto', 'miniature', a folder nor a Hub id"),
        ("", "neither 'auto'"),
    ],
)
def test_a_missing_clip_is_reported_with_a_solution(model_id, message):
    with pytest.raises(StudioError, match=message):
        clip_features.load_clip(model_id, "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "siglip"}'), "it is a siglip"),
        (lambda folder: (folder / "model-00002-of-00002.safetensors").write_bytes(b"no weights"), "cannot be loaded"),
        (lambda folder: (folder / "model-00002-of-00002.safetensors").unlink(), "cannot be loaded"),
    ],
)
def test_a_folder_without_a_complete_clip_is_rejected(change, message, tmp_path):
    folder = shutil.copytree(CLIP, tmp_path / "clip")
    change(folder)
    with pytest.raises(StudioError, match=f"{message}.*or use 'miniature', which is always available"):
        clip_features.load_clip(str(folder), "cpu")


def test_missing_weights_are_rejected(tmp_path):
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
        clip_features.load_clip(str(folder), "cpu")


def test_a_pickle_is_not_opened(tmp_path):
    folder = shutil.copytree(CLIP, tmp_path / "clip", ignore=shutil.ignore_patterns("model*"))
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(StudioError, match="cannot be loaded"):
        clip_features.load_clip(str(folder), "cpu")


def test_image_tensors_are_between_0_and_1():
    assert clip_features.image_tensor(Image.new("RGB", (3, 2), (255, 0, 51))).tolist() == [
        [[[1.0] * 3] * 2, [[0.0] * 3] * 2, [[pytest.approx(0.2)] * 3] * 2]
    ]
    assert clip_features.image_tensor(Image.new("L", (3, 2), 255)).shape == (1, 1, 2, 3)


# The reference networks


@pytest.fixture(scope="module")
def inception_weights():
    """Random weights with the names of torch-fidelity's file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Bare(FeatureExtractorInceptionV3):
        def load_state_dict(self, weights):
            """Keep the random weights."""

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Bare("bare", ["2048"], nothing).state_dict()


def test_inception_returns_the_features_that_torchmetrics_computes_fid_from(inception_weights, images, tmp_path):
    from torchmetrics.image.fid import FrechetInceptionDistance

    save_file(inception_weights, tmp_path / "inception.safetensors")
    torch.save(inception_weights, tmp_path / "theirs.pth")
    theirs = FrechetInceptionDistance(feature_extractor_weights_path=str(tmp_path / "theirs.pth")).inception
    network = reference_network.load_inception(tmp_path, "cpu")
    batch = torch.cat([(clip_features.image_tensor(image) * 255).round().byte() for image in images])
    assert (network.network.name, network.network.proxy) == ("Inception v3", False)
    assert network.image_features(images).shape == (2, 2048)
    assert torch.allclose(network.image_features(images), theirs(batch), rtol=1e-4, atol=1e-6)
    assert network.image_features(images).std() > 0
    assert reference_network.load_inception(tmp_path, "cpu") is network


def test_a_file_of_other_weights_is_not_loaded_as_inception(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "inception.safetensors")
    with pytest.raises(
        StudioError, match=r"does not hold torch-fidelity's Inception v3 .*; replace it with the right file"
    ):
        reference_network.load_inception(tmp_path, "cpu")
    (tmp_path / "inception.safetensors").write_bytes(b"torn")
    with pytest.raises(StudioError, match=r"cannot be read .*; copy it again, or remove it"):
        reference_network.load_inception(tmp_path, "cpu")


def test_missing_torch_fidelity_is_reported(tmp_path, monkeypatch):
    (tmp_path / "inception.safetensors").write_bytes(b"never read")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert reference_network.load_inception(tmp_path) is None
    assert any("pip install torch-fidelity" in sentence for sentence in reference_network.missing_networks(tmp_path))


@pytest.fixture(scope="module", params=["alexnet", "vgg16"])
def backbone(request):
    """Random weights of torchvision's network, with its name."""
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return request.param, getattr(torchvision.models, request.param)(weights=None, num_classes=2).features


def test_lpips_equals_that_of_torchmetrics(backbone, images, tmp_path, monkeypatch):
    from torchmetrics.functional.image import lpips

    name, network = backbone
    save_file(
        {f"features.{key}": value for key, value in network.state_dict().items()}, tmp_path / f"{name}.safetensors"
    )
    monkeypatch.setattr(lpips, "_get_tv_model_features", lambda net, pretrained=False: network)
    theirs = lpips.learned_perceptual_image_patch_similarity(
        *(clip_features.image_tensor(image) for image in images),
        net_type={"alexnet": "alex", "vgg16": "vgg"}[name],
        normalize=True,
    ).item()
    monkeypatch.undo()
    loaded = reference_network.load_lpips(tmp_path, "cpu")
    assert loaded.network.name == {"alexnet": "AlexNet", "vgg16": "VGG16"}[name]
    assert loaded.distance(*images) == pytest.approx(theirs, rel=1e-4)
    assert theirs > 0
    assert loaded.distance(images[0], images[0]) == 0


def test_the_lpips_heads_equal_those_of_torchmetrics():
    import torchmetrics

    folder = Path(torchmetrics.__file__).parent / "functional/image/lpips_models"
    for name in ("alex", "vgg"):
        theirs = torch.load(folder / f"{name}.pth", map_location="cpu", weights_only=True)
        ours = load_file(reference_network.HEADS / f"{name}.safetensors")
        assert ours.keys() == {f"lin{layer}.model.1.weight" for layer in range(5)}
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_file_of_other_weights_is_not_loaded_as_alexnet(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "alexnet.safetensors")
    with pytest.raises(StudioError, match="does not hold torchvision's AlexNet"):
        reference_network.load_lpips(tmp_path, "cpu")


def test_missing_networks_are_reported_with_their_proxy_and_a_solution(no_metrics, monkeypatch, tmp_path):
    sentences = reference_network.missing_networks()
    assert [sentence.split()[0] for sentence in sentences] == ["CLIP", "FID's", "LPIPS's"]
    assert all(clip_features.METRICS_VARIABLE in sentence for sentence in sentences)
    assert reference_network.load_inception() is None
    assert reference_network.load_lpips() is None
    monkeypatch.setenv(clip_features.METRICS_VARIABLE, str(tmp_path))
    assert reference_network.missing_networks() == sentences
    (tmp_path / "clip").mkdir()
    for name in ("inception", "vgg16"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"")
    assert reference_network.missing_networks() == []
