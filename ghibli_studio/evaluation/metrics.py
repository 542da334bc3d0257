"""The table of the numbers that pictures get: names, directions, and what each says in a plain sentence. No arithmetic.

A name that papers use for one certain network is never printed bare for another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ghibli_studio.evaluation.clip import Network


TASKS = ("prompt", "photo")
"""Drawn from the prompt alone, or over the landmark's photograph."""


@dataclass(frozen=True)
class Metric:
    """One number for a picture."""

    key: str
    name: str
    """For people, without the network."""
    better: Literal["higher", "lower"]
    tasks: tuple[str, ...]
    what: str
    """One plain sentence."""
    against: Literal["prompt", "originals", "photo", "truth"]
    needs: Literal["clip", "perceptual"] | None
    """Which network."""
    published: bool = False
    """True if papers use the name for one certain network, so that any other's number must say that it is none."""

    def label(self, network: Network | None) -> str:
        """The name with the network that it was computed with."""
        if network is None:
            return self.name
        return f"{self.name}{' stand-in' * (self.published and network.stand_in)} ({network.name})"


METRICS = {
    metric.key: metric
    for metric in (
        Metric(
            "clip_score",
            "CLIP score",
            "higher",
            TASKS,
            "How well the picture goes with its prompt: 100 times the cosine of the two in CLIP, at least 0; the "
            "prompt does not name the style.",
            "prompt",
            "clip",
            True,
        ),
        Metric(
            "style_similarity",
            "Style similarity",
            "higher",
            TASKS,
            "How near the whole picture is to the originals: its cosine to their center in CLIP, 1 at most.",
            "originals",
            "clip",
        ),
        Metric(
            "style_distance",
            "Style distance",
            "lower",
            TASKS,
            "How far the picture's patches are from the originals' patches on average, in units of how much those "
            "differ among themselves; a true picture of a new landmark does not reach 0 either.",
            "originals",
            "clip",
        ),
        Metric(
            "landmark_similarity",
            "Landmark similarity",
            "higher",
            TASKS,
            "How well the landmark of the photograph is preserved: the cosine of picture and photograph in CLIP, after "
            "what sets the style apart has been taken out of both.",
            "photo",
            "clip",
        ),
        Metric(
            "lpips",
            "LPIPS",
            "lower",
            TASKS,
            "How different the picture looks from the true styled picture of the same landmark, patch by patch; 0 is "
            "equal. Pictures drawn from the prompt alone need not have its composition.",
            "truth",
            "perceptual",
            True,
        ),
        Metric(
            "ssim",
            "Structure (SSIM)",
            "higher",
            ("photo",),
            "How much of the photograph's structure in light and dark is kept; 1 is all of it. A style that changes "
            "the texture lowers it by right.",
            "photo",
            None,
        ),
        Metric(
            "edges",
            "Edges kept",
            "higher",
            ("photo",),
            "How well the outlines lie where the photograph has them: the correlation of edge strengths, 1 at most.",
            "photo",
            None,
        ),
        Metric(
            "truth_psnr",
            "PSNR to the true picture",
            "higher",
            ("photo",),
            "How near each pixel is to the true styled picture of the same scene, in dB; 100 is equal.",
            "truth",
            None,
        ),
        Metric(
            "truth_distance",
            "Distance to the true picture",
            "lower",
            ("photo",),
            "How far the whole picture is from the true styled picture of the same scene in CLIP: 1 minus the cosine.",
            "truth",
            "clip",
        ),
    )
}
