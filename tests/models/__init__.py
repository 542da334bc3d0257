"""Tests of the base model package."""
