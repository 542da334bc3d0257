"""Procedural pictures of landmarks: 115 landmarks, many settings, ten pixel-aligned styles, and captions.

`sample_scene` chooses what to show, `render` paints it, `prompt` and `caption` say it in words. From a scene to its
pixels: `architecture` draws the landmark as shapes, `layout` puts it in its setting, `raster` makes per-pixel buffers,
`painting` gives them a style.
"""

from ghibli_studio.miniature.landmarks.captions import caption, prompt
from ghibli_studio.miniature.landmarks.catalog import LANDMARKS, Landmark, landmark_by_name
from ghibli_studio.miniature.landmarks.painting import STYLES, render
from ghibli_studio.miniature.landmarks.scene import COMPOSITIONS, SETTINGS, SKIES, Scene, sample_scene

__all__ = [
    "COMPOSITIONS",
    "LANDMARKS",
    "SETTINGS",
    "SKIES",
    "STYLES",
    "Landmark",
    "Scene",
    "caption",
    "landmark_by_name",
    "prompt",
    "render",
    "sample_scene",
]
