"""Every coded reason: refusals, techniques not chosen, findings of a verdict, limitations.

Signed data hold the codes; the words here are a rendering. docs/reasons.md is generated from this.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from nullbay.domain import reason_texts
from nullbay.domain.station_texts import STATION


class Group(enum.StrEnum):
    """Where a code appears."""

    REFUSAL = "refusal"
    NOT_CHOSEN = "technique not chosen"
    STEP = "step"
    VERDICT = "verdict"
    EXCEPTION = "exception"
    LIMITATION = "limitation"
    STATION = "station"


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code, what it means in plain words, and what to do next."""

    code: str
    group: Group
    text: str
    next_step: str


_TEXTS = {
    Group.REFUSAL: reason_texts.REFUSAL,
    Group.NOT_CHOSEN: reason_texts.NOT_CHOSEN,
    Group.STEP: reason_texts.STEP,
    Group.VERDICT: reason_texts.VERDICT,
    Group.EXCEPTION: reason_texts.EXCEPTION,
    Group.LIMITATION: reason_texts.LIMITATION,
    Group.STATION: STATION,
}

CATALOGUE: dict[str, Reason] = {
    code: Reason(code, group, text, next_step)
    for group, texts in _TEXTS.items()
    for code, (text, next_step) in texts.items()
}


def text_of(code: str) -> str:
    """The words for a code; an unknown code is shown as itself."""
    reason = CATALOGUE.get(code)
    return reason.text if reason else code


def catalogue_markdown() -> str:
    """The whole of docs/reasons.md."""
    lines = [
        "# Reasons",
        "",
        "Generated: `python -m nullbay.domain.reasons > docs/reasons.md`.",
        "Signed data hold the codes; the words are a rendering.",
    ]
    for group in Group:
        lines += [
            "",
            f"## {group.value.capitalize()}",
            "",
            "| code | meaning | what to do |",
            "|---|---|---|",
        ]
        lines += [
            f"| `{r.code}` | {r.text} | {r.next_step} |"
            for r in CATALOGUE.values()
            if r.group is group
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(catalogue_markdown())
