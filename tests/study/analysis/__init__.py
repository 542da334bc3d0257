"""Tests of `study.analysis`."""
