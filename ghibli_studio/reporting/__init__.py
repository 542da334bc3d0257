"""Evaluation and training results as sentences, plots and one HTML file."""
