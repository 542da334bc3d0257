"""The study's command line, on its own as `python -m study` or mounted in another typer app."""
