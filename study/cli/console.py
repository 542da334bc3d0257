"""How the study's command line tells: sentences to people, one JSON object a line to programs."""

from __future__ import annotations

import json
import sys
from typing import Any


class Told:
    """Tells sentences to people, and one JSON object a line to programs."""

    def __init__(self, as_json: bool):
        self.as_json = as_json

    def line(self, text: str, **values: Any) -> None:
        """A sentence for people, or its values for programs."""
        print(json.dumps(values, ensure_ascii=False) if self.as_json else text, flush=True)

    def note(self, text: str) -> None:
        """What a person should know before going on."""
        if self.as_json:
            self.line("", event="note", message=text)
        else:
            print(f"note: {text}", file=sys.stderr)

    def complain(self, text: str) -> None:
        """Why it did not work."""
        if self.as_json:
            self.line("", event="error", message=text)
        else:
            print(f"error: {text}", file=sys.stderr)
