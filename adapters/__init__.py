"""Small trainable parts for Stable Diffusion behind one Protocol: LoRA, Textual Inversion, and what comes next.

`base` is the Protocol, `methods/` has one file a method, `formats/` reads and writes adapter files, `registry` finds
the methods and opens files, `merge` averages and scales. Knows neither gradio nor ghibli_studio, and imports nothing
heavy until an adapter is attached.
"""
