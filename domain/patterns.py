"""Overwrite patterns: what each pass writes. A pattern is never a level: all of these are Clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

REPEAT_MAX_BYTES = 512
PASSES_MAX = 64


@dataclass(frozen=True, slots=True)
class Keyed:
    """AES-256-CTR under the pass key: every byte follows from the job key (docs/pattern.md)."""

    kind: ClassVar[str] = "keyed"

    @property
    def name(self) -> str:
        """As printed on certificates."""
        return "keyed stream AES-256-CTR"


@dataclass(frozen=True, slots=True)
class Repeat:
    """`unit` repeated from byte 0 of the drive: one byte or a short sequence."""

    kind: ClassVar[str] = "repeat"
    unit: bytes

    def __post_init__(self) -> None:
        """One to 512 bytes."""
        if not 1 <= len(self.unit) <= REPEAT_MAX_BYTES:
            msg = f"a repeated unit has 1 to {REPEAT_MAX_BYTES} bytes"
            raise ValueError(msg)

    @property
    def name(self) -> str:
        """As printed on certificates."""
        return "bytes " + self.unit.hex()


Pattern: TypeAlias = Keyed | Repeat

ZERO = Repeat(b"\x00")


@dataclass(frozen=True, slots=True)
class OverwriteScheme:
    """A named list of passes with a versioned id, printed pass by pass on the certificate."""

    scheme_id: str
    passes: tuple[Pattern, ...]

    def __post_init__(self) -> None:
        """At least one pass, at most 64."""
        if not 1 <= len(self.passes) <= PASSES_MAX:
            msg = f"a scheme has 1 to {PASSES_MAX} passes"
            raise ValueError(msg)


def parse_pattern(text: str) -> Pattern:
    """`keyed`, or hex bytes such as `00`, `924924`. Raises ValueError saying what is right."""
    if text == "keyed":
        return Keyed()
    try:
        unit = bytes.fromhex(text)
        if unit.hex() == text.lower():  # fromhex skips blanks, which would be a second spelling
            return Repeat(unit)
    except ValueError:
        pass
    msg = (
        f"a pass is 'keyed' or 1 to {REPEAT_MAX_BYTES} bytes in hex such as '00' or '924924', "
        f"not {text[:40]!r}"
    )
    raise ValueError(msg)
