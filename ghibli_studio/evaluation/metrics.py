"""The table of image metrics: names, directions, and a plain description of each. No arithmetic.

A name that papers use for one specific network is never shown unqualified for another network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ghibli_studio.evaluation.clip import Network


TASKS = ("txt2img", "img2img")
"""Generated from the prompt alone, or from the landmark's photo."""


@dataclass(frozen=True)
class Metric:
    """One number of an image."""

    key: str
    name: str
    """Display name, without the network."""
    better: Literal["higher", "lower"]
    tasks: tuple[str, ...]
    description: str
    """One plain sentence."""
    reference: Literal["prompt", "originals", "photo", "ground_truth"]
    """What the image is compared with."""
    network: Literal["clip", "lpips"] | None
    """The network that it needs."""
    published: bool = False
    """True if papers use the name for one specific network, so that any other network's number is labeled a proxy."""

    def label(self, network: Network | None) -> str:
        """Return the name with the network that it was computed with."""
        if network is None:
            return self.name
        return f"{self.name}{' proxy' * (self.published and network.proxy)} ({network.name})"


METRICS = {
    metric.key: metric
    for metric in (
        Metric(
            "clip_score",
            "CLIP score",
            "higher",
            TASKS,
            "How well the image matches its prompt: 100 times the cosine of the two in CLIP, at least 0; the "
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
            "How close the image as a whole is to the originals: its cosine to their center in CLIP, at most 1.",
            "originals",
            "clip",
        ),
        Metric(
            "style_distance",
            "Style distance",
            "lower",
            TASKS,
            "How far the image's patches are from the originals' patches on average, in units of how much those "
            "differ among themselves; even a ground-truth image of a new landmark does not reach 0.",
            "originals",
            "clip",
        ),
        Metric(
            "landmark_similarity",
            "Landmark similarity",
            "higher",
            TASKS,
            "How well the landmark of the photo is preserved: the cosine of image and photo in CLIP, after the "
            "direction of the style has been removed from both.",
            "photo",
            "clip",
        ),
        Metric(
            "lpips",
            "LPIPS",
            "lower",
            TASKS,
            "How different the image looks from the ground-truth image of the same landmark, patch by patch; 0 is "
            "equal. txt2img images need not have the same composition.",
            "ground_truth",
            "lpips",
            True,
        ),
        Metric(
            "ssim",
            "Structure (SSIM)",
            "higher",
            ("img2img",),
            "How much of the photo's light and dark structure is preserved; 1 is all of it. A style that changes "
            "the texture rightly lowers it.",
            "photo",
            None,
        ),
        Metric(
            "edge_correlation",
            "Edge correlation",
            "higher",
            ("img2img",),
            "How well the image's outlines match the photo's: the correlation of edge strengths, at most 1.",
            "photo",
            None,
        ),
        Metric(
            "psnr",
            "PSNR to the ground truth",
            "higher",
            ("img2img",),
            "How close each pixel is to the ground-truth image of the same scene, in dB; 100 is equal.",
            "ground_truth",
            None,
        ),
        Metric(
            "clip_distance",
            "CLIP distance to the ground truth",
            "lower",
            ("img2img",),
            "How far the image as a whole is from the ground truth of the same scene in CLIP: 1 minus the cosine.",
            "ground_truth",
            "clip",
        ),
    )
}
