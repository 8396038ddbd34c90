"""How texts that people type are compared with texts that drives and scanners gave."""

from __future__ import annotations

KEY_MAX = 200


def key_of(text: str) -> str:
    """What is compared instead of a text: without blanks around it, case folded, bounded."""
    return clean(text).strip().casefold()[:KEY_MAX]


def clean(text: str) -> str:
    """A text from outside as a database takes it: no NUL, nothing that has no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
