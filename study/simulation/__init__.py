"""Artificial participants and dry runs."""
