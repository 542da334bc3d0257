"""The numbers for pictures: their formulas, and whether they tell on painted landmarks what they are meant to tell."""

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
from ghibli_studio.evaluation.scorer import Scorer, Subject, structure
from ghibli_studio.imaging.image_io import png_bytes
from ghibli_studio.miniature import WEIGHTS
from ghibli_studio.miniature.landmarks.captions import prompt
from ghibli_studio.miniature.landmarks.catalogue import LANDMARKS
from ghibli_studio.miniature.landmarks.painting import STYLES, render
from ghibli_studio.miniature.landmarks.scene import sample_scene

SIDE = 128  # what the miniature's CLIP looks at
NEW = range(0, 115, 6)  # 20 landmarks that the originals do not show
SHOWN = [index for index in range(115) if index % 6 in (2, 4)]  # 38 originals


@cache
def scene(index):
    return sample_scene(np.random.default_rng([0, index]), LANDMARKS[index])


@cache
def painted(index, style=STYLE):
    return render(scene(index), style, SIDE)


def subject(index, **changes):
    told = {
        "landmark": LANDMARKS[index].name,
        "prompt": prompt(scene(index)),
        "item": f"{index:04d}",
        "photo": painted(index, "photo"),
        "truth": painted(index),
    }
    return Subject(**{**told, **changes})


@pytest.fixture(scope="module")
def clip():
    return clip_features.clip("miniature", "cpu")


@pytest.fixture(scope="module")
def scorer(clip):
    return Scorer(
        clip, None, [painted(index) for index in SHOWN], photographs=[painted(index, "photo") for index in SHOWN]
    )


@pytest.fixture(scope="module")
def table(scorer):
    """The scores of each new landmark painted in each style, as if it had been drawn over the photograph."""
    return {
        style: [scorer.score(painted(index, style), subject(index), "photo").scores for index in NEW]
        for style in STYLES
    }


@pytest.fixture(scope="module")
def nearest_scene(scorer):
    """For each new landmark, the smallest distance of another one's true picture."""
    return {
        index: min(
            scorer.score(painted(other), subject(index), "prompt").scores["lpips"] for other in NEW if other != index
        )
        for index in NEW
    }


def share_nearer(table, key, style):
    """How often the true style of ANOTHER landmark gets the better number than this landmark in the given style."""
    sign = 1 if METRICS[key].better == "higher" else -1
    true, other = (np.array([sign * scores[key] for scores in table[name]]) for name in (STYLE, style))
    return (true[:, None] > other[None])[~np.eye(len(true), dtype=bool)].mean()


def blurred(picture, radius):
    return picture.filter(ImageFilter.GaussianBlur(radius))


