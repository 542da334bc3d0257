"""One module a stage of the training."""
