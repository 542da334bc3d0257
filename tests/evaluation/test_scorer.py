"""The scores of images: their formulas, and how well they work on painted landmarks, whose correct answer is known."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter

from adapters.settings import StudioError
from ghibli_studio.data.sample_dataset import STYLE
from ghibli_studio.evaluation import clip as clip_features
from ghibli_studio.evaluation import reference_network
from ghibli_studio.evaluation.metrics import METRICS, TASKS
from ghibli_studio.evaluation.scorer import Scorer, Subject, structure_scores
from ghibli_studio.imaging.image_io import png_bytes
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.miniature.landmarks.captions import prompt
from ghibli_studio.miniature.landmarks.catalog import LANDMARKS
from ghibli_studio.miniature.landmarks.painting import STYLES, render
from ghibli_studio.miniature.landmarks.scene import sample_scene

SIDE = 128  # input size of the miniature's CLIP
NEW = range(0, 115, 6)  # 20 landmarks that the originals do not show
SHOWN = [index for index in range(115) if index % 6 in (2, 4)]  # 38 originals


@cache
def scene(index):
    return sample_scene(np.random.default_rng([0, index]), LANDMARKS[index])


@cache
def painted(index, style=STYLE):
    return render(scene(index), style, SIDE)


def subject(index, **changes):
    values = {
        "landmark": LANDMARKS[index].name,
        "prompt": prompt(scene(index)),
        "item": f"{index:04d}",
        "photo": painted(index, "photo"),
        "ground_truth": painted(index),
    }
    return Subject(**{**values, **changes})


@pytest.fixture(scope="module")
def clip():
    return clip_features.load_clip("miniature", "cpu")


@pytest.fixture(scope="module")
def scorer(clip):
    return Scorer(clip, None, [painted(index) for index in SHOWN], photos=[painted(index, "photo") for index in SHOWN])


@pytest.fixture(scope="module")
def table(scorer):
    """The scores of each new landmark painted in each style, as if it had been generated from the photo."""
    return {
        style: [scorer.score(painted(index, style), subject(index), "img2img").scores for index in NEW]
        for style in STYLES
    }


@pytest.fixture(scope="module")
def nearest_scene(scorer):
    """For each new landmark, the smallest distance of another landmark's ground truth."""
    return {
        index: min(
            scorer.score(painted(other), subject(index), "txt2img").scores["lpips"] for other in NEW if other != index
        )
        for index in NEW
    }


def share_closer(table, key, style):
    """How often ANOTHER landmark in the true style scores better than this landmark in the given style."""
    sign = 1 if METRICS[key].better == "higher" else -1
    true, other = (np.array([sign * scores[key] for scores in table[name]]) for name in (STYLE, style))
    return (true[:, None] > other[None])[~np.eye(len(true), dtype=bool)].mean()


def blurred(image, radius):
    return image.filter(ImageFilter.GaussianBlur(radius))


