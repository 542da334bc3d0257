"""Tests of the imaging package."""
