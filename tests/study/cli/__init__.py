"""Tests of `study.cli`."""
