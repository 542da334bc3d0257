"""Tests of sweeps and finders."""
