"""The Gradio page: thin tabs over functions that run without it. Imports no torch."""
