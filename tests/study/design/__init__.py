"""Tests of study.design."""
