"""Pictures and what the networks saw in them -> numbers for each picture. No network and no mean over pictures in here.

Where torchmetrics has the formula and takes our network, its function is called. What a number is good for was measured
on painted landmarks, whose true answer is known: see `tests/test_scores.py`. What the numbers mean, says `metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from adapters.settings import StudioError
from ghibli_studio.evaluation.clip import DEPTHS, pixels
from ghibli_studio.evaluation.metrics import METRICS, TASKS, Metric
from ghibli_studio.imaging.crop import square
from ghibli_studio.imaging.image_io import open_image

if TYPE_CHECKING:
    from torch import Tensor

    from ghibli_studio.evaluation.clip import Clip, Seen
    from ghibli_studio.evaluation.reference_network import Inception, Perceptual


__all__ = ["METRICS", "TASKS", "Metric", "Picture", "Scored", "Scorer", "Subject", "peak_signal", "structure"]

Picture = Path | Image.Image
BATCH = 16
"""Originals that CLIP looks at in one go."""
SHRINKAGE = 0.01
"""Part of the patches' covariance that is replaced by its mean variance, so that its inverse is tame."""
MOST_DECIBELS = 100.0


@dataclass(frozen=True)
class Subject:
    """A landmark to draw, and what the drawing is compared with."""

    landmark: str
    prompt: str
    """Without style word or trigger."""
    item: str
    """Number of the held-out item; one scorer knows each by its number."""
    photo: Picture | None
    """The source photograph; None where there is none."""
    truth: Picture | None
    """The landmark in the true style, which no method was shown; None where there is none."""


@dataclass(frozen=True)
class Scored:
    """What one picture got."""

    scores: dict[str, float]
    """By the key of the metric."""
    features: Tensor
    """(d,) for the distances of sets; on the CPU, float32."""


@dataclass(frozen=True)
class _Known:
    """What does not change from one drawing of a subject to the next."""

    text: Tensor
    photo: Image.Image | None = None
    photo_seen: Seen | None = None
    truth: Image.Image | None = None
    truth_seen: Seen | None = None


class Scorer:
    """Gives pictures their numbers; what belongs to the originals and to a subject is computed once.

    `originals` are the training split's styled pictures, and `photographs` those they were made from: with them, what
    sets the style apart is the step from the photographs' center to the originals'; without them, the originals'
    center alone, and then pictures in the photographs' own style get a landmark similarity that is a little too good.
    """

    def __init__(
        self,
        clip: Clip,
        perceptual: Perceptual | None,
        originals: Sequence[Picture],
        *,
        inception: Inception | None = None,
        photographs: Sequence[Picture] = (),
    ) -> None:
        import torch
        from torch.nn.functional import normalize

        if not originals:
            raise StudioError("there are 0 originals to compare the style with; the training split needs 1 or more")
        self.clip, self.perceptual, self.inception = clip, perceptual, inception
        self._known: dict[tuple[str, int], _Known] = {}
        patches = [_Patches() for _ in DEPTHS]
        embeddings, features = [], []
        for batch in _batches(originals):
            seen = clip.see(batch)
            for one, states in zip(patches, seen.maps):
                one.add(states)
            embeddings.append(seen.embeddings)
            features.append(inception.images(batch) if inception else seen.embeddings)
        center = normalize(torch.cat(embeddings), dim=-1).mean(0)
        self._center = normalize(center, dim=0)
        """(d,) of length 1."""
        photographed = [clip.images(batch) for batch in _batches(photographs)]
        before = normalize(torch.cat(photographed), dim=-1).mean(0) if photographed else torch.zeros_like(center)
        self._style = normalize(center - before, dim=0)
        """(d,) of length 1: the axis along which the style differs."""
        self._whitenings = [one.whitening() for one in patches]
        self.originals = torch.cat(features)
        """(originals, d) features for the distances of sets."""

    @property
    def networks(self) -> dict[str, dict[str, Any] | None]:
        """Name, stand-in and digest of each network, for a result's file; None for those that are not at hand."""
        used = {"clip": self.clip, "inception": self.inception, "perceptual": self.perceptual}
        return {role: one.network.json() if one else None for role, one in used.items()}

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Label, better, tasks and what of each metric, for a result's file."""
        return {
            key: {"label": self.label(key), "better": one.better, "tasks": list(one.tasks), "what": one.what}
            for key, one in METRICS.items()
        }

    def label(self, key: str) -> str:
        """A metric's name with the network that it is computed with here."""
        metric = METRICS[key]
        if metric.needs == "perceptual" and self.perceptual is None:
            return f"{metric.name} stand-in ({self.clip.name})"
        return metric.label(
            {"clip": self.clip, "perceptual": self.perceptual}[metric.needs].network if metric.needs else None
        )

    def features(self, image: Picture) -> Tensor:
        """(d,) features of a picture without a subject, for the distances of sets."""
        return (self.inception or self.clip).images([_opened(image)])[0]

    def score(self, image: Picture, subject: Subject, task: str) -> Scored:
        """Every metric of the task for one picture, from one pass of each network.

        Without photograph or true picture the metrics against it are left out. Those are cropped and resized to the
        picture's width.
        """
        import torch
        from torch.nn.functional import cosine_similarity

        if task not in TASKS:
            raise StudioError(f"task is {task!r}; known are {', '.join(map(repr, TASKS))}")
        image = _opened(image)
        known, seen = self._facts(subject, image.width), self.clip.see([image])
        embedding = seen.embeddings[0]
        scores: dict[str, float] = {
            "clip_score": max(100 * cosine_similarity(embedding, known.text, dim=0).item(), 0.0),
            "style_similarity": cosine_similarity(embedding, self._center, dim=0).item(),
            "style_distance": self._style_distance(seen),
        }
        if known.photo:
            own, other = self._without_style(torch.stack([embedding, known.photo_seen.embeddings[0]]))
            scores["landmark_similarity"] = cosine_similarity(own, other, dim=0).item()
            if task == "photo":
                scores |= structure(image, known.photo)
        if known.truth:
            scores["lpips"] = (
                self.perceptual.distance(image, known.truth)
                if self.perceptual
                else self._patch_distance(seen, known.truth_seen)
            )
            if task == "photo":
                scores["truth_psnr"] = peak_signal(image, known.truth)
                other = known.truth_seen.embeddings[0]
                scores["truth_distance"] = max(1 - cosine_similarity(embedding, other, dim=0).item(), 0.0)
        features = self.inception.images([image])[0] if self.inception else embedding
        return Scored({key: scores[key] for key in METRICS if key in scores}, features)

    def _facts(self, subject: Subject, width: int) -> _Known:
        if (key := (subject.item, width)) not in self._known:
            facts: dict[str, Any] = {"text": self.clip.texts([subject.prompt])[0]}
            for part in ("photo", "truth"):
                if (picture := getattr(subject, part)) is not None:
                    facts[part] = square(_opened(picture), width)
                    facts[f"{part}_seen"] = self.clip.see([facts[part]])
            self._known[key] = _Known(**facts)
        return self._known[key]

    def _style_distance(self, seen: Seen) -> float:
        """Mahalanobis distance of the mean patch from the originals' patches, per root of width; mean over layers."""
        distances = [
            ((states[0] - mean) @ root).mean(0).pow(2).mean().sqrt()
            for states, (mean, root) in zip(seen.maps, self._whitenings)
        ]
        return (sum(distances) / len(distances)).item()

    def _patch_distance(self, one: Seen, other: Seen) -> float:
        """1 - cosine of the whitened patches at the same place, 0..2; mean over places and layers.

        LPIPS in form (Zhang et al. 2018, equation 1), with the originals' covariance in place of learned weights.
        """
        from torch.nn.functional import cosine_similarity

        distances = [
            1 - cosine_similarity((a[0] - mean) @ root, (b[0] - mean) @ root, dim=-1).mean()
            for a, b, (mean, root) in zip(one.maps, other.maps, self._whitenings)
        ]
        return max((sum(distances) / len(distances)).item(), 0.0)

    def _without_style(self, embeddings: Tensor) -> Tensor:
        from torch.nn.functional import normalize

        units = normalize(embeddings, dim=-1)
        return units - (units @ self._style)[:, None] * self._style


