"""Tokens and the codes that people copy by hand. No database in here.

A code is made from the token that only its holder has, so that the debrief can show it again and again while the
database keeps no withdrawal code from which a person's answers could be found, only its sha256.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32, and nothing that looks like something else


def new_id() -> str:
    """128 random bits, hexadecimal."""
    return secrets.token_hex(16)


def completion_code(token: str) -> str:
    """For the panel that pays; 40 bits, XXXX-XXXX."""
    return _code(token, "completion", 8)


def withdrawal_code(token: str) -> str:
    """For deleting the answers; 60 bits, XXXX-XXXX-XXXX."""
    return _code(token, "withdrawal", 12)


def typed(code: str) -> str:
    """A code as a person typed it, in the form in which it was shown."""
    return _grouped(re.sub(r"[\s-]", "", code).upper())


def sha256(text: str) -> str:
    """Of the text in UTF-8, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def _code(token: str, purpose: str, letters: int) -> str:
    digest = hmac.digest(token.encode(), purpose.encode(), "sha256")
    return _grouped("".join(LETTERS[byte % 32] for byte in digest[:letters]))


def _grouped(letters: str) -> str:
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))
