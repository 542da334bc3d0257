"""The files of a Hugging Face Space, and checks of this machine."""
