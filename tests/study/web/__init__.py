"""Tests of study.web."""
