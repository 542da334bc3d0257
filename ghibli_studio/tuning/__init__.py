"""Choosing hyperparameters: sweeps, learning rate finder, batch size finder."""
