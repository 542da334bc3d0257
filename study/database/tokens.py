"""Tokens and the codes that participants copy by hand; no database.

A code is derived from the token that only its holder has, so that the debrief can show it again, while the database
stores only the sha256 of the withdrawal code.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 characters that are not mistaken for one another


def new_id() -> str:
    """Return 128 random bits, hexadecimal."""
    return secrets.token_hex(16)


def completion_code(token: str) -> str:
    """Return the code for the panel that pays; 40 bits, XXXX-XXXX."""
    return _code(token, "completion", 8)


def withdrawal_code(token: str) -> str:
    """Return the code that deletes the answers; 60 bits, XXXX-XXXX-XXXX."""
    return _code(token, "withdrawal", 12)


def normalize_code(code: str) -> str:
    """Return a typed code in the form in which it was shown."""
    return _grouped(re.sub(r"[\s-]", "", code).upper())


def sha256(text: str) -> str:
    """Return the sha256 of a text in UTF-8, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def _code(token: str, purpose: str, letters: int) -> str:
    digest = hmac.digest(token.encode(), purpose.encode(), "sha256")
    return _grouped("".join(ALPHABET[byte % 32] for byte in digest[:letters]))


def _grouped(letters: str) -> str:
    return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))
