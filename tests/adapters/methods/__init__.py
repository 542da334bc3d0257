"""Tests of adapters.methods."""
