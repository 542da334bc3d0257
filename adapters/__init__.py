"""Small trainable parts for Stable Diffusion behind one Protocol: LoRA, Textual Inversion, and any later method.

`base` has the Protocol, `methods/` has one file per method, `formats/` reads and writes adapter files, `registry` finds
the methods and opens files, `merge` merges and scales adapters. This package imports neither gradio nor ghibli_studio,
and no heavy library before an adapter is attached.
"""
