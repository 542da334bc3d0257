"""Speed: the studio's training and generation beside the public example scripts, in one process and one run.

`python -m benchmarks` on a GPU times Stable Diffusion 1.5's real architecture with random weights, because speed does
not depend on their values and nothing is downloaded. `python -m benchmarks --device cpu` times the miniature.
"""
