"""The miniature, an embedded small Stable Diffusion: the painter of its training images, and its trained weights.

`landmarks/` paints, `weights/` has the trained weights, `checksums` verifies them, and `photos/` has the bundled
photos. The training is in `ghibli_studio.pretraining`. Importing this package is cheap.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the trained weights: `base/` (diffusers), `clip/` (transformers), `style_teacher/` (LoRA)."""
STYLE_TEACHER = WEIGHTS / "style_teacher" / "pytorch_lora_weights.safetensors"
"""The LoRA of the target style; it fits only `base/`."""
