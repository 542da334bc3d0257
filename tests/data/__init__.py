"""Tests of the dataset package."""
