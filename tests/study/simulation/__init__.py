"""Tests of `study.simulation`."""
