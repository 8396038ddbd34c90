"""How the pages tell times, verdicts and states: finished words, a sign and a tone for each.

A sign names a drawing of `templates/_macros.html`, a tone a colour of the style sheet. Nothing is
told by colour alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from nullbay.certs import pdf_words
from nullbay.domain.clock import Stamp
from nullbay.domain.status import Action, Count
from nullbay.domain.verdict import Verdict
from nullbay.server.cards import Presence

NONE = "–"
_PLAIN = re.compile(r"\w[\w .,:+@=/-]*")


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as shown, as a machine reads it, and in full for whoever points at it."""

    at: str
    shown: str
    full: str


@dataclass(frozen=True, slots=True)
class Sign:
    """Something said by drawing, colour and words."""

    sign: str
    tone: str
    words: str
    value: str = ""
    solid: bool = False


VERDICTS = {
    Verdict.SANITIZED: Sign("check", "good", "Sanitized", "SANITIZED"),
    Verdict.SANITIZED_WITH_EXCEPTIONS: Sign(
        "triangle", "warn", "With exceptions", "SANITIZED_WITH_EXCEPTIONS"
    ),
    Verdict.NOT_SANITIZED: Sign("cross", "bad", "Not sanitized", "NOT_SANITIZED", solid=True),
    Verdict.INDETERMINATE: Sign("question", "unsure", "Indeterminate", "INDETERMINATE", solid=True),
}
PRESENCES = {
    Presence.ONLINE: Sign("online", "good", "online"),
    Presence.STALE: Sign("stale", "warn", "stale"),
    Presence.OFFLINE: Sign("offline", "bad", "offline"),
    Presence.NEVER: Sign("offline", "none", "never heard"),
}
ACTIONS = {
    Action.NONE: Sign("none", "none", ""),
    Action.LEAVE: Sign("leave", "work", "LEAVE"),
    Action.SHIP: Sign("ship", "good", "SHIP"),
    Action.SHRED: Sign("shred", "bad", "SHRED"),
    Action.CALL: Sign("call", "warn", "CALL"),
}
DISPOSITIONS = {
    Verdict.SANITIZED: "may leave",
    Verdict.SANITIZED_WITH_EXCEPTIONS: "held until a named person accepts the exceptions",
    Verdict.NOT_SANITIZED: "sanitize again or destroy",
    Verdict.INDETERMINATE: "treat as not sanitized: a technician decides",
}


def moment(at: str | Stamp | None) -> Moment | None:
    """A wall time, RFC 3339 in UTC, to the minute; its seconds stand in the full form."""
    if at is None or at == "":
        return None
    text = at.at if isinstance(at, Stamp) else at
    return Moment(text, f"{text[:10]} {text[11:16]}", pdf_words.when(text))


def ago(at: Stamp | None, seconds: int | None) -> Moment | None:
    """A time told by its age."""
    if at is None or seconds is None:
        return moment(at)
    return Moment(at.at, f"{span(seconds)} ago", pdf_words.when(at.at))


def span(seconds: int) -> str:
    """`12 s`, `3 min`, `5 h`, `2 days`: rounded down."""
    if seconds < 0:
        return "0 s"
    for size, word in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            number = seconds // size
            return (
                f"{number} {'day' if number == 1 else 'days'}"
                if word == "d"
                else (f"{number} {word}")
            )
    return f"{seconds} s"


def number_of(counts: Iterable[Count], *names: str) -> int:
    """The sum of these counts."""
    return sum(one.number for one in counts if one.name in names)


def address(path: str, **query: str | int | None) -> str:
    """A path with those parameters that say something."""
    told = urlencode([(name, str(value)) for name, value in query.items() if value])
    return f"{path}?{told}" if told else path


def place(path: str, fallback: str, parameter: str, name: str) -> str:
    """The address of something named: below `path`, or in the query where no path can carry it.

    Browsers rewrite paths with dots in them, and a route's parameter holds no braces.
    """
    if _PLAIN.fullmatch(name):
        return f"{path}/{quote(name, safe='')}"
    return address(fallback, **{parameter: name})


def plural(number: int, thing: str, many: str = "") -> str:
    """`1 record`, `2 records`."""
    return pdf_words.counted(number, thing, many)
