"""Simulated participants, and dry runs of a study with them."""
