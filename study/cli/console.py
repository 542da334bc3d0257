"""What the study's command line prints, and how its errors become exit codes.

The commands are in `app` and `replica`. Nothing here knows the studio, so that its command line can mount the study's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from study import StudyError

DONE, FAILED, CANCELLED, BROKEN_PIPE = 0, 1, 130, 141
"""Exit codes; wrong usage is 2."""
CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Console:
    """Prints sentences for users, or with --json one JSON object per line for programs."""

    def __init__(self, as_json: bool):
        self.as_json = as_json

    def line(self, text: str, **values: Any) -> None:
        """Print a sentence, or its values as JSON."""
        print(json.dumps(values, ensure_ascii=False) if self.as_json else text, flush=True)

    def note(self, message: str) -> None:
        """Print what the user should know before going on."""
        self._message("note", message)

    def error(self, message: str) -> None:
        """Print why a command failed: a sentence on stderr, or a JSON object on stdout."""
        self._message("error", message)

    def _message(self, event: str, message: str) -> None:
        if self.as_json:
            self.line("", event=event, message=message)
        else:
            print(f"{event}: {message}", file=sys.stderr)


def abandon_output() -> int:
    """Return the exit code for output whose reader has read enough (`| head`), so that the last flush is silent."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


class StudyCommand(TyperCommand):
    """A command that turns errors into one sentence and an exit code, wherever it is mounted."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and exit with the code that it returns, or that its error stands for."""
        console = Console(bool(ctx.params.get("as_json")))
        try:
            code = super().invoke(ctx) or DONE
        except StudyError as error:
            console.error(str(error))
            code = FAILED
        except BrokenPipeError:
            code = abandon_output()
        except OSError as error:
            path = error.filename or ctx.params.get("folder")
            console.error(f"{path} cannot be used ({error.strerror}); check the disk and its permissions")
            code = FAILED
        except KeyboardInterrupt:
            console.error("cancelled; all answers so far are kept")
            code = CANCELLED
        raise typer.Exit(code)


def run(app: typer.Typer, arguments: Sequence[str] | None = None, name: str | None = None, obj: Any = None) -> int:
    """Run a typer app and return its exit code; `name` is the program's in the help, `obj` the context's object."""
    try:
        app(arguments, prog_name=name, obj=obj)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return DONE
