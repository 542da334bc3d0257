"""Tests of study.database."""
