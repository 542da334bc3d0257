"""The training stages, one module per model."""
