"""Tests of study.replica."""
