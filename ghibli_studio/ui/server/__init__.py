"""Middleware in front of the page: password and request limits."""
