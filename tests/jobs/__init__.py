"""Tests of training runs as processes."""
