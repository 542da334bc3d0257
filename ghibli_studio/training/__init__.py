"""The training loop, and one run of it from its settings to its files."""
