"""Choosing hyperparameters: sweeps, the learning rate finder, the batch size finder."""
