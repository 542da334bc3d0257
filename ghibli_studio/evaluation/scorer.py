"""Compute the scores of each image from what the networks return. No network and no mean over images in here.

Where torchmetrics has the formula and accepts our network, its function is called. How well each metric works was
measured on painted landmarks, whose correct answer is known: see `tests/evaluation/test_scorer.py`. `metrics` describes
what each metric means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.evaluation.clip import DEPTHS, image_tensor
from ghibli_studio.evaluation.metrics import METRICS, TASKS
from ghibli_studio.imaging.crop import square
from ghibli_studio.imaging.image_io import open_image

if TYPE_CHECKING:
    from torch import Tensor

    from ghibli_studio.evaluation.clip import Clip, ClipFeatures
    from ghibli_studio.evaluation.reference_network import Inception, Lpips


ImageSource = Path | Image.Image
BATCH_SIZE = 16
"""Originals that CLIP encodes at once."""
SHRINKAGE = 0.01
"""Share of the patches' covariance that is replaced by its mean variance, so that it can be inverted."""
MAX_PSNR = 100.0
"""In dB."""


@dataclass(frozen=True)
class Subject:
    """A landmark to generate, and the references of its images."""

    landmark: str
    prompt: str
    """Without style words or trigger."""
    item: str
    """Id of the held-out item; a scorer caches each subject by its id."""
    photo: ImageSource | None
    """The source photo; None if there is none."""
    ground_truth: ImageSource | None
    """The landmark in the true style, which no method was trained on; None if there is none."""


@dataclass(frozen=True)
class ScoredImage:
    """The scores and features of one image."""

    scores: dict[str, float]
    """By the key of the metric."""
    features: Tensor
    """(d,) for distribution metrics; on the CPU, float32."""


@dataclass(frozen=True)
class _Reference:
    """A reference image with its CLIP features."""

    image: Image.Image
    features: ClipFeatures


@dataclass(frozen=True)
class _SubjectFeatures:
    """What all images of a subject share."""

    text: Tensor
    photo: _Reference | None = None
    ground_truth: _Reference | None = None


