"""Speed: our own training and drawing beside what the public example scripts do, in one process and one run.

`python -m benchmarks` on a GPU times Stable Diffusion 1.5's real architecture with random weights (speed does not
depend on their values; nothing is downloaded); `python -m benchmarks --device cpu` times the miniature.
"""
