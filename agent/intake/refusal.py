"""What the intake refuses, as a value: the caller shows it, or turns it into its own error."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was changed. `code` is stable, `text` plain words, `next_step` what to do."""

    code: str
    text: str
    next_step: str = ""

    def told(self) -> str:
        """One or two sentences for a person."""
        return f"{self.text}. {self.next_step}".rstrip(". ") + "."