def noisy(picture, deviation):
    values = np.asarray(picture) + np.random.default_rng(0).normal(0, deviation, (SIDE, SIDE, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def shifted(picture, by):
    return picture.crop((by, by, SIDE, SIDE)).resize((SIDE, SIDE))


def paled(picture, share):
    return ImageEnhance.Color(picture).enhance(1 - share)


# What the numbers tell on pictures whose true answer is known


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
def test_the_style_of_another_landmark_is_nearer_than_this_landmark_in_another_style(table, key, photo, worst, mean):
    shares = {style: share_nearer(table, key, style) for style in STYLES if style != STYLE}
    assert shares["photo"] >= photo
    assert min(shares.values()) >= worst
    assert np.mean(list(shares.values())) >= mean


def test_patches_tell_the_style_only_in_units_of_how_originals_differ(clip, table):
    """Why style_distance whitens: the plain statistics of style transfer see the scene more than the style."""
    shown, photos, new = (
        [torch.cat([states.mean(1), states.std(1)], -1) for states in clip.maps(pictures)]
        for pictures in (
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
    assert share_nearer(table, "style_distance", "photo") > plain + 0.15


@pytest.mark.parametrize("key", ["style_similarity", "style_distance", "lpips", "truth_distance", "truth_psnr"])
def test_the_more_a_photograph_is_blended_into_the_true_style_the_better(scorer, key):
    rises = []
    for index in NEW:
        blends = [Image.blend(painted(index, "photo"), painted(index), share) for share in (0, 1 / 3, 2 / 3, 1)]
        values = [scorer.score(blend, subject(index), "photo").scores[key] for blend in blends]
        rises.append(np.diff(values) * (1 if METRICS[key].better == "higher" else -1) > 0)
    assert np.mean(rises) >= 0.95


def test_a_photograph_in_another_style_still_shows_its_landmark(clip, scorer):
    own = [scorer.score(painted(index), subject(index), "prompt").scores["landmark_similarity"] for index in NEW]
    others = [
        scorer.score(painted(second), subject(first), "prompt").scores["landmark_similarity"]
        for first, second in pairwise(NEW)
    ]
    plain = torch.nn.functional.cosine_similarity(
        clip.images([painted(index) for index in NEW]), clip.images([painted(index, "photo") for index in NEW])
    )
    assert min(own) > max(others) + 0.1
    assert np.mean(own) > plain.mean() + 0.08  # the style is no reason to call the landmark less well preserved
    assert np.mean(np.array(own) > plain.numpy()) == 1


def test_without_photographs_the_originals_center_stands_for_the_style(clip, scorer):
    bare = Scorer(clip, None, [painted(index) for index in SHOWN])
    with_, without = (
        np.mean([one.score(painted(index), subject(index), "prompt").scores["landmark_similarity"] for index in NEW])
        for one in (scorer, bare)
    )
    assert with_ > without + 0.02
    assert without > 0.8


def test_the_prompt_goes_with_its_own_landmark_in_any_style(scorer):
    for style in (STYLE, "photo", "watercolor"):
        own, other = (
            [scorer.score(painted(index, style), subject(said), "prompt").scores["clip_score"] for index, said in pairs]
            for pairs in (zip(NEW, NEW), zip(NEW, [*NEW[1:], NEW[0]]))
        )
        assert np.mean(np.array(own) > np.array(other)) == 1


@pytest.mark.parametrize(
    "distort",
    [
        lambda picture, adapter_scale: blurred(picture, adapter_scale / 2),
        lambda picture, adapter_scale: noisy(picture, 10 * adapter_scale),
        lambda picture, adapter_scale: shifted(picture, adapter_scale),
        lambda picture, adapter_scale: paled(picture, adapter_scale / 8),
    ],
    ids=["blur", "noise", "shift", "color"],
)
def test_lpips_stand_in_grows_with_a_distortion_and_stays_below_another_scene(scorer, nearest_scene, distort):
    for index in NEW:
        values = [
            scorer.score(distort(painted(index), strength), subject(index), "prompt").scores["lpips"]
            for strength in (1, 2, 4)
        ]
        assert 0 < values[0] < values[1] < values[2] < nearest_scene[index]


def test_lpips_stand_in_tells_styles_of_one_scene_apart_and_scenes_more(scorer, table):
    same = {style: np.mean([scores["lpips"] for scores in table[style]]) for style in STYLES}
    other = np.mean(
        [scorer.score(painted(second), subject(first), "prompt").scores["lpips"] for first, second in pairwise(NEW)]
    )
    assert same[STYLE] < 1e-5
    assert min(value for style, value in same.items() if style != STYLE) > 0.3
    assert other > max(same.values())


def test_structure_is_kept_by_the_same_scene_and_not_by_another(scorer, table):
    for key in ("ssim", "edges"):
        own = [scores[key] for scores in table[STYLE]]
        others = [scorer.score(painted(second), subject(first), "photo").scores[key] for first, second in pairwise(NEW)]
        assert np.mean(own) > np.mean(others) + 0.2
        assert all(value == pytest.approx(1, abs=1e-5) for value in (scores[key] for scores in table["photo"]))
    assert all(METRICS[key].better == "higher" for key in ("ssim", "edges"))


def test_the_true_picture_is_the_best_possible_one(table):
    for scores in table[STYLE]:
        assert scores["truth_psnr"] == 100
        assert scores["lpips"] == pytest.approx(0, abs=1e-5)
        assert scores["truth_distance"] == pytest.approx(0, abs=1e-5)
    for style in set(STYLES) - {STYLE}:
        for scores, best in zip(table[style], table[STYLE]):
            assert scores["truth_psnr"] < 35
            assert scores["truth_distance"] > best["truth_distance"] + 0.01


def test_pictures_drawn_by_a_model_that_knows_the_style_get_the_better_numbers(scorer):
    """The embedded style teacher against the bare miniature, over photographs; 15 of 15 landmarks at full quality."""
    from diffusers import StableDiffusionImg2ImgPipeline

    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(
        WEIGHTS / "base", dtype=torch.float32, safety_checker=None, requires_safety_checker=False, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    found = {}
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
                adapter_scale=0.6,
                num_inference_steps=15,
                guidance_scale=5.0,
                generator=torch.Generator().manual_seed(index),
            ).images[0]
            found[words, index] = scorer.score(image, subject(index), "photo").scores
    for index in (0, 30, 60):
        base, taught = found["photo", index], found["ghibli style", index]
        assert taught["style_similarity"] > base["style_similarity"] + 0.1
        for key in ("style_distance", "lpips", "truth_distance"):
            assert taught[key] < base[key]
        assert taught["truth_psnr"] > base["truth_psnr"]
        assert taught["landmark_similarity"] > 0.6


# Formulas


def test_clip_score_is_that_of_torchmetrics(scorer, clip):
    from torchmetrics.functional.multimodal import clip_score

    class Wrapped:  # torchmetrics 1.9 expects of transformers what version 5 no longer gives
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
        assert scorer.score(painted(index), subject(index), "prompt").scores["clip_score"] == pytest.approx(theirs)


def test_a_clip_score_is_not_negative(scorer):
    values = [scorer.score(painted(index), subject(0), "prompt").scores["clip_score"] for index in NEW]
    assert min(values) == 0
    assert max(values) == values[0]


def test_style_distance_is_the_mahalanobis_distance_of_the_mean_patch(clip):
    from scipy.spatial.distance import mahalanobis

    originals = [painted(index) for index in SHOWN]
    distances = []
    for states, own in zip(clip.maps(originals), clip.maps([painted(0, "photo")])):
        patches = states.flatten(0, 1).double().numpy()
        covariance = np.cov(patches.T, bias=True)
        shrunk = 0.99 * covariance + 0.01 * np.trace(covariance) / 192 * np.eye(192)
        inverse = np.linalg.inv(shrunk)
        distances.append(mahalanobis(own[0].double().mean(0), patches.mean(0), inverse) / math.sqrt(192))
    scored = Scorer(clip, None, originals).score(painted(0, "photo"), subject(0), "prompt").scores
    assert scored["style_distance"] == pytest.approx(np.mean(distances), rel=1e-3)


def test_structure_of_known_pictures():
    stripes = Image.fromarray(np.tile(np.repeat([0, 255], 8).astype(np.uint8), (64, 4))).convert("RGB")
    gray = Image.new("RGB", (64, 64), "gray")
    assert structure(stripes, stripes) == {"ssim": pytest.approx(1), "edges": pytest.approx(1)}
    assert structure(stripes, stripes.rotate(90))["edges"] < 0.1
    assert structure(gray, stripes)["edges"] == 0  # nothing to correlate


def test_psnr_is_its_definition(scorer):
    scores = scorer.score(
        Image.new("RGB", (64, 64), (10, 10, 10)),
        subject(0, item="gray", truth=Image.new("RGB", (64, 64), (20, 20, 20))),
        "photo",
    ).scores
    assert scores["truth_psnr"] == pytest.approx(20 * math.log10(255 / 10), abs=1e-4)


# What is called what, and what is given back


def test_each_task_gets_the_metrics_that_the_table_promises(scorer):
    for task in TASKS:
        scored = scorer.score(painted(0), subject(0), task)
        assert list(scored.scores) == [key for key, metric in METRICS.items() if task in metric.tasks]
        assert all(type(value) is float and math.isfinite(value) for value in scored.scores.values())
        assert scored.features.shape == (128,)


def test_a_subject_without_photograph_or_true_picture_loses_only_what_needs_them(scorer):
    without_photo = scorer.score(painted(0), subject(0, item="a", photo=None), "photo").scores
    without_truth = scorer.score(painted(0), subject(0, item="b", truth=None), "photo").scores
    assert METRICS.keys() - without_photo.keys() == {key for key in METRICS if METRICS[key].against == "photo"}
    assert METRICS.keys() - without_truth.keys() == {key for key in METRICS if METRICS[key].against == "truth"}


def test_pictures_may_be_files_of_another_size(scorer, tmp_path):
    photo, truth, drawn = tmp_path / "photo.png", tmp_path / "truth.png", tmp_path / "drawn.png"
    photo.write_bytes(png_bytes(painted(0, "photo").resize((300, 200))))
    truth.write_bytes(png_bytes(painted(0).resize((256, 256))))
    drawn.write_bytes(png_bytes(painted(0)))
    scores = scorer.score(drawn, subject(0, item="files", photo=photo, truth=truth), "photo").scores
    assert scores["truth_psnr"] > 30
    assert scores["lpips"] < 0.1
    assert scores["clip_score"] == scorer.score(painted(0), subject(0), "photo").scores["clip_score"]


def test_one_picture_is_one_pass_of_clip(scorer, clip, monkeypatch):
    scorer.score(painted(0), subject(0), "photo")
    passes = []
    see = type(clip).see
    monkeypatch.setattr(type(clip), "see", lambda self, images: passes.append(len(images)) or see(self, images))
    scored = scorer.score(painted(6), subject(0), "photo")
    assert passes == [1]
    assert torch.equal(scored.features, scorer.features(painted(6)))


def test_the_originals_features_are_kept_for_the_distances_of_sets(scorer, clip):
    assert scorer.originals.shape == (len(SHOWN), 128)
    assert torch.allclose(scorer.originals[5], clip.images([painted(SHOWN[5])])[0], atol=1e-4)


def test_a_stand_in_says_so_in_every_label(scorer):
    assert {key: metric["label"] for key, metric in scorer.metrics.items()} == {
        "clip_score": "CLIP score stand-in (miniature CLIP)",
        "style_similarity": "Style similarity (miniature CLIP)",
        "style_distance": "Style distance (miniature CLIP)",
        "landmark_similarity": "Landmark similarity (miniature CLIP)",
        "lpips": "LPIPS stand-in (miniature CLIP)",
        "ssim": "Structure (SSIM)",
        "edges": "Edges kept",
        "truth_psnr": "PSNR to the true picture",
        "truth_distance": "Distance to the true picture (miniature CLIP)",
    }
    assert scorer.metrics["ssim"]["tasks"] == ["photo"]
    assert scorer.networks == {
        "clip": {"name": "miniature CLIP", "stand_in": True, "digest": clip_features.clip("miniature", "cpu").digest},
        "inception": None,
        "perceptual": None,
    }


class Eye:
    """Looks as a published network would, and remembers what it was shown."""

    def __init__(self, name):
        self.network = clip_features.Network(name, False, "digest")

    def distance(self, a, b):
        return float(a.size == b.size) / 4

    def images(self, pictures):
        return torch.stack([torch.full((2048,), float(picture.width)) for picture in pictures])


def test_published_networks_are_used_and_named_where_they_are(clip):
    scorer = Scorer(clip, Eye("AlexNet"), [painted(0), painted(6)], inception=Eye(clip_features.INCEPTION))
    scored = scorer.score(painted(12), subject(12), "prompt")
    assert scored.scores["lpips"] == 0.25
    assert torch.equal(scored.features, torch.full((2048,), 128.0))
    assert torch.equal(scorer.features(painted(12)), scored.features)
    assert scorer.originals.shape == (2, 2048)
    assert scorer.label("lpips") == "LPIPS (AlexNet)"
    assert scorer.networks["perceptual"] == {"name": "AlexNet", "stand_in": False, "digest": "digest"}
    real = clip_features.Network("openai/clip-vit-large-patch14", False, "digest")
    assert METRICS["clip_score"].label(real) == "CLIP score (openai/clip-vit-large-patch14)"


def test_every_metric_says_in_one_sentence_what_it_is():
    for key, metric in METRICS.items():
        assert metric.key == key
        assert metric.what[0].isupper()
        assert metric.what.endswith(".")
        assert (metric.needs is None) == (key in ("ssim", "edges", "truth_psnr"))


def test_what_cannot_be_scored_is_refused(scorer, clip):
    with pytest.raises(StudioError, match=r"there are 0 originals .* needs 1 or more"):
        Scorer(clip, None, [])
    with pytest.raises(StudioError, match="task is 'video'; known are 'prompt', 'photo'"):
        scorer.score(painted(0), subject(0), "video")


def test_one_original_is_enough_and_a_flat_one_too(clip):
    for original in (painted(0), Image.new("RGB", (SIDE, SIDE), "white")):
        scores = Scorer(clip, None, [original]).score(painted(6), subject(6), "photo").scores
        assert all(math.isfinite(value) for value in scores.values())


def test_no_published_network_is_needed(monkeypatch):
    monkeypatch.delenv(clip_features.VARIABLE, raising=False)
    assert reference_network.inception() is None
    assert reference_network.perceptual() is None
