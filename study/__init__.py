"""The blind study: plans, participants, answers and analysis. Independent of torch and of the studio."""

from __future__ import annotations

ORIGINS = ("original", "lora", "ti")
QUESTIONS = ("buy", "landmark", "style")


class StudyError(ValueError):
    """An error that the user can fix; the message is one sentence with the value, the bound and what to do."""
