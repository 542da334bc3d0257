"""The embedded small Stable Diffusion: the painter, the recipe that trains on its pictures, and the trained weights.

`landmarks/` paints, `pretrain/` trains, `weights/` is what came out, `hashes.py` tells whether it is still that.
Nothing heavy is imported here, so that asking for `WEIGHTS` costs nothing.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the trained weights: `base/` (diffusers), `clip/` (transformers), `style_teacher/` (LoRA)."""
STYLE_TEACHER = WEIGHTS / "style_teacher" / "pytorch_lora_weights.safetensors"
"""The LoRA that knows the target style; it fits `base/` alone."""
