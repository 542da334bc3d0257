"""The recipe that makes the embedded model: painted landmarks in, a small Stable Diffusion 1.x out.

One room a stage: `pictures` and `photographs` -> `tokenizer` -> `autoencoder` -> `clip` -> `denoiser` -> `teacher` ->
`sheets`. `stages` runs them in order and keeps what is finished, `learning` holds what every training loop shares.
Run it as `python -m ghibli_studio.miniature.pretrain --out FOLDER`; nothing else in the project imports it.
"""