class Scorer:
    """Scores images; computes everything that depends only on the originals or on a subject once.

    `originals` are the training split's stylized images, and `photos` are their source photos: with them, the style's
    direction is the step from the photos' center to the originals'. Without them, it is the originals' center alone,
    and images in the photos' own style then get a slightly too high landmark similarity.
    """

    def __init__(
        self,
        clip: Clip,
        lpips: Lpips | None,
        originals: Sequence[ImageSource],
        *,
        inception: Inception | None = None,
        photos: Sequence[ImageSource] = (),
    ) -> None:
        import torch
        from torch.nn.functional import normalize

        if not originals:
            raise StudioError("there are 0 originals to compare the style with; the training split needs at least 1")
        self.clip, self.lpips, self.inception = clip, lpips, inception
        self._subjects: dict[tuple[str, int], _SubjectFeatures] = {}
        patches = [_PatchStatistics() for _ in DEPTHS]
        embeddings, features = [], []
        for batch in _batches(originals):
            encoded = clip.encode_images(batch)
            for statistics, states in zip(patches, encoded.maps):
                statistics.add(states)
            embeddings.append(encoded.embeddings)
            features.append(inception.image_features(batch) if inception else encoded.embeddings)
        center = normalize(torch.cat(embeddings), dim=-1).mean(0)
        self._center = normalize(center, dim=0)
        """(d,) of length 1."""
        of_photos = [clip.image_features(batch) for batch in _batches(photos)]
        photo_center = normalize(torch.cat(of_photos), dim=-1).mean(0) if of_photos else torch.zeros_like(center)
        self._style = normalize(center - photo_center, dim=0)
        """(d,) of length 1: the direction of the style."""
        self._whitenings = [statistics.whitening() for statistics in patches]
        self.original_features = torch.cat(features)
        """(originals, d) features for distribution metrics."""

    @property
    def networks(self) -> dict[str, dict[str, Any] | None]:
        """Name, proxy and digest of each network for a result file; None for those that are missing."""
        return {
            "clip": self.clip.network.to_dict(),
            "inception": self.inception.network.to_dict() if self.inception else None,
            "lpips": self.lpips.network.to_dict() if self.lpips else None,
        }

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Label, better, tasks and description of each metric, for a result file."""
        return {
            key: {
                "label": self.label(key),
                "better": metric.better,
                "tasks": list(metric.tasks),
                "description": metric.description,
            }
            for key, metric in METRICS.items()
        }

    def label(self, key: str) -> str:
        """Return a metric's name with the network that it is computed with here."""
        metric = METRICS[key]
        if metric.network is None:
            return metric.label(None)
        if metric.network == "clip":
            return metric.label(self.clip.network)
        return metric.label(self.lpips.network) if self.lpips else f"{metric.name} proxy ({self.clip.name})"

    def features(self, image: ImageSource) -> Tensor:
        """Return the features of an image without a subject for distribution metrics, (d,)."""
        return (self.inception or self.clip).image_features([_open(image)])[0]

    def score(self, image: ImageSource, subject: Subject, task: str) -> ScoredImage:
        """Compute all metrics of the task for one image, with one pass of each network.

        Metrics against a missing photo or ground truth are omitted. Both references are cropped and resized to the
        image's width.
        """
        import torch
        from torch.nn.functional import cosine_similarity

        if task not in TASKS:
            raise StudioError(f"task is {task!r}, but must be one of {', '.join(map(repr, TASKS))}")
        image = _open(image)
        subject_features, encoded = self._subject_features(subject, image.width), self.clip.encode_images([image])
        embedding = encoded.embeddings[0]
        scores: dict[str, float] = {
            "clip_score": max(100 * cosine_similarity(embedding, subject_features.text, dim=0).item(), 0.0),
            "style_similarity": cosine_similarity(embedding, self._center, dim=0).item(),
            "style_distance": self._style_distance(encoded),
        }
        if photo := subject_features.photo:
            own, other = self._without_style(torch.stack([embedding, photo.features.embeddings[0]]))
            scores["landmark_similarity"] = cosine_similarity(own, other, dim=0).item()
            if task == "img2img":
                scores |= structure_scores(image, photo.image)
        if truth := subject_features.ground_truth:
            scores["lpips"] = (
                self.lpips.distance(image, truth.image) if self.lpips else self._patch_distance(encoded, truth.features)
            )
            if task == "img2img":
                scores["psnr"] = psnr(image, truth.image)
                other = truth.features.embeddings[0]
                scores["clip_distance"] = max(1 - cosine_similarity(embedding, other, dim=0).item(), 0.0)
        features = self.inception.image_features([image])[0] if self.inception else embedding
        return ScoredImage({key: scores[key] for key in METRICS if key in scores}, features)

    def _subject_features(self, subject: Subject, width: int) -> _SubjectFeatures:
        if (key := (subject.item, width)) not in self._subjects:
            text = self.clip.text_features([subject.prompt])[0]
            photo, ground_truth = self._reference(subject.photo, width), self._reference(subject.ground_truth, width)
            self._subjects[key] = _SubjectFeatures(text, photo, ground_truth)
        return self._subjects[key]

    def _reference(self, source: ImageSource | None, width: int) -> _Reference | None:
        if source is None:
            return None
        image = square(_open(source), width)
        return _Reference(image, self.clip.encode_images([image]))

    def _style_distance(self, encoded: ClipFeatures) -> float:
        """Return the Mahalanobis distance of the mean patch from the originals' patches; mean over layers.

        Divided by the square root of the layer's width.
        """
        distances = [
            ((states[0] - mean) @ root).mean(0).pow(2).mean().sqrt()
            for states, (mean, root) in zip(encoded.maps, self._whitenings)
        ]
        return (sum(distances[1:], start=distances[0]) / len(distances)).item()

    def _patch_distance(self, a: ClipFeatures, b: ClipFeatures) -> float:
        """Return 1 - cosine of the whitened patches at the same position, 0..2; mean over positions and layers.

        LPIPS in form (Zhang et al. 2018, equation 1), with the originals' covariance in place of learned weights.
        """
        from torch.nn.functional import cosine_similarity

        distances = [
            1 - cosine_similarity((states[0] - mean) @ root, (others[0] - mean) @ root, dim=-1).mean()
            for states, others, (mean, root) in zip(a.maps, b.maps, self._whitenings)
        ]
        return max((sum(distances[1:], start=distances[0]) / len(distances)).item(), 0.0)

    def _without_style(self, embeddings: Tensor) -> Tensor:
        from torch.nn.functional import normalize

        units = normalize(embeddings, dim=-1)
        return units - (units @ self._style)[:, None] * self._style


