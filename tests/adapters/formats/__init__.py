"""Tests of adapters.formats."""
