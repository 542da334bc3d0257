"""Fixtures and fakes that several test packages share."""
