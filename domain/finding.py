"""What was found in a job's evidence: a coded reason and what it does to the verdict."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Effect(enum.StrEnum):
    """What a finding does to the verdict."""

    EXCEPTION = "exception"
    UNKNOWN = "unknown"
    DEFINITE = "definite"


@dataclass(frozen=True, slots=True)
class Finding:
    """One coded reason, its effect, and a short detail made of numbers and names of ours only."""

    code: str
    effect: Effect
    detail: str = ""


def definite(code: str, detail: str = "") -> Finding:
    """It is known that the drive is not sanitized as required."""
    return Finding(code, Effect.DEFINITE, detail)


def unknown(code: str, detail: str = "") -> Finding:
    """Nobody knows."""
    return Finding(code, Effect.UNKNOWN, detail)


def exception(code: str, detail: str = "") -> Finding:
    """Something from the closed list of verdicts.md section 2: a named person decides."""
    return Finding(code, Effect.EXCEPTION, detail)
