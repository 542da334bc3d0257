"""A second copy of every answer, stored elsewhere before it is acknowledged."""
