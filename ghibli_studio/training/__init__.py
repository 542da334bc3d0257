"""The one training loop, and one run of it from settings to files."""