def structure_scores(image: Image.Image, photo: Image.Image) -> dict[str, float]:
    """Return the SSIM of the luminances and the correlation of their Sobel edges; 0 where an image has no edges."""
    import torch
    from torch.nn.functional import conv2d
    from torchmetrics.functional.image import structural_similarity_index_measure

    both = torch.cat([image_tensor(source.convert("L")) for source in (image, photo)])
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    strengths = conv2d(both, torch.stack([sobel, sobel.T])[:, None]).norm(dim=1).flatten(1)
    correlation = torch.corrcoef(strengths)[0, 1] if bool((strengths.std(1) > 0).all()) else torch.tensor(0.0)
    # a tuple is returned only for return_full_image=True
    ssim: Tensor = structural_similarity_index_measure(both[:1], both[1:], data_range=1.0)  # type: ignore[assignment]
    return {"ssim": ssim.item(), "edge_correlation": correlation.item()}


def psnr(image: Image.Image, truth: Image.Image) -> float:
    """Return the peak signal-to-noise ratio over all colors in dB, at most 100, so that it is always finite."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    value = peak_signal_noise_ratio(image_tensor(image.convert("RGB")), image_tensor(truth), data_range=1.0).item()
    return min(value, MAX_PSNR)


def _open(source: ImageSource) -> Image.Image:
    if isinstance(source, Image.Image):
        return source.convert("RGB")
    return open_image(source.read_bytes(), source.name)


def _batches(sources: Sequence[ImageSource]) -> Iterator[list[Image.Image]]:
    for start in range(0, len(sources), BATCH_SIZE):
        yield [_open(source) for source in sources[start : start + BATCH_SIZE]]


class _PatchStatistics:
    """Count, sum and products of patches, so that the patches themselves need not be kept."""

    def __init__(self) -> None:
        self.count = 0
        self.sum: Tensor | None = None
        self.products: Tensor | None = None

    def add(self, states: Tensor) -> None:
        """Add patches, (images, positions, width)."""
        rows = states.flatten(0, 1).double()
        self.count += len(rows)
        self.sum = rows.sum(0) if self.sum is None else self.sum + rows.sum(0)
        self.products = rows.T @ rows if self.products is None else self.products + rows.T @ rows

    def whitening(self) -> tuple[Tensor, Tensor]:
        """Return the mean, (width,), and a root of the inverse of the shrunk covariance, (width, width).

        Raises ValueError if no patches were added.
        """
        import torch

        if self.sum is None or self.products is None:
            raise ValueError("no patches were added; add at least one image")
        mean = self.sum / self.count
        covariance = self.products / self.count - torch.outer(mean, mean)
        level = covariance.diagonal().mean().clamp_min(1e-12) * torch.eye(len(mean), dtype=torch.double)
        shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * level
        return mean.float(), torch.linalg.cholesky(torch.linalg.inv(shrunk)).float()
