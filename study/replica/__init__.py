"""A replica of every answer, stored elsewhere before the answer is acknowledged."""
