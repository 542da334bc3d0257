"""Tests of the plotting package."""