def structure(image: Image.Image, photo: Image.Image) -> dict[str, float]:
    """SSIM of the luminances, and the correlation of their edges' strengths (Sobel); 0 where a picture has no edge."""
    import torch
    from torch.nn.functional import conv2d
    from torchmetrics.functional.image import structural_similarity_index_measure

    both = torch.cat([pixels(one.convert("L")) for one in (image, photo)])
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    strengths = conv2d(both, torch.stack([sobel, sobel.T])[:, None]).norm(dim=1).flatten(1)
    correlation = torch.corrcoef(strengths)[0, 1] if bool((strengths.std(1) > 0).all()) else torch.tensor(0.0)
    ssim = structural_similarity_index_measure(both[:1], both[1:], data_range=1.0)
    return {"ssim": ssim.item(), "edges": correlation.item()}


def peak_signal(image: Image.Image, truth: Image.Image) -> float:
    """Peak signal-to-noise ratio over all colors in dB, 100 at most, so that equal pictures have a finite one."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    found = peak_signal_noise_ratio(pixels(image.convert("RGB")), pixels(truth), data_range=1.0).item()
    return min(found, MOST_DECIBELS)


def _opened(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    return open_image(picture.read_bytes(), picture.name)


def _batches(pictures: Sequence[Picture]) -> Iterator[list[Image.Image]]:
    for start in range(0, len(pictures), BATCH):
        yield [_opened(one) for one in pictures[start : start + BATCH]]


class _Patches:
    """Count, sum and products of patches, so that not all of them need to be kept."""

    def __init__(self) -> None:
        self.count, self.sum, self.products = 0, 0.0, 0.0

    def add(self, states: Tensor) -> None:
        """Take note of patches (pictures, positions, width)."""
        rows = states.flatten(0, 1).double()
        self.count += len(rows)
        self.sum = self.sum + rows.sum(0)
        self.products = self.products + rows.T @ rows

    def whitening(self) -> tuple[Tensor, Tensor]:
        """The mean (width,), and a root (width, width) of the inverse of the shrunk covariance."""
        import torch

        mean = self.sum / self.count
        covariance = self.products / self.count - torch.outer(mean, mean)
        level = covariance.diagonal().mean().clamp_min(1e-12) * torch.eye(len(mean), dtype=torch.double)
        shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * level
        return mean.float(), torch.linalg.cholesky(torch.linalg.inv(shrunk)).float()
