"""Numbers and lists as readable text."""

from __future__ import annotations

from collections.abc import Iterable


def duration(seconds: float) -> str:
    """Return `45 s`, `3 min 20 s` or `2 h 5 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def size(count: float) -> str:
    """Return `640 B`, `12 KB`, `3.4 MB` or `1.2 GB`; a KB is 1000 bytes."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("KB", "MB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} GB"


def pluralize(count: int, noun: str) -> str:
    """Return `1 landmark` or `23 landmarks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def join_words(words: Iterable[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    all_words = list(words)
    return " and ".join(part for part in (", ".join(all_words[:-1]), *all_words[-1:]) if part)


def signed(value: float, digits: int) -> str:
    """Return `+0.12` or `−0.12` with a true minus sign; a number that rounds to zero has no sign."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def p_value(p: float) -> str:
    """Return `p = .031` or `p < .001`."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)