def noisy(image, deviation):
    values = np.asarray(image) + np.random.default_rng(0).normal(0, deviation, (SIDE, SIDE, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def shifted(image, by):
    return image.crop((by, by, SIDE, SIDE)).resize((SIDE, SIDE))


def paled(image, share):
    return ImageEnhance.Color(image).enhance(1 - share)


# Scores of images whose correct answer is known


@pytest.mark.parametrize(
    ("key", "photo", "worst", "mean"),
    [
        (
            "style_similarity",
            0.99,
            0.8,
            0.93,
        ),  # found 1, .866 (pixel art), .960; with 86 originals of 256 px 1, .938, .982
        ("style_distance", 0.93, 0.85, 0.95),  # found .963, .913 (oil painting), .983; and .977, .893, .983
    ],
)
def test_another_landmark_in_the_true_style_scores_better_than_this_landmark_in_another_style(
    table, key, photo, worst, mean
):
    shares = {style: share_closer(table, key, style) for style in STYLES if style != STYLE}
    assert shares["photo"] >= photo
    assert min(shares.values()) >= worst
    assert np.mean(list(shares.values())) >= mean


def test_patches_separate_styles_only_if_they_are_whitened(clip, table):
    """Why style_distance whitens: the plain statistics of style transfer depend on the scene more than on the style."""
    shown, photos, new = (
        [torch.cat([states.mean(1), states.std(1)], -1) for states in clip.feature_maps(images)]
        for images in (
            [painted(index) for index in SHOWN],
            [painted(index, "photo") for index in NEW],
            [painted(i) for i in NEW],
        )
    )
    to_photos, to_new = (
        sum((a - b.mean(0)).pow(2).mean(-1).sqrt() for a, b in zip(one, shown)) for one in (photos, new)
    )
    plain = (to_new[:, None] < to_photos[None])[~torch.eye(len(NEW), dtype=bool)].float().mean().item()
    assert plain < 0.8  # found .69
    assert share_closer(table, "style_distance", "photo") > plain + 0.15


@pytest.mark.parametrize("key", ["style_similarity", "style_distance", "lpips", "clip_distance", "psnr"])
def test_scores_improve_as_a_photo_is_blended_into_the_true_style(scorer, key):
    rises = []
    for index in NEW:
        blends = [Image.blend(painted(index, "photo"), painted(index), share) for share in (0, 1 / 3, 2 / 3, 1)]
        values = [scorer.score(blend, subject(index), "img2img").scores[key] for blend in blends]
        rises.append(np.diff(values) * (1 if METRICS[key].better == "higher" else -1) > 0)
    assert np.mean(rises) >= 0.95


def test_landmark_similarity_does_not_depend_on_the_style(clip, scorer):
    own = [scorer.score(painted(index), subject(index), "txt2img").scores["landmark_similarity"] for index in NEW]
    others = [
        scorer.score(painted(second), subject(first), "txt2img").scores["landmark_similarity"]
        for first, second in pairwise(NEW)
    ]
    plain = torch.nn.functional.cosine_similarity(
        clip.image_features([painted(index) for index in NEW]),
        clip.image_features([painted(index, "photo") for index in NEW]),
    )
    assert min(own) > max(others) + 0.1
    assert np.mean(own) > plain.mean() + 0.08  # the style itself does not lower the score
    assert np.mean(np.array(own) > plain.numpy()) == 1


def test_without_photos_the_center_of_the_originals_is_the_style(clip, scorer):
    bare = Scorer(clip, None, [painted(index) for index in SHOWN])
    with_, without = (
        np.mean([one.score(painted(index), subject(index), "txt2img").scores["landmark_similarity"] for index in NEW])
        for one in (scorer, bare)
    )
    assert with_ > without + 0.02
    assert without > 0.8


def test_a_prompt_matches_its_own_landmark_in_any_style(scorer):
    for style in (STYLE, "photo", "watercolor"):
        own, other = (
            [
                scorer.score(painted(index, style), subject(said), "txt2img").scores["clip_score"]
                for index, said in pairs
            ]
            for pairs in (zip(NEW, NEW), zip(NEW, [*NEW[1:], NEW[0]]))
        )
        assert np.mean(np.array(own) > np.array(other)) == 1


@pytest.mark.parametrize(
    "distort",
    [
        lambda image, strength: blurred(image, strength / 2),
        lambda image, strength: noisy(image, 10 * strength),
        lambda image, strength: shifted(image, strength),
        lambda image, strength: paled(image, strength / 8),
    ],
    ids=["blur", "noise", "shift", "color"],
)
def test_the_lpips_proxy_grows_with_a_distortion_and_stays_below_another_scene(scorer, nearest_scene, distort):
    for index in NEW:
        values = [
            scorer.score(distort(painted(index), strength), subject(index), "txt2img").scores["lpips"]
            for strength in (1, 2, 4)
        ]
        assert 0 < values[0] < values[1] < values[2] < nearest_scene[index]


def test_the_lpips_proxy_separates_styles_of_one_scene_and_scenes_even_more(scorer, table):
    same = {style: np.mean([scores["lpips"] for scores in table[style]]) for style in STYLES}
    other = np.mean(
        [scorer.score(painted(second), subject(first), "txt2img").scores["lpips"] for first, second in pairwise(NEW)]
    )
    assert same[STYLE] < 1e-5
    assert min(value for style, value in same.items() if style != STYLE) > 0.3
    assert other > max(same.values())


def test_structure_is_similar_for_the_same_scene_and_not_for_another(scorer, table):
    for key in ("ssim", "edge_correlation"):
        own = [scores[key] for scores in table[STYLE]]
        others = [
            scorer.score(painted(second), subject(first), "img2img").scores[key] for first, second in pairwise(NEW)
        ]
        assert np.mean(own) > np.mean(others) + 0.2
        assert all(value == pytest.approx(1, abs=1e-5) for value in (scores[key] for scores in table["photo"]))
    assert all(METRICS[key].better == "higher" for key in ("ssim", "edge_correlation"))


def test_the_ground_truth_gets_the_best_possible_scores(table):
    for scores in table[STYLE]:
        assert scores["psnr"] == 100
        assert scores["lpips"] == pytest.approx(0, abs=1e-5)
        assert scores["clip_distance"] == pytest.approx(0, abs=1e-5)
    for style in set(STYLES) - {STYLE}:
        for scores, best in zip(table[style], table[STYLE]):
            assert scores["psnr"] < 35
            assert scores["clip_distance"] > best["clip_distance"] + 0.01


def test_images_of_a_model_that_knows_the_style_score_better(scorer):
    """The embedded style teacher vs. the bare miniature, img2img; 15 of 15 landmarks at full quality."""
    from diffusers import StableDiffusionImg2ImgPipeline

    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(
        WEIGHTS / "base", dtype=torch.float32, safety_checker=None, requires_safety_checker=False, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    scores = {}
    for words in ("photo", "ghibli style"):
        if words != "photo":
            pipeline.load_lora_weights(
                str(WEIGHTS / "style_teacher"), local_files_only=True, weight_name="pytorch_lora_weights.safetensors"
            )
            pipeline.unet.eval()
        for index in (0, 30, 60):
            image = pipeline(
                f"{prompt(scene(index))}, {words}",
                image=painted(index, "photo").resize((256, 256)),
                strength=0.6,
                num_inference_steps=15,
                guidance_scale=5.0,
                generator=torch.Generator().manual_seed(index),
            ).images[0]
            scores[words, index] = scorer.score(image, subject(index), "img2img").scores
    for index in (0, 30, 60):
        base, taught = scores["photo", index], scores["ghibli style", index]
        assert taught["style_similarity"] > base["style_similarity"] + 0.1
        for key in ("style_distance", "lpips", "clip_distance"):
            assert taught[key] < base[key]
        assert taught["psnr"] > base["psnr"]
        assert taught["landmark_similarity"] > 0.6


# Formulas


@pytest.mark.filterwarnings("ignore:`max_length` is ignored")  # torchmetrics calls the processor so
def test_the_clip_score_equals_that_of_torchmetrics(scorer, clip):
    from torchmetrics.functional.multimodal import clip_score

    class Wrapped:  # torchmetrics 1.9 expects outputs that transformers 5 no longer returns
        config = clip.model.config

        def to(self, device):
            return self

        def get_image_features(self, *given):
            return clip.model.get_image_features(*given).pooler_output

        def get_text_features(self, *given):
            return clip.model.get_text_features(*given).pooler_output

    for index in (0, 30):
        values = torch.from_numpy(np.array(painted(index))).permute(2, 0, 1)
        theirs = clip_score(values, prompt(scene(index)), lambda: (Wrapped(), clip.processor)).item()
        assert scorer.score(painted(index), subject(index), "txt2img").scores["clip_score"] == pytest.approx(theirs)


def test_a_clip_score_is_not_negative(scorer):
    values = [scorer.score(painted(index), subject(0), "txt2img").scores["clip_score"] for index in NEW]
    assert min(values) == 0
    assert max(values) == values[0]


def test_style_distance_is_the_mahalanobis_distance_of_the_mean_patch(clip):
    from scipy.spatial.distance import mahalanobis

    originals = [painted(index) for index in SHOWN]
    distances = []
    for states, own in zip(clip.feature_maps(originals), clip.feature_maps([painted(0, "photo")])):
        patches = states.flatten(0, 1).double().numpy()
        covariance = np.cov(patches.T, bias=True)
        shrunk = 0.99 * covariance + 0.01 * np.trace(covariance) / 192 * np.eye(192)
        inverse = np.linalg.inv(shrunk)
        distances.append(mahalanobis(own[0].double().mean(0), patches.mean(0), inverse) / math.sqrt(192))
    scored = Scorer(clip, None, originals).score(painted(0, "photo"), subject(0), "txt2img").scores
    assert scored["style_distance"] == pytest.approx(np.mean(distances), rel=1e-3)


def test_structure_scores_of_simple_images():
    stripes = Image.fromarray(np.tile(np.repeat([0, 255], 8).astype(np.uint8), (64, 4))).convert("RGB")
    gray = Image.new("RGB", (64, 64), "gray")
    assert structure_scores(stripes, stripes) == {"ssim": pytest.approx(1), "edge_correlation": pytest.approx(1)}
    assert structure_scores(stripes, stripes.rotate(90))["edge_correlation"] < 0.1
    assert structure_scores(gray, stripes)["edge_correlation"] == 0  # nothing to correlate


def test_psnr_is_its_definition(scorer):
    scores = scorer.score(
        Image.new("RGB", (64, 64), (10, 10, 10)),
        subject(0, item="gray", ground_truth=Image.new("RGB", (64, 64), (20, 20, 20))),
        "img2img",
    ).scores
    assert scores["psnr"] == pytest.approx(20 * math.log10(255 / 10), abs=1e-4)


# Labels and returned values


def test_each_task_gets_its_metrics(scorer):
    for task in TASKS:
        scored = scorer.score(painted(0), subject(0), task)
        assert list(scored.scores) == [key for key, metric in METRICS.items() if task in metric.tasks]
        assert all(type(value) is float and math.isfinite(value) for value in scored.scores.values())
        assert scored.features.shape == (128,)


def test_a_missing_photo_or_ground_truth_omits_only_its_own_metrics(scorer):
    without_photo = scorer.score(painted(0), subject(0, item="a", photo=None), "img2img").scores
    without_truth = scorer.score(painted(0), subject(0, item="b", ground_truth=None), "img2img").scores
    assert METRICS.keys() - without_photo.keys() == {key for key in METRICS if METRICS[key].reference == "photo"}
    assert METRICS.keys() - without_truth.keys() == {key for key in METRICS if METRICS[key].reference == "ground_truth"}


def test_images_may_be_files_of_another_size(scorer, tmp_path):
    photo, truth, generated = (tmp_path / f"{name}.png" for name in ("photo", "truth", "generated"))
    photo.write_bytes(png_bytes(painted(0, "photo").resize((300, 200))))
    truth.write_bytes(png_bytes(painted(0).resize((256, 256))))
    generated.write_bytes(png_bytes(painted(0)))
    scores = scorer.score(generated, subject(0, item="files", photo=photo, ground_truth=truth), "img2img").scores
    assert scores["psnr"] > 30
    assert scores["lpips"] < 0.1
    assert scores["clip_score"] == scorer.score(painted(0), subject(0), "img2img").scores["clip_score"]


def test_one_image_needs_one_pass_of_clip(scorer, clip, monkeypatch):
    scorer.score(painted(0), subject(0), "img2img")
    passes = []
    encode = type(clip).encode_images
    monkeypatch.setattr(
        type(clip), "encode_images", lambda self, images: passes.append(len(images)) or encode(self, images)
    )
    scored = scorer.score(painted(6), subject(0), "img2img")
    assert passes == [1]
    assert torch.equal(scored.features, scorer.features(painted(6)))


def test_the_originals_features_are_kept_for_distribution_metrics(scorer, clip):
    assert scorer.original_features.shape == (len(SHOWN), 128)
    assert torch.allclose(scorer.original_features[5], clip.image_features([painted(SHOWN[5])])[0], atol=1e-4)


def test_a_proxy_is_named_in_every_label(scorer):
    assert {key: metric["label"] for key, metric in scorer.metrics.items()} == {
        "clip_score": "CLIP score proxy (miniature CLIP)",
        "style_similarity": "Style similarity (miniature CLIP)",
        "style_distance": "Style distance (miniature CLIP)",
        "landmark_similarity": "Landmark similarity (miniature CLIP)",
        "lpips": "LPIPS proxy (miniature CLIP)",
        "ssim": "Structure (SSIM)",
        "edge_correlation": "Edge correlation",
        "psnr": "PSNR to the ground truth",
        "clip_distance": "CLIP distance to the ground truth (miniature CLIP)",
    }
    assert scorer.metrics["ssim"]["tasks"] == ["img2img"]
    assert scorer.networks == {
        "clip": {"name": "miniature CLIP", "proxy": True, "digest": clip_features.load_clip("miniature", "cpu").digest},
        "inception": None,
        "lpips": None,
    }


class FakeNetwork:
    """A fake reference network with constant outputs."""

    def __init__(self, name):
        self.network = clip_features.Network(name, False, "digest")

    def distance(self, a, b):
        return float(a.size == b.size) / 4

    def image_features(self, images):
        return torch.stack([torch.full((2048,), float(image.width)) for image in images])


def test_available_reference_networks_are_used_and_named(clip):
    scorer = Scorer(
        clip, FakeNetwork("AlexNet"), [painted(0), painted(6)], inception=FakeNetwork(clip_features.INCEPTION_NAME)
    )
    scored = scorer.score(painted(12), subject(12), "txt2img")
    assert scored.scores["lpips"] == 0.25
    assert torch.equal(scored.features, torch.full((2048,), 128.0))
    assert torch.equal(scorer.features(painted(12)), scored.features)
    assert scorer.original_features.shape == (2, 2048)
    assert scorer.label("lpips") == "LPIPS (AlexNet)"
    assert scorer.networks["lpips"] == {"name": "AlexNet", "proxy": False, "digest": "digest"}
    real = clip_features.Network("openai/clip-vit-large-patch14", False, "digest")
    assert METRICS["clip_score"].label(real) == "CLIP score (openai/clip-vit-large-patch14)"


def test_every_metric_has_a_description():
    for key, metric in METRICS.items():
        assert metric.key == key
        assert metric.description[0].isupper()
        assert metric.description.endswith(".")
        assert (metric.network is None) == (key in ("ssim", "edge_correlation", "psnr"))


def test_invalid_arguments_are_rejected(scorer, clip):
    with pytest.raises(StudioError, match=r"there are 0 originals .* needs at least 1"):
        Scorer(clip, None, [])
    with pytest.raises(StudioError, match="task is 'video', but must be one of 'txt2img', 'img2img'"):
        scorer.score(painted(0), subject(0), "video")


def test_one_original_is_enough_even_a_flat_one(clip):
    for original in (painted(0), Image.new("RGB", (SIDE, SIDE), "white")):
        scores = Scorer(clip, None, [original]).score(painted(6), subject(6), "img2img").scores
        assert all(math.isfinite(value) for value in scores.values())


def test_no_reference_network_is_required(monkeypatch):
    monkeypatch.delenv(clip_features.METRICS_VARIABLE, raising=False)
    assert reference_network.load_inception() is None
    assert reference_network.load_lpips() is None
