"""The study's command line."""
