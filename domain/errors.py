"""Errors of nullbay: each has a stable code and says what to do next."""

from __future__ import annotations


class NullbayError(Exception):
    """An expected failure, told in plain words.

    `code` is stable and documented; `next_step` tells the person reading it what to do.
    Subclasses own their code, so that an exit status never depends on a message.
    """

    code = "error"

    def __init__(self, message: str, *, next_step: str = "", code: str | None = None) -> None:
        """Say what happened, and what to do next."""
        super().__init__(message)
        self.next_step = next_step
        if code is not None:
            self.code = code

    def told(self) -> str:
        """One or two sentences for a person: what happened, then what to do."""
        return f"{self}. {self.next_step}".rstrip(". ") + "."


class MalformedError(NullbayError):
    """Bytes or text from outside that are not what they should be; nothing was changed."""

    code = "input.malformed"


class TooLargeError(MalformedError):
    """Input beyond the stated cap; it was not read further."""

    code = "input.too-large"


class UnknownSchemaError(MalformedError):
    """A schema name or version this build does not know; nothing was changed."""

    code = "input.unknown-schema"


class IllegalTransitionError(NullbayError):
    """An event that cannot happen in this state of a job: a defect, never ignored."""

    code = "job.illegal-transition"
