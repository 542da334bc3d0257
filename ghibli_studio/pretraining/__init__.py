"""The recipe that makes the embedded model: painted landmarks in, a small Stable Diffusion 1.x out.

One room a stage: `pictures` (what they show) and `painting` (by worker processes, ahead of those who look) ->
`tokenizer` -> `clip` -> `autoencoder` -> `denoiser` -> `teacher` -> `sheets` -> `measuring` -> `card`. `stages` runs
them in order and keeps what is finished, `run` knows where it lies, `checkpoints` lets a training loop go on where it
was cut off, `learning` holds what every loop shares, `comparing` puts other weights beside the result. Run it as
`python -m ghibli_studio.miniature.pretrain --out FOLDER`; nothing else in the project imports it.
"""
