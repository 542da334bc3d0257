"""The training of the embedded model: painted landmarks in, a small Stable Diffusion 1.x out.

`data` decides what the images show and paints them in worker processes; `stages` has one module per trained model;
`evaluation` measures the result, writes contact sheets and the model card, and compares it with other weights.
`pipeline` runs the stages in order and keeps finished ones, `run` knows their folders, `checkpoint` lets a training
loop resume, and `loop` has what all loops share. Run it as `python -m ghibli_studio.pretraining --out FOLDER`. Nothing
else in the project imports it.
"""
