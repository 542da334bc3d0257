"""Tests of `study.blindness`."""
