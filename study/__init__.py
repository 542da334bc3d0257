"""The blind study: who sees what, what they answered, and what may be concluded. Knows neither torch nor the studio."""

from __future__ import annotations

ORIGINS = ("original", "lora", "ti")
QUESTIONS = ("buy", "landmark", "style")


class StudyError(ValueError):
    """Something a person can mend: the message is one sentence with the value, the bound and the way out."""
